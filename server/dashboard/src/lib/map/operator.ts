// An operator's own map file (PMTiles), drawn under our names and marks. Its schema is unknown, so
// its layers are drawn plainly, by what their names suggest.

import { addProtocol, type LayerSpecification } from 'maplibre-gl';
import { PMTiles, Protocol, TileType } from 'pmtiles';

import type { OperatorLayers } from './style';

const protocol = new Protocol();
let registered = false;

interface VectorLayer {
  id: string;
}

export const noOperatorLayers = (): OperatorLayers => ({ sources: {}, layers: [] });

/** Sources and layers of the files, or none of those that cannot be read. */
export async function operatorLayers(names: string[]): Promise<OperatorLayers> {
  const result = noOperatorLayers();
  for (const name of names) {
    if (!/^[\w.-]+\.pmtiles$/.test(name)) continue;
    try {
      await add(result, name);
    } catch {
      // A damaged or unreadable file leaves the built-in map, which is complete by itself.
    }
  }
  return result;
}

async function add(result: OperatorLayers, name: string): Promise<void> {
  if (!registered) addProtocol('pmtiles', protocol.tile);
  registered = true;
  const url = new URL(`maps/${name}`, document.baseURI).href;
  const archive = new PMTiles(url);
  protocol.add(archive);
  const header = await archive.getHeader();
  const source = `operator-${name}`;
  if (header.tileType === TileType.Mvt) {
    const metadata = (await archive.getMetadata()) as { vector_layers?: VectorLayer[] };
    result.sources[source] = { type: 'vector', url: `pmtiles://${url}` };
    for (const { id } of metadata.vector_layers ?? []) result.layers.push(...vectorLayers(source, id));
  } else {
    result.sources[source] = { type: 'raster', url: `pmtiles://${url}`, tileSize: 256 };
    result.layers.push({ id: source, type: 'raster', source });
  }
}

const WATER = /water|ocean|river|lake|wadi/i;
const ROAD = /road|transport|street|track|path|highway/i;
const BORDER = /bound|admin|border/i;

function vectorLayers(source: string, layer: string): LayerSpecification[] {
  const base = { source, 'source-layer': layer };
  const id = (part: string) => `${source}-${layer}-${part}`;
  const colour = WATER.test(layer) ? '#5f9fb5' : ROAD.test(layer) ? '#9a7b45' : BORDER.test(layer) ? '#8a8f91' : '#8c8672';
  const layers: LayerSpecification[] = [
    {
      ...base, id: id('line'), type: 'line', filter: ['!=', ['geometry-type'], 'Point'],
      paint: { 'line-color': colour, 'line-width': ROAD.test(layer) ? ['interpolate', ['linear'], ['zoom'], 5, 0.6, 12, 2.5] : 0.8, 'line-opacity': 0.8 },
    },
  ];
  if (WATER.test(layer)) {
    layers.unshift({ ...base, id: id('fill'), type: 'fill', filter: ['==', ['geometry-type'], 'Polygon'], paint: { 'fill-color': colour, 'fill-opacity': 0.35 } });
  }
  return layers;
}
