import { expect, it } from 'vitest';

import { gaps, recordedKm } from './track';
import type { Track } from './types';

const line = (coordinates: number[][], gap: boolean, from: string, to: string, reason?: string): Track['features'][number] => ({
  type: 'Feature', geometry: { type: 'LineString', coordinates }, properties: { gap, from, to, ...(reason ? { reason } : {}) },
});

const track: Track = {
  type: 'FeatureCollection',
  features: [
    line([[10, 25], [10, 26]], false, '2026-11-24T08:00:00Z', '2026-11-24T10:00:00Z'),
    line([[10, 26], [10, 28]], true, '2026-11-24T10:00:00Z', '2026-11-24T12:30:00Z', 'no_fix'),
    line([[10, 28], [10, 28.5]], false, '2026-11-24T12:30:00Z', '2026-11-24T14:00:00Z'),
    line([[10, 28.5], [10, 29]], true, '2026-11-24T14:00:00Z', '2026-11-24T14:20:00Z'),
  ],
};

it('counts no kilometre that was not recorded', () => {
  expect(recordedKm(track)).toBeCloseTo(166.8, 0);
});

it('lists gaps newest first, with length and reason', () => {
  expect(gaps(track).map(({ reason, ms }) => [reason, ms / 60_000])).toEqual([['unknown', 20], ['no_fix', 150]]);
});
