// Our own small list of places, and how to say where something is by the nearest of them.

import type { Locale } from './format';
import places from './gazetteer.json';

export interface NamedPlace {
  id: string;
  kind: 'city' | 'town' | 'crossing' | 'well' | 'oasis';
  name_ar: string;
  name_en: string;
  lat: number;
  lon: number;
  min_zoom: number;
}

export const PLACES = places as NamedPlace[];

export const DIRECTIONS = ['n', 'ne', 'e', 'se', 's', 'sw', 'w', 'nw'] as const;

export interface Nearby {
  place: NamedPlace;
  km: number;
  direction: (typeof DIRECTIONS)[number];
}

const RADIUS_KM = 6371;
const RAD = Math.PI / 180;

export function distanceKm(lat1: number, lon1: number, lat2: number, lon2: number): number {
  const a =
    Math.sin(((lat2 - lat1) * RAD) / 2) ** 2 +
    Math.cos(lat1 * RAD) * Math.cos(lat2 * RAD) * Math.sin(((lon2 - lon1) * RAD) / 2) ** 2;
  return 2 * RADIUS_KM * Math.asin(Math.sqrt(a));
}

/** The nearest named place, its distance, and the direction from it to the point. */
export function nearest(lat: number, lon: number): Nearby {
  let best = PLACES[0]!;
  let km = Infinity;
  for (const place of PLACES) {
    const d = distanceKm(place.lat, place.lon, lat, lon);
    if (d < km) [best, km] = [place, d];
  }
  const east = Math.sin((lon - best.lon) * RAD) * Math.cos(lat * RAD);
  const north =
    Math.cos(best.lat * RAD) * Math.sin(lat * RAD) -
    Math.sin(best.lat * RAD) * Math.cos(lat * RAD) * Math.cos((lon - best.lon) * RAD);
  const bearing = (Math.atan2(east, north) / RAD + 360) % 360;
  return { place: best, km, direction: DIRECTIONS[Math.round(bearing / 45) % 8]! };
}

export const placeName = (place: NamedPlace, locale: Locale): string => (locale === 'ar' ? place.name_ar : place.name_en);
