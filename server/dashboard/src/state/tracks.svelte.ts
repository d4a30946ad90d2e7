// Tracks of the patrols under way, drawn thinly on the map; the open patrol's own is in `detail`.

import { ApiError, read } from '../lib/api';
import type { Patrol, Track } from '../lib/types';

const SHOWN_MAX = 16;

class Tracks {
  byPatrol = $state.raw<ReadonlyMap<string, Track>>(new Map());
  private held = new Map<string, number>();

  /** Loads tracks of active patrols whose number of positions has changed. */
  async follow(patrols: Patrol[]): Promise<void> {
    const shown = patrols.filter((patrol) => ['active', 'paused'].includes(patrol.state ?? '') && patrol.positions > 0).slice(0, SHOWN_MAX);
    const stale = shown.filter((patrol) => this.held.get(patrol.id) !== patrol.positions);
    const loaded = await Promise.all(stale.map((patrol) => this.one(patrol)));
    const names = new Set(shown.map((patrol) => patrol.id));
    const next = new Map([...this.byPatrol].filter(([id]) => names.has(id)));
    for (const entry of loaded) if (entry) next.set(...entry);
    if (stale.length || next.size !== this.byPatrol.size) this.byPatrol = next;
  }

  clear(): void {
    this.held.clear();
    this.byPatrol = new Map();
  }

  private async one(patrol: Patrol): Promise<[string, Track] | null> {
    try {
      const track = await read<Track>(`patrols/${patrol.space}/${patrol.id}/track`);
      this.held.set(patrol.id, patrol.positions);
      return [patrol.id, track];
    } catch (error) {
      if (error instanceof ApiError) return null;
      throw error;
    }
  }
}

export const tracks = new Tracks();
