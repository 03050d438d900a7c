// A deploy under load: three nodes behind one address are replaced one after the other, and stock clients
// that resume miss nothing and get nothing twice.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { eventually, health, test } from './harness.mjs';
import { all, newUser, when } from './clients.mjs';
import { BACK_MS, balancerForTest, clusterForTest, connectResuming, exactly, logFence, neverBackwards, portfolio, Publisher, quote, quotes, trade, trades, upTo } from './cluster.mjs';
import { M, V } from './names.mjs';

const USERS = 12;
const EACH = 3;
const ENV = { [V.DRAIN_WINDOW_MS]: 1_000, [V.DRAIN_DEADLINE_MS]: 5_000 };
const SYMBOLS = ['DEPLOY'];

async function underLoad() {
  const cluster = await clusterForTest(3, { env: ENV });
  const balancer = await balancerForTest(cluster);
  const users = Array.from({ length: USERS }, () => newUser('deploy'));
  const subscriptions = { portfolio: true, trades: true, watchlist: SYMBOLS };
  const sockets = (await Promise.all(users.map((user) =>
    Promise.all(Array.from({ length: EACH }, () => connectResuming(balancer, { user, subscriptions })))))).flat();
  // A deploy takes nodes away under publishers too, so they name their items themselves.
  const log = new Publisher(() => cluster.nodes, (n) => users.map((user) => trade(user, { n })), { everyMs: 25, ownIds: true });
  const state = new Publisher(() => cluster.nodes, (n) => [quote(SYMBOLS[0], { n }), portfolio(users[n % USERS], { n })], { everyMs: 25, ownIds: true });
  // From its first event on a client can say where it left off.
  await Promise.all(sockets.map((socket) => when(socket, () => trades(socket).length > 0, 'the first trade')));
  return { cluster, sockets, log, state };
}

async function settle({ cluster, sockets, log, state }) {
  const [logs, states] = [await log.stop(), await state.stop()];
  await Promise.all(sockets.map((socket) => when(socket, () => socket.connected, 'every client is back', 10_000)));
  await logFence(cluster.nodes[0], ...sockets);
  for (const socket of sockets) {
    const came = trades(socket);
    exactly(came, upTo(logs).slice(came[0]), `trades of ${socket.user}`);
    assert.ok(came[0] < 20, 'it was there from the beginning');
    for (const told of all(socket, 'resume')) assert.equal(told.recovered, true);
    // A node may be gone again before it has told.
    assert.ok(all(socket, 'resume').length > 0 && all(socket, 'resume').length < socket.idsHad.length, 'a return is told of');
    await when(socket, () => quotes(socket, SYMBOLS[0]).at(-1) === states - 1, 'the last quote', BACK_MS);
    neverBackwards(quotes(socket, SYMBOLS[0]), `quotes of ${socket.user}`);
    neverBackwards(all(socket, 'portfolio:update').map((p) => p.n), `portfolios of ${socket.user}`);
    assert.deepEqual(socket.refusals.filter((error) => error.message === M.tooMany), [], 'its former slot does not stand in its way');
    assert.ok(!socket.ends.includes('io server disconnect'));
  }
  const active = async () => (await Promise.all(cluster.nodes.map(health))).reduce((sum, { activeConnections }) => sum + activeConnections, 0);
  await eventually(async () => (await active()) === sockets.length, BACK_MS, 'each client has one connection');
}

describe('a rolling restart of three nodes under load', () => {
  test('by SIGTERM: no client that resumes misses or doubles a log event', async () => {
    const load = await underLoad();
    for (const node of [...load.cluster.nodes]) {
      node.signal('SIGTERM');
      assert.deepEqual(await node.ended(), { code: 0, signal: null });
      await load.cluster.replace(node);
      await load.log.more(10);
    }
    await settle(load);
    for (const socket of load.sockets) assert.ok(socket.ends.length > 0, 'every client was moved at least once');
    assert.ok(load.sockets.every((socket) => all(socket, 'server:shutdown').length > 0), 'and told');
  }, { timeout: 90_000 });

  test('by SIGKILL: the same', async () => {
    const load = await underLoad();
    for (const node of [...load.cluster.nodes]) {
      await node.stop();
      await load.cluster.replace(node);
      await load.log.more(10);
    }
    await settle(load);
    for (const socket of load.sockets) assert.ok(socket.ends.length > 0, 'every client was moved at least once');
  }, { timeout: 90_000 });

  test('with Redis killed and started again in the middle of it', async () => {
    const cluster = await clusterForTest(3, { redis: { appendonly: true }, env: ENV });
    const balancer = await balancerForTest(cluster);
    const user = newUser('deploy');
    const sockets = await Promise.all([1, 2, 3].map(() => connectResuming(balancer, { user })));
    const log = new Publisher(() => cluster.nodes, (n) => [trade(user, { n })], { ownIds: true });
    await Promise.all(sockets.map((socket) => when(socket, () => trades(socket).length > 0, 'the first trade')));
    for (const node of [...cluster.nodes]) {
      node.signal('SIGTERM');
      await cluster.redis.kill();
      await node.ended();
      await cluster.redis.restart();
      await cluster.replace(node);
      // Whoever deploys stops the next one when all are well: a node that cannot read the log tells those who come
      // to it meanwhile that it does not know what they missed.
      const well = async () => (await Promise.all(cluster.nodes.map(health))).every(({ status }) => status === 'healthy');
      await eventually(well, 15_000, 'all nodes are well');
      await log.more(10, 15_000);
    }
    const count = await log.stop();
    await Promise.all(sockets.map((socket) => when(socket, () => socket.connected, 'every client is back', 10_000)));
    await logFence(cluster.nodes[0], ...sockets);
    for (const socket of sockets) {
      exactly(trades(socket), upTo(count).slice(trades(socket)[0]), 'the trades');
      for (const told of all(socket, 'resume')) assert.equal(told.recovered, true);
    }
  }, { timeout: 90_000 });
});
