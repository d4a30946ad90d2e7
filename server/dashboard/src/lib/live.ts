// The live stream as a pure state machine: what it has said, how fresh the page is, and what must
// be fetched again. It knows no clock and no connection.

import type { Changed } from './types';

export type Phase = 'connecting' | 'live' | 'offline';
export type Part = 'events' | 'patrols' | 'tracks' | 'devices' | 'organisations';

export interface LiveState {
  phase: Phase;
  /** Since when the phase holds. */
  since: number;
  /** When the stream last said anything. */
  heard: number | null;
  dirty: ReadonlySet<Part>;
  /** `kind/space/id` of what changed since the last fetch. */
  changed: ReadonlySet<string>;
}

export type LiveInput =
  | { type: 'open' | 'lost' | 'ping' | 'reset'; at: number }
  | { type: 'changed'; at: number; items: Changed[] }
  | { type: 'fetched' | 'failed'; parts: Part[] }
  | { type: 'tick'; at: number };

/** Silence after which a stream that pings every 15 s is taken for dead. */
export const SILENCE_MS_MAX = 40_000;
/** More single changes than this are not remembered one by one. */
const CHANGED_MAX = 500;

export const EVERY_PART: Part[] = ['events', 'patrols', 'tracks', 'devices', 'organisations'];

const PARTS: Record<string, Part[]> = {
  event: ['events'],
  alert: ['events'],
  patrol: ['patrols'],
  track: ['tracks', 'patrols'],
  device: ['devices'],
  organisation: ['organisations', 'devices'],
};

export const initialLive = (at: number): LiveState => ({
  phase: 'connecting', since: at, heard: null, dirty: new Set(), changed: new Set(),
});

export function reduceLive(state: LiveState, input: LiveInput): LiveState {
  switch (input.type) {
    case 'open':
      // What happened while the stream was away is unknown, so everything is fetched again.
      return { ...enter(state, 'live', input.at), heard: input.at, dirty: new Set(EVERY_PART) };
    case 'ping':
      return { ...enter(state, 'live', input.at), heard: input.at };
    case 'reset':
      return { ...enter(state, 'live', input.at), heard: input.at, dirty: new Set(EVERY_PART), changed: new Set() };
    case 'changed':
      return { ...mark(enter(state, 'live', input.at), input.items), heard: input.at };
    case 'lost':
      return enter(state, 'offline', input.at);
    case 'tick':
      return state.phase === 'live' && input.at - (state.heard ?? state.since) > SILENCE_MS_MAX
        ? { ...enter(state, 'offline', input.at), since: state.heard ?? state.since }
        : state;
    case 'failed':
      return { ...state, dirty: new Set([...state.dirty, ...input.parts]) };
    case 'fetched': {
      const left = new Set([...state.dirty].filter((part) => !input.parts.includes(part)));
      return { ...state, dirty: left, changed: left.size ? state.changed : new Set() };
    }
  }
}

function enter(state: LiveState, phase: Phase, at: number): LiveState {
  return state.phase === phase ? state : { ...state, phase, since: at };
}

function mark(state: LiveState, items: Changed[]): LiveState {
  const dirty = new Set(state.dirty);
  const changed = new Set(state.changed);
  for (const item of items) {
    for (const part of PARTS[item.kind] ?? EVERY_PART) dirty.add(part);
    if (changed.size < CHANGED_MAX) changed.add(`${item.kind}/${item.space}/${item.id}`);
  }
  return { ...state, dirty, changed };
}
