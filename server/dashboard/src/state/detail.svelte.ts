// One record in full, with its history, loaded when it is opened and again when it changes.

import { ApiError, read } from '../lib/api';
import type { Selection } from '../lib/route';
import type { Change, EventDetail, EventRecord, Page, Patrol, Track } from '../lib/types';
import { unique } from '../lib/unique';
import { keyOf } from './picture.svelte';
import { session } from './session.svelte';

abstract class Loaded<T> {
  value = $state.raw<T | null>(null);
  error = $state<string | null>(null);
  private turn = 0;
  private shown = '';

  protected abstract fetch(selection: Selection): Promise<T>;

  async load(selection: Selection | null): Promise<void> {
    const turn = ++this.turn;
    const key = selection ? `${selection.kind}/${selection.space}/${selection.id}` : '';
    if (key !== this.shown) this.value = null;
    this.shown = key;
    this.error = null;
    if (!selection) return;
    try {
      const value = await this.fetch(selection);
      if (turn === this.turn) this.value = value;
    } catch (error) {
      if (turn !== this.turn) return;
      if (error instanceof ApiError && error.status === 401) session.ended();
      this.error = error instanceof ApiError ? error.code : 'network';
    }
  }
}

export interface EventSheet {
  event: EventDetail;
  history: Change[];
}

class OpenEvent extends Loaded<EventSheet> {
  protected async fetch({ kind, space, id }: Selection): Promise<EventSheet> {
    const path = `events/${space}/${kind}/${id}`;
    const [event, history] = await Promise.all([read<EventDetail>(path), read<Page<Change>>(`${path}/history`)]);
    return { event, history: unique(history.items, ({ change }) => change) };
  }
}

export interface PatrolSheet {
  patrol: Patrol;
  track: Track;
  events: EventRecord[];
}

class OpenPatrol extends Loaded<PatrolSheet> {
  protected async fetch({ space, id }: Selection): Promise<PatrolSheet> {
    const [patrol, track, events] = await Promise.all([
      read<Patrol>(`patrols/${space}/${id}`),
      read<Track>(`patrols/${space}/${id}/track`),
      read<Page<EventRecord>>('events', new URLSearchParams({ patrol: id, limit: '200' })),
    ]);
    return { patrol, track, events: unique(events.items, keyOf) };
  }
}

export const openEvent = new OpenEvent();
export const openPatrol = new OpenPatrol();
