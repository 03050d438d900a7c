// A thousand stock clients: that all connect and all get what they should. The figures are printed for
// information; a shared machine proves nothing about them.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { eventually, health, published, start, test } from './harness.mjs';
import { all, call, open, when } from './clients.mjs';

const CLIENTS = 1_000;
const AT_ONCE = 50;
const LOAD_DEADLINE_MS = 40_000;

let server;
before(async () => (server = await start()));
after(() => server?.stop());

const p95 = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.95)];

async function connectAll() {
  const sockets = [];
  const latencies = [];
  const worker = async () => {
    while (sockets.length < CLIENTS) {
      const begun = performance.now();
      const socket = open(server);
      sockets.push(socket);
      await when(socket, () => socket.connected, 'connect', LOAD_DEADLINE_MS);
      latencies.push(performance.now() - begun);
    }
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { sockets, latencies, seconds: (performance.now() - begun) / 1_000 };
}

async function broadcast(sockets, body, event) {
  const latencies = [];
  const begun = performance.now();
  const arrived = sockets.map((socket) =>
    when(socket, () => all(socket, event).length > 0, event, LOAD_DEADLINE_MS).then(() => latencies.push(performance.now() - begun)));
  await published(server, body);
  await Promise.all(arrived);
  return latencies;
}

describe('load', () => {
  test('1,000 connections, a broadcast and a quote to all of them, and back to none', async (t) => {
    const { sockets, latencies, seconds } = await connectAll();
    t.diagnostic(`${CLIENTS} connections: ${Math.round(CLIENTS / seconds)} a second, p95 ${Math.round(p95(latencies))} ms`);
    assert.equal(sockets.length, CLIENTS);
    const { activeConnections, uniqueUsers } = await health(server);
    assert.deepEqual({ activeConnections, uniqueUsers }, { activeConnections: CLIENTS, uniqueUsers: CLIENTS });

    const market = await broadcast(sockets, { event: 'market:status', data: { isOpen: true } }, 'market:status');
    t.diagnostic(`market:status to ${CLIENTS}: p95 ${Math.round(p95(market))} ms`);
    const acks = await Promise.all(sockets.map((socket) => call(socket, 'subscribe:watchlist', ['AAPL'])));
    assert.ok(acks.every((ack) => ack.ok));
    const quotes = await broadcast(sockets, { event: 'quote:update', symbol: 'AAPL', data: { price: 1 } }, 'quote:update');
    t.diagnostic(`quote:update to ${CLIENTS}: p95 ${Math.round(p95(quotes))} ms`);
    for (const socket of sockets) {
      assert.equal(all(socket, 'market:status').length, 1);
      assert.equal(all(socket, 'quote:update').length, 1);
    }

    // A trade for each user in one batch: everyone gets their own and nothing else.
    await published(server, sockets.map(({ user }) => ({ event: 'trade:executed', userId: user, data: { of: user } })));
    await Promise.all(sockets.map((socket) => when(socket, () => all(socket, 'trade:executed').length > 0, 'the trade', LOAD_DEADLINE_MS)));
    for (const socket of sockets) assert.deepEqual(all(socket, 'trade:executed').map((trade) => trade.of), [socket.user]);

    sockets.forEach((socket) => socket.disconnect());
    await eventually(async () => (await health(server)).activeConnections === 0, LOAD_DEADLINE_MS, 'nobody is connected');
  }, { timeout: 90_000 });
});
