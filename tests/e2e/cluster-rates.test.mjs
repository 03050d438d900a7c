// Rate limits are a user's, wherever the user's connections are; a node that cannot ask Redis keeps its own.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { delay, eventually, published, test } from './harness.mjs';
import { call, connect, fence, newUser, open, rateError, when } from './clients.mjs';
import { clusterForTest, lost, onEach, quote, reached, startCluster } from './cluster.mjs';
import { M, V } from './names.mjs';

const WATCHLIST_MAX = 10;

let cluster;
before(async () => (cluster = await startCluster(3)));
after(() => cluster?.stop());

const watch = (socket, symbol = 'RATE') => call(socket, 'subscribe:watchlist', [symbol]);

function isRefused(answer, message) {
  assert.equal(answer.ok, false);
  assert.equal(answer.error.message, message);
  assert.ok(answer.error.retryAfterMs > 0 && answer.error.retryAfterMs <= 60_000, `retryAfterMs is ${answer.error.retryAfterMs}`);
}

describe('the limits of a user', () => {
  for (const [event, message] of [['subscribe:portfolio', M.portfolioRate], ['subscribe:trades', M.tradesRate]]) {
    test(`${event}: the second call is refused on every node, though the first of each connection is admitted`, async () => {
      const sockets = await onEach(cluster.nodes);
      for (const socket of sockets) assert.equal((await call(socket, event)).ok, true, 'the first call of a connection');
      for (const socket of sockets) {
        isRefused(await call(socket, event), message);
        await rateError(socket, event, message);
      }
      const late = await connect(cluster.nodes[0], { user: sockets[0].user });
      assert.equal((await call(late, event)).ok, true, 'the first call of a later connection');
    });
  }

  test('calls on one node count on the others', async () => {
    const [a, b, c] = await onEach(cluster.nodes);
    for (const socket of [a, b, c]) assert.equal((await watch(socket)).ok, true);
    for (let n = 3; n < WATCHLIST_MAX; n += 1) assert.equal((await watch(a)).ok, true, `call ${n}`);
    for (const socket of [a, b, c]) {
      isRefused(await watch(socket), M.watchlistRate);
      await rateError(socket, 'subscribe:watchlist', M.watchlistRate);
    }
  });

  test('thirty calls that race on three nodes: as many are admitted as the limit leaves', async () => {
    for (let round = 0; round < 3; round += 1) {
      const sockets = await onEach(cluster.nodes);
      for (const socket of sockets) assert.equal((await watch(socket)).ok, true);
      const answers = await Promise.all(sockets.flatMap((socket) => Array.from({ length: 10 }, () => watch(socket))));
      assert.equal(answers.filter((answer) => answer.ok).length, WATCHLIST_MAX - 3);
      answers.filter((answer) => !answer.ok).forEach((answer) => isRefused(answer, M.watchlistRate));
    }
  });

  test('first calls by grace on another node are counted', async () => {
    const user = newUser('grace');
    const a = await connect(cluster.nodes[0], { user });
    for (let n = 0; n < WATCHLIST_MAX - 1; n += 1) assert.equal((await watch(a)).ok, true);
    const b = await connect(cluster.nodes[1], { user });
    assert.equal((await watch(b)).ok, true);
    isRefused(await watch(a), M.watchlistRate);
    isRefused(await watch(b), M.watchlistRate);
  });

  test('invalid calls are counted on every node', async () => {
    const [a, b] = await onEach(cluster.nodes);
    for (let n = 0; n < WATCHLIST_MAX; n += 1) assert.equal((await call(a, 'subscribe:watchlist', [])).error.message, M.symbols);
    assert.equal((await watch(b)).ok, true, 'the first call of a connection');
    isRefused(await watch(b), M.watchlistRate);
  });

  test('refused calls are not counted, unsubscribing neither, and each kind has a window of its own', async () => {
    const [a, b] = await onEach(cluster.nodes);
    for (const socket of [a, b]) await call(socket, 'subscribe:portfolio');
    for (let n = 0; n < 5; n += 1) isRefused(await call(a, 'subscribe:portfolio'), M.portfolioRate);
    for (let n = 0; n < 20; n += 1) assert.equal((await call(a, 'unsubscribe:watchlist', ['ANY'])).ok, true);
    for (let n = 0; n < WATCHLIST_MAX; n += 1) assert.equal((await watch(n % 2 ? a : b)).ok, true);
  });

  test('of one user do not touch another', async () => {
    const [a] = await onEach(cluster.nodes);
    for (let n = 0; n < WATCHLIST_MAX + 1; n += 1) await watch(a);
    const others = await onEach(cluster.nodes);
    for (let n = 0; n < 3; n += 1) for (const other of others) assert.equal((await watch(other)).ok, true);
  });

  test('a refused call changes nothing, and what is held keeps coming', async () => {
    const [a] = await onEach(cluster.nodes);
    for (let n = 0; n < WATCHLIST_MAX; n += 1) await watch(a, 'HELD');
    isRefused(await watch(a, 'REFUSED'), M.watchlistRate);
    await published(cluster.nodes[1], [quote('REFUSED', { n: 1 }), quote('HELD', { n: 2 })]);
    await fence(cluster.nodes[1], a);
    const came = a.seen.filter(({ event }) => event === 'quote:update').map(({ args }) => args[0].n);
    assert.deepEqual(came, [2]);
  });

  test('subscriptions given in the handshake are not charged', async () => {
    const user = newUser('restored');
    for (const node of cluster.nodes) await connect(node, { user, auth: { subscriptions: { portfolio: true, watchlist: ['A'] } } });
    const socket = await connect(cluster.nodes[0], { user });
    for (let n = 0; n < WATCHLIST_MAX; n += 1) assert.equal((await watch(socket)).ok, true, `call ${n}`);
  });
});

describe('a window', () => {
  test('slides: after retryAfterMs the call is admitted, on whichever node', async () => {
    const short = await clusterForTest(2, { env: { [V.CALLS_WINDOW_MS]: 2_000, [V.WATCHLIST_CALLS_MAX]: 3 } });
    const [a, b] = await onEach(short.nodes);
    const begun = Date.now();
    for (const socket of [a, b, a]) {
      assert.equal((await watch(socket)).ok, true);
      // Apart, so that they do not leave the window together: a claim about time itself.
      await delay(300);
    }
    const answer = await watch(b);
    const { retryAfterMs } = answer.error;
    assert.ok(retryAfterMs > 0 && retryAfterMs <= 2_000, `${retryAfterMs} ms`);
    // A claim about time itself.
    await delay(retryAfterMs);
    assert.equal((await watch(b)).ok, true);
    assert.ok(Date.now() - begun >= 1_990, 'not before the oldest call has left the window');
    isRefused(await watch(a), M.watchlistRate);
  });

  test('never holds more admissions than the limit, by the clients\' own clock', async () => {
    const [windowMs, max] = [1_500, 4];
    const short = await clusterForTest(3, { env: { [V.CALLS_WINDOW_MS]: windowMs, [V.WATCHLIST_CALLS_MAX]: max } });
    const sockets = await onEach(short.nodes);
    for (const socket of sockets) await watch(socket);
    const spans = [];
    const end = Date.now() + 5 * windowMs;
    await Promise.all(sockets.map(async (socket) => {
      while (Date.now() < end) {
        const from = Date.now();
        const answer = await watch(socket);
        if (answer.ok) spans.push({ from, to: Date.now() });
        await delay(20);
      }
    }));
    spans.sort((x, y) => x.to - y.to);
    assert.ok(spans.length >= max * 3, `${spans.length} admissions`);
    // Five admissions in a row take longer than the window: from before the first to after the fifth.
    for (let i = max; i < spans.length; i += 1) {
      const took = spans[i].to - spans[i - max].from;
      assert.ok(took >= windowMs - 5, `${max + 1} admissions within ${took} ms`);
    }
  });
});

describe('admitted connects of a user and minute', () => {
  test('are counted over all nodes; over the limit is refused for now, so that a stock client tries again', async () => {
    const few = await clusterForTest(3, { env: { [V.CONNECTS_PER_USER_MINUTE_MAX]: 4 } });
    const user = newUser('busy');
    for (let n = 0; n < 4; n += 1) (await connect(few.nodes[n % 3], { user })).disconnect();
    for (const node of few.nodes) {
      const socket = open(node, { user, reconnection: true });
      await when(socket, () => socket.refusals.length > 0 || socket.ends.length > 0 || socket.connected, 'an answer');
      assert.equal(socket.connected, false);
      // Not a CONNECT_ERROR, after which it would give up.
      assert.equal(socket.active, true);
      socket.disconnect();
    }
    await connect(few.nodes[0]);
  });
});

describe('while Redis is away', () => {
  test('each node keeps the limit by itself, and answers within the time of a request', async () => {
    const away = await clusterForTest(2);
    const user = newUser('degraded');
    const [a, b] = await onEach(away.nodes, user);
    await away.redis.kill();
    await Promise.all(away.nodes.map((node) => lost(node)));
    for (const socket of [a, b]) {
      for (let n = 0; n < WATCHLIST_MAX; n += 1) assert.equal((await watch(socket)).ok, true, `call ${n}`);
      isRefused(await watch(socket), M.watchlistRate);
    }
    await away.redis.restart();
    await Promise.all(away.nodes.map((node) => reached(node)));
    for (const socket of [a, b]) isRefused(await watch(socket), M.watchlistRate);
    const other = newUser('healthy');
    const [c, d] = await onEach(away.nodes, other);
    for (const socket of [c, d]) assert.equal((await watch(socket)).ok, true);
    for (let n = 2; n < WATCHLIST_MAX; n += 1) assert.equal((await watch(c)).ok, true);
    isRefused(await watch(d), M.watchlistRate);
  });

  test('a call under way when Redis hangs is answered by the node itself', async () => {
    const hung = await clusterForTest(1);
    const socket = await connect(hung.nodes[0]);
    await watch(socket);
    hung.redis.pause();
    const begun = Date.now();
    assert.equal((await watch(socket)).ok, true);
    assert.ok(Date.now() - begun < 3_000, `${Date.now() - begun} ms`);
    hung.redis.resume();
    await eventually(async () => (await watch(socket)).ok, 5_000, 'calls go on');
  });
});
