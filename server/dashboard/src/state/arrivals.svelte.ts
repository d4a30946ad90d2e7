// Late arrivals, shown above the feed until someone has looked.

import { ApiError, read } from '../lib/api';
import { mergeArrivals } from '../lib/arrivals';
import type { EventDetail, EventRecord } from '../lib/types';
import { relayClock } from './clock.svelte';
import { keyOf, picture } from './picture.svelte';

/** Records of one flush that are fetched by themselves because the list does not reach back to them. */
const FETCHED_MAX = 40;

class Arrivals {
  items = $state.raw<EventRecord[]>([]);

  /** Looks at what changed, after the list has been loaded again. */
  async take(changed: ReadonlySet<string>): Promise<void> {
    const keys = [...changed].filter((key) => key.startsWith('event/') || key.startsWith('alert/'));
    if (!keys.length) return;
    const listed = new Map(picture.events.map((event) => [keyOf(event), event]));
    const beyond = keys.filter((key) => !listed.has(key)).slice(-FETCHED_MAX);
    const fetched = await Promise.all(beyond.map((key) => this.one(key)));
    const came = [...keys.map((key) => listed.get(key)), ...fetched].filter((event) => !!event);
    this.items = mergeArrivals(this.items, came, relayClock.now);
  }

  dismiss(): void {
    this.items = [];
  }

  private async one(key: string): Promise<EventRecord | undefined> {
    const [kind, space, id] = key.split('/');
    try {
      return await read<EventDetail>(`events/${space}/${kind}/${id}`);
    } catch (error) {
      if (error instanceof ApiError) return undefined;
      throw error;
    }
  }
}

export const arrivals = new Arrivals();
