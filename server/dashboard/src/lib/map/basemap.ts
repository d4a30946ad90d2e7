// Land, borders and names, from files that come with the page: the map needs no network.

import url from 'virtual:basemap';

import type { FeatureCollection, Geometry, LineString, MultiLineString, Point } from 'geojson';
import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';

import { INTL_LOCALE, type Locale } from '../format';
import { PLACES, placeName } from '../gazetteer';
import labels from './countries.json';

export interface Basemap {
  land: FeatureCollection<Geometry>;
  borders: MultiLineString;
  coast: MultiLineString;
}

/** Libya's number in ISO 3166, the id world-atlas uses. */
const LIBYA = '434';

export async function loadBasemap(): Promise<Basemap> {
  const topo = (await (await fetch(url)).json()) as Topology<{ countries: GeometryCollection }>;
  const { countries } = topo.objects;
  const land = feature(topo, countries) as FeatureCollection<Geometry>;
  for (const country of land.features) country.properties = { home: String(country.id) === LIBYA };
  return {
    land,
    borders: mesh(topo, countries, (a, b) => a !== b),
    coast: mesh(topo, countries, (a, b) => a === b),
  };
}

export function countryLabels(locale: Locale): FeatureCollection<Point> {
  const names = new Intl.DisplayNames([INTL_LOCALE[locale]], { type: 'region' });
  return {
    type: 'FeatureCollection',
    features: labels.map(({ code, lat, lon }) => ({
      type: 'Feature',
      geometry: { type: 'Point', coordinates: [lon, lat] },
      properties: { name: names.of(code) ?? code, home: code === 'LY' },
    })),
  };
}

export function placeLabels(locale: Locale): FeatureCollection<Point> {
  return {
    type: 'FeatureCollection',
    features: PLACES.map((place) => ({
      type: 'Feature',
      geometry: { type: 'Point', coordinates: [place.lon, place.lat] },
      properties: { name: placeName(place, locale), kind: place.kind, min_zoom: place.min_zoom, rank: place.min_zoom },
    })),
  };
}

/** Lines every five degrees: in a desert without roads they give the eye a scale. */
export function graticule(): FeatureCollection<LineString> {
  const lines: [number, number][][] = [];
  for (let lon = -180; lon <= 180; lon += 5) lines.push([[lon, -85], [lon, 85]]);
  for (let lat = -80; lat <= 80; lat += 5) lines.push([[-180, lat], [180, lat]]);
  return {
    type: 'FeatureCollection',
    features: lines.map((coordinates) => ({ type: 'Feature', geometry: { type: 'LineString', coordinates }, properties: {} })),
  };
}
