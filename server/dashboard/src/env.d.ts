/// <reference types="vite/client" />

declare module 'virtual:basemap' {
  const url: string;
  export default url;
}

declare module 'topojson-server' {
  import type { Topology } from 'topojson-specification';
  export function topology(objects: never, quantization?: number): Topology;
}

declare module 'topojson-simplify' {
  export function presimplify(topology: never): never;
  export function simplify(topology: never, minWeight: number): unknown;
}
