// A device's sync state in one word, most urgent first.

import { duration, instant, type Span } from './format';
import type { Device } from './types';

export interface DeviceWord {
  word: 'not_active' | 'never' | 'silent' | 'waiting' | 'behind' | 'up_to_date';
  /** 0 is the most urgent. */
  rank: number;
  n: number;
  span: Span | null;
}

/** Out of reach longer than this is called silence. */
export const SILENT_MS_MIN = 24 * 3_600_000;

export function deviceWord(device: Device, now: number): DeviceWord {
  const seen = instant(device.last_seen);
  const plain = (word: DeviceWord['word'], rank: number, n = 0): DeviceWord => ({ word, rank, n, span: null });
  if (device.state !== 'active') return plain('not_active', 5);
  if (seen === null && !device.connected) return plain('never', 3);
  if (!device.connected && seen !== null && now - seen >= SILENT_MS_MIN) {
    return { word: 'silent', rank: 0, n: device.unsent_reported ?? 0, span: duration(now - seen) };
  }
  if ((device.unsent_reported ?? 0) > 0) return plain('waiting', 1, device.unsent_reported!);
  if (device.behind > 0) return plain('behind', 2, device.behind);
  return plain('up_to_date', 4);
}
