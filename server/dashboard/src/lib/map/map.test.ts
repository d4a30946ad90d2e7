import type { Position } from 'geojson';
import { mesh } from 'topojson-client';
import { describe, expect, it } from 'vitest';

import { makeBasemap } from '../../../build/basemap';
import { distanceKm, PLACES } from '../gazetteer';
import type { EventRecord, Track } from '../types';
import { bounds, eventPoints, gapLabels, trackLines } from './features';
import { iconId, parseIconId } from './icons';

const author = { device: 'aa', device_label: 'Ghat 1', at: '2026-11-24T20:00:00Z' };
const event = (change: Partial<EventRecord>): EventRecord => ({
  id: '1', kind: 'event', space: 'ab', organisation: null, time: author.at, place: { lat: 25, lon: 10, accuracy_m: 5, how: 'gps' },
  type: 'other', category: null, layer: 'crisis_rescue', priority: 300, title: null, note: null, review_state: null, operational_state: 'new',
  persons: null, needs: null, patrol: null, reported_by: null, conflicts: 0, withdrawn: false, created: author, updated: author, received_at: null,
  fields: {}, ...change,
});

describe('marks', () => {
  it('say the same as their id', () => {
    const look = { shape: 'alert', colour: '#d55e00', priority: 300, conflict: true, closed: false };
    expect(parseIconId(iconId(look))).toEqual(look);
  });

  it('keep open alerts and what is selected out of any cluster, and draw nothing twice', () => {
    const alert = event({ id: '2', kind: 'alert', type: 'sos', operational_state: 'raised' });
    const { apart, together } = eventPoints([event({}), event({ id: '3' }), alert], [alert], 'event/ab/1');
    expect(apart.features.map(({ properties }) => [properties!.key, properties!.selected, properties!.pulse])).toEqual([
      ['event/ab/1', true, false],
      ['alert/ab/2', false, true],
    ]);
    expect(together.features.map(({ properties }) => properties!.key)).toEqual(['event/ab/3']);
  });

  it('leave out what has no place', () => {
    expect(eventPoints([event({ place: null })], [], null).together.features).toEqual([]);
  });
});

describe('tracks', () => {
  const track: Track = {
    type: 'FeatureCollection',
    features: [
      { type: 'Feature', geometry: { type: 'LineString', coordinates: [[10, 25], [11, 26]] }, properties: { from: author.at, to: author.at } },
      { type: 'Feature', geometry: { type: 'LineString', coordinates: [[11, 26], [13, 26]] }, properties: { gap: true, reason: 'battery', from: author.at, to: author.at } },
      { type: 'Feature', geometry: null, properties: { gap: true, reason: 'killed', from: author.at, to: author.at } },
    ],
  };

  it('keep gaps apart and name them in their middle', () => {
    expect(trackLines([{ track, colour: '#000', patrol: 'p', open: true }]).features.map((feature) => feature.properties!.gap)).toEqual([false, true]);
    const [label] = gapLabels(track, (reason) => reason).features;
    expect([label!.geometry.coordinates, label!.properties!.label]).toEqual([[12, 26], 'battery']);
    expect(bounds([track])).toEqual([10, 25, 13, 26]);
  });
});

it('crossings lie on a border of Libya, or near enough for a pass', () => {
  const topo = makeBasemap();
  const libya = (side: unknown) => String((side as { id?: string }).id) === '434';
  const { coordinates } = mesh(topo, topo.objects.countries as never, (a, b) => a !== b && (libya(a) || libya(b)));
  for (const place of PLACES.filter((candidate) => candidate.kind === 'crossing')) {
    const km = Math.min(...coordinates.flatMap((line) => line.slice(1).flatMap((end, i) => between(line[i]!, end).map(([lon, lat]) => distanceKm(place.lat, place.lon, lat!, lon!)))));
    expect([place.id, km < 40]).toEqual([place.id, true]);
  }
}, 60_000);

/** Fifty points from one end of a segment to the other. */
function between(a: Position, b: Position): Position[] {
  return Array.from({ length: 51 }, (_, n) => [a[0]! + ((b[0]! - a[0]!) * n) / 50, a[1]! + ((b[1]! - a[1]!) * n) / 50]);
}

it('the basemap knows Libya and its neighbours, in detail and in little space', () => {
  const topo = makeBasemap();
  const { geometries } = topo.objects.countries as unknown as { geometries: { id: string; properties: { detailed: boolean } }[] };
  const detailed = geometries.filter((geometry) => geometry.properties.detailed).map((geometry) => String(geometry.id));
  for (const id of ['434', '788', '012', '562', '148', '729', '818']) expect(detailed).toContain(id);
  expect(JSON.stringify(topo).length).toBeLessThan(650_000);
}, 60_000);
