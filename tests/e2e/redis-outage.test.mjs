// Redis dies and comes back while publishers go on: each node keeps serving its own clients, nothing
// logged is lost or doubled, and the nodes find together again.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { atEnd, delay, eventually, health, publish, published, test } from './harness.mjs';
import { all, call, connect, newUser, once, when } from './clients.mjs';
import { BACK_MS, bus, clusterForTest, exactly, logFence, lost, neverBackwards, onEach, portfolio, Publisher, quote, quotes, reached, ready, trade, trades, upTo } from './cluster.mjs';
import { M } from './names.mjs';
import { proxyForTest } from './redis.mjs';

const KEPT = { redis: { appendonly: true } };

const quoteOf = (node) => `FROM${node}`;
const allQuotes = [0, 1, 2].map(quoteOf);

/**
 * Two users with a client on each of three nodes, all with the quotes of all nodes; one publisher of
 * trades and one of quotes on each node.
 */
async function underLoad(cluster) {
  const users = [newUser('outage'), newUser('outage')];
  const sockets = (await Promise.all(users.map((user) => onEach(cluster.nodes, user)))).map((list) => list.map((socket, node) => Object.assign(socket, { node }))).flat();
  for (const socket of sockets) assert.equal((await call(socket, 'subscribe:watchlist', allQuotes)).ok, true);
  const logs = users.map((user, n) => new Publisher(() => [cluster.nodes[n]], (i) => [trade(user, { n: i })], { name: `log-${user}` }));
  const states = cluster.nodes.map((node, n) => new Publisher(() => [node], (i) => [quote(quoteOf(n), { n: i })], { name: `state-${n}` }));
  await Promise.all([...logs, ...states].map((publisher) => publisher.more(10)));
  return { users, sockets, logs, states };
}

/** Each node's own clients keep getting what is published on it. */
async function localStateFlows({ sockets, states }) {
  await Promise.all(states.map((publisher) => publisher.more(5)));
  const goals = states.map((publisher) => publisher.accepted - 1);
  await Promise.all(sockets.map((socket) =>
    when(socket, () => quotes(socket, quoteOf(socket.node)).at(-1) >= goals[socket.node], `quotes of the client's own node`)));
}

async function crossNodeFlows(cluster, { sockets, states }, deadlineMs) {
  const goals = states.map((publisher) => publisher.accepted);
  await Promise.all(sockets.flatMap((socket) => goals.map((goal, node) =>
    when(socket, () => quotes(socket, quoteOf(node)).at(-1) >= goal, `quotes of node ${node} at node ${socket.node}`, deadlineMs))));
}

async function verify(cluster, { users, sockets, logs, states }) {
  const [logCounts, stateCounts] = [await Promise.all(logs.map((p) => p.stop())), await Promise.all(states.map((p) => p.stop()))];
  await logFence(cluster.nodes[0], ...sockets);
  for (const socket of sockets) {
    const user = users.indexOf(socket.user);
    exactly(trades(socket), upTo(logCounts[user]), `trades at node ${socket.node}`);
    for (const node of [0, 1, 2]) {
      await when(socket, () => quotes(socket, quoteOf(node)).at(-1) === stateCounts[node] - 1, `the last quote of node ${node}`, BACK_MS);
      neverBackwards(quotes(socket, quoteOf(node)), `quotes of node ${node} at node ${socket.node}`);
    }
    assert.deepEqual(socket.ends, [], 'no client is disconnected');
    assert.deepEqual(all(socket, 'error'), []);
    assert.deepEqual(all(socket, 'resume').filter((told) => !told.recovered), [], 'no gap');
  }
}

async function outage(ms) {
  const cluster = await clusterForTest(3, KEPT);
  const load = await underLoad(cluster);
  await cluster.redis.kill();
  await Promise.all(cluster.nodes.map((node) => lost(node)));
  const end = Date.now() + ms;
  do {
    await localStateFlows(load);
    for (const node of cluster.nodes) assert.equal((await health(node)).status, 'degraded');
  } while (Date.now() < end);
  for (const publisher of load.states) assert.ok(publisher.degraded > 0, `${publisher.name} was answered degraded`);
  await cluster.redis.restart();
  const back = Date.now();
  await crossNodeFlows(cluster, load, BACK_MS);
  // Log events of after the return too, on all nodes.
  const goals = load.logs.map((publisher) => publisher.accepted);
  await Promise.all(load.sockets.map((socket) =>
    when(socket, () => trades(socket).at(-1) >= goals[load.users.indexOf(socket.user)], 'new trades', BACK_MS - (Date.now() - back))));
  await eventually(async () => (await Promise.all(cluster.nodes.map(health))).every(({ status }) => status === 'healthy'), BACK_MS, 'all are healthy');
  for (const publisher of load.logs) assert.ok(publisher.retries > 0, `${publisher.name} had to try again`);
  await verify(cluster, load);
}

describe('Redis killed and started again with its data, under steady publishing', () => {
  test('for 20 s: local state flows, nothing logged is lost or doubled, nodes are together within 5 s', () => outage(20_000), { timeout: 90_000 });

  test('for 2 s', () => outage(2_000));

  test('five times in a row, at once', async () => {
    const cluster = await clusterForTest(3, KEPT);
    const load = await underLoad(cluster);
    for (let round = 0; round < 5; round += 1) {
      await cluster.redis.restart();
      // A pause of a different length each time, to hit other moments of the nodes' return.
      await delay(round * 150);
    }
    await Promise.all(cluster.nodes.map((node) => reached(node)));
    await crossNodeFlows(cluster, load, BACK_MS);
    await verify(cluster, load);
  }, { timeout: 60_000 });
});

describe('while Redis is away', () => {
  test('a log publish is answered 503 with ids and Retry-After, a state publish 202 degraded, and health says so', async () => {
    const cluster = await clusterForTest(1, KEPT);
    const [node] = cluster.nodes;
    const socket = await connect(node);
    await cluster.redis.kill();
    await lost(node);
    const refused = await publish(node, [trade(socket.user, { n: 0 }), trade(socket.user, { n: 1 })]);
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.headers['retry-after']) > 0);
    assert.match(refused.headers['content-type'], /^application\/problem\+json/);
    const { ids } = refused.json;
    assert.equal(ids.length, 2);
    const state = await publish(node, portfolio(socket.user, { n: 2 }));
    assert.equal(state.status, 202);
    assert.equal(state.json.degraded, true);
    assert.equal(state.json.accepted, 1);
    assert.equal((await once(socket, 'portfolio:update')).n, 2);
    assert.equal((await health(node)).status, 'degraded');
    assert.equal((await bus(node)).state, 'lost');
    assert.equal(await ready(node), true, 'a balancer must not drop every node');
    await cluster.redis.restart();
    await reached(node);
    const batch = ids.map((id, n) => trade(socket.user, { n }, { id }));
    assert.deepEqual((await published(node, batch)).ids, ids);
    assert.deepEqual((await published(node, batch)).ids, ids);
    await logFence(node, socket);
    exactly(trades(socket), [0, 1], 'the retried trades');
    const healthy = await published(node, portfolio(socket.user, { n: 3 }));
    assert.ok(!healthy.degraded);
  });

  test('a mixed batch with log events is answered 503 as a whole and is whole after the retry', async () => {
    const cluster = await clusterForTest(2, KEPT);
    const sockets = await onEach(cluster.nodes);
    const { user } = sockets[0];
    await cluster.redis.kill();
    await Promise.all(cluster.nodes.map((node) => lost(node)));
    const batch = [portfolio(user, { n: 1 }), trade(user, { n: 1 })];
    const answer = await publish(cluster.nodes[0], batch);
    assert.equal(answer.status, 503);
    await cluster.redis.restart();
    await Promise.all(cluster.nodes.map((node) => reached(node)));
    await published(cluster.nodes[0], batch.map((item, i) => ({ ...item, id: answer.json.ids[i] })));
    await logFence(cluster.nodes[1], ...sockets);
    for (const socket of sockets) {
      assert.deepEqual(trades(socket), [1]);
      await when(socket, () => all(socket, 'portfolio:update').at(-1)?.n === 1, 'the portfolio');
    }
  });

  test('clients connect, subscribe and are limited to five by their node', async () => {
    const cluster = await clusterForTest(2, KEPT);
    const [node] = cluster.nodes;
    await cluster.redis.kill();
    await lost(node);
    const user = newUser('local');
    const sockets = [];
    for (let n = 0; n < 5; n += 1) sockets.push(await connect(node, { user }));
    assert.equal((await call(sockets[0], 'subscribe:portfolio')).ok, true);
    await published(node, portfolio(user, { n: 1 }));
    for (const socket of sockets) assert.equal((await once(socket, 'portfolio:update')).n, 1);
    await assert.rejects(connect(node, { user }), { message: M.tooMany });
    const late = await connect(node);
    await published(node, quote('LOCAL', { n: 1 }));
    await call(late, 'subscribe:watchlist', ['LOCAL']);
    assert.equal((await once(late, 'quote:update')).n, 1, 'the newest value that this node knows');
  });

  test('a client can resume from what its node has in memory', async () => {
    const cluster = await clusterForTest(1, KEPT);
    const [node] = cluster.nodes;
    const first = await connect(node);
    await published(node, upTo(5).map((n) => trade(first.user, { n })));
    await when(first, () => trades(first).length === 5, 'the trades');
    await cluster.redis.kill();
    await lost(node);
    const socket = await connect(node, { user: first.user, auth: { lastEventId: all(first, 'trade:executed')[1].eventId } });
    assert.deepEqual((({ recovered, replayed }) => ({ recovered, replayed }))(await once(socket, 'resume')), { recovered: true, replayed: 3 });
    assert.deepEqual(trades(socket), [2, 3, 4]);
  });
});

describe('one node cut off from Redis', () => {
  async function cutOff() {
    const cluster = await clusterForTest(1, KEPT);
    const proxy = await proxyForTest(cluster.redis.port);
    const away = await cluster.add({ url: cluster.redis.urlFor(proxy.port) });
    await cluster.settled(2);
    const [near] = cluster.nodes;
    const sockets = await onEach([near, away]);
    for (const socket of sockets) await call(socket, 'subscribe:watchlist', ['CUT', 'OTHER']);
    return { cluster, proxy, near, away, sockets };
  }

  const last = (socket) => quotes(socket, 'CUT').at(-1);

  test('the other goes on as if nothing were', async () => {
    const { proxy, near, away, sockets } = await cutOff();
    proxy.cut();
    await lost(away);
    assert.equal((await health(near)).status, 'healthy');
    await published(near, [quote('CUT', { n: 1 }), trade(sockets[0].user, { n: 1 })]);
    assert.equal((await once(sockets[0], 'quote:update')).n, 1);
    assert.equal((await once(sockets[0], 'trade:executed')).n, 1);
    proxy.mend();
    await when(sockets[1], () => last(sockets[1]) === 1 && trades(sockets[1]).length === 1, 'what it missed', BACK_MS + 3_000);
    await logFence(near, ...sockets);
    for (const socket of sockets) assert.deepEqual(trades(socket), [1]);
  });

  test('the newest value published there is taken by the bus when it returns, and clients everywhere converge to it', async () => {
    const { proxy, near, away, sockets } = await cutOff();
    await published(near, quote('CUT', { n: 0 }));
    for (const socket of sockets) await when(socket, () => last(socket) === 0, 'the first value');
    proxy.cut();
    await lost(away);
    for (const n of [1, 2, 3]) assert.equal((await published(away, quote('CUT', { n }))).degraded, true);
    await when(sockets[1], () => last(sockets[1]) === 3, 'its own clients get it now');
    assert.equal(last(sockets[0]), 0);
    proxy.mend();
    for (const socket of sockets) await when(socket, () => last(socket) === 3, 'the last value', BACK_MS + 3_000);
    for (const socket of sockets) neverBackwards(quotes(socket, 'CUT'), 'the quote');
    for (const node of [near, away]) {
      const late = await connect(node);
      await call(late, 'subscribe:watchlist', ['CUT']);
      assert.equal((await once(late, 'quote:update')).n, 3);
    }
  });

  test('with values published on both sides: all clients end with the same one', async () => {
    const { proxy, near, away, sockets } = await cutOff();
    for (let round = 0; round < 3; round += 1) {
      proxy.cut();
      await lost(away);
      await published(away, quote('CUT', { n: `away-${round}` }));
      await published(near, quote('CUT', { n: `near-${round}` }));
      proxy.mend();
      await reached(away);
      const begun = Date.now();
      await eventually(async () => last(sockets[0]) === last(sockets[1]), BACK_MS, 'both hold the same');
      // It stays so.
      await published(near, quote('OTHER', { n: round }));
      for (const socket of sockets) await when(socket, () => quotes(socket, 'OTHER').at(-1) === round, 'another quote', BACK_MS - (Date.now() - begun));
      assert.equal(last(sockets[0]), last(sockets[1]));
      const late = await connect(away);
      await call(late, 'subscribe:watchlist', ['CUT']);
      assert.equal((await once(late, 'quote:update')).n, last(sockets[0]), 'and so is what is kept');
    }
  });

  test('an older value never overwrites a newer one: what the cut-off node held is not handed over again', async () => {
    const { proxy, near, away, sockets } = await cutOff();
    const publisher = new Publisher(() => [near], (n) => [quote('CUT', { n })], { everyMs: 5 });
    atEnd(() => proxy.mend());
    for (let round = 0; round < 4; round += 1) {
      await publisher.more(20);
      proxy.cut();
      await lost(away);
      await publisher.more(20);
      proxy.mend();
      await reached(away);
      const goal = publisher.accepted;
      await when(sockets[1], () => last(sockets[1]) >= goal, 'it catches up', BACK_MS);
    }
    const count = await publisher.stop();
    for (const socket of sockets) {
      await when(socket, () => last(socket) === count - 1, 'the last value', BACK_MS);
      neverBackwards(quotes(socket, 'CUT'), 'the quote');
    }
  });

  test('many topics published there are all handed over', async () => {
    const { proxy, near, away } = await cutOff();
    const symbols = upTo(600).map((n) => `MANY${n}`);
    const watching = await Promise.all([0, 1].map(async (half) => {
      const socket = await connect(near);
      assert.equal((await call(socket, 'subscribe:watchlist', symbols.slice(half * 300, half * 300 + 300))).ok, true);
      return socket;
    }));
    proxy.cut();
    await lost(away);
    for (const n of [1, 2]) assert.equal((await published(away, symbols.map((symbol) => quote(symbol, { n })))).degraded, true);
    proxy.mend();
    for (const socket of watching) {
      await when(socket, () => new Set(all(socket, 'quote:update').filter((q) => q.n === 2).map((q) => q.symbol)).size === 300, 'all values', BACK_MS + 3_000);
    }
  });
});
