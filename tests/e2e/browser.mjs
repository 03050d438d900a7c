// A real, headless Chromium and what a page does in it. A test fails if a page of it complains on its console,
// throws, or breaks its content security policy.

import { strict as assert } from 'node:assert';
import { chromium } from 'playwright-core';
import { atEnd, eventually } from './harness.mjs';

const BINARY = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
export const WIDE = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

/** What a browser itself says of a server that is not there or refuses; not the page's doing. */
export const OUTAGE = /WebSocket connection to|Failed to load resource|ERR_CONNECTION|blocked by CORS policy/;

let browser;
/** One browser for a test file. */
export async function launch() {
  // Debian's Chromium has no setuid sandbox for root, as whom containers run tests.
  browser = await chromium.launch({ executablePath: BINARY, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  return browser;
}

export const quit = () => browser?.close();

/** A browser profile for the current test: pages in it share cookies and local storage, as tabs do. */
export async function profileForTest(options = {}) {
  const context = await browser.newContext({ viewport: WIDE, locale: 'en-US', timezoneId: 'UTC', ...options });
  context.setDefaultTimeout(10_000);
  atEnd(() => context.close());
  return context;
}

/** A tab whose complaints fail the test; those that match `allowed` do not count. */
export async function openPage(context, url, { allowed = /^$/, before } = {}) {
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await before?.(page);
  await page.goto(url);
  atEnd(() => assert.deepEqual(complaints.filter((line) => !allowed.test(line)), [], 'the page complains of nothing'));
  return page;
}

const address = (server, user) => `${server.url}/${user === undefined ? '' : `?${new URLSearchParams({ user })}`}`;

/** A tab with the dashboard of this user in a profile of its own, not waited for. */
export async function dashboard(server, user, { context, profile, ...options } = {}) {
  const page = await openPage(context ?? (await profileForTest(profile)), address(server, user), options);
  return Object.assign(page, { user });
}

/** The same, connected. */
export async function live(server, user, options) {
  const page = await dashboard(server, user, options);
  await isLive(page);
  return page;
}

export const statusIs = (page, status, timeout = 10_000) =>
  page.locator(`[data-testid=connection][data-status=${status}]`).waitFor({ timeout });
export const isLive = (page, timeout) => statusIs(page, 'connected', timeout);

export const row = (page, symbol) => page.locator(`tr[data-symbol="${symbol}"]`);
export const price = (page, symbol) => row(page, symbol).locator('.price');
export const total = (page) => page.getByTestId('total-value');
export const toasts = (page) => page.locator('.toasts .entry');
export const tradeList = (page) => page.locator('.trade-list .entry');
export const titles = (entries) => entries.locator('strong').allTextContents();

export async function addSymbols(page, text) {
  await page.getByLabel('Add symbols').fill(text);
  await page.getByRole('button', { name: 'Add', exact: true }).click();
}

/** Waits until this element's text is, or matches, that. It is looked for anew each time: a list's first may be another by then. */
export async function shows(locator, expected, timeout = 10_000) {
  const fits = (text) => (typeof expected === 'string' ? text === expected : expected.test(text));
  let text;
  try {
    await eventually(async () => fits((text = (await locator.textContent({ timeout: 1_000 })).trim())), timeout, 'its text');
  } catch (cause) {
    assert.fail(`${locator} shows ${JSON.stringify(text)}, not ${expected}: ${cause.message}`);
  }
}

/** Waits until the text of this element is another one, and returns it. */
export async function changes(locator, timeout = 10_000) {
  const before = await locator.textContent();
  const element = await locator.elementHandle({ timeout });
  await locator.page().waitForFunction(({ element, before }) => element.textContent !== before, { element, before }, { timeout });
  return locator.textContent();
}
