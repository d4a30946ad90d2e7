import { expect, it } from 'vitest';

import { differences } from './history';
import type { Change } from './types';

const change = (id: string, sets: Record<string, unknown>, removes: string[] = []): Change => ({
  change: id, at: '2026-11-24T20:00:00Z', received_at: null, device: 'aa', device_label: null, organisation: null, removes,
  kind: id === '1' ? 'created' : 'edited', sets: Object.entries(sets).map(([field, value]) => ({ field, value })),
});

const items = [change('1', { title: 'Well', total: 4 }), change('2', { total: 6 }), change('3', { total: 7 }, ['title'])];

it('shows what each change replaced, newest first', () => {
  const [last, middle, first] = differences(items, new Set());
  expect(last!.differences).toEqual([
    { field: 'total', before: 6, after: 7, known: true },
    { field: 'title', before: 'Well', after: null, known: true },
  ]);
  expect(middle!.differences[0]).toMatchObject({ before: 4, after: 6, known: true });
  expect(first!.differences.every((difference) => !difference.known)).toBe(true);
});

it('claims no earlier value for a field in conflict', () => {
  const shown = differences(items, new Set(['total'])).flatMap((step) => step.differences);
  expect(shown.filter((difference) => difference.field === 'total' && difference.known)).toEqual([]);
});
