// What a track tells in words: its length, and where it is silent and why.

import { distanceKm } from './gazetteer';
import { instant } from './format';
import type { Track } from './types';

export interface TrackGap {
  reason: string;
  from: string;
  to: string;
  ms: number;
}

/** Kilometres along the recorded parts; what lies in gaps is not known and not counted. */
export function recordedKm(track: Track): number {
  let km = 0;
  for (const { geometry, properties } of track.features) {
    if (properties.gap || !geometry) continue;
    for (let i = 1; i < geometry.coordinates.length; i++) {
      const [a, b] = [geometry.coordinates[i - 1]!, geometry.coordinates[i]!];
      km += distanceKm(a[1]!, a[0]!, b[1]!, b[0]!);
    }
  }
  return km;
}

/** Gaps, newest first. */
export function gaps(track: Track): TrackGap[] {
  return track.features
    .filter((feature) => feature.properties.gap)
    .map(({ properties: { reason, from, to } }) => ({ reason: reason ?? 'unknown', from, to, ms: (instant(to) ?? 0) - (instant(from) ?? 0) }))
    .sort((a, b) => (instant(b.from) ?? 0) - (instant(a.from) ?? 0));
}
