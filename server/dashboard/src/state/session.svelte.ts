// Who is logged in. `null`: nobody; `undefined`: not asked yet.

import { ApiError, logout, read } from '../lib/api';
import { instant } from '../lib/format';
import type { Session } from '../lib/types';
import { relayClock } from './clock.svelte';

class SessionState {
  current = $state.raw<Session | null | undefined>(undefined);
  error = $state<string | null>(null);

  async ask(): Promise<void> {
    try {
      const session = await read<Session>('session');
      const now = instant(session.now);
      if (now !== null) relayClock.set(now);
      this.error = null;
      this.current = session;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.current = null;
      else this.error = error instanceof ApiError ? error.code : 'network';
    }
  }

  async end(): Promise<void> {
    await logout().catch(() => undefined);
    this.current = null;
  }

  /** The relay no longer knows this session. */
  ended(): void {
    this.current = null;
  }
}

export const session = new SessionState();
