// Three nodes on one Redis: every event reaches the clients of every node, once, in the bus's order.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { DEADLINE_MS, eventually, health, published, start, test } from './harness.mjs';
import { all, call, connect, fence, forget, GUIDE, newUser, once, when } from './clients.mjs';
import { exactly, logFence, neverBackwards, onEach, portfolio, Publisher, quote, quotes, startCluster, trade, trades, upTo } from './cluster.mjs';
import { EVENT_ID, PATHS, V } from './names.mjs';
import { eventPacket, rawConnect } from './raw.mjs';

let cluster;
before(async () => (cluster = await startCluster(3)));
after(() => cluster?.stop());

const EVENTS = [
  ['portfolio:update', (user) => ({ userId: user }), GUIDE.portfolio],
  ['trade:executed', (user) => ({ userId: user }), GUIDE.executed],
  ['trade:failed', (user) => ({ userId: user }), GUIDE.failed],
  ['quote:update', () => ({ symbol: GUIDE.quote.symbol }), GUIDE.quote],
  ['market:status', () => ({}), GUIDE.market],
];

/** One order for all: two values that both saw, both saw in the same order. */
function agree(one, other, what) {
  const place = new Map(other.map((value, i) => [value, i]));
  const places = one.filter((value) => place.has(value)).map((value) => place.get(value));
  neverBackwards(places, what);
}

describe('what is published on one node', () => {
  for (const [event, target, data] of EVENTS) {
    test(`${event} reaches the clients of all three nodes, once, whichever node takes it`, async () => {
      const sockets = await onEach(cluster.nodes);
      for (const socket of sockets) assert.equal((await call(socket, 'subscribe:watchlist', [GUIDE.quote.symbol])).ok, true);
      await fence(cluster.nodes[0], ...sockets);
      sockets.forEach(forget);
      for (const [n, node] of cluster.nodes.entries()) {
        await published(node, { event, ...target(sockets[0].user), data: { ...data, n } });
        for (const socket of sockets) assert.equal((await once(socket, event)).n, n);
      }
      await logFence(cluster.nodes[1], ...sockets);
      await fence(cluster.nodes[2], ...sockets);
      for (const socket of sockets) {
        const came = all(socket, event).filter((one) => one.mark === undefined && one.fence === undefined);
        assert.deepEqual(came.map((one) => one.n), [0, 1, 2]);
        const { eventId, message, ...rest } = came[0];
        assert.deepEqual(rest, { ...data, n: 0 });
        assert.equal(message, event === 'trade:failed' ? data.error : undefined);
        if (event.startsWith('trade:')) assert.match(eventId, EVENT_ID);
        else assert.equal(eventId, undefined);
      }
    });
  }

  test('a log event has the same id on every node', async () => {
    const sockets = await onEach(cluster.nodes);
    await published(cluster.nodes[0], trade(sockets[0].user, { n: 1 }));
    const ids = await Promise.all(sockets.map(async (socket) => (await once(socket, 'trade:executed')).eventId));
    assert.equal(new Set(ids).size, 1);
  });

  test('a batch of every kind of event reaches the clients of all nodes', async () => {
    const sockets = await onEach(cluster.nodes);
    for (const socket of sockets) await call(socket, 'subscribe:watchlist', ['MIXED']);
    const { user } = sockets[0];
    const batch = [portfolio(user, { n: 1 }), trade(user, { n: 2 }), quote('MIXED', { n: 3 }), { event: 'trade:failed', userId: user, data: { n: 4 } }];
    assert.equal((await published(cluster.nodes[1], batch)).accepted, 4);
    for (const socket of sockets) {
      for (const { event, data } of batch) assert.equal((await once(socket, event)).n, data.n, event);
    }
  });

  test('no client of any node gets what is not its own', async () => {
    const user = newUser('alice');
    const mine = await onEach(cluster.nodes, user);
    const others = await onEach(cluster.nodes, newUser('bob'));
    for (const socket of others) await call(socket, 'subscribe:watchlist', ['OTHER']);
    for (const node of cluster.nodes) await published(node, [portfolio(user), trade(user), quote('MINE'), { event: 'trade:failed', userId: user, data: {} }]);
    for (const socket of mine) await when(socket, () => trades(socket).length === 3, 'the trades');
    await logFence(cluster.nodes[0], ...others);
    await fence(cluster.nodes[0], ...others, ...mine);
    for (const socket of others) {
      assert.deepEqual(trades(socket), []);
      for (const event of ['portfolio:update', 'quote:update', 'trade:failed']) assert.deepEqual(all(socket, event), [], event);
    }
    for (const socket of mine) assert.deepEqual(all(socket, 'quote:update'), []);
  });

  test('every number crosses the nodes digit for digit', async () => {
    const raw = await rawConnect(cluster.nodes[2]);
    raw.send(eventPacket('subscribe:watchlist', ['DIGITS']));
    await raw.nextStarting('42["subscription:confirmed"');
    const numbers = '"a":0.1000000000000000055,"b":12345678901234567890,"c":1.50,"d":1E+2,"e":-0,"f":[1e400,3.0],"g":"\\u0000\\ud83d\\ude00é"';
    const user = JSON.stringify(raw.user);
    await published(cluster.nodes[0], `{"event":"quote:update","symbol":"DIGITS","data":{${numbers}}}`);
    assert.ok((await raw.nextStarting('42["quote:update"')).includes(numbers));
    await published(cluster.nodes[0], `{"event":"trade:executed","userId":${user},"data":{${numbers}}}`);
    assert.ok((await raw.nextStarting('42["trade:executed"')).includes(numbers));
  });

  test('users whose names would confuse keys or channels are told apart', async () => {
    const names = ['a', 'a:b', 'a}b', '{a}', 'a b', 'ü', '*', 'p:a'].map((name) => `${newUser('odd')}${name}`);
    const sockets = await Promise.all(names.map((user, n) => connect(cluster.nodes[n % 3], { user })));
    await published(cluster.nodes[1], names.flatMap((user, n) => [portfolio(user, { n }), trade(user, { n })]));
    for (const [n, socket] of sockets.entries()) {
      assert.equal((await once(socket, 'trade:executed')).n, n);
      assert.equal((await once(socket, 'portfolio:update')).n, n);
    }
    await logFence(cluster.nodes[0], ...sockets);
    for (const [n, socket] of sockets.entries()) assert.deepEqual(trades(socket), [n]);
  });

  test('payloads near the limit of a publish cross the nodes', async () => {
    const sockets = await onEach(cluster.nodes);
    const text = 'x'.repeat(900_000);
    await published(cluster.nodes[0], trade(sockets[0].user, { text }));
    await published(cluster.nodes[1], portfolio(sockets[0].user, { text }));
    for (const socket of sockets) {
      assert.equal((await once(socket, 'trade:executed')).text.length, text.length);
      assert.equal((await once(socket, 'portfolio:update')).text.length, text.length);
    }
  });
});

describe('the same id on two nodes', () => {
  test('a log event is delivered once', async () => {
    const sockets = await onEach(cluster.nodes);
    const { user } = sockets[0];
    const id = `order-${user}`;
    for (const [n, node] of cluster.nodes.entries()) assert.deepEqual((await published(node, trade(user, { n }, { id }))).ids, [id]);
    await logFence(cluster.nodes[0], ...sockets);
    for (const socket of sockets) assert.deepEqual(trades(socket), [0]);
  });

  test('a log event sent to all nodes at once is delivered once', async () => {
    const sockets = await onEach(cluster.nodes);
    const { user } = sockets[0];
    const batch = upTo(20).map((n) => trade(user, { n }, { id: `race-${user}-${n}` }));
    await Promise.all(cluster.nodes.map((node) => published(node, batch)));
    await logFence(cluster.nodes[0], ...sockets);
    for (const socket of sockets) exactly(trades(socket), upTo(20), 'the trades');
  });

  test('a state event is delivered once', async () => {
    const sockets = await onEach(cluster.nodes);
    const { user } = sockets[0];
    for (const [n, node] of cluster.nodes.entries()) await published(node, portfolio(user, { n }, { id: `state-${user}` }));
    await fence(cluster.nodes[0], ...sockets);
    for (const socket of sockets) assert.deepEqual(all(socket, 'portfolio:update').map((p) => p.n), [0]);
  });
});

describe('order', () => {
  test('log events of publishers on three nodes come to all clients in the same order, that of their ids', async () => {
    const sockets = await onEach(cluster.nodes);
    const { user } = sockets[0];
    await Promise.all(cluster.nodes.map(async (node, from) => {
      for (const n of upTo(50)) await published(node, trade(user, { n: `${from}-${n}` }));
    }));
    for (const socket of sockets) await when(socket, () => trades(socket).length >= 150, 'the trades');
    await logFence(cluster.nodes[0], ...sockets);
    const key = ({ eventId }) => eventId.split('-').slice(1).map(Number);
    for (const socket of sockets) {
      assert.equal(new Set(trades(socket)).size, 150);
      assert.deepEqual(trades(socket), trades(sockets[0]));
      const came = all(socket, 'trade:executed').map(key);
      for (let i = 1; i < came.length; i += 1) {
        assert.ok(came[i][0] > came[i - 1][0] || (came[i][0] === came[i - 1][0] && came[i][1] > came[i - 1][1]), `${came[i - 1]} before ${came[i]}`);
      }
      for (const from of [0, 1, 2]) {
        exactly(trades(socket).filter((n) => n.startsWith(`${from}-`)), upTo(50).map((n) => `${from}-${n}`), `publisher ${from}`);
      }
    }
  });

  test('values of one topic from three nodes: all clients agree on the order and end with the same value', async () => {
    const sockets = await onEach(cluster.nodes);
    for (const socket of sockets) await call(socket, 'subscribe:watchlist', ['RACE']);
    await Promise.all(cluster.nodes.map(async (node, from) => {
      for (const n of upTo(50)) await published(node, quote('RACE', { n: `${from}-${n}` }));
    }));
    await fence(cluster.nodes[0], ...sockets);
    const [first, ...rest] = sockets.map((socket) => quotes(socket, 'RACE'));
    for (const from of [0, 1, 2]) neverBackwards(first.filter((n) => n.startsWith(`${from}-`)).map((n) => Number(n.slice(2))), `publisher ${from}`);
    for (const other of rest) {
      agree(first, other, 'the order');
      assert.equal(other.at(-1), first.at(-1));
    }
    const late = await connect(cluster.nodes[1]);
    await call(late, 'subscribe:watchlist', ['RACE']);
    assert.equal((await once(late, 'quote:update')).n, first.at(-1), 'the kept value is the last');
  });

  test('a steady stream is complete on every node while connections come and go', async () => {
    const user = newUser('steady');
    const sockets = await onEach(cluster.nodes, user);
    const publisher = new Publisher(() => cluster.nodes, (n) => [trade(user, { n }), quote('STEADY', { n })], { everyMs: 5 });
    for (let round = 0; round < 5; round += 1) {
      const passing = await connect(cluster.nodes[round % 3]);
      await call(passing, 'subscribe:watchlist', ['STEADY']);
      await publisher.more(20);
      passing.disconnect();
    }
    const count = await publisher.stop();
    await logFence(cluster.nodes[0], ...sockets);
    for (const socket of sockets) exactly(trades(socket), upTo(count), 'the trades');
  });
});

describe('a subscription', () => {
  test('gets the current value at once, wherever it was published', async () => {
    const user = newUser('late');
    await published(cluster.nodes[0], [portfolio(user, { n: 1 }), quote('KEPT', { n: 2 }), { event: 'market:status', data: { n: 3 } }]);
    for (const node of cluster.nodes) {
      const socket = await connect(node, { user });
      assert.equal((await once(socket, 'market:status')).n, 3);
      await call(socket, 'subscribe:portfolio');
      await call(socket, 'subscribe:watchlist', ['KEPT']);
      assert.equal((await once(socket, 'portfolio:update')).n, 1);
      assert.equal((await once(socket, 'quote:update')).n, 2);
    }
  });

  test('during a stream of values never goes back to an older one', async () => {
    const publisher = new Publisher(() => cluster.nodes, (n) => [quote('FRESH', { n })], { everyMs: 1 });
    await publisher.more(5);
    const sockets = [];
    for (let round = 0; round < 15; round += 1) {
      const socket = await connect(cluster.nodes[round % 3]);
      await call(socket, 'subscribe:watchlist', ['FRESH']);
      sockets.push(socket);
    }
    const last = (await publisher.stop()) - 1;
    for (const socket of sockets) {
      await when(socket, () => quotes(socket, 'FRESH').at(-1) === last, 'the last value');
      neverBackwards(quotes(socket, 'FRESH'), 'a quote');
    }
  });
});

describe('resume on another node', () => {
  test('replays what was missed, once, in order', async () => {
    const user = newUser('roamer');
    const first = await connect(cluster.nodes[0], { user });
    await published(cluster.nodes[0], upTo(3).map((n) => trade(user, { n })));
    for (let n = 0; n < 3; n += 1) await once(first, 'trade:executed');
    const lastEventId = all(first, 'trade:executed')[1].eventId;
    first.disconnect();
    for (let n = 3; n < 9; n += 1) await published(cluster.nodes[n % 3], trade(user, { n }));
    for (const node of cluster.nodes) {
      const socket = await connect(node, { user, auth: { lastEventId } });
      const resume = await once(socket, 'resume');
      // What the node had not read yet comes after the replay, like any new event.
      await when(socket, () => trades(socket).length >= 7, 'the trades');
      await logFence(cluster.nodes[0], socket);
      exactly(trades(socket), upTo(9).slice(2), 'the trades');
      assert.equal(resume.recovered, true);
      // The fences of the nodes before are in the log too.
      assert.ok(resume.replayed <= 9, `${resume.replayed} replayed`);
      socket.disconnect();
    }
  });

  test('while events keep coming: none is missed or doubled', async () => {
    const user = newUser('hopper');
    const publisher = new Publisher(() => cluster.nodes, (n) => [trade(user, { n })], { everyMs: 3 });
    const came = [];
    let lastEventId;
    for (let hop = 0; hop < 12; hop += 1) {
      const socket = await connect(cluster.nodes[hop % 3], { user, auth: lastEventId ? { lastEventId } : {} });
      await when(socket, () => trades(socket).length >= 5, 'some trades');
      socket.disconnect();
      came.push(...trades(socket));
      lastEventId = all(socket, 'trade:executed').at(-1).eventId;
      const [resume] = all(socket, 'resume');
      if (hop > 0) assert.equal(resume.recovered, true);
    }
    await publisher.stop();
    exactly(came, upTo(came.length).map((n) => n + came[0]), 'all hops together');
  });

  test('subscriptions given in the handshake are restored there', async () => {
    await published(cluster.nodes[0], quote('RESTORED', { n: 1 }));
    const socket = await connect(cluster.nodes[2], { auth: { subscriptions: { portfolio: true, trades: true, watchlist: ['RESTORED'] } } });
    assert.equal((await once(socket, 'quote:update')).n, 1);
    await published(cluster.nodes[1], quote('RESTORED', { n: 2 }));
    assert.equal((await once(socket, 'quote:update')).n, 2);
  });

  test('on a node that started after the events: it has read the recent log before it is ready', async () => {
    const user = newUser('early');
    const first = await connect(cluster.nodes[0], { user });
    await published(cluster.nodes[0], upTo(500).map((n) => trade(user, { n })));
    await when(first, () => trades(first).length === 500, 'the trades');
    const lastEventId = all(first, 'trade:executed')[9].eventId;
    const fourth = await cluster.add();
    try {
      await cluster.settled(4);
      const socket = await connect(fourth, { user, auth: { lastEventId } });
      assert.deepEqual(await once(socket, 'resume'), { recovered: true, replayed: 490, lastEventId: all(first, 'trade:executed').at(-1).eventId });
      await published(fourth, trade(user, { n: 500 }));
      await logFence(cluster.nodes[1], socket, first);
      exactly(trades(socket), upTo(501).slice(10), 'the trades');
      exactly(trades(first), upTo(501), 'the trades at the other node');
    } finally {
      cluster.nodes.splice(cluster.nodes.indexOf(fourth), 1);
      await fourth.stop();
    }
  });
});

describe('health', () => {
  test(`${PATHS.health} counts this node's clients, and tells bus, nodes and lag`, async () => {
    // The clients of earlier tests have said that they leave; the nodes may still be hearing it.
    const counting = (node, connections) => eventually(async () => {
      const now = await health(node);
      return now.activeConnections === connections && now;
    }, DEADLINE_MS, `${connections} connections on ${node.url}`);
    for (const node of cluster.nodes) await counting(node, 0);
    const [socket] = await onEach(cluster.nodes);
    const [now] = await Promise.all(cluster.nodes.map((node) => counting(node, 1)));
    assert.equal(now.status, 'healthy');
    assert.equal(now.bus.state, 'reached');
    assert.equal(typeof now.bus.logLag, 'number');
    socket.disconnect();
  });

  test('a node that comes and goes is counted and forgotten', async () => {
    const passing = await start({ [V.REDIS_URL]: cluster.redis.url });
    try {
      await cluster.settled(4);
    } finally {
      await passing.stop('SIGTERM');
    }
    await cluster.settled(3);
  });
});
