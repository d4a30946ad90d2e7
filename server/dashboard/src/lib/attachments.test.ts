import { expect, it } from 'vitest';

import { attachmentPath, size } from './attachments';

const ID = 'ab'.repeat(32);

it('only a hash becomes an address', () => {
  expect(attachmentPath(ID, ID)).toBe(`api/spaces/${ID}/attachments/${ID}`);
  for (const hash of ['', '../session', ID.toUpperCase(), `${ID}0`, `${ID.slice(2)}/.`]) expect(attachmentPath(ID, hash)).toBe(null);
  expect(attachmentPath('..', ID)).toBe(null);
});

it('sizes are short, and what is no size is none', () => {
  expect([10, 7_300, 999_400, 1_240_000, 25_000_000].map((len) => size(len, 'en'))).toEqual([
    { text: '1', unit: 'kb' },
    { text: '7', unit: 'kb' },
    { text: '999', unit: 'kb' },
    { text: '1.2', unit: 'mb' },
    { text: '25', unit: 'mb' },
  ]);
  expect([null, NaN, -1].map((len) => size(len, 'ar'))).toEqual([null, null, null]);
});
