// What the page shows, written into the address's hash, so that it can be bookmarked and sent.

export type View = 'map' | 'patrols' | 'devices';
export type KindFilter = 'any' | 'event' | 'alert';
export type Span = 'all' | '6h' | '24h' | '3d' | '7d' | '30d';

export interface Filters {
  q: string;
  kind: KindFilter;
  type: string;
  organisation: string;
  priority: number;
  state: string;
  review: string;
  span: Span;
  conflicts: boolean;
  withdrawn: boolean;
}

export interface Selection {
  kind: string;
  space: string;
  id: string;
}

export interface Route {
  view: View;
  selected: Selection | null;
  filters: Filters;
}

export const SPAN_HOURS: Record<Exclude<Span, 'all'>, number> = { '6h': 6, '24h': 24, '3d': 72, '7d': 168, '30d': 720 };
export const SPANS: Span[] = ['all', '6h', '24h', '3d', '7d', '30d'];
const VIEWS: View[] = ['map', 'patrols', 'devices'];
const KINDS: KindFilter[] = ['any', 'event', 'alert'];

export const noFilters = (): Filters => ({
  q: '', kind: 'any', type: '', organisation: '', priority: 0, state: '', review: '', span: 'all', conflicts: false, withdrawn: false,
});

const TEXTS = ['q', 'type', 'organisation', 'state', 'review'] as const;

/** Reads a hash; anything it does not understand becomes the default. */
export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const params = new URLSearchParams(query);
  const filters = noFilters();
  for (const name of TEXTS) filters[name] = (params.get(name) ?? '').slice(0, 200);
  filters.kind = KINDS.find((kind) => kind === params.get('kind')) ?? 'any';
  filters.span = SPANS.find((span) => span === params.get('span')) ?? 'all';
  const priority = Number(params.get('priority'));
  filters.priority = [100, 200, 300].includes(priority) ? priority : 0;
  filters.conflicts = params.get('conflicts') === '1';
  filters.withdrawn = params.get('withdrawn') === '1';
  return {
    view: VIEWS.find((view) => view === path.split('/')[0]) ?? 'map',
    selected: parseSelection(params.get('open')),
    filters,
  };
}

/** The shortest hash of a route: defaults are left out. */
export function formatRoute(route: Route): string {
  const { filters, selected } = route;
  const params = new URLSearchParams();
  for (const name of TEXTS) if (filters[name]) params.set(name, filters[name]);
  if (filters.kind !== 'any') params.set('kind', filters.kind);
  if (filters.span !== 'all') params.set('span', filters.span);
  if (filters.priority) params.set('priority', String(filters.priority));
  if (filters.conflicts) params.set('conflicts', '1');
  if (filters.withdrawn) params.set('withdrawn', '1');
  if (selected) params.set('open', `${selected.kind}/${selected.space}/${selected.id}`);
  const query = params.toString().replaceAll('%2F', '/');
  return `#/${route.view}${query ? `?${query}` : ''}`;
}

function parseSelection(text: string | null): Selection | null {
  const match = /^(event|alert|patrol)\/([0-9a-f]{1,64})\/([0-9a-fA-F-]{1,64})$/.exec(text ?? '');
  return match ? { kind: match[1]!, space: match[2]!, id: match[3]! } : null;
}

export function sameSelection(a: Selection | null, b: Selection | null): boolean {
  return a === b || (!!a && !!b && a.kind === b.kind && a.space === b.space && a.id === b.id);
}

/** How many filters narrow the list. */
export function activeFilters(filters: Filters): number {
  const none = noFilters();
  return (Object.keys(none) as (keyof Filters)[]).filter((key) => filters[key] !== none[key]).length;
}

/** The API's query for the filters, at the relay's time `now`. */
export function eventsQuery(filters: Filters, now: number, limit: number, after?: string | null): URLSearchParams {
  const params = new URLSearchParams();
  if (filters.kind !== 'any') params.set('kind', filters.kind);
  for (const name of TEXTS) if (filters[name].trim()) params.set(name, filters[name].trim());
  if (filters.priority) params.set('priority_min', String(filters.priority));
  if (filters.span !== 'all') params.set('from', new Date(now - SPAN_HOURS[filters.span] * 3_600_000).toISOString());
  if (filters.conflicts) params.set('conflicts', 'true');
  if (filters.withdrawn) params.set('withdrawn', 'true');
  params.set('limit', String(limit));
  if (after) params.set('after', after);
  return params;
}
