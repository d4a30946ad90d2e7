import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

import { basemap } from './build/basemap.ts';
import { licences } from './build/licences.ts';

// The relay embeds `dist` and serves it under a policy that allows nothing from elsewhere and no
// inline script; so nothing is inlined as a data: address, and the page's paths are relative.
export default defineConfig({
  base: './',
  plugins: [basemap(), licences(), svelte()],
  build: { assetsInlineLimit: 0, chunkSizeWarningLimit: 1600, target: 'es2022' },
  test: { include: ['src/**/*.test.ts'] },
});
