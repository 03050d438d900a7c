// The dashboard in a real browser, served by the real binary: what people see, also when things go wrong.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { createHmac } from 'node:crypto';
import http from 'node:http';
import { atEnd, delay, eventually, publish, published, start, startForTest, test } from './harness.mjs';
import { GUIDE, newUser } from './clients.mjs';
import { balancerForTest, clusterForTest, Publisher, trade } from './cluster.mjs';
import { addSymbols, changes, dashboard, isLive, launch, live, openPage, OUTAGE, PHONE, price, profileForTest, quit, row, shows, statusIs, titles, toasts, total, tradeList } from './browser.mjs';
import { DEMO_FLAG, DEMO_USER, KEYS, V } from './names.mjs';
import { proxyForTest, redisForTest } from './redis.mjs';

let server;
before(async () => {
  await launch();
  server = await start();
});
after(async () => {
  await quit();
  await server?.stop();
});

const buy = (user, quantity, more = {}) => trade(user, { ...GUIDE.executed, id: `t-${quantity}`, quantity, ...more });
const count = (locator, expected, timeout = 10_000) =>
  eventually(async () => (await locator.count()) === expected, timeout, `${locator}: ${expected} of them`);

describe('a user', () => {
  test('of the demo is chosen, and portfolio, quotes and trades move', async () => {
    const demo = await startForTest({}, { args: [DEMO_FLAG] });
    const page = await dashboard(demo);
    await page.getByRole('button', { name: DEMO_USER }).click();
    await isLive(page);
    assert.equal(new URL(page.url()).searchParams.get('user'), DEMO_USER);
    await changes(total(page));
    for (let n = 0; n < 3; n += 1) await changes(price(page, 'AAPL'));
    await shows(page.getByTestId('market'), /Market open, closes \d+:\d\d [AP]M/);
    await toasts(page).first().waitFor({ timeout: 20_000 });
    await eventually(async () => (await row(page, 'AAPL').locator('polyline').count()) === 1, 10_000, 'a sparkline');
    await page.getByRole('button', { name: /Change user/ }).click();
    await page.getByRole('heading', { name: 'Whose dashboard?' }).waitFor();
    await page.goBack();
    await isLive(page);
  });

  test('is typed where nobody is offered, and may be anybody', async () => {
    const user = newUser('Ünï & <b>');
    const page = await dashboard(server);
    assert.equal(await page.locator('.picker ul').count(), 0);
    await page.getByLabel('User id').fill(user);
    await page.keyboard.press('Enter');
    await isLive(page);
    await published(server, { event: 'portfolio:update', userId: user, data: GUIDE.portfolio });
    await shows(total(page), '$50,000.00');
    await shows(page.locator('.user .name'), user);
    await page.reload();
    await shows(total(page), '$50,000.00');
  });

  test('is the session’s where sessions are asked for, and no other', async () => {
    const redis = await redisForTest();
    const secret = 'keyboard cat';
    const guarded = await startForTest({ [V.REDIS_URL]: redis.url, [V.AUTH_MODE]: 'session', [V.SESSION_SECRET]: secret, [V.SESSION_CHECK_EVERY_MS]: 300 });
    const context = await profileForTest();
    const page = await dashboard(guarded, undefined, { context });
    await shows(page.getByTestId('message'), /You are not signed in/);
    const id = 'session-of-alice';
    await redis.client.set(KEYS.session(id), JSON.stringify({ cookie: {}, passport: { user: 'alice' } }));
    const signature = createHmac('sha256', secret).update(id).digest('base64').replace(/=+$/, '');
    await context.addCookies([{ name: 'connect.sid', value: encodeURIComponent(`s:${id}.${signature}`), url: guarded.url, httpOnly: true }]);
    await page.getByRole('button', { name: 'Try again' }).click();
    await isLive(page);
    await published(guarded, { event: 'portfolio:update', userId: 'alice', data: GUIDE.portfolio });
    await shows(total(page), '$50,000.00');
    await redis.client.del(KEYS.session(id));
    await shows(page.getByTestId('message'), /Your session has ended/, 30_000);
    await statusIs(page, 'refused');
  });
});

describe('what is published', () => {
  test('is shown as it is, and up and down differ by more than their colour', async () => {
    const user = newUser();
    const page = await live(server, user);
    await page.getByText('Loading portfolio…').waitFor();
    const positions = [{ symbol: 'AAPL', quantity: 10, averagePrice: 170, price: 175.5, value: 1755 }, { symbol: 'TSLA', quantity: 1.5 }];
    await published(server, [
      { event: 'portfolio:update', userId: user, data: { ...GUIDE.portfolio, positions } },
      { event: 'quote:update', symbol: 'AAPL', data: GUIDE.quote },
      { event: 'quote:update', symbol: 'TSLA', data: { ...GUIDE.quote, symbol: 'TSLA', price: 0.123456, change: -0.5, changePercent: -1.45 } },
      { event: 'market:status', data: { ...GUIDE.market, isOpen: false, nextOpen: '2025-01-16T14:30:00Z' } },
    ]);
    await shows(total(page), '$50,000.00');
    await shows(page.locator('.summary .day dd'), '▲+$500.00 (+1.00%)');
    const cells = async (locator) => (await locator.locator('th, td').allTextContents()).map((text) => text.trim());
    assert.deepEqual(await cells(page.locator('.positions tbody tr').nth(0)), ['AAPL', '10', '$170.00', '$175.50', '$1,755.00', '▲+$55.00']);
    assert.deepEqual(await cells(page.locator('.positions tbody tr').nth(1)), ['TSLA', '1.5', '–', '–', '–', '–']);
    await shows(price(page, 'TSLA'), '$0.123456');
    assert.deepEqual((await cells(row(page, 'AAPL'))).slice(0, 5), ['AAPL', '$175.50', '+$2.50', '▲+1.45%', '50.0M']);
    assert.deepEqual((await cells(row(page, 'TSLA'))).slice(0, 4), ['TSLA', '$0.123456', '-$0.50', '▼-1.45%']);
    await shows(page.getByTestId('market'), /Market closed, opens 2:30 PM/);
  });

  test('is a toast for each trade, the newest first, at most 10, read out and dismissed', async () => {
    const user = newUser();
    const page = await live(server, user);
    await page.getByText('No trades since').waitFor();
    await published(server, [buy(user, 1), { event: 'trade:failed', userId: user, data: GUIDE.failed }]);
    await count(toasts(page), 2);
    assert.deepEqual(await titles(toasts(page)), ['Failed: buy 10 AAPL', 'Bought 1 AAPL']);
    assert.match(await toasts(page).first().textContent(), /Insufficient funds/);
    assert.equal(await page.getByRole('region', { name: 'Trade notifications' }).getAttribute('aria-live'), 'polite');
    await toasts(page).last().getByRole('button', { name: 'Dismiss: Bought 1 AAPL' }).press('Enter');
    await count(toasts(page), 1);
    assert.equal(await tradeList(page).count(), 2, 'the list keeps it');
    const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label'));
    assert.equal(await focused(), 'Dismiss: Failed: buy 10 AAPL', 'the keyboard goes on at the next one');
    await published(server, Array.from({ length: 30 }, (_, n) => buy(user, 100 + n)));
    await shows(tradeList(page).first().locator('strong'), 'Bought 129 AAPL');
    assert.deepEqual(await titles(tradeList(page)), Array.from({ length: 10 }, (_, n) => `Bought ${129 - n} AAPL`));
    assert.ok((await toasts(page).count()) <= 10);
    await tradeList(page).nth(1).getByRole('button').click();
    await count(tradeList(page), 9);
    await page.getByRole('button', { name: 'Clear all' }).click();
    await page.getByText('No trades since').waitFor();
    await count(toasts(page), 0);
  });

  test('reaches two tabs of a user, and nobody else’s', async () => {
    const user = newUser();
    const context = await profileForTest();
    const [one, two] = [await live(server, user, { context }), await live(server, user, { context })];
    const other = await live(server, newUser());
    await published(server, [buy(user, 5), { event: 'portfolio:update', userId: user, data: GUIDE.portfolio }]);
    for (const page of [one, two]) {
      await shows(total(page), '$50,000.00');
      assert.deepEqual(await titles(tradeList(page)), ['Bought 5 AAPL']);
    }
    await published(server, { event: 'market:status', data: GUIDE.market });
    await shows(other.getByTestId('market'), /Market open/);
    await other.getByText('Loading portfolio…').waitFor();
    assert.equal(await tradeList(other).count(), 0);
  });

  test('reaches five tabs, and the sixth is told why not and how to go on', async () => {
    const user = newUser();
    const context = await profileForTest();
    const tabs = [];
    for (let n = 0; n < 5; n += 1) tabs.push(await live(server, user, { context }));
    const sixth = await dashboard(server, user, { context });
    await shows(sixth.getByTestId('message'), /Too many connections \(max 5\)\. Close another tab/);
    await tabs[0].close();
    await eventually(async () => {
      await sixth.getByRole('button', { name: 'Try again' }).click({ timeout: 500 });
      return isLive(sixth, 1_000).then(() => true);
    }, 15_000, 'the sixth is let in');
  });
});

describe('the watchlist', () => {
  test('is edited, kept over a reload, and wrong input is explained', async () => {
    const user = newUser();
    const page = await live(server, user);
    await addSymbols(page, 'amd, brk.b');
    await count(page.locator('tr[data-symbol]'), 10);
    await published(server, { event: 'quote:update', symbol: 'AMD', data: { price: 141 } });
    await shows(price(page, 'AMD'), '$141.00');
    await page.getByRole('button', { name: 'Remove AMD' }).click();
    await count(row(page, 'AMD'), 0);
    const hint = page.locator('.symbol-form .hint');
    for (const [text, said] of [['A$', 'Not a symbol: A$'], ['', /Type a symbol/], ['aapl', 'AAPL is on the list already'], [Array.from({ length: 500 }, (_, n) => `S${n}`).join(' '), /500 symbols at most/]]) {
      await addSymbols(page, text);
      await shows(hint, said);
    }
    await page.reload();
    await isLive(page);
    await count(page.locator('tr[data-symbol]'), 9);
    assert.equal(await row(page, 'AMD').count(), 0);
    await published(server, { event: 'quote:update', symbol: 'BRK.B', data: { price: 462.1 } });
    await shows(price(page, 'BRK.B'), '$462.10');
  });

  test('shows a rate limit with its countdown, and goes on by itself', async () => {
    const strict = await startForTest({ [V.WATCHLIST_CALLS_MAX]: 2, [V.CALLS_WINDOW_MS]: 4_000 });
    const page = await live(strict, newUser());
    await published(strict, ['ONE', 'TWO', 'THREE'].map((symbol, n) => ({ event: 'quote:update', symbol, data: { price: n + 1 } })));
    for (const symbol of ['ONE', 'TWO', 'THREE']) await addSymbols(page, symbol);
    const limit = page.getByTestId('rate-limit');
    await shows(limit, /Rate limit exceeded for watchlist subscription\. Tried again in [1-4] s\./);
    await shows(price(page, 'THREE'), '–');
    await shows(price(page, 'THREE'), '$3.00');
    await count(limit, 0);
    await isLive(page);
  });
});

describe('a connection that is lost', () => {
  test('is told of while the last values stay, and every trade is caught up with, once', async () => {
    const proxy = await proxyForTest(server.port);
    const user = newUser();
    const page = await live({ url: `http://127.0.0.1:${proxy.port}` }, user, { allowed: OUTAGE });
    await published(server, [buy(user, 1), { event: 'portfolio:update', userId: user, data: GUIDE.portfolio }]);
    await count(tradeList(page), 1);
    proxy.cut();
    await statusIs(page, 'reconnecting');
    await shows(page.getByTestId('message'), /reconnects by itself/);
    await shows(total(page), '$50,000.00');
    assert.equal(await page.locator('.portfolio.stale').count(), 1);
    await published(server, [2, 3, 4, 5].map((n) => buy(user, n)));
    await published(server, { event: 'quote:update', symbol: 'AAPL', data: { price: 99 } });
    proxy.mend();
    await isLive(page, 20_000);
    await count(tradeList(page), 5);
    assert.deepEqual(await titles(tradeList(page)), [5, 4, 3, 2, 1].map((n) => `Bought ${n} AAPL`));
    await shows(price(page, 'AAPL'), '$99.00');
    assert.equal(await page.locator('.stale').count(), 0);
    // Whoever reloads goes on from what was handled.
    proxy.cut();
    await statusIs(page, 'reconnecting');
    await published(server, buy(user, 6));
    proxy.mend();
    await page.reload();
    await isLive(page);
    await count(tradeList(page), 1);
    assert.deepEqual(await titles(tradeList(page)), ['Bought 6 AAPL']);
  });

  test('to a server that says goodbye is announced calmly, and one that forgot everything is owned up to', async () => {
    const first = await start({ [V.DRAIN_WINDOW_MS]: 1_500, [V.DRAIN_DEADLINE_MS]: 4_000 });
    const user = newUser();
    const page = await live(first, user, { allowed: OUTAGE });
    await published(first, buy(user, 1));
    await count(tradeList(page), 1);
    // Recorded by the page, because how long it lasts is up to the server's dice.
    await page.evaluate(() => {
      window.said = [];
      const message = document.querySelector('[data-testid=message]');
      new MutationObserver(() => window.said.push(message.textContent)).observe(message, { subtree: true, childList: true, characterData: true });
    });
    first.signal('SIGTERM');
    await statusIs(page, 'reconnecting');
    assert.match((await page.evaluate(() => window.said)).join('\n'), /The server is restarting/);
    const second = await first.restart();
    atEnd(() => second.stop());
    await isLive(page, 20_000);
    await shows(page.getByTestId('message'), /Some trades may be missing/);
    await page.getByRole('button', { name: 'Dismiss', exact: true }).click();
    await shows(page.getByTestId('message'), /Values change/);
    await published(second, [buy(user, 2), { event: 'quote:update', symbol: 'AAPL', data: { price: 7 } }]);
    await count(tradeList(page), 2);
    await shows(price(page, 'AAPL'), '$7.00');
  });

  for (const signal of ['SIGTERM', 'SIGKILL']) {
    test(`by a deploy (${signal}) of nodes on one Redis loses no trade and shows none twice`, async () => {
      const cluster = await clusterForTest(2, { env: { [V.DRAIN_WINDOW_MS]: 300, [V.DRAIN_DEADLINE_MS]: 4_000 } });
      const balancer = await balancerForTest(cluster);
      const user = newUser('deploy');
      const page = await live(balancer, user, { allowed: OUTAGE });
      // Every trade that the list ever shows; it holds ten, and trades come slowly enough for that.
      await page.evaluate(() => {
        window.shown = new Map();
        const look = () => {
          const now = [...document.querySelectorAll('.trade-list .entry')];
          if (new Set(now.map((entry) => entry.dataset.eventId)).size !== now.length) window.doubled = true;
          for (const entry of now) window.shown.set(entry.dataset.eventId, entry.querySelector('strong').textContent);
        };
        new MutationObserver(look).observe(document.body, { subtree: true, childList: true });
      });
      const log = new Publisher(() => cluster.nodes, (n) => [buy(user, n + 1)], { everyMs: 600, ownIds: true });
      await log.more(1);
      for (const node of [...cluster.nodes]) {
        node.signal(signal);
        await node.ended();
        await cluster.replace(node);
        await isLive(page, 20_000);
        await log.more(2);
      }
      const published = await log.stop();
      await shows(tradeList(page).first().locator('strong'), `Bought ${published} AAPL`, 20_000);
      const shown = await page.evaluate(() => [...window.shown.values()]);
      const numbers = shown.map((title) => Number(title.match(/\d+/)[0])).sort((a, b) => a - b);
      assert.deepEqual(numbers, Array.from({ length: published }, (_, n) => n + 1));
      assert.equal(await page.evaluate(() => window.doubled ?? false), false);
      assert.doesNotMatch(await page.getByTestId('message').textContent(), /missing/);
    }, { timeout: 90_000 });
  }
});

describe('a page of another origin', () => {
  /** What somebody else's site would do: load the client from the server and connect. */
  async function elsewhere(target) {
    const html = `<!doctype html><link rel="icon" href="data:,"><script src="${target.url}/socket.io/socket.io.js"></script><body><script>
      const socket = io('${target.url}', { auth: { sessionID: 's', userId: 'alice' }, reconnection: false, transports: ['websocket', 'polling'], tryAllTransports: true });
      socket.on('connect', () => { document.title = 'connected'; });
      socket.on('connect_error', (error) => { document.title = 'refused'; });
    </script>`;
    const site = http.createServer((_, answer) => answer.setHeader('content-type', 'text/html').end(html)).listen(0, '127.0.0.1');
    await new Promise((resolve) => site.once('listening', resolve));
    atEnd(() => new Promise((resolve) => site.close(resolve)).finally(site.closeAllConnections()));
    return `http://127.0.0.1:${site.address().port}`;
  }
  const title = async (origin) => {
    const page = await openPage(await profileForTest(), origin, { allowed: OUTAGE });
    await page.waitForFunction(() => document.title !== '');
    return page.title();
  };

  test('is refused, and connects once FRONTEND_URL lists it', async () => {
    assert.equal(await title(await elsewhere(server)), 'refused');
    const second = await start();
    const origin = await elsewhere(second);
    await second.stop();
    const listing = await second.restart({ [V.FRONTEND_URL]: origin });
    atEnd(() => listing.stop());
    assert.equal(await title(origin), 'connected');
  });
});

describe('a hundred symbols at twenty updates a second each', () => {
  const SYMBOLS = Array.from({ length: 100 }, (_, n) => `SYM${n}`);
  const ROUNDS = 100;

  test('are rendered once per frame at most, and end with the last values', async (t) => {
    const user = newUser();
    const page = await live(server, user);
    for (const button of await page.getByRole('button', { name: /^Remove / }).all().then((all) => all.reverse())) await button.click();
    await addSymbols(page, SYMBOLS.join(' '));
    await count(page.locator('tr[data-symbol]'), SYMBOLS.length);
    const round = (n) => published(server, SYMBOLS.map((symbol, i) => ({ event: 'quote:update', symbol, data: { price: 100 + i + n / 100, change: n - 50, changePercent: n - 50, volume: n } })));
    await round(0);
    await shows(price(page, 'SYM99'), '$199.00');
    await page.evaluate(() => {
      window.seen = { frames: 0, renders: 0, long: 0, longest: 0 };
      let last = performance.now();
      // React writes all of a render in one task, so the observer is called once for it.
      new MutationObserver(() => (window.seen.renders += 1)).observe(document.querySelector('.quotes tbody'), { subtree: true, childList: true, characterData: true });
      const frame = (now) => {
        window.seen.frames += 1;
        window.seen.longest = Math.max(window.seen.longest, now - last);
        if (now - last > 100) window.seen.long += 1;
        last = now;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    });
    for (let n = 1; n <= ROUNDS; n += 1) await Promise.all([round(n), delay(50)]);
    for (const [i, symbol] of SYMBOLS.entries()) await shows(price(page, symbol), `$${(100 + i + ROUNDS / 100).toFixed(2)}`);
    const { frames, renders, long, longest } = await page.evaluate(() => window.seen);
    t.diagnostic(`${ROUNDS * SYMBOLS.length} quotes: ${renders} renders in ${frames} frames, ${long} frames over 100 ms, the longest ${Math.round(longest)} ms`);
    assert.ok(renders > 0 && renders <= frames, `${renders} renders in ${frames} frames`);
    assert.ok(long < frames / 4, `${long} of ${frames} frames took over 100 ms`);
  });
});

describe('the page', () => {
  test('moves nothing that it has shown when values come', async () => {
    const user = newUser();
    const before = (page) => page.addInitScript(() => {
      window.shifted = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
      }).observe({ type: 'layout-shift', buffered: true });
    });
    const page = await live(server, user, { before });
    const positions = Array.from({ length: 8 }, (_, n) => ({ symbol: `P${n}`, quantity: n + 1, averagePrice: 10, price: 11, value: 11 * (n + 1) }));
    for (const factor of [1, 1_000]) {
      await published(server, [
        { event: 'portfolio:update', userId: user, data: { ...GUIDE.portfolio, totalValue: 50_000 * factor, cash: 10_000 * factor, dayChange: -500 * factor, positions } },
        ...['AAPL', 'TSLA', 'NVDA'].map((symbol) => ({ event: 'quote:update', symbol, data: { ...GUIDE.quote, symbol, price: 99.5 * factor } })),
        { event: 'market:status', data: GUIDE.market },
        buy(user, factor),
      ]);
      await shows(tradeList(page).first().locator('strong'), new RegExp(`^Bought 1(,000)? AAPL$`));
      await shows(price(page, 'NVDA'), factor === 1 ? '$99.50' : '$99,500.00');
    }
    assert.ok((await page.evaluate(() => window.shifted)) < 0.02, `shifted by ${await page.evaluate(() => window.shifted)}`);
  });

  for (const colorScheme of ['light', 'dark']) {
    test(`has no fault that axe finds, in ${colorScheme}, on a phone and on a wide screen`, async () => {
      for (const viewport of [PHONE, undefined]) {
        const user = newUser();
        const context = await profileForTest({ colorScheme, bypassCSP: true, reducedMotion: 'reduce', ...(viewport && { viewport }) });
        const page = await dashboard(server, undefined, { context });
        await check(page, 'choosing');
        const dash = await live(server, user, { context });
        await check(dash, 'loading');
        await published(server, [
          buy(user, 1),
          { event: 'trade:failed', userId: user, data: GUIDE.failed },
          { event: 'portfolio:update', userId: user, data: { ...GUIDE.portfolio, dayChange: -1 } },
          { event: 'quote:update', symbol: 'AAPL', data: GUIDE.quote },
        ]);
        await count(toasts(dash), 2);
        await addSymbols(dash, 'A$');
        await check(dash, 'full');
        assert.ok(await dash.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the screen');
      }
    });
  }

  async function check(page, what) {
    await page.addScriptTag({ path: new URL('./node_modules/axe-core/axe.min.js', import.meta.url).pathname });
    const { violations } = await page.evaluate(() => window.axe.run());
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 120)} ${node.failureSummary}`).join(' | ')}`);
    assert.deepEqual(found, [], what);
  }

  test('is used with the keyboard alone', async () => {
    const demo = await startForTest({}, { args: [DEMO_FLAG] });
    const page = await dashboard(demo);
    await page.getByRole('heading', { name: 'Whose dashboard?' }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await isLive(page);
    const reach = async (label) => {
      for (let n = 0; n < 60; n += 1) {
        await page.keyboard.press('Tab');
        if (await page.evaluate((label) => (document.activeElement.getAttribute('aria-label') ?? document.activeElement.id ?? '') === label || document.activeElement.labels?.[0]?.textContent === label, label)) return;
      }
      assert.fail(`${label} is not reached`);
    };
    await reach('Add symbols');
    await page.keyboard.type('amd');
    await page.keyboard.press('Enter');
    await count(row(page, 'AMD'), 1);
    await reach('Remove AMD');
    await page.keyboard.press('Enter');
    await count(row(page, 'AMD'), 0);
  });
});

test('a publish that is refused changes nothing on the page', async () => {
  const user = newUser();
  const page = await live(server, user);
  await published(server, { event: 'quote:update', symbol: 'AAPL', data: { price: 1 } });
  await shows(price(page, 'AAPL'), '$1.00');
  assert.equal((await publish(server, { event: 'quote:update', symbol: 'AAPL', data: { price: 2 } }, { token: 'wrong' })).status, 401);
  await published(server, { event: 'quote:update', symbol: 'TSLA', data: { price: 3 } });
  await shows(price(page, 'TSLA'), '$3.00');
  await shows(price(page, 'AAPL'), '$1.00');
});
