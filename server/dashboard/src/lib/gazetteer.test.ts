import { describe, expect, it } from 'vitest';

import { distanceKm, nearest, PLACES } from './gazetteer';

describe('the gazetteer', () => {
  it('has unique ids and both names, in their own scripts', () => {
    expect(new Set(PLACES.map((place) => place.id)).size).toBe(PLACES.length);
    for (const place of PLACES) {
      expect(place.id).toMatch(/^[a-z_]+$/);
      expect(place.name_ar).toMatch(/^[\u0621-\u064a ]+$/);
      expect(place.name_en).toMatch(/^[A-Za-z ()-]+$/);
      expect(['city', 'town', 'crossing', 'well', 'oasis']).toContain(place.kind);
    }
  });

  it('lies in and around Libya, to a hundredth of a degree', () => {
    for (const { lat, lon, min_zoom } of PLACES) {
      expect(lat).toBeGreaterThan(19.5);
      expect(lat).toBeLessThan(33.3);
      expect(lon).toBeGreaterThan(9.2);
      expect(lon).toBeLessThan(25.3);
      expect([lat, lon].map((degrees) => Math.round(degrees * 100) / 100)).toEqual([lat, lon]);
      expect(min_zoom).toBeGreaterThanOrEqual(0);
      expect(min_zoom).toBeLessThan(12);
    }
  });

  it('holds the places that patrols and coordinators speak of', () => {
    const ids = PLACES.map((place) => place.id);
    for (const id of ['tripoli', 'benghazi', 'sabha', 'ghat', 'al_qatrun', 'tummo', 'kufra', 'ghadames', 'ras_ajdir', 'musaid', 'wazin', 'murzuq', 'ubari', 'al_wigh', 'sarra', 'rabyanah', 'tazirbu', 'jaghbub', 'waw_al_kabir', 'salvador_pass', 'anay_pass', 'al_uwaynat_west', 'al_uwaynat_east']) {
      expect(ids).toContain(id);
    }
  });

  it('measures distances as the map does', () => {
    expect(distanceKm(32.89, 13.19, 32.12, 20.07)).toBeCloseTo(651, -1);
    expect(distanceKm(10, 10, 10, 10)).toBe(0);
  });

  it('says where a point is by the nearest place and the direction from it', () => {
    const kufra = PLACES.find((place) => place.id === 'kufra')!;
    const rows: [number, number, string][] = [
      [0.3, 0, 'n'], [-0.3, 0.02, 's'], [0.02, 0.35, 'e'], [0.3, -0.3, 'nw'], [-0.5, 0.5, 'se'], [0, -0.4, 'w'],
    ];
    for (const [north, east, direction] of rows) {
      expect(nearest(kufra.lat + north, kufra.lon + east)).toMatchObject({ place: { id: 'kufra' }, direction });
    }
    expect(nearest(24.18, 23.31)).toMatchObject({ place: { id: 'kufra' }, km: 0 });
  });
});
