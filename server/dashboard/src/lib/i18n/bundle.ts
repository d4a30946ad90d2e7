// Messages in two languages. Fluent isolates every argument's direction by itself.

import { FluentBundle, FluentResource, type FluentVariable } from '@fluent/bundle';

import { INTL_LOCALE, type Locale } from '../format';
import ar from './ar.ftl?raw';
import en from './en.ftl?raw';

export type Arguments = Record<string, FluentVariable>;

function bundle(locale: Locale, source: string): FluentBundle {
  const made = new FluentBundle(INTL_LOCALE[locale]);
  made.addResource(new FluentResource(source));
  return made;
}

export const BUNDLES: Record<Locale, FluentBundle> = { ar: bundle('ar', ar), en: bundle('en', en) };

/** The message's text, or null if the language has no such message. A missing argument shows as its name. */
export function message(locale: Locale, id: string, args?: Arguments): string | null {
  const pattern = BUNDLES[locale].getMessage(id)?.value;
  return pattern ? BUNDLES[locale].formatPattern(pattern, args, []) : null;
}
