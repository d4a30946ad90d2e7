// Fetches what the live stream called dirty: soon after the first word, but not at every word.

import type { Part } from '../lib/live';
import { arrivals } from './arrivals.svelte';
import { live } from './live.svelte';
import { picture } from './picture.svelte';

const SOON_MS = 250;
const PAUSE_MS_MIN = 1_000;
/** After a failed fetch; the stream may be well while the relay is short of breath. */
const FAILED_PAUSE_MS = 5_000;

const WORK: Record<Part, () => Promise<boolean>[]> = {
  events: () => [picture.loadEvents(), picture.loadAlerts()],
  patrols: () => [picture.loadPatrols()],
  tracks: () => [],
  devices: () => [picture.loadDevices()],
  organisations: () => [picture.loadOrganisations()],
};

export class Refresher {
  /** `onchange` is told what is about to be fetched: the open record may be among it. */
  constructor(private readonly onchange: (changed: ReadonlySet<string>, parts: Part[]) => void) {}

  private timer: number | null = null;
  private notBefore = 0;
  private busy = false;

  /** Call whenever the stream's state changes. */
  consider(): void {
    if (this.timer !== null || this.busy || live.state.dirty.size === 0) return;
    const wait = Math.max(SOON_MS, this.notBefore - Date.now());
    this.timer = window.setTimeout(() => void this.flush(), wait);
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private async flush(): Promise<void> {
    this.timer = null;
    this.busy = true;
    // Marked as fetched first: what changes meanwhile is dirty again.
    const parts = [...live.state.dirty];
    const { changed } = live.state;
    live.fetched(parts);
    this.onchange(changed, parts);
    const done = await Promise.all([...parts.flatMap((part) => WORK[part]()), picture.loadStats()]);
    await arrivals.take(changed);
    this.busy = false;
    const failed = done.includes(false);
    if (failed) live.failed(parts);
    this.notBefore = Date.now() + (failed ? FAILED_PAUSE_MS : PAUSE_MS_MIN);
    this.consider();
  }
}
