// The offline basemap, made at build time from world-atlas (Natural Earth, public domain): the
// countries around Libya at 1:10m, simplified, the rest of the world at 1:110m for context.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import type { Feature, Geometry } from 'geojson';
import { feature } from 'topojson-client';
import { topology } from 'topojson-server';
import { presimplify, simplify } from 'topojson-simplify';
import type { GeometryCollection, Topology } from 'topojson-specification';
import type { Plugin } from 'vite';

const VIRTUAL = 'virtual:basemap';
const RESOLVED = '\0' + VIRTUAL;

/** Degrees: a country whose box touches this one is drawn in detail. */
const REGION = { west: -2, south: 8, east: 38, north: 41 };
/** Square degrees: the smallest triangle that simplification keeps (about 1.5 km²). */
const DETAIL = 0.00012;
/** Steps of quantisation over the globe (about 400 m at the equator). */
const GRID = 1e5;

type Countries = Topology<{ countries: GeometryCollection<{ name: string }> }>;
type Country = Feature<Geometry, { name: string }>;

function read(name: string): Countries {
  const path = createRequire(import.meta.url).resolve(`world-atlas/${name}`);
  return JSON.parse(readFileSync(path, 'utf8')) as Countries;
}

function box(geometry: Geometry): [number, number, number, number] {
  let [west, south, east, north] = [180, 90, -180, -90];
  const visit = (value: unknown): void => {
    if (!Array.isArray(value)) return;
    const [x, y] = value as unknown[];
    if (typeof x === 'number' && typeof y === 'number') {
      [west, south, east, north] = [Math.min(west, x), Math.min(south, y), Math.max(east, x), Math.max(north, y)];
    } else value.forEach(visit);
  };
  if ('coordinates' in geometry) visit(geometry.coordinates);
  return [west, south, east, north];
}

function near(country: Country): boolean {
  const [west, south, east, north] = box(country.geometry);
  return west < REGION.east && east > REGION.west && south < REGION.north && north > REGION.south;
}

function countries(topo: Countries): Country[] {
  return feature(topo, topo.objects.countries).features as Country[];
}

/** One topology of countries, ids kept, shared borders kept shared. */
export function makeBasemap(): Topology {
  const fine = read('countries-10m.json');
  const detailed = simplify(presimplify(fine as never), DETAIL) as unknown as Countries;
  const close = countries(detailed).filter(near);
  const drawn = new Set(close.map((country) => country.id));
  const far = countries(read('countries-110m.json')).filter((country) => !drawn.has(country.id));
  const features = [...close, ...far].map((country) => ({ ...country, properties: { detailed: drawn.has(country.id) } }));
  return topology({ countries: { type: 'FeatureCollection', features } } as never, GRID) as Topology;
}

/** `import url from 'virtual:basemap'` gives the address of the basemap's file. */
export function basemap(): Plugin {
  let serving = false;
  let json: string | null = null;
  const text = () => (json ??= JSON.stringify(makeBasemap()));
  return {
    name: 'barid-basemap',
    configResolved(config) {
      serving = config.command === 'serve';
    },
    resolveId: (id) => (id === VIRTUAL ? RESOLVED : null),
    load(id) {
      if (id !== RESOLVED) return null;
      if (serving) return `export default '/basemap.json'`;
      const ref = this.emitFile({ type: 'asset', name: 'basemap.json', source: text() });
      return `export default import.meta.ROLLUP_FILE_URL_${ref}`;
    },
    configureServer(server) {
      server.middlewares.use('/basemap.json', (_request, response) => {
        response.setHeader('content-type', 'application/json');
        response.end(text());
      });
    },
  };
}
