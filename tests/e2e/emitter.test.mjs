// Messages of the real @socket.io/redis-emitter become publishes: once for each client, on every node.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { Emitter } from '@socket.io/redis-emitter';
import { DEADLINE_MS, delay, eventually, published, test } from './harness.mjs';
import { all, call, connect, fence, forget, GUIDE, names, newUser, once, when } from './clients.mjs';
import { clusterForTest, logFence, onEach, portfolio, startCluster } from './cluster.mjs';
import { EVENT_ID, ISO_MS_UTC, KEYS } from './names.mjs';

// One node holds the lease for 5 s; after its end another must have taken it and listen.
const LEASE_MS = 5_000;
const TAKEN_MS = LEASE_MS * 2;

let cluster;
let emitter;
before(async () => {
  cluster = await startCluster(3);
  emitter = new Emitter(cluster.redis.client);
  await listening(cluster);
});
after(() => cluster?.stop());

/** Until then nobody would hear an emitter. */
const listening = ({ redis }) => eventually(async () => (await redis.client.pubSubNumPat()) === 1, TAKEN_MS, 'one node listens to emitters');

const room = (user) => `user:${user}`;

describe('an emitter\'s message', () => {
  for (const event of ['portfolio:update', 'trade:executed', 'trade:failed']) {
    test(`${event} to user:<id> reaches that user's clients on all nodes, once, and nobody else`, async () => {
      const sockets = await onEach(cluster.nodes);
      const other = await connect(cluster.nodes[0]);
      const data = { 'portfolio:update': GUIDE.portfolio, 'trade:executed': GUIDE.executed, 'trade:failed': GUIDE.failed }[event];
      for (const n of [0, 1, 2]) emitter.to(room(sockets[0].user)).emit(event, { ...data, n });
      for (const socket of sockets) {
        for (const n of [0, 1, 2]) {
          const { eventId, message, ...rest } = await once(socket, event);
          assert.deepEqual(rest, { ...data, n });
          assert.equal(message, event === 'trade:failed' ? data.error : undefined);
          if (event !== 'portfolio:update') assert.match(eventId, EVENT_ID);
        }
      }
      await logFence(cluster.nodes[0], ...sockets, other);
      await fence(cluster.nodes[0], ...sockets, other);
      for (const socket of sockets) assert.equal(all(socket, event).filter((one) => one.mark === undefined).length, 3);
      assert.deepEqual(all(other, event).filter((one) => one.mark === undefined), []);
    });
  }

  test('quote:update to symbol:<s> reaches its subscribers on all nodes, once, and is kept', async () => {
    const sockets = await onEach(cluster.nodes);
    const other = await connect(cluster.nodes[0]);
    for (const socket of sockets) await call(socket, 'subscribe:watchlist', ['EMIT']);
    emitter.to('symbol:EMIT').emit('quote:update', { price: 1.25 });
    for (const socket of sockets) {
      const data = await once(socket, 'quote:update');
      assert.equal(data.symbol, 'EMIT');
      assert.equal(data.price, 1.25);
      assert.match(data.timestamp, ISO_MS_UTC);
    }
    await fence(cluster.nodes[1], ...sockets, other);
    for (const socket of sockets) assert.equal(all(socket, 'quote:update').length, 1);
    assert.deepEqual(all(other, 'quote:update'), []);
    const late = await connect(cluster.nodes[2]);
    await call(late, 'subscribe:watchlist', ['EMIT']);
    assert.equal((await once(late, 'quote:update')).price, 1.25);
  });

  test('market:status to all reaches everyone on all nodes, once', async () => {
    const sockets = await onEach(cluster.nodes);
    await fence(cluster.nodes[0], ...sockets);
    sockets.forEach(forget);
    emitter.emit('market:status', { ...GUIDE.market, emitted: 1 });
    for (const socket of sockets) assert.deepEqual(await once(socket, 'market:status'), { ...GUIDE.market, emitted: 1 });
    await fence(cluster.nodes[0], ...sockets);
    for (const socket of sockets) assert.equal(all(socket, 'market:status').filter((one) => one.emitted).length, 1);
  });

  test('to several rooms is one publication: a client in any of them gets it once', async () => {
    const [a, b, c] = await onEach(cluster.nodes);
    const other = await connect(cluster.nodes[1]);
    for (const [socket, symbols] of [[a, ['TWO', 'ONE']], [b, ['ONE']], [c, ['TWO']]]) await call(socket, 'subscribe:watchlist', symbols);
    emitter.to('symbol:ONE').to('symbol:TWO').emit('quote:update', { n: 1 });
    for (const socket of [a, b, c]) await once(socket, 'quote:update');
    emitter.to([room(a.user), room(other.user)]).emit('portfolio:update', { n: 2 });
    for (const socket of [a, b, c, other]) assert.equal((await once(socket, 'portfolio:update')).n, 2);
    emitter.to([room(a.user), room(other.user)]).emit('trade:executed', { n: 3 });
    for (const socket of [a, b, c, other]) assert.equal((await once(socket, 'trade:executed')).n, 3);
    await logFence(cluster.nodes[0], a, b, c, other);
    await fence(cluster.nodes[0], a, b, c, other);
    for (const socket of [a, b, c]) assert.equal(all(socket, 'quote:update').length, 1);
    for (const socket of [a, b, c, other]) {
      assert.equal(all(socket, 'portfolio:update').length, 1);
      assert.equal(all(socket, 'trade:executed').filter((t) => t.mark === undefined).length, 1);
    }
  });

  test('with volatile or compress is delivered like any other', async () => {
    const socket = await connect(cluster.nodes[0]);
    emitter.volatile.to(room(socket.user)).emit('trade:executed', { n: 1 });
    emitter.compress(false).to(room(socket.user)).emit('trade:executed', { n: 2 });
    for (const n of [1, 2]) assert.equal((await once(socket, 'trade:executed')).n, n);
  });

  test('values of every kind arrive as they were given', async () => {
    const socket = await connect(cluster.nodes[2]);
    const data = {
      none: null, yes: true, no: false, zero: 0, minus: -1, bytes: [127, 128, 255, 256, -32, -33, -128, -129], words: [65_535, 65_536, -32_768, -32_769],
      big: [2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53)], real: [0.1, 1.5, -2.5e-300], text: 'naïve 😀 "quoted" \\ \n \u0000 \u2028', empty: ['', [], {}],
      long: 'x'.repeat(70_000), list: Array.from({ length: 20 }, (_, n) => n), nested: { a: { b: { c: [{ d: 1 }] } } }, timestamp: '2025-01-15T12:00:00.000Z',
    };
    emitter.to(room(socket.user)).emit('trade:executed', data);
    const { eventId, ...rest } = await once(socket, 'trade:executed');
    assert.match(eventId, EVENT_ID);
    assert.deepEqual(rest, data);
  });

  test('in a steady stream: each arrives once, in order', async () => {
    const sockets = await onEach(cluster.nodes);
    for (let n = 0; n < 500; n += 1) emitter.to(room(sockets[0].user)).emit('trade:executed', { n });
    for (const socket of sockets) {
      await when(socket, () => all(socket, 'trade:executed').length >= 500, 'all of them');
      assert.deepEqual(all(socket, 'trade:executed').map((t) => t.n), Array.from({ length: 500 }, (_, n) => n));
    }
  });
});

describe('what does not fit is dropped', () => {
  test('other events, rooms, namespaces, shapes and exceptions reach nobody, and what fits still comes', async () => {
    const sockets = await onEach(cluster.nodes);
    const { user } = sockets[0];
    for (const socket of sockets) await call(socket, 'subscribe:watchlist', ['DROP']);
    await fence(cluster.nodes[0], ...sockets);
    sockets.forEach(forget);
    const to = emitter.to(room(user));
    to.emit('chat message', { n: 1 });
    to.emit('error', { message: 'forged' });
    to.emit('server:shutdown', { message: 'forged' });
    to.emit('resume', { recovered: true });
    to.emit('subscription:confirmed', { type: 'portfolio' });
    to.emit('quote:update', { n: 1 });
    to.emit('market:status', { n: 1 });
    to.emit('trade:executed');
    to.emit('trade:executed', 'text');
    to.emit('trade:executed', 7);
    to.emit('trade:executed', null);
    to.emit('trade:executed', [1]);
    to.emit('trade:executed', { n: 1 }, { n: 2 });
    to.emit('trade:executed', { blob: new Uint8Array([1, 2, 3]) });
    emitter.emit('trade:executed', { n: 1 });
    emitter.emit('portfolio:update', { n: 1 });
    emitter.emit('quote:update', { n: 1 });
    emitter.to(sockets[0].id).emit('trade:executed', { n: 1 });
    emitter.to('user:').emit('trade:executed', { n: 1 });
    emitter.to('symbol:DROP').emit('trade:executed', { n: 1 });
    emitter.to('symbol:no such symbol').emit('quote:update', { n: 1 });
    emitter.to('symbol:DROP').emit('quote:update', { n: 1, symbol: 'OTHER' });
    emitter.to([room(user), 'lobby']).emit('trade:executed', { n: 1 });
    emitter.to(room(user)).except(room('somebody')).emit('trade:executed', { n: 1 });
    emitter.of('/admin').to(room(user)).emit('trade:executed', { n: 1 });
    to.emit('trade:executed', { n: 'fits' });
    for (const socket of sockets) {
      await when(socket, () => all(socket, 'trade:executed').some((t) => t.n === 'fits'), 'what fits');
      await fence(cluster.nodes[1], socket);
      assert.deepEqual(all(socket, 'trade:executed').map((t) => t.n), ['fits']);
      assert.deepEqual(names(socket), ['trade:executed']);
      assert.deepEqual(socket.ends, []);
    }
  });

  test('requests to the nodes of a Node cluster are not listened to', async () => {
    const sockets = await onEach(cluster.nodes);
    emitter.disconnectSockets(true);
    emitter.in(room(sockets[0].user)).socketsJoin('lobby');
    emitter.serverSideEmit('hello');
    await fence(cluster.nodes[0], ...sockets);
    for (const socket of sockets) assert.deepEqual(socket.ends, []);
    const { client } = cluster.redis;
    const counts = await client.pubSubNumSub(['socket.io-request#/#', 'socket.io-response#/#']);
    for (const count of Object.values(counts)) assert.equal(Number(count), 0);
    const channels = await client.pubSubChannels('socket.io*');
    assert.deepEqual(channels, []);
    assert.equal(await client.pubSubNumPat(), 1, 'one node listens, to one pattern');
  });
});

describe('the node that listens', () => {
  test('dies: another takes over, and what comes then is delivered, each once', async () => {
    const own = await clusterForTest(3);
    await listening(own);
    const bot = new Emitter(own.redis.client);
    const user = newUser('handover');
    // Two of three must die before the last is sure to have taken over.
    for (let round = 0; round < 2; round += 1) {
      const [doomed] = own.nodes.splice(0, 1);
      await doomed.stop();
      const sockets = await onEach(own.nodes, user);
      let n = 0;
      await eventually(async () => {
        bot.to(room(user)).emit('trade:executed', { n: (n += 1) });
        await delay(50);
        return sockets.every((socket) => all(socket, 'trade:executed').length > 0);
      }, TAKEN_MS + DEADLINE_MS, 'an emitted trade arrives');
      await logFence(own.nodes[0], ...sockets);
      for (const socket of sockets) {
        const came = all(socket, 'trade:executed').filter((t) => t.mark === undefined).map((t) => t.n);
        assert.equal(new Set(came).size, came.length, 'each once');
        socket.disconnect();
      }
    }
  }, { timeout: 60_000 });

  test('leaves in good order: another takes over, and at no time do two listen', async () => {
    const own = await clusterForTest(2);
    await listening(own);
    const bot = new Emitter(own.redis.client);
    const third = await own.add();
    const socket = await connect(third);
    let n = 0;
    let most = 0;
    const emit = async () => {
      bot.to(room(socket.user)).emit('trade:executed', { n: (n += 1) });
      most = Math.max(most, await own.redis.client.pubSubNumPat());
      await delay(20);
    };
    for (const leaving of own.nodes.splice(0, 2)) {
      leaving.signal('SIGTERM');
      let gone = false;
      leaving.ended().then(() => (gone = true));
      while (!gone) await emit();
    }
    const from = n;
    await eventually(async () => {
      await emit();
      return all(socket, 'trade:executed').some((t) => t.n > from);
    }, TAKEN_MS, 'an emitted trade arrives');
    assert.ok(most <= 1, `${most} nodes listened at once`);
    const came = all(socket, 'trade:executed').map((t) => t.n);
    assert.equal(new Set(came).size, came.length, 'each once');
  }, { timeout: 60_000 });

  test('loses Redis: somebody listens again after its return', async () => {
    const own = await clusterForTest(2);
    await listening(own);
    const socket = await connect(own.nodes[0]);
    await own.redis.restart();
    const bot = new Emitter(own.redis.client);
    let n = 0;
    await eventually(async () => {
      bot.to(room(socket.user)).emit('portfolio:update', { n: (n += 1) });
      await delay(50);
      return all(socket, 'portfolio:update').length > 0;
    }, TAKEN_MS + DEADLINE_MS, 'an emitted portfolio arrives');
    await published(own.nodes[1], portfolio(socket.user, { n: 'last' }));
    await when(socket, () => all(socket, 'portfolio:update').at(-1).n === 'last', 'publishes go on');
  }, { timeout: 60_000 });
});

describe('the lease', () => {
  test(`${KEYS.emitterLease} names its holder and expires`, async () => {
    const { client } = cluster.redis;
    assert.match(await client.get(KEYS.emitterLease), /^[0-9a-f]+$/);
    const ttl = await client.pTTL(KEYS.emitterLease);
    assert.ok(ttl > 0 && ttl <= LEASE_MS, `${ttl} ms`);
  });
});
