// The map itself: made once, told what to show. Everything a person can learn from it is in the
// lists too, so a browser without WebGL loses only the picture.

import * as maplibre from 'maplibre-gl';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?url';
import type { FeatureCollection } from 'geojson';

import type { Locale } from '../format';
import { countryLabels, graticule, loadBasemap, placeLabels, type Basemap } from './basemap';
import { ensureIcon } from './icons';
import { noOperatorLayers, operatorLayers } from './operator';
import { FONT, makeStyle, type SourceName, type Sources } from './style';

/** Libya with a margin: [west, south, east, north]. */
const HOME: [number, number, number, number] = [8.6, 19.0, 26.2, 33.8];
const EMPTY: FeatureCollection = { type: 'FeatureCollection', features: [] };
const WORK: SourceName[] = ['tracks', 'gap-labels', 'devices', 'events', 'marked'];

export interface Insets {
  left: number;
  right: number;
}

const work = () => ({ tracks: EMPTY, 'gap-labels': EMPTY, devices: EMPTY, events: EMPTY, marked: EMPTY });

const ground = ({ land, borders, coast }: Basemap, locale: Locale) => ({
  land, borders, coast, graticule: graticule(), places: placeLabels(locale), countries: countryLabels(locale),
});

export class MapPicture {
  private operator = noOperatorLayers();

  private constructor(
    private readonly map: maplibre.Map,
    private readonly data: Sources,
    private theme: 'light' | 'dark',
    private locale: Locale,
    private readonly still: boolean,
  ) {}

  static async open(container: HTMLElement, theme: 'light' | 'dark', locale: Locale, onpick: (layer: string, properties: Record<string, unknown>) => void): Promise<MapPicture> {
    maplibre.setWorkerUrl(new URL(workerUrl, document.baseURI).href);
    // The map paints text with the page's font, so the font has to be there first.
    const [basemap] = await Promise.all([loadBasemap(), document.fonts.load(`16px "${FONT}"`, 'بريد'), document.fonts.load(`16px "${FONT}"`, 'Barid')]);
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const data = { ...work(), ...ground(basemap, locale) };
    const map = new maplibre.Map({
      container,
      style: makeStyle(theme, data, noOperatorLayers()),
      bounds: HOME,
      fitBoundsOptions: { padding: 24 },
      attributionControl: false,
      dragRotate: false,
      pitchWithRotate: false,
      minZoom: 2,
      maxZoom: 17,
      fadeDuration: still ? 0 : 150,
    });
    map.touchZoomRotate.disableRotation();
    map.keyboard.disableRotation();
    map.addControl(new maplibre.ScaleControl({ maxWidth: 120 }), 'bottom-left');
    const picture = new MapPicture(map, data, theme, locale, still);
    // What came while the style was loading found no source to go to.
    map.on('style.load', () => WORK.forEach((name) => picture.push(name, picture.data[name] as FeatureCollection)));
    map.once('idle', () => (container.dataset.drawn = ''));
    picture.pickable(onpick);
    return picture;
  }

  async addOperatorMaps(names: string[]): Promise<void> {
    if (!names.length) return;
    this.operator = await operatorLayers(names);
    this.style();
  }

  look(theme: 'light' | 'dark', locale: Locale): void {
    if (theme === this.theme && locale === this.locale) return;
    if (locale !== this.locale) Object.assign(this.data, { places: placeLabels(locale), countries: countryLabels(locale) });
    [this.theme, this.locale] = [theme, locale];
    this.style();
  }

  /** Draws the data, unless it is what is drawn already: a list that was loaded again is mostly the same. */
  show(name: SourceName, data: FeatureCollection): void {
    if (data === this.data[name] || (name !== 'tracks' && JSON.stringify(data) === JSON.stringify(this.data[name]))) return;
    this.data[name] = data;
    this.push(name, data);
  }

  private push(name: SourceName, data: FeatureCollection): void {
    for (const { properties } of data.features) if (typeof properties?.icon === 'string') ensureIcon(this.map, properties.icon);
    this.map.getSource<maplibre.GeoJSONSource>(name)?.setData(data);
  }

  zoom(step: 1 | -1): void {
    this.map.easeTo({ zoom: this.map.getZoom() + step, duration: this.still ? 0 : 200 });
  }

  home(insets: Insets): void {
    this.fit(HOME, insets, 24);
  }

  fit([west, south, east, north]: [number, number, number, number], insets: Insets, margin = 60): void {
    this.map.fitBounds([[west, south], [east, north]], {
      padding: { top: margin, bottom: margin, left: margin + insets.left, right: margin + insets.right },
      maxZoom: 9,
      duration: this.still ? 0 : 600,
    });
  }

  /** Brings a place into the part of the map that nothing covers. */
  goTo(lat: number, lon: number, insets: Insets): void {
    this.map.easeTo({
      center: [lon, lat],
      zoom: Math.max(this.map.getZoom(), 6.5),
      offset: [(insets.left - insets.right) / 2, 0],
      duration: this.still ? 0 : 600,
    });
  }

  remove(): void {
    this.map.remove();
  }

  private style(): void {
    this.map.setStyle(makeStyle(this.theme, this.data, this.operator), { diff: true });
    const icons = WORK.flatMap((name) => (this.data[name] as FeatureCollection).features).map((feature) => feature.properties?.icon);
    for (const icon of new Set(icons)) if (typeof icon === 'string') ensureIcon(this.map, icon);
  }

  private async openCluster(cluster: maplibre.MapGeoJSONFeature): Promise<void> {
    const zoom = await this.map.getSource<maplibre.GeoJSONSource>('events')?.getClusterExpansionZoom(Number(cluster.properties.cluster_id));
    if (zoom === undefined || cluster.geometry.type !== 'Point') return;
    this.map.easeTo({ center: cluster.geometry.coordinates as [number, number], zoom: zoom + 0.3, duration: this.still ? 0 : 400 });
  }

  private pickable(onpick: (layer: string, properties: Record<string, unknown>) => void): void {
    const layers = ['marked', 'events', 'clusters', 'devices', 'track-lines', 'track-gaps'];
    this.map.on('click', (event) => {
      const around: [maplibre.PointLike, maplibre.PointLike] = [
        [event.point.x - 5, event.point.y - 5],
        [event.point.x + 5, event.point.y + 5],
      ];
      const hit = this.map.queryRenderedFeatures(around, { layers: layers.filter((layer) => this.map.getLayer(layer)) })[0];
      if (hit?.layer.id === 'clusters') void this.openCluster(hit);
      else if (hit) onpick(hit.layer.id, hit.properties);
    });
    for (const layer of layers) {
      this.map.on('mouseenter', layer, () => (this.map.getCanvas().style.cursor = 'pointer'));
      this.map.on('mouseleave', layer, () => (this.map.getCanvas().style.cursor = ''));
    }
  }
}
