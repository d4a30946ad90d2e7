import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { FluentResource } from '@fluent/bundle';
import { describe, expect, it } from 'vitest';

import type { Locale } from '../format';
import * as words from '../words';
import { message } from './bundle';

const root = join(import.meta.dirname, '../..');
const source = (locale: Locale) => readFileSync(join(root, `lib/i18n/${locale}.ftl`), 'utf8');
const resources = { ar: new FluentResource(source('ar')), en: new FluentResource(source('en')) };
const ids = (locale: Locale) => resources[locale].body.map((entry) => entry.id).sort();

interface Select {
  type: 'select';
  variants: { key: { value: string } }[];
}

function selects(pattern: unknown): Select[] {
  if (Array.isArray(pattern)) return pattern.flatMap(selects);
  if (pattern && typeof pattern === 'object') {
    const own = (pattern as { type?: string }).type === 'select' ? [pattern as Select] : [];
    return [...own, ...Object.values(pattern).flatMap(selects)];
  }
  return [];
}

function pluralKeys(locale: Locale, id: string): string[][] {
  const entry = resources[locale].body.find((candidate) => candidate.id === id);
  return selects(entry?.value).map((select) => select.variants.map((variant) => String(variant.key.value)).sort());
}

describe('messages', () => {
  it('are the same in both languages, each once', () => {
    expect(ids('ar')).toEqual(ids('en'));
    expect(new Set(ids('en')).size).toBe(ids('en').length);
  });

  it('lose nothing to a syntax error: every line that begins a message is one', () => {
    for (const locale of ['ar', 'en'] as const) {
      const written = [...source(locale).matchAll(/^([a-zA-Z][\w-]*) *=/gm)].map((match) => match[1]!).sort();
      expect(ids(locale)).toEqual(written);
    }
  });

  it('have all six plural forms in Arabic wherever English counts', () => {
    for (const id of ids('en').filter((id) => pluralKeys('en', id).length)) {
      for (const keys of pluralKeys('ar', id)) expect([id, keys]).toEqual([id, ['few', 'many', 'one', 'other', 'two', 'zero']]);
      expect([id, pluralKeys('ar', id).length]).toEqual([id, 1]);
      for (const keys of pluralKeys('en', id)) expect([id, keys]).toEqual([id, expect.arrayContaining(['one', 'other'])]);
    }
  });

  it('use the same arguments in both languages', () => {
    const args = (locale: Locale, id: string) => {
      const text = JSON.stringify(resources[locale].body.find((entry) => entry.id === id));
      return [...new Set([...text.matchAll(/"type":"var","name":"(\w+)"/g)].map((match) => match[1]!))].sort();
    };
    for (const id of ids('en')) expect([id, args('ar', id)]).toEqual([id, args('en', id)]);
  });

  it('name every word of the closed vocabularies', () => {
    const expected = [
      ...[...words.EVENT_TYPES, ...words.ALERT_TYPES].map((word) => `type-${word}`),
      ...words.CATEGORIES.map((word) => `category-${word}`),
      ...words.LAYERS.map((word) => `layer-${word}`),
      ...words.PRIORITIES.map((word) => `priority-${word}`),
      ...[...words.OPERATIONAL_STATES, ...words.ALERT_STATES].map((word) => `state-${word}`),
      ...words.PATROL_STATES.map((word) => `patrol-state-${word}`),
      ...words.REVIEW_STATES.map((word) => `review-${word}`),
      ...words.TRANSPORTS.map((word) => `transport-${word}`),
      ...words.GAP_REASONS.map((word) => `gap-${word}`),
      ...words.HOWS.map((word) => `how-${word}`),
      ...words.DEVICE_STATES.map((word) => `device-state-${word}`),
      ...words.CHANGE_KINDS.map((word) => `history-${word}`),
      ...words.FIELDS.map((word) => `field-${word}`),
    ];
    for (const locale of ['ar', 'en'] as const) expect(expected.filter((id) => message(locale, id) === null)).toEqual([]);
  });

  it('exist wherever the source asks for one by name', () => {
    const files = (folder: string): string[] =>
      readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? files(join(folder, entry.name)) : /\.(svelte|ts)$/.test(entry.name) ? [join(folder, entry.name)] : [],
      );
    const asked = files(root).flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/\b(?:t|count)\('([\w-]+)'/g)].map((match) => match[1]!));
    expect(asked.length).toBeGreaterThan(80);
    expect([...new Set(asked)].filter((id) => message('en', id) === null)).toEqual([]);
  });

  it('count in Arabic as Arabic counts, with Western digits', () => {
    const days = [0, 1, 2, 3, 11, 100].map((n) => message('ar', 'age-days', { n })!.replace(/[\u2066-\u2069]/g, ''));
    expect(days).toEqual(['اليوم', 'قبل يوم', 'قبل يومين', 'قبل 3 أيام', 'قبل 11 يومًا', 'قبل 100 يوم']);
  });
});
