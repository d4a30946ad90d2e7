import { describe, expect, it } from 'vitest';

import { activeFilters, eventsQuery, formatRoute, noFilters, parseRoute, sameSelection, type Route } from './route';

const full: Route = {
  view: 'map',
  selected: { kind: 'event', space: 'ab12', id: '0198c0de-0000-7000-8000-000000000001' },
  filters: {
    q: 'بئر & ماء 100%', kind: 'event', type: 'people_in_distress', organisation: 'cafe', priority: 200, state: 'new',
    review: 'submitted', span: '24h', conflicts: true, withdrawn: true,
  },
};

describe('the address', () => {
  it('carries every filter and the open record there and back', () => {
    expect(parseRoute(formatRoute(full))).toEqual(full);
  });

  it('is short when nothing is chosen', () => {
    expect(formatRoute({ view: 'patrols', selected: null, filters: noFilters() })).toBe('#/patrols');
    expect(parseRoute('')).toEqual({ view: 'map', selected: null, filters: noFilters() });
  });

  it('ignores what it does not understand', () => {
    const route = parseRoute('#/nowhere?kind=x&span=99y&priority=7&open=event/../../x&conflicts=yes&new=1');
    expect(route).toEqual({ view: 'map', selected: null, filters: noFilters() });
  });

  it('compares what is open', () => {
    expect(sameSelection(null, null)).toBe(true);
    expect(sameSelection(full.selected, { ...full.selected! })).toBe(true);
    expect(sameSelection(full.selected, { ...full.selected!, kind: 'alert' })).toBe(false);
  });
});

describe('filters', () => {
  it('are counted', () => {
    expect(activeFilters(noFilters())).toBe(0);
    expect(activeFilters(full.filters)).toBe(10);
  });

  it('become the API’s query', () => {
    const query = eventsQuery(full.filters, Date.parse('2026-11-24T20:00:00Z'), 100, 'token');
    expect(Object.fromEntries(query)).toEqual({
      q: 'بئر & ماء 100%', kind: 'event', type: 'people_in_distress', organisation: 'cafe', priority_min: '200', state: 'new',
      review: 'submitted', from: '2026-11-23T20:00:00.000Z', conflicts: 'true', withdrawn: 'true', limit: '100', after: 'token',
    });
    expect(eventsQuery(noFilters(), 0, 50).toString()).toBe('limit=50');
  });
});
