// The page of a run in a real browser, opened from disk without a network: what it shows is what the run tells.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { atEnd, published, startForTest, test } from './harness.mjs';
import { call, connect, fence } from './clients.mjs';
import { V } from './names.mjs';
import { launch, openPage, PHONE, profileForTest, quit } from './browser.mjs';
import { directory, sim, simIsThere } from './sim.mjs';

const GOLDEN = fileURLToPath(new URL('../../snapshots/shrunk/', import.meta.url));
const HOSTILE = '</script><img src=x onerror="window.hurt = 1"><!--';
const BROKEN = { name: 'G1 is broken', at: 0, words: `c0 got what is not its own ${HOSTILE}` };

before(async () => {
  simIsThere();
  await launch();
});
after(quit);

const golden = readdirSync(GOLDEN).filter((name) => name.endsWith('.json')).map((name) => path.join(GOLDEN, name));

/** Makes the page of a run or a recording; the last may be the exit code that is expected. */
async function made(...args) {
  const expected = typeof args.at(-1) === 'object' ? args.pop().code : 0;
  const file = path.join(directory(), 'page.html');
  const { code, text } = await sim('report', ...args, '--out', file);
  assert.equal(code, expected, text);
  return file;
}

/** Opens a page where there is no network, and sees that it asks for nothing. */
async function opened(file, profile = {}) {
  const context = await profileForTest({ offline: true, ...profile });
  const url = pathToFileURL(file).href;
  const asked = [];
  const page = await openPage(context, url, { before: (page) => page.on('request', (request) => asked.push(request.url())) });
  atEnd(() => assert.deepEqual(asked.filter((one) => one !== url && !one.startsWith('data:')), [], 'it asks for nothing'));
  return page;
}

/** The steps that `run --frames` tells, as a page has them: time, words and decisions. */
async function told(...args) {
  const { text } = await sim('run', ...args, '--frames');
  const steps = [];
  for (const line of text.split('\n')) {
    const found = /^ *(\d+\.\d{3})  (.*)$/.exec(line);
    if (!found) continue;
    const [, at, words] = found;
    const [, node, way, rest] = /^ {4}(\S+) ([<>]) (.*)$/.exec(words) ?? [];
    if (way === '>') steps.findLast((step) => step.engine).decided.push(rest);
    else if (way === '<') steps.push({ words: `${at} s: ${node}: ${rest}`, decided: [], engine: true });
    else steps.push({ words: `${at} s: ${words.replace(/^== /, '')}`, decided: [] });
  }
  return steps;
}

/** No text became markup. */
async function isUnhurt(page) {
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await page.evaluate(() => window.hurt), undefined);
}

const what = (page) => page.locator('#what').textContent();
const where = (page) => page.locator('#where').textContent();
const button = (page, name) => page.getByRole('button', { name, exact: true });

async function shownStep(page) {
  const decided = await page.locator('#decided li').allTextContents();
  return { words: await what(page), decided: decided.filter((line) => line !== 'nothing is to be done') };
}

const plain = ({ words, decided }) => ({ words, decided });

/** The rows of the state that is shown. */
const state = (page) => page.locator('#state tr').evaluateAll((rows) => Object.fromEntries(rows.filter((row) => row.cells.length === 2).map((row) => [row.cells[0].textContent, row.cells[1].textContent])));

async function choose(page, like) {
  const names = await page.locator('#whom option').allTextContents();
  const name = names.find((one) => like.test(one));
  assert.ok(name, `${like} is not among ${names}`);
  await page.locator('#whom').selectOption(name);
  return name;
}

describe('the page of a run', () => {
  test('shows every step of a golden script as the run tells it, forwards and backwards', async () => {
    const script = golden.find((file) => file.includes('unsubscribed'));
    const steps = await told('--script', script);
    assert.ok(steps.length > 20, `${steps.length} steps`);
    const page = await opened(await made('--script', script));
    for (const [number, step] of steps.entries()) {
      assert.deepEqual(await shownStep(page), plain(step));
      assert.match(await where(page), new RegExp(`^step ${number + 1} of ${steps.length}, `));
      assert.equal(await page.locator('#rows [aria-selected=true]').count(), 1);
      await page.keyboard.press('ArrowRight');
    }
    assert.ok(await button(page, 'Forward ▶').isDisabled());
    assert.deepEqual(await shownStep(page), plain(steps.at(-1)), 'there is nothing behind the last');
    await page.keyboard.press('Home');
    assert.deepEqual(await shownStep(page), plain(steps[0]));
    assert.ok(await button(page, '◀ Back').isDisabled());
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    assert.deepEqual(await shownStep(page), plain(steps.at(-2)));
    await button(page, 'First').click();
    await button(page, 'Forward ▶').click();
    await page.keyboard.press('j');
    assert.deepEqual(await shownStep(page), plain(steps[2]));
    await page.keyboard.press('k');
    assert.deepEqual(await shownStep(page), plain(steps[1]));
    await button(page, 'Last').click();
    await button(page, '◀ Back').click();
    assert.deepEqual(await shownStep(page), plain(steps.at(-2)));
    await page.locator('#rows li').first().click();
    assert.notDeepEqual(await shownStep(page), plain(steps.at(-2)));
    assert.match(await page.locator('#end').textContent(), /Every promise was kept/);
    assert.ok(await button(page, 'Violation').isDisabled());
  });

  test('says how a connection, a user, a topic and a node stood at any step', async () => {
    const page = await opened(await made('--script', golden.find((file) => file.includes('unsubscribed'))));
    const conn = await choose(page, /^c\d/);
    await page.locator('body').click({ position: { x: 2, y: 2 } });
    await page.keyboard.press('Home');
    assert.deepEqual(await state(page), {}, 'nothing at first');
    const states = [];
    for (;;) {
      const now = (await state(page)).state;
      if (now !== undefined && now !== states.at(-1)) states.push(now);
      if ((await what(page)).endsWith(` s: ${conn} is in`)) assert.equal(now, 'in', 'as it stood after the step');
      if (await button(page, 'Forward ▶').isDisabled()) break;
      await page.keyboard.press('ArrowRight');
    }
    assert.deepEqual(states.slice(0, 3), ['asks to be let in', 'counted', 'in']);
    assert.match((await state(page)).watchlist, /confirmed|unsub/i);
    await choose(page, /^u\d/);
    assert.ok(conn in await state(page), 'its connection');
    await choose(page, /^quote/);
    assert.ok('offered last' in await state(page));
    await choose(page, /^n\d/);
    assert.equal((await state(page)).state, 'up');
  });

  test('of a seed is stepped through by faults, kinds, names and clicks, and is as long as the run', async () => {
    const file = await made('--seed', '7');
    const page = await opened(file);
    const seeds = await told('--level', 'engine', '--seed', '7');
    const [, count] = /of (\d+),/.exec(await where(page));
    const leftOut = Number(/The first (\d+) steps/.exec(await page.locator('#note').textContent())?.[1] ?? 0);
    assert.equal(Number(count) + leftOut, seeds.length);
    assert.deepEqual(await shownStep(page), plain(seeds[leftOut]));
    await page.keyboard.press('f');
    const first = await what(page);
    assert.equal(await page.locator('#rows [aria-selected=true].fault').count(), 1);
    await button(page, 'Next fault').click();
    assert.notEqual(await what(page), first);
    await page.locator('#kinds').selectOption('acts');
    assert.ok(Number(/of (\d+),/.exec(await where(page))[1]) < Number(count) / 2);
    await page.locator('#kinds').selectOption('all');
    const conn = await choose(page, /^c\d/);
    await page.getByRole('checkbox').check();
    const named = Number(/of (\d+),/.exec(await where(page))[1]);
    assert.ok(named > 0 && named < Number(count), `${named} of ${count} name ${conn}`);
    await page.getByRole('checkbox').uncheck();
    const before = await where(page);
    await page.locator('#lanes svg').click({ position: { x: 900, y: 40 } });
    assert.notEqual(await where(page), before);
  });

  test('marks what broke a promise, and v goes there', async () => {
    const page = await opened(failing(await made('--script', golden.find((file) => file.includes('slot')))));
    assert.match(await page.locator('#end').textContent(), /G1 is broken at 0\.000 s: c0 got what is not its own <\/script>/);
    assert.equal(await page.locator('#lanes .violation').count(), 1);
    const bad = await shownStep(page);
    assert.match(bad.decided[0], /^G1 is broken/);
    await page.keyboard.press('End');
    assert.doesNotMatch((await shownStep(page)).decided.join(), /is broken/);
    await page.keyboard.press('v');
    assert.deepEqual(await shownStep(page), bad);
    await page.keyboard.press('Home');
    await button(page, 'Violation').click();
    assert.deepEqual(await shownStep(page), bad);
    assert.equal(await page.locator('#rows .bad[aria-selected=true]').count(), 1);
  });

  test('shows what is hostile as text', async () => {
    const script = JSON.parse(readFileSync(golden[0], 'utf8'));
    const named = path.join(directory(), 'hostile.json');
    writeFileSync(named, JSON.stringify({ ...script, words: HOSTILE }));
    const page = await opened(failing(await made('--script', named)));
    assert.equal(await page.locator('#words').textContent(), HOSTILE);
    await isUnhurt(page);
  });

  for (const colorScheme of ['light', 'dark']) {
    test(`has no fault that axe finds, in ${colorScheme}, and fits a laptop and a phone`, async () => {
      const file = failing(await made('--seed', '7'));
      const backs = [];
      for (const viewport of [{ width: 1366, height: 768 }, PHONE]) {
        const page = await opened(file, { colorScheme, bypassCSP: true, viewport });
        backs.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the screen');
        if (viewport !== PHONE) assert.ok(await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight), 'all of it is on one screen');
        assert.ok((await page.locator('#rows li').count()) >= 8, 'steps can be seen');
        if (process.env.SCREENSHOTS_DIR) await page.screenshot({ path: path.join(process.env.SCREENSHOTS_DIR, `report-${colorScheme}-${viewport.width}.png`) });
        await page.addScriptTag({ path: fileURLToPath(new URL('./node_modules/axe-core/axe.min.js', import.meta.url)) });
        const { violations } = await page.evaluate(() => window.axe.run());
        assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 120)} ${node.failureSummary}`).join(' | ')}`), []);
      }
      const dark = backs.map((back) => /\d+/.exec(back)[0] < 128);
      assert.deepEqual(dark, [colorScheme === 'dark', colorScheme === 'dark']);
    });
  }
});

describe('the page of a recording', () => {
  test('of a real server shows its steps as show does, its users and their connections, and where it is damaged', async () => {
    const dir = directory();
    const server = await startForTest({ [V.RECORD_DIR]: dir });
    const ann = await connect(server, { user: 'ann' });
    const hostile = await connect(server, { user: HOSTILE });
    await call(ann, 'subscribe:watchlist', ['AAPL']);
    await call(ann, 'subscribe:portfolio');
    for (let n = 0; n < 3; n += 1) await published(server, { event: 'quote:update', symbol: 'AAPL', data: { n } });
    await fence(server, ann, hostile);
    hostile.disconnect();
    server.signal('SIGTERM');
    await server.ended(15_000);
    const shown = (await sim('show', dir)).text.split('\n').filter((line) => line.startsWith('#'));
    assert.ok(shown.length > 20, `${shown.length} steps`);

    const page = await opened(await made(dir));
    assert.match(await page.locator('#end').textContent(), new RegExp(`^${shown.length} steps of 1 life: every decision is the one that was recorded`));
    const seen = [];
    const known = { watchlist: undefined, states: [] };
    await choose(page, /^c0$/);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Home');
    for (;;) {
      const { words } = await shownStep(page);
      const [, seq] = /^[\d.]+ s: (#\d+) /.exec(words) ?? [];
      if (seq) seen.push(seq);
      const { state: now, watchlist } = await state(page);
      if (now !== undefined && now !== known.states.at(-1)) known.states.push(now);
      known.watchlist ??= watchlist;
      if (await button(page, 'Forward ▶').isDisabled()) break;
      await page.keyboard.press('ArrowRight');
    }
    assert.deepEqual(seen, shown.map((line) => line.split(' ')[0]));
    assert.deepEqual(known.states.slice(0, 4), ['shakes hands', 'asks to be let in', 'is let in', 'in']);
    assert.equal(known.watchlist, 'AAPL');
    assert.ok((await page.locator('#whom option').allTextContents()).includes(`user ${HOSTILE}`));
    await choose(page, /^quote\(AAPL\)$/);
    const topic = await state(page);
    assert.ok(topic.latest && topic['sent last'] === `${topic.latest} to c0`, JSON.stringify(topic));
    await choose(page, /^user <\/script>/);
    await page.getByRole('checkbox').check();
    assert.match(await where(page), /^step \d+ of \d+,/);
    await isUnhurt(page);

    const [file] = readdirSync(dir).filter((name) => name.endsWith('.trace')).map((name) => path.join(dir, name));
    const bytes = readFileSync(file);
    bytes[bytes.length - 100] ^= 1;
    writeFileSync(file, bytes);
    const broken = await opened(await made(dir, { code: 2 }));
    assert.match(await broken.locator('#end').textContent(), /The trace cannot be read on at [\d.]+ s: damaged at byte \d+/);
    assert.match(await what(broken), /damaged at byte/);
    await broken.keyboard.press('Home');
    await broken.keyboard.press('v');
    assert.equal(await broken.locator('#rows .bad[aria-selected=true]').count(), 1);
  });
});

/** The page as that of a run that broke a promise: no run of the sources as they are does. */
function failing(file) {
  const page = readFileSync(file, 'utf8');
  const end = JSON.stringify(BROKEN).replaceAll('<', '\\u003c');
  assert.ok(page.includes('"end":null'));
  writeFileSync(file, page.replace('"end":null', () => `"end":${end}`));
  return file;
}
