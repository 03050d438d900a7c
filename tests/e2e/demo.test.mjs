// The demo needs no publisher: within seconds every kind of event comes by itself.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { eventually, startForTest, test } from './harness.mjs';
import { all, call, connect } from './clients.mjs';
import { DEMO_FLAG, SEED_FLAG, DEMO_SYMBOLS, DEMO_USER } from './names.mjs';

const SOON_MS = 20_000;
const COMPARED = 6;

/** Prices in the order in which they came, by symbol. */
async function prices(seed, symbols = DEMO_SYMBOLS) {
  const server = await startForTest({}, { args: [DEMO_FLAG, SEED_FLAG, String(seed)] });
  const socket = await connect(server, { auth: { subscriptions: { watchlist: symbols } } });
  const of = (symbol) => all(socket, 'quote:update').filter((quote) => quote.symbol === symbol).map((quote) => quote.price);
  // Twice what is compared, because two clients do not begin at the same quote.
  await eventually(() => symbols.every((symbol) => of(symbol).length >= 2 * COMPARED), SOON_MS, 'quotes of every symbol');
  return Object.fromEntries(symbols.map((symbol) => [symbol, of(symbol)]));
}

/** How many values both have in a row, from where the later one begins. */
function overlap(a, b) {
  const [earlier, later] = a.indexOf(b[0]) >= 0 ? [a.slice(a.indexOf(b[0])), b] : [b.slice(Math.max(0, b.indexOf(a[0]))), a];
  const differs = later.findIndex((value, n) => n >= earlier.length || value !== earlier[n]);
  return differs < 0 ? later.length : differs;
}

describe(DEMO_FLAG, () => {
  test(`${DEMO_USER} sees market:status, quote:update, portfolio:update and a trade within seconds`, async () => {
    const server = await startForTest({}, { args: [DEMO_FLAG] });
    const socket = await connect(server, { user: DEMO_USER });
    await call(socket, 'subscribe:portfolio');
    await call(socket, 'subscribe:trades');
    await call(socket, 'subscribe:watchlist', DEMO_SYMBOLS);
    for (const event of ['market:status', 'quote:update', 'portfolio:update']) {
      await eventually(() => all(socket, event).length > 0, SOON_MS, event);
    }
    await eventually(() => all(socket, 'trade:executed').length + all(socket, 'trade:failed').length > 0, SOON_MS, 'a trade');
    const [quote] = all(socket, 'quote:update');
    for (const field of ['price', 'change', 'changePercent', 'volume']) assert.equal(typeof quote[field], 'number', field);
    const [portfolio] = all(socket, 'portfolio:update');
    for (const field of ['totalValue', 'cash', 'equity', 'dayChange', 'dayChangePercent']) assert.equal(typeof portfolio[field], 'number', field);
    assert.equal(typeof all(socket, 'market:status')[0].isOpen, 'boolean');
  });

  test('the same seed gives the same quotes of each symbol, another seed gives others', async () => {
    const [first, second, other] = await Promise.all([prices(7), prices(7), prices(8)]);
    for (const symbol of DEMO_SYMBOLS) {
      assert.ok(overlap(first[symbol], second[symbol]) >= COMPARED, `${symbol}: ${first[symbol]} and ${second[symbol]}`);
      assert.ok(overlap(first[symbol], other[symbol]) < COMPARED, symbol);
    }
  });
});
