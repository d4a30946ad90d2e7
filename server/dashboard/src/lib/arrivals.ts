// News that took long on its way. The feed is in the order of what happened, so a report that a
// patrol brings in after three days stands far down; this says which ones to show again at the top.

import { instant } from './format';
import type { EventRecord } from './types';

/** A change that needed longer than this to arrive is late. */
const LATE_MS_MIN = 15 * 60_000;
/** A late arrival is news for this long. */
const NEWS_MS = 30 * 60_000;
const HELD_MAX = 40;

const keyOf = (record: EventRecord): string => `${record.kind}/${record.space}/${record.id}`;

export function isLate(record: EventRecord): boolean {
  const [written, received] = [instant(record.updated.at), instant(record.received_at)];
  return written !== null && received !== null && received - written >= LATE_MS_MIN;
}

/** What is held and what just came, newest arrival first, each record once; what is no news any more is left out. */
export function mergeArrivals(held: EventRecord[], came: EventRecord[], now: number): EventRecord[] {
  const byKey = new Map<string, EventRecord>();
  for (const record of [...held, ...came]) byKey.set(keyOf(record), record);
  const arrived = (record: EventRecord) => instant(record.received_at) ?? 0;
  return [...byKey.values()]
    .filter((record) => isLate(record) && now - arrived(record) < NEWS_MS)
    .sort((a, b) => arrived(b) - arrived(a) || b.time.localeCompare(a.time))
    .slice(0, HELD_MAX);
}
