// The lines that the README gives to users of a stock client, run as they stand there.

import { describe } from 'node:test';
import { readFileSync } from 'node:fs';
import { strict as assert } from 'node:assert';
import { io } from 'socket.io-client';
import { atEnd, DEADLINE_MS, eventually, health, published, startForTest, test } from './harness.mjs';
import { newUser, sessionOf } from './clients.mjs';
import { balancerForTest, exactly, quote, trade, upTo } from './cluster.mjs';

const HEADING = '### Lines for a seamless reconnect';

function linesOfReadme() {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const section = readme.split(HEADING)[1];
  assert.ok(section, `README.md has no "${HEADING}"`);
  return /```js\n([\s\S]*?)```/.exec(section)[1];
}

/** Runs the README's lines as a page would; `load` and the rest are the page's own. */
function openPage(url, user, watchlist) {
  const page = { loads: 0, trades: [], quotes: [], connects: 0 };
  const run = new Function('io', 'url', 'sessionID', 'userId', 'watchlist', 'load', `${linesOfReadme()}\nreturn socket;`);
  page.socket = run(io, url, sessionOf(user), user, watchlist, () => (page.loads += 1));
  page.socket.on('connect', () => (page.connects += 1));
  page.socket.on('trade:executed', ({ n }) => page.trades.push(n));
  page.socket.on('quote:update', ({ n }) => page.quotes.push(n));
  atEnd(() => page.socket.disconnect());
  return page;
}

describe('the lines for a stock client in the README', () => {
  const eventuallyBack = (page, connects, loads) =>
    eventually(() => page.connects === connects && page.loads === loads, DEADLINE_MS, `connect ${connects} with ${loads} loads`);

  test('load what no resume could bring, from the first connect on, and have everything else sent once', async () => {
    const server = await startForTest();
    const balancer = await balancerForTest({ nodes: [server] });
    const user = newUser('page');
    await published(server, quote('AAPL', { n: 0 }));
    const page = openPage(balancer.url, user, ['AAPL']);
    await eventuallyBack(page, 1, 1);
    await eventually(() => page.quotes.at(-1) === 0, DEADLINE_MS, 'the current quote');

    // Never sent a trade, so there is none to resume from: what came meanwhile is loaded.
    balancer.drop();
    await published(server, trade(user, { n: 0 }));
    await eventuallyBack(page, 2, 2);
    assert.deepEqual(page.trades, []);

    balancer.drop();
    for (let n = 1; n < 20; n += 1) await published(server, trade(user, { n }));
    await published(server, quote('AAPL', { n: 1 }));
    await eventually(() => page.trades.length >= 19 && page.quotes.at(-1) === 1, DEADLINE_MS, 'what was missed');
    balancer.drop();
    await eventuallyBack(page, 4, 2);
    await published(server, trade(user, { n: 20 }));
    await eventually(() => page.trades.includes(20), DEADLINE_MS, 'the last trade');
    exactly(page.trades, upTo(21).slice(1), 'trades');
    assert.equal(page.loads, 2, 'nothing had to be loaded again');
    assert.equal((await health(server)).activeConnections, 1);
  });

  test('load again when the history is gone', async () => {
    const server = await startForTest();
    const user = newUser('page');
    const page = openPage(server.url, user, ['AAPL']);
    await eventuallyBack(page, 1, 1);
    await published(server, trade(user, { n: 0 }));
    await eventually(() => page.trades.length === 1, DEADLINE_MS, 'the trade');
    server.signal('SIGKILL');
    const next = await server.restart();
    atEnd(() => next.stop());
    await eventuallyBack(page, 2, 2);
    await published(next, trade(user, { n: 1 }));
    await eventually(() => page.trades.length === 2, DEADLINE_MS, 'the next trade');
  });
});
