// Times, places and numbers as text. Pure: the moment "now" is always an argument.

export type Locale = 'ar' | 'en';

/** Western digits in both languages: what Libya writes. */
export const INTL_LOCALE: Record<Locale, string> = { ar: 'ar-LY-u-nu-latn', en: 'en-GB' };

export interface Span {
  unit: 'now' | 'seconds' | 'minutes' | 'hours' | 'days' | 'ahead';
  n: number;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** A clock this far ahead of the relay's is ordinary; more is worth a word. */
const AHEAD_MS_MAX = 2 * MINUTE;

/** How long ago, in its largest fitting unit. Claimed times may lie in the future. */
export function age(at: number, now: number): Span {
  const ms = now - at;
  if (ms < -AHEAD_MS_MAX) return { unit: 'ahead', n: Math.round(-ms / MINUTE) };
  if (ms < 5_000) return { unit: 'now', n: 0 };
  if (ms < MINUTE) return { unit: 'seconds', n: Math.floor(ms / 1000) };
  if (ms < HOUR) return { unit: 'minutes', n: Math.floor(ms / MINUTE) };
  if (ms < 2 * DAY) return { unit: 'hours', n: Math.floor(ms / HOUR) };
  return { unit: 'days', n: Math.floor(ms / DAY) };
}

/** A length of time, in its largest fitting unit. */
export function duration(ms: number): Span {
  if (ms < MINUTE) return { unit: 'seconds', n: Math.max(0, Math.floor(ms / 1000)) };
  if (ms < HOUR) return { unit: 'minutes', n: Math.floor(ms / MINUTE) };
  if (ms < 2 * DAY) return { unit: 'hours', n: Math.floor(ms / HOUR) };
  return { unit: 'days', n: Math.floor(ms / DAY) };
}

/** Decimal degrees with hemisphere letters; five places are about a metre. Always left to right. */
export function coordinates(lat: number, lon: number): string {
  return `${Math.abs(lat).toFixed(5)}° ${lat < 0 ? 'S' : 'N'}, ${Math.abs(lon).toFixed(5)}° ${lon < 0 ? 'W' : 'E'}`;
}

/** Degrees, minutes and seconds, as radio operators read them out. */
export function sexagesimal(lat: number, lon: number): string {
  const part = (value: number, letters: [string, string]) => {
    const seconds = Math.round(Math.abs(value) * 3600);
    const [d, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    return `${d}°${String(m).padStart(2, '0')}′${String(s).padStart(2, '0')}″ ${value < 0 ? letters[1] : letters[0]}`;
  };
  return `${part(lat, ['N', 'S'])}  ${part(lon, ['E', 'W'])}`;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatter(locale: Locale, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = locale + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.DateTimeFormat(INTL_LOCALE[locale], options)));
  return format;
}

const CLOCK: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };

export function clock(at: number, locale: Locale): string {
  return formatter(locale, CLOCK).format(at);
}

export function dateTime(at: number, locale: Locale): string {
  return formatter(locale, { day: 'numeric', month: 'short', year: 'numeric', ...CLOCK }).format(at);
}

/** The clock today, the day and the clock otherwise. */
export function shortTime(at: number, now: number, locale: Locale): string {
  const sameDay = new Date(at).toDateString() === new Date(now).toDateString();
  return sameDay ? clock(at, locale) : formatter(locale, { day: 'numeric', month: 'short', ...CLOCK }).format(at);
}

export function integer(n: number, locale: Locale): string {
  return new Intl.NumberFormat(INTL_LOCALE[locale]).format(n);
}

/** Milliseconds of an RFC 3339 time; NaN becomes null, so that a bad time is shown as none. */
export function instant(time: string | null | undefined): number | null {
  if (!time) return null;
  const at = Date.parse(time);
  return Number.isNaN(at) ? null : at;
}
