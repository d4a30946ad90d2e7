import { expect, it } from 'vitest';

import { unique } from './unique';

it('keeps the first of each key, in order', () => {
  const items = [{ id: 'b', n: 1 }, { id: 'a', n: 2 }, { id: 'b', n: 3 }];
  expect(unique(items, ({ id }) => id).map(({ n }) => n)).toEqual([1, 2]);
});
