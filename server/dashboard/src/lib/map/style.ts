// The map's style: no glyphs and no sprite, so text is drawn with the page's own font and nothing
// is fetched from elsewhere.

import type { GeoJSON } from 'geojson';
import type { LayerSpecification, SourceSpecification, StyleSpecification, SymbolLayerSpecification } from 'maplibre-gl';

import { ALERT_COLOUR } from '../shapes';

export const FONT = 'Noto Sans Arabic Variable';

export type SourceName =
  | 'land' | 'borders' | 'coast' | 'graticule' | 'places' | 'countries'
  | 'tracks' | 'gap-labels' | 'devices' | 'events' | 'marked';
export type Sources = Record<SourceName, GeoJSON>;

export interface OperatorLayers {
  sources: Record<string, SourceSpecification>;
  layers: LayerSpecification[];
}

interface Palette {
  sea: string; land: string; home: string; border: string; coast: string; grid: string;
  casing: string; text: string; faint: string; halo: string; dot: string;
}

export const PALETTES: Record<'light' | 'dark', Palette> = {
  light: {
    sea: '#cfdfe2', land: '#ece5d6', home: '#f8f3e7', border: '#a8997a', coast: '#8fa9ae', grid: '#00000010',
    casing: '#fbf7ec', text: '#2b3230', faint: '#857a63', halo: '#fbf7ecdd', dot: '#5c5340',
  },
  dark: {
    sea: '#0c1417', land: '#182125', home: '#202b2f', border: '#5f6f70', coast: '#3c5157', grid: '#ffffff0b',
    casing: '#c9d4d3', text: '#dfe5e1', faint: '#8b9a9b', halo: '#111a1de6', dot: '#b9ad90',
  },
};

/** Marks that would cover each other become one with a number; how urgent the most urgent is stays known. */
const CLUSTERS = { cluster: true, clusterRadius: 18, clusterMaxZoom: 9, clusterProperties: { urgent: ['max', ['get', 'urgent']] } };

export function makeStyle(theme: 'light' | 'dark', sources: Sources, operator: OperatorLayers): StyleSpecification {
  const p = PALETTES[theme];
  return {
    version: 8,
    sources: {
      ...Object.fromEntries(Object.entries(sources).map(([name, data]) => [name, { type: 'geojson', data, tolerance: 0.2, ...(name === 'events' && CLUSTERS) }])),
      ...operator.sources,
    } as StyleSpecification['sources'],
    layers: [...ground(p), ...operator.layers, ...names(p), ...work(p)],
  };
}

function ground(p: Palette): LayerSpecification[] {
  return [
    { id: 'sea', type: 'background', paint: { 'background-color': p.sea } },
    { id: 'land', type: 'fill', source: 'land', paint: { 'fill-color': ['case', ['get', 'home'], p.home, p.land], 'fill-antialias': false } },
    { id: 'graticule', type: 'line', source: 'graticule', paint: { 'line-color': p.grid, 'line-width': 1 } },
    { id: 'coast', type: 'line', source: 'coast', paint: { 'line-color': p.coast, 'line-width': 0.8 } },
    {
      id: 'borders', type: 'line', source: 'borders', layout: { 'line-join': 'round' },
      paint: { 'line-color': p.border, 'line-width': ['interpolate', ['linear'], ['zoom'], 3, 0.8, 8, 1.8], 'line-dasharray': [5, 2, 1, 2] },
    },
  ];
}

function names(p: Palette): LayerSpecification[] {
  const halo = { 'text-halo-color': p.halo, 'text-halo-width': 1.4 };
  return [
    {
      id: 'country-names', type: 'symbol', source: 'countries', maxzoom: 7,
      layout: { 'text-field': ['get', 'name'], 'text-font': [FONT], 'text-size': ['interpolate', ['linear'], ['zoom'], 3, 12, 6, 19], 'text-max-width': 9 },
      paint: { 'text-color': p.faint, 'text-opacity': ['case', ['get', 'home'], 0.75, 0.9], ...halo },
    },
    {
      id: 'place-dots', type: 'circle', source: 'places', filter: ['>=', ['zoom'], ['get', 'min_zoom']],
      paint: {
        'circle-radius': ['match', ['get', 'kind'], 'city', 3.2, 'crossing', 3, 2.4],
        'circle-color': ['match', ['get', 'kind'], 'crossing', p.halo, p.dot],
        'circle-stroke-color': p.dot,
        'circle-stroke-width': ['match', ['get', 'kind'], 'crossing', 1.6, 0],
      },
    },
    {
      id: 'place-names', type: 'symbol', source: 'places', filter: ['>=', ['zoom'], ['get', 'min_zoom']],
      layout: {
        'text-field': ['get', 'name'], 'text-font': [FONT],
        'text-size': ['interpolate', ['linear'], ['zoom'], 4, ['match', ['get', 'kind'], 'city', 14, 12.5], 9, ['match', ['get', 'kind'], 'city', 17, 15]],
        'text-variable-anchor': ['top', 'bottom', 'left', 'right'], 'text-radial-offset': 0.45,
        'symbol-sort-key': ['get', 'rank'], 'text-padding': 4,
      },
      paint: { 'text-color': p.text, ...halo },
    },
  ];
}

const MARKS: SymbolLayerSpecification['layout'] = {
  'icon-image': ['get', 'icon'],
  'icon-size': ['interpolate', ['linear'], ['zoom'], 4, 0.75, 8, 1],
  'icon-allow-overlap': true,
  'symbol-sort-key': ['get', 'rank'],
};

function work(p: Palette): LayerSpecification[] {
  const width = ['case', ['get', 'open'], 3.5, 2] as never;
  const opacity = ['case', ['get', 'open'], 1, 0.75] as never;
  return [
    {
      id: 'track-casing', type: 'line', source: 'tracks', filter: ['!', ['get', 'gap']],
      layout: { 'line-join': 'round', 'line-cap': 'round' }, paint: { 'line-color': p.casing, 'line-width': ['case', ['get', 'open'], 7, 3.4], 'line-opacity': ['case', ['get', 'open'], 0.9, 0.55] },
    },
    {
      id: 'track-lines', type: 'line', source: 'tracks', filter: ['!', ['get', 'gap']],
      layout: { 'line-join': 'round', 'line-cap': 'round' }, paint: { 'line-color': ['get', 'colour'], 'line-width': width, 'line-opacity': opacity },
    },
    {
      id: 'track-gaps', type: 'line', source: 'tracks', filter: ['get', 'gap'],
      paint: { 'line-color': ['get', 'colour'], 'line-width': width, 'line-opacity': opacity, 'line-dasharray': [1.2, 1.6] },
    },
    {
      id: 'devices', type: 'symbol', source: 'devices',
      layout: {
        'icon-image': ['get', 'icon'], 'icon-allow-overlap': true, 'text-optional': true,
        'text-field': ['get', 'label'], 'text-font': [FONT], 'text-size': 12, 'text-variable-anchor': ['top', 'bottom', 'right', 'left'], 'text-radial-offset': 1, 'text-padding': 2,
      },
      paint: { 'icon-opacity': ['case', ['get', 'old'], 0.5, 1], 'text-opacity': ['case', ['get', 'old'], 0.7, 1], 'text-color': p.text, 'text-halo-color': p.halo, 'text-halo-width': 1.6 },
    },
    {
      id: 'clusters', type: 'circle', source: 'events', filter: ['has', 'point_count'],
      paint: {
        'circle-radius': ['step', ['get', 'point_count'], 11, 10, 13, 50, 16],
        'circle-color': '#14262b',
        'circle-stroke-color': ['case', ['>=', ['get', 'urgent'], 300], '#f2c14e', '#fffdf6'],
        'circle-stroke-width': ['case', ['>=', ['get', 'urgent'], 300], 3.5, 1.5],
      },
    },
    {
      id: 'cluster-counts', type: 'symbol', source: 'events', filter: ['has', 'point_count'],
      layout: { 'text-field': ['to-string', ['get', 'point_count']], 'text-font': [FONT], 'text-size': 12.5, 'text-allow-overlap': true },
      paint: { 'text-color': '#fffdf6' },
    },
    { id: 'events', type: 'symbol', source: 'events', filter: ['!', ['has', 'point_count']], layout: MARKS },
    {
      id: 'halo', type: 'circle', source: 'marked', filter: ['get', 'pulse'],
      paint: { 'circle-radius': 24, 'circle-color': ALERT_COLOUR, 'circle-opacity': 0.25, 'circle-stroke-color': ALERT_COLOUR, 'circle-stroke-width': 2 },
    },
    { id: 'marked', type: 'symbol', source: 'marked', layout: MARKS },
    {
      id: 'selected', type: 'circle', source: 'marked', filter: ['get', 'selected'],
      paint: { 'circle-radius': 21, 'circle-opacity': 0, 'circle-stroke-color': p.text, 'circle-stroke-width': 3 },
    },
    {
      id: 'gap-names', type: 'symbol', source: 'gap-labels',
      layout: { 'text-field': ['get', 'label'], 'text-font': [FONT], 'text-size': 12.5, 'text-variable-anchor': ['top', 'bottom', 'left', 'right'], 'text-radial-offset': 0.6 },
      paint: { 'text-color': p.text, 'text-halo-color': p.halo, 'text-halo-width': 2 },
    },
  ];
}
