// Redis stops answering while its connections stay open: nothing fails by itself, so every wait must have
// an end of its own, and what Redis does late must neither double nor turn back anything.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { delay, health, publish, published, request, start, test, within } from './harness.mjs';
import { all, call, connect, newUser, once, when } from './clients.mjs';
import { BACK_MS, bus, clusterForTest, exactly, logFence, lost, neverBackwards, onEach, portfolio, Publisher, quote, quotes, reached, ready, trade, trades, upTo } from './cluster.mjs';
import { PATHS, V } from './names.mjs';
import { proxyForTest } from './redis.mjs';

// The deadline of a request to Redis, and what it may take to act on it.
const REQUEST_MS = 1_000;
const SLACK_MS = 1_500;

const timed = async (work) => {
  const begun = Date.now();
  const answer = await work();
  return { answer, ms: Date.now() - begun };
};

describe('Redis hangs', () => {
  test('publishes are answered by the deadline: log 503 with ids, state 202 degraded and delivered locally', async () => {
    const cluster = await clusterForTest(2);
    const [node, other] = cluster.nodes;
    const [socket, far] = await onEach(cluster.nodes);
    cluster.redis.pause();
    const [log, state] = await Promise.all([
      timed(() => publish(node, trade(socket.user, { n: 0 }))),
      timed(() => publish(node, portfolio(socket.user, { n: 1 }))),
    ]);
    assert.equal(log.answer.status, 503);
    assert.ok(log.ms <= REQUEST_MS + SLACK_MS, `${log.ms} ms`);
    assert.equal(state.answer.status, 202);
    assert.equal(state.answer.json.degraded, true);
    assert.ok(state.ms <= REQUEST_MS + SLACK_MS, `${state.ms} ms`);
    assert.equal((await once(socket, 'portfolio:update')).n, 1);
    await lost(node);
    assert.equal((await health(node)).status, 'degraded');
    // Once it is known to be away nobody waits for it.
    const quick = await timed(() => publish(node, portfolio(socket.user, { n: 2 })));
    assert.ok(quick.ms < REQUEST_MS / 2, `${quick.ms} ms`);
    assert.equal((await once(socket, 'portfolio:update')).n, 2);
    cluster.redis.resume();
    await Promise.all([reached(node), reached(other)]);
    await published(node, trade(socket.user, { n: 0 }, { id: log.answer.json.ids[0] }));
    await logFence(node, socket, far);
    // Redis may have taken the first try after all.
    for (const one of [socket, far]) exactly(trades(one), [0], 'the trade');
    await when(far, () => all(far, 'portfolio:update').at(-1)?.n === 2, 'the newest value', BACK_MS);
    neverBackwards(all(far, 'portfolio:update').map((p) => p.n), 'the portfolio');
  });

  test('steady publishing through pauses of every length: nothing logged is lost or doubled, no value goes back', async () => {
    const cluster = await clusterForTest(3);
    const user = newUser('pause');
    const sockets = await onEach(cluster.nodes, user);
    for (const socket of sockets) await call(socket, 'subscribe:watchlist', ['PAUSE']);
    const log = new Publisher(() => [cluster.nodes[0]], (n) => [trade(user, { n })], { everyMs: 10, name: 'log' });
    const state = new Publisher(() => [cluster.nodes[1]], (n) => [quote('PAUSE', { n })], { everyMs: 10, name: 'state' });
    await Promise.all([log.more(10), state.more(10)]);
    for (const ms of [100, 600, 950, 1_050, 1_500, 3_000, 6_000]) {
      cluster.redis.pause();
      await delay(ms);
      cluster.redis.resume();
      await Promise.all(cluster.nodes.map((node) => reached(node)));
      await Promise.all([log.more(10), state.more(10)]);
    }
    const [logs, states] = [await log.stop(), await state.stop()];
    await logFence(cluster.nodes[2], ...sockets);
    for (const [n, socket] of sockets.entries()) {
      exactly(trades(socket), upTo(logs), `trades at node ${n}`);
      await when(socket, () => quotes(socket, 'PAUSE').at(-1) === states - 1, 'the last value', BACK_MS);
      neverBackwards(quotes(socket, 'PAUSE'), `quotes at node ${n}`);
      assert.deepEqual(socket.ends, []);
    }
  }, { timeout: 90_000 });

  test('clients connect and subscribe within the time of a request', async () => {
    const cluster = await clusterForTest(1);
    const [node] = cluster.nodes;
    cluster.redis.pause();
    const first = await timed(() => connect(node));
    assert.ok(first.ms <= REQUEST_MS + SLACK_MS, `${first.ms} ms`);
    const subscribed = await timed(() => call(first.answer, 'subscribe:watchlist', ['HANG']));
    assert.equal(subscribed.answer.ok, true);
    assert.ok(subscribed.ms <= REQUEST_MS + SLACK_MS, `${subscribed.ms} ms`);
    await lost(node);
    const next = await timed(() => connect(node));
    assert.ok(next.ms < REQUEST_MS, `${next.ms} ms`);
    for (const path of [PATHS.live, PATHS.health, PATHS.metrics]) assert.equal((await request(node, path)).status, 200);
  });

  test('a node that starts meanwhile is not ready, and is once Redis answers', async () => {
    const cluster = await clusterForTest(1);
    cluster.redis.pause();
    const node = await start({ [V.REDIS_URL]: cluster.redis.url });
    cluster.nodes.push(node);
    assert.equal((await bus(node)).state, 'never');
    assert.equal(await ready(node), false);
    cluster.redis.resume();
    await reached(node);
    assert.equal(await ready(node), true);
  });

  test('SIGTERM while it hangs: the node still exits with code 0 within the deadline', async () => {
    const cluster = await clusterForTest(1, { env: { [V.DRAIN_WINDOW_MS]: 300, [V.DRAIN_DEADLINE_MS]: 2_000 } });
    const [node] = cluster.nodes;
    const socket = await connect(node);
    cluster.redis.pause();
    const answer = publish(node, trade(socket.user)).catch((error) => error);
    node.signal('SIGTERM');
    const { answer: end, ms } = await timed(() => node.ended());
    assert.deepEqual(end, { code: 0, signal: null });
    assert.ok(ms <= 2_000 + SLACK_MS, `${ms} ms`);
    await once(socket, 'server:shutdown');
    await within(answer, SLACK_MS, 'the publish is answered or its connection ended');
  });

  test('memory and answers stay bounded under a flood of publishes', async () => {
    const cluster = await clusterForTest(1);
    const [node] = cluster.nodes;
    const socket = await connect(node);
    await call(socket, 'subscribe:watchlist', ['FLOOD']);
    cluster.redis.pause();
    const answers = await Promise.all(upTo(300).map((n) => publish(node, [quote('FLOOD', { n }), trade(socket.user, { n })])));
    for (const { status } of answers) assert.ok([503, 429].includes(status), `${status}`);
    cluster.redis.resume();
    await reached(node);
    await published(node, quote('FLOOD', { n: 1_000 }));
    await when(socket, () => quotes(socket, 'FLOOD').at(-1) === 1_000, 'the newest value');
  });
});

describe('the way of one node to Redis hangs', () => {
  test('its clients keep their state, and it catches up with the log: nothing missed, nothing doubled', async () => {
    const cluster = await clusterForTest(1);
    const proxy = await proxyForTest(cluster.redis.port);
    const away = await cluster.add({ url: cluster.redis.urlFor(proxy.port) });
    await cluster.settled(2);
    const [near] = cluster.nodes;
    const sockets = await onEach([near, away]);
    const { user } = sockets[0];
    const publisher = new Publisher(() => [near], (n) => [trade(user, { n })]);
    await publisher.more(5);
    for (let round = 0; round < 2; round += 1) {
      proxy.freeze();
      await lost(away);
      await publisher.more(20);
      await published(away, portfolio(user, { n: round }));
      await when(sockets[1], () => all(sockets[1], 'portfolio:update').at(-1)?.n === round, 'its own state');
      proxy.mend();
      await reached(away);
      await publisher.more(5);
    }
    const count = await publisher.stop();
    await logFence(near, ...sockets);
    for (const socket of sockets) exactly(trades(socket), upTo(count), 'the trades');
    for (const socket of sockets) {
      await when(socket, () => all(socket, 'portfolio:update').at(-1)?.n === 1, 'the last portfolio', BACK_MS);
      assert.deepEqual(socket.ends, []);
    }
  }, { timeout: 60_000 });
});
