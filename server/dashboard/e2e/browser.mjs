// A browser that notes every console error and every request to another origin.

import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

export async function openBrowser() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
}

/** A page in its own session, with what went wrong on it. Demo relays sign their own certificate. */
export async function openPage(browser, base, { language, theme = 'light', size = [1440, 900] }) {
  const context = await browser.newContext({
    viewport: { width: size[0], height: size[1] },
    colorScheme: theme,
    ignoreHTTPSErrors: true,
    timezoneId: 'Africa/Tripoli',
  });
  await context.addInitScript((chosen) => {
    try {
      if (!localStorage.getItem('barid.language')) localStorage.setItem('barid.language', chosen);
    } catch {
      // A page without storage, as about:blank.
    }
  }, language);
  const page = await context.newPage();
  const faults = [];
  const { origin } = new URL(base);
  page.on('console', (message) => {
    // Before a login the relay rightly answers 401, and the browser rightly says so.
    if (message.type() === 'error' && !(page.beforeLogin && /401/.test(message.text()))) faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('request', (request) => {
    const url = request.url();
    if (!/^(data|blob|about):/.test(url) && new URL(url).origin !== origin) faults.push(`foreign request: ${url}`);
  });
  return { context, page, faults };
}
