// The connection to the live stream: performs what ../lib/live decides. EventSource gives up on an
// HTTP error and never notices a dead link; both are mended here.

import { read, ApiError } from '../lib/api';
import { instant } from '../lib/format';
import { initialLive, reduceLive, type LiveInput, type LiveState, type Part } from '../lib/live';
import type { Changed } from '../lib/types';
import { relayClock } from './clock.svelte';
import { session } from './session.svelte';

const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 20_000;

class Live {
  state = $state.raw<LiveState>(initialLive(Date.now()));
  private source: EventSource | null = null;
  private retry: number | null = null;
  private failures = 0;

  start(): void {
    this.stop();
    this.connect();
  }

  stop(): void {
    this.source?.close();
    this.source = null;
    if (this.retry !== null) clearTimeout(this.retry);
    this.retry = null;
  }

  tick(): void {
    const before = this.state.phase;
    this.input({ type: 'tick', at: Date.now() });
    if (before === 'live' && this.state.phase === 'offline') this.start();
  }

  fetched(parts: Part[]): void {
    this.input({ type: 'fetched', parts });
  }

  failed(parts: Part[]): void {
    this.input({ type: 'failed', parts });
  }

  private input(input: LiveInput): void {
    this.state = reduceLive(this.state, input);
  }

  private connect(): void {
    this.retry = null;
    const source = (this.source = new EventSource('api/live'));
    source.onopen = () => {
      this.failures = 0;
      this.input({ type: 'open', at: Date.now() });
    };
    source.onerror = () => {
      this.input({ type: 'lost', at: Date.now() });
      if (source.readyState === EventSource.CLOSED) void this.again();
    };
    source.addEventListener('ping', (event) => {
      this.input({ type: 'ping', at: Date.now() });
      const now = instant((parse(event) as { now?: string } | null)?.now);
      if (now !== null) relayClock.set(now);
    });
    source.addEventListener('reset', () => this.input({ type: 'reset', at: Date.now() }));
    source.addEventListener('changed', (event) => {
      const items = (parse(event) as { items?: Changed[] } | null)?.items;
      if (Array.isArray(items)) this.input({ type: 'changed', at: Date.now(), items });
      else this.input({ type: 'reset', at: Date.now() });
    });
  }

  /** The stream was refused: because the session ended, or because the relay is not ready. */
  private async again(): Promise<void> {
    this.source?.close();
    try {
      await read('session');
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return session.ended();
    }
    const wait = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.failures++) * (0.5 + Math.random() / 2);
    this.retry ??= window.setTimeout(() => this.connect(), wait);
  }
}

function parse(event: Event): unknown {
  try {
    return JSON.parse((event as MessageEvent<string>).data) as unknown;
  } catch {
    return null;
  }
}

export const live = new Live();
