// Records as the features the map draws. Texts come in ready, so this knows no language.

import type { Feature, FeatureCollection, LineString, Point } from 'geojson';

import { instant } from '../format';
import { ALERT_COLOUR, organisationColour, shapeOf } from '../shapes';
import type { EventRecord, LatestPosition, Organisation, Track } from '../types';
import { iconId } from './icons';

export type Points = FeatureCollection<Point>;
export type Lines = FeatureCollection<LineString>;

/** Positions older than this are dimmed. */
export const OLD_POSITION_MS = 6 * 3_600_000;

const keyOf = (record: EventRecord): string => `${record.kind}/${record.space}/${record.id}`;

function point(lat: number, lon: number, properties: Record<string, unknown>): Feature<Point> {
  return { type: 'Feature', geometry: { type: 'Point', coordinates: [lon, lat] }, properties };
}

/** What may be drawn as one mark with a number, and what must always be seen by itself. */
export interface EventPoints {
  together: Points;
  apart: Points;
}

export function eventPoints(events: EventRecord[], openAlerts: EventRecord[], selected: string | null): EventPoints {
  const all = new Map<string, EventRecord>();
  for (const event of [...events, ...openAlerts]) all.set(keyOf(event), event);
  const points: EventPoints = { together: { type: 'FeatureCollection', features: [] }, apart: { type: 'FeatureCollection', features: [] } };
  for (const event of all.values()) {
    if (!event.place) continue;
    const properties = eventLook(event, selected);
    const group = properties.selected || properties.open ? points.apart : points.together;
    group.features.push(point(event.place.lat, event.place.lon, properties));
  }
  return points;
}

function eventLook(event: EventRecord, selected: string | null) {
  const key = keyOf(event);
  const alert = event.kind === 'alert';
  const closed = ['resolved', 'cleared', 'cancelled'].includes(event.operational_state ?? '') || event.withdrawn;
  const colour = alert ? ALERT_COLOUR : organisationColour(event.organisation?.colour_index);
  const priority = event.priority ?? 0;
  return {
    key,
    icon: iconId({ shape: shapeOf(event), colour, priority, conflict: event.conflicts > 0, closed }),
    rank: (alert && !closed ? 1000 : closed ? -100 : 0) + priority,
    urgent: closed ? 0 : priority,
    selected: key === selected,
    open: alert && !closed,
    pulse: alert && !closed && event.type === 'sos',
  };
}

export function devicePoints(
  positions: LatestPosition[],
  organisationOf: (given: Organisation | string | null) => Organisation | null,
  label: (position: LatestPosition) => string,
  now: number,
): Points {
  const features = positions.map((position) => {
    const colour = organisationColour(organisationOf(position.organisation)?.colour_index);
    const old = now - (instant(position.at) ?? 0) > OLD_POSITION_MS;
    return point(position.lat, position.lon, {
      icon: iconId({ shape: 'device', colour, priority: 0, conflict: false, closed: false }),
      label: label(position),
      old,
      patrol: position.patrol,
    });
  });
  return { type: 'FeatureCollection', features };
}

export interface DrawnTrack {
  track: Track;
  colour: string;
  patrol: string;
  open: boolean;
}

/** Whether both are the same tracks, drawn alike: then there is nothing to draw again. */
export function sameTracks(a: DrawnTrack[], b: DrawnTrack[]): boolean {
  return a.length === b.length && a.every((one, i) => one.track === b[i]!.track && one.open === b[i]!.open && one.colour === b[i]!.colour);
}

export function trackLines(tracks: DrawnTrack[]): Lines {
  const features = tracks.flatMap(({ track, colour, patrol, open }) =>
    track.features.flatMap(({ geometry, properties }): Feature<LineString>[] => {
      if (!geometry || geometry.coordinates.length < 2) return [];
      return [{ type: 'Feature', geometry, properties: { colour, patrol, open, gap: properties.gap === true } }];
    }),
  );
  return { type: 'FeatureCollection', features };
}

/** A label in the middle of every gap of the open patrol's track. */
export function gapLabels(track: Track | null, text: (reason: string, from: string, to: string) => string): Points {
  const features = (track?.features ?? []).flatMap((feature) => {
    const [a, b] = [feature.geometry?.coordinates[0], feature.geometry?.coordinates.at(-1)];
    if (!feature.properties.gap || !a || !b) return [];
    const { reason, from, to } = feature.properties;
    return [point((a[1]! + b[1]!) / 2, (a[0]! + b[0]!) / 2, { label: text(reason ?? 'unknown', from, to) })];
  });
  return { type: 'FeatureCollection', features };
}

/** [west, south, east, north] of everything given, or null. */
export function bounds(collections: FeatureCollection<Point | LineString | null>[]): [number, number, number, number] | null {
  let box: [number, number, number, number] | null = null;
  for (const { features } of collections) {
    for (const { geometry } of features) {
      if (!geometry) continue;
      for (const [x, y] of geometry.type === 'Point' ? [geometry.coordinates] : geometry.coordinates) {
        box = box
          ? [Math.min(box[0], x!), Math.min(box[1], y!), Math.max(box[2], x!), Math.max(box[3], y!)]
          : [x!, y!, x!, y!];
      }
    }
  }
  return box;
}
