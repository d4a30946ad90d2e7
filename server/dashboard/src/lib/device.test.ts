import { expect, it } from 'vitest';

import { deviceWord } from './device';
import type { Device } from './types';

const NOW = Date.parse('2026-11-24T20:00:00Z');
const HOUR = 3_600_000;

function device(change: Partial<Device>, seenAgo: number | null = 0): Device {
  return {
    id: 'aa', label: 'Ghat 1', organisation: 'bb', state: 'active', enrolled_at: null, connected: false, unsent_reported: 0, behind: 0,
    last_received_at: null, last_seen: seenAgo === null ? null : new Date(NOW - seenAgo).toISOString(), ...change,
  };
}

it.each([
  ['up_to_date', device({ connected: true })],
  ['up_to_date', device({ unsent_reported: null }, 2 * HOUR)],
  ['waiting', device({ unsent_reported: 14, behind: 3 })],
  ['behind', device({ behind: 3 })],
  ['silent', device({ unsent_reported: 14 }, 24 * HOUR)],
  ['never', device({}, null)],
  ['not_active', device({ state: 'revoked' }, 90 * HOUR)],
] as const)('says %s', (word, given) => {
  expect(deviceWord(given, NOW).word).toBe(word);
});

it('says how long a device has been silent', () => {
  expect(deviceWord(device({}, 3 * 24 * HOUR + HOUR), NOW).span).toEqual({ unit: 'days', n: 3 });
});

it('does not call a connected device silent, however old its last record', () => {
  expect(deviceWord(device({ connected: true }, 90 * HOUR), NOW).word).toBe('up_to_date');
});

it('puts what needs attention first', () => {
  const rank = (given: Device) => deviceWord(given, NOW).rank;
  expect(rank(device({}, 72 * HOUR))).toBeLessThan(rank(device({ unsent_reported: 1 })));
  expect(rank(device({ unsent_reported: 1 }))).toBeLessThan(rank(device({})));
});
