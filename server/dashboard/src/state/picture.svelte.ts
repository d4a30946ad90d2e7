// The merged picture as last loaded: what every list and the map draw. It stays when the link goes.

import { ApiError, read } from '../lib/api';
import { instant } from '../lib/format';
import { eventsQuery } from '../lib/route';
import type { Device, EventRecord, LatestPosition, Organisation, Page, Patrol, Stats } from '../lib/types';
import { unique } from '../lib/unique';
import { OPEN_ALERT_STATES } from '../lib/words';
import { relayClock } from './clock.svelte';
import { place } from './location.svelte';
import { session } from './session.svelte';

const PAGE = 100;
const PAGE_MAX = 500;
/** How long a row that has just come in is marked as new. */
const FRESH_MS = 12_000;

export const keyOf = (record: { kind: string; space: string; id: string }): string => `${record.kind}/${record.space}/${record.id}`;

class Picture {
  events = $state.raw<EventRecord[]>([]);
  next = $state.raw<string | null>(null);
  alerts = $state.raw<EventRecord[]>([]);
  patrols = $state.raw<Patrol[]>([]);
  positions = $state.raw<LatestPosition[]>([]);
  devices = $state.raw<Device[]>([]);
  organisations = $state.raw<Organisation[]>([]);
  stats = $state.raw<Stats | null>(null);
  /** Keys of rows that came or changed lately, with the moment they did. */
  fresh = $state.raw<ReadonlyMap<string, number>>(new Map());
  loaded = $state<{ events: boolean; patrols: boolean; devices: boolean }>({ events: false, patrols: false, devices: false });
  updatedAt = $state<number | null>(null);
  error = $state<string | null>(null);
  private asked = 0;
  private shownQuery = '';

  async loadOrganisations(): Promise<boolean> {
    return this.guard(async () => {
      this.organisations = (await read<Page<Organisation>>('organisations')).items;
    });
  }

  /** The newest events under the filters; as many as were on screen. */
  async loadEvents(): Promise<boolean> {
    const turn = ++this.asked;
    const { filters } = place.route;
    const filterText = JSON.stringify(filters);
    const same = filterText === this.shownQuery;
    const limit = same ? Math.min(PAGE_MAX, Math.max(PAGE, this.events.length)) : PAGE;
    return this.guard(async () => {
      const page = await read<Page<EventRecord>>('events', eventsQuery(filters, relayClock.now, limit));
      if (turn !== this.asked) return;
      if (same && this.loaded.events) this.markFresh(page.items);
      this.events = unique(page.items, keyOf);
      this.next = page.next;
      this.shownQuery = filterText;
      this.loaded.events = true;
    });
  }

  async loadOlder(): Promise<void> {
    const turn = this.asked;
    await this.guard(async () => {
      const page = await read<Page<EventRecord>>('events', eventsQuery(place.route.filters, relayClock.now, PAGE, this.next));
      if (turn !== this.asked) return;
      this.events = unique([...this.events, ...page.items], keyOf);
      this.next = page.next;
    });
  }

  async loadAlerts(): Promise<boolean> {
    return this.guard(async () => {
      const pages = await Promise.all(
        OPEN_ALERT_STATES.map((state) => read<Page<EventRecord>>('events', new URLSearchParams({ kind: 'alert', state, limit: '100' }))),
      );
      // An alert that moved on between two answers is in both.
      this.alerts = unique(pages.flatMap((page) => page.items), keyOf).sort(mostUrgentFirst);
    });
  }

  async loadPatrols(): Promise<boolean> {
    return this.guard(async () => {
      const [patrols, positions] = await Promise.all([
        read<Page<Patrol>>('patrols', new URLSearchParams({ limit: '500' })),
        read<Page<LatestPosition>>('positions'),
      ]);
      this.patrols = unique(patrols.items, ({ space, id }) => space + id);
      this.positions = positions.items;
      this.loaded.patrols = true;
    });
  }

  async loadDevices(): Promise<boolean> {
    return this.guard(async () => {
      this.devices = unique((await read<Page<Device>>('devices')).items, ({ id }) => id);
      this.loaded.devices = true;
    });
  }

  async loadStats(): Promise<boolean> {
    return this.guard(async () => {
      this.stats = await read<Stats>('stats');
    });
  }

  /** An organisation given by itself or by its id. */
  organisation(given: Organisation | string | null | undefined): Organisation | null {
    if (!given) return null;
    if (typeof given !== 'string') return given;
    return this.organisations.find((organisation) => organisation.id === given) ?? null;
  }

  /** Forgets everything: the next person at this screen may have other rights. */
  clear(): void {
    this.asked++;
    this.events = this.alerts = [];
    this.patrols = [];
    this.positions = [];
    this.devices = [];
    this.organisations = [];
    this.stats = this.next = this.updatedAt = this.error = null;
    this.fresh = new Map();
    this.loaded = { events: false, patrols: false, devices: false };
  }

  tick(now: number): void {
    const left = [...this.fresh].filter(([, at]) => now - at < FRESH_MS);
    if (left.length !== this.fresh.size) this.fresh = new Map(left);
  }

  private markFresh(items: EventRecord[]): void {
    const before = new Map(this.events.map((event) => [keyOf(event), event.received_at ?? event.updated.at]));
    const fresh = new Map(this.fresh);
    for (const item of items) {
      const seen = before.get(keyOf(item));
      if (seen !== (item.received_at ?? item.updated.at)) fresh.set(keyOf(item), Date.now());
    }
    this.fresh = fresh;
  }

  /** Whether the work was done; if not, `error` says why and what was loaded before stays. */
  private async guard(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.updatedAt = Date.now();
      this.error = null;
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) session.ended();
      else this.error = error.code;
      return false;
    }
  }
}

function mostUrgentFirst(a: EventRecord, b: EventRecord): number {
  const rank = (alert: EventRecord) =>
    (alert.type === 'sos' ? 0 : 10) + OPEN_ALERT_STATES.indexOf(alert.operational_state as (typeof OPEN_ALERT_STATES)[number]);
  return rank(a) - rank(b) || (instant(b.time) ?? 0) - (instant(a.time) ?? 0);
}

export const picture = new Picture();
