// The licence texts of everything that ends up in the page, in one file beside it.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Plugin } from 'vite';

/** What the page imports by itself; what these need is found by their own lists. */
const ROOTS = ['svelte', 'maplibre-gl', 'pmtiles', '@fluent/bundle', 'topojson-client', 'world-atlas', '@fontsource-variable/noto-sans-arabic'];
/** Svelte's own dependencies are its compiler's and stay behind. */
const BUILD_ONLY = new Set(['svelte']);

const modules = join(dirname(fileURLToPath(import.meta.url)), '../node_modules');

interface Manifest {
  name: string;
  version: string;
  license?: string;
  dependencies?: Record<string, string>;
}

const manifest = (folder: string) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

/** Where `name` is found from `folder`, as Node looks for it. */
function locate(name: string, folder: string): string | null {
  for (const base of [join(folder, 'node_modules'), modules]) {
    if (existsSync(join(base, name, 'package.json'))) return join(base, name);
  }
  return null;
}

function collect(name: string, from: string, found: Map<string, string>): void {
  const folder = locate(name, from);
  if (!folder) return;
  const { version, dependencies } = manifest(folder);
  if (found.has(`${name} ${version}`)) return;
  found.set(`${name} ${version}`, folder);
  // Types are for the compiler alone.
  const needed = BUILD_ONLY.has(name) ? [] : Object.keys(dependencies ?? {}).filter((other) => !other.startsWith('@types/'));
  for (const other of needed) collect(other, folder, found);
}

function text(title: string, folder: string): string {
  const file = readdirSync(folder).find((name) => /^(licen[cs]e|copying)/i.test(name));
  const body = file ? readFileSync(join(folder, file), 'utf8').trim() : '(no licence file in the package)';
  return `${title} · ${manifest(folder).license ?? 'see below'}\n\n${body}\n`;
}

export function licenceTexts(): string {
  const found = new Map<string, string>();
  for (const root of ROOTS) collect(root, modules, found);
  return [...found].sort(([a], [b]) => a.localeCompare(b)).map(([title, folder]) => text(title, folder)).join(`\n${'-'.repeat(80)}\n\n`);
}

/** Writes `licences.txt` beside the page's other files. */
export function licences(): Plugin {
  return {
    name: 'barid-licences',
    apply: 'build',
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source: licenceTexts() });
    },
  };
}
