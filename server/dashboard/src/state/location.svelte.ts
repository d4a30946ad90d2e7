// The route in force, kept equal to the address's hash.

import { formatRoute, noFilters, parseRoute, type Filters, type Route, type Selection, type View } from '../lib/route';

class Location {
  route = $state.raw<Route>(parseRoute(location.hash));

  constructor() {
    addEventListener('hashchange', () => (this.route = parseRoute(location.hash)));
  }

  /** A step that Back undoes. */
  go(change: Partial<Route>): void {
    this.write({ ...this.route, ...change }, 'pushState');
  }

  show(view: View): void {
    if (view !== this.route.view) this.go({ view, selected: null });
  }

  open(selected: Selection | null): void {
    this.go({ selected });
  }

  /** Filters change while typing; they replace the address instead of filling the history. */
  filter(change: Partial<Filters>): void {
    this.write({ ...this.route, filters: { ...this.route.filters, ...change } }, 'replaceState');
  }

  clearFilters(): void {
    this.write({ ...this.route, filters: noFilters() }, 'replaceState');
  }

  private write(route: Route, how: 'pushState' | 'replaceState'): void {
    this.route = route;
    history[how](null, '', formatRoute(route));
  }
}

export const place = new Location();
