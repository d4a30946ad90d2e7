import { expect, it } from 'vitest';

import { isLate, mergeArrivals } from './arrivals';
import type { EventRecord } from './types';

const NOW = Date.parse('2026-11-24T20:00:00Z');
const HOUR = 3_600_000;

function record(id: string, writtenAgo: number, receivedAgo: number | null): EventRecord {
  const at = new Date(NOW - writtenAgo).toISOString();
  const author = { device: 'aa', device_label: null, at };
  return {
    id, kind: 'event', space: 'ab', organisation: null, time: at, place: null, type: null, category: null, layer: null, priority: null, title: null,
    note: null, review_state: null, operational_state: null, persons: null, needs: null, patrol: null, reported_by: null, conflicts: 0, withdrawn: false,
    created: author, updated: author, received_at: receivedAgo === null ? null : new Date(NOW - receivedAgo).toISOString(), fields: {},
  };
}

it('calls late what needed a quarter of an hour or more', () => {
  expect(isLate(record('1', 72 * HOUR, 0))).toBe(true);
  expect(isLate(record('2', HOUR / 4, 0))).toBe(true);
  expect(isLate(record('3', HOUR / 5, 0))).toBe(false);
  expect(isLate(record('4', 72 * HOUR, null))).toBe(false);
});

it('holds each late arrival once, the newest first, for half an hour', () => {
  const held = [record('a', 9 * HOUR, HOUR / 4), record('old', 9 * HOUR, HOUR)];
  const came = [record('b', 72 * HOUR, 0), record('a', 9 * HOUR, 1_000), record('fresh', 1_000, 0)];
  expect(mergeArrivals(held, came, NOW).map(({ id }) => id)).toEqual(['b', 'a']);
});

it('holds no more than can be looked through', () => {
  const came = Array.from({ length: 500 }, (_, n) => record(String(n), 72 * HOUR, n * 100));
  expect(mergeArrivals([], came, NOW)).toHaveLength(40);
});
