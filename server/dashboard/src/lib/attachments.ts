// Attachments: where their bytes are, and how large they are.

import type { Locale } from './format';
import { INTL_LOCALE } from './format';

/** Fields with this beginning name an attachment by its hash. */
export const ATTACHMENT_FIELD = 'attachment/';

/** Hashes come from records that phones wrote; only what looks like one becomes an address. */
export function attachmentPath(space: string, hash: string): string | null {
  return /^[0-9a-f]{64}$/.test(hash) && /^[0-9a-f]{64}$/.test(space) ? `api/spaces/${space}/attachments/${hash}` : null;
}

/** Kilobytes or megabytes, as a number and which of the two. */
export function size(len: number | null, locale: Locale): { text: string; unit: 'kb' | 'mb' } | null {
  if (len === null || !Number.isFinite(len) || len < 0) return null;
  const unit = len < 1_000_000 ? 'kb' : 'mb';
  const value = len / (unit === 'kb' ? 1_000 : 1_000_000);
  const digits = unit === 'mb' && value < 10 ? 1 : 0;
  const text = new Intl.NumberFormat(INTL_LOCALE[locale], { maximumFractionDigits: digits }).format(Math.max(value, unit === 'kb' ? 1 : 0));
  return { text, unit };
}
