// The page's language: remembered, applied to <html>, and read by every text.

import type { FluentVariable } from '@fluent/bundle';

import { ATTACHMENT_FIELD } from '../attachments';
import { age, type Locale, type Span } from '../format';
import { remembered, remember } from '../remember';
import type { Organisation } from '../types';
import { message, type Arguments } from './bundle';

function preferred(): Locale {
  const stored = remembered('language');
  if (stored === 'ar' || stored === 'en') return stored;
  return navigator.languages.some((tag) => tag.toLowerCase().startsWith('ar')) ? 'ar' : 'en';
}

class Language {
  locale = $state<Locale>(preferred());
  readonly direction = $derived(this.locale === 'ar' ? 'rtl' : 'ltr');

  set(locale: Locale): void {
    this.locale = locale;
    remember('language', locale);
  }

  toggle(): void {
    this.set(this.locale === 'ar' ? 'en' : 'ar');
  }
}

export const language = new Language();

export function t(id: string, args?: Arguments): string {
  return message(language.locale, id, args) ?? id;
}

/** A word of a closed vocabulary; a word we do not know is shown as it came. */
export function word(vocabulary: string, value: string | number | null | undefined): string {
  if (value === null || value === undefined || value === '') return '—';
  return message(language.locale, `${vocabulary}-${value}`) ?? String(value);
}

/** Why something could not be loaded, in words where the code is a known one. */
export function reason(code: string): string {
  return message(language.locale, `error-${code}`) ?? t('error-other', { code });
}

export const count = (id: string, n: FluentVariable): string => t(id, { n });

export const ago = (at: number, now: number): string => agoSpan(age(at, now));
export const agoSpan = (span: Span): string => t(`age-${span.unit}`, { n: span.n });
export const lengthOf = (span: Span): string => t(`length-${span.unit}`, { n: span.n });

export function named(organisation: Pick<Organisation, 'name_ar' | 'name_en'> | null | undefined): string {
  if (!organisation) return t('unknown-organisation');
  const [first, second] = [organisation.name_ar, organisation.name_en];
  return (language.locale === 'ar' ? first || second : second || first) || t('unknown-organisation');
}

/** What a field is called. An attachment's name is its hash, which says nothing to anybody. */
export function fieldName(field: string): string {
  return field.startsWith(ATTACHMENT_FIELD) ? t('field-attachment') : word('field', field.replace(/^~/, ''));
}
