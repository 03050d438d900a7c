// Redis loses its data, all of it or the latest: that is told where it matters and harms nobody else.
// No connection and no session is cut for it.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import { delay, eventually, health, published, test } from './harness.mjs';
import { all, call, connect, fence, newUser, once, refused, when } from './clients.mjs';
import { BACK_MS, clusterForTest, exactly, logFence, onEach, portfolio, quote, quotes, reached, SHORT_LEASE, trade, trades, upTo } from './cluster.mjs';
import { EVENT_ID, KEYS, M, V } from './names.mjs';
import { proxyForTest } from './redis.mjs';

const MAX = 5;
const SOON_MS = BACK_MS + 3_000;
const epoch = (data) => data.eventId.split('-')[0];

const LOSSES = {
  'FLUSHALL while all is up': async ({ redis }) => redis.client.flushAll(),
  'killed and started empty': async ({ redis }) => redis.restart({ empty: true }),
  'down for a while and started empty': async (cluster) => {
    await cluster.redis.kill();
    await Promise.all(cluster.nodes.map((node) =>
      eventually(async () => (await health(node)).status === 'degraded', SOON_MS, 'it is noticed')));
    await cluster.redis.restart({ empty: true });
  },
};

/** Publishes until it is taken, with one id: a loss may fall into the middle of a request. */
async function takenOnce(node, item, id) {
  await eventually(() => published(node, { ...item, id }), SOON_MS, 'a publish is taken');
}

for (const [title, lose] of Object.entries(LOSSES)) {
  describe(`data loss: ${title}`, () => {
    test('connections stay, are told of the gap, and get every later event once, with ids of a new life', async () => {
      const cluster = await clusterForTest(3);
      const sockets = await onEach(cluster.nodes);
      const { user } = sockets[0];
      await published(cluster.nodes[0], upTo(3).map((n) => trade(user, { n })));
      for (const socket of sockets) await when(socket, () => trades(socket).length === 3, 'the trades');
      await lose(cluster);
      for (const socket of sockets) {
        const told = await once(socket, 'resume', SOON_MS);
        assert.equal(told.recovered, false);
      }
      for (const n of [3, 4, 5]) await takenOnce(cluster.nodes[n % 3], trade(user, { n }), `after-${user}-${n}`);
      for (const socket of sockets) {
        await when(socket, () => trades(socket).length >= 6, 'the later trades', SOON_MS);
        exactly(trades(socket), upTo(6), 'the trades');
        const [first, ...rest] = all(socket, 'trade:executed').slice(3);
        assert.match(first.eventId, EVENT_ID);
        assert.notEqual(epoch(first), epoch(all(socket, 'trade:executed')[0]));
        for (const one of rest) assert.equal(epoch(one), epoch(first));
        assert.equal(all(socket, 'resume').length, 1, 'told once');
        assert.deepEqual(socket.ends, []);
      }
      for (const node of cluster.nodes) await reached(node);
    });

    test('state of before does not hold back state of after', async () => {
      const cluster = await clusterForTest(2);
      const sockets = await onEach(cluster.nodes);
      for (const socket of sockets) await call(socket, 'subscribe:watchlist', ['LOSS']);
      for (const n of upTo(50)) await published(cluster.nodes[n % 2], quote('LOSS', { n }));
      for (const socket of sockets) await when(socket, () => quotes(socket, 'LOSS').at(-1) === 49, 'the values');
      await lose(cluster);
      for (const node of cluster.nodes) await reached(node);
      for (const [i, node] of cluster.nodes.entries()) {
        await published(node, quote('LOSS', { n: 100 + i }));
        for (const socket of sockets) await when(socket, () => quotes(socket, 'LOSS').at(-1) === 100 + i, 'the new value', SOON_MS);
      }
      const late = await connect(cluster.nodes[0]);
      await call(late, 'subscribe:watchlist', ['LOSS']);
      assert.equal((await once(late, 'quote:update')).n, 101);
      for (const socket of sockets) assert.deepEqual(socket.ends, []);
    });

    test('a client that resumes with an id of before is told that it cannot', async () => {
      const cluster = await clusterForTest(2);
      const [first] = await onEach(cluster.nodes);
      await published(cluster.nodes[0], trade(first.user, { n: 0 }));
      const { eventId } = await once(first, 'trade:executed');
      first.disconnect();
      await lose(cluster);
      await takenOnce(cluster.nodes[1], trade(first.user, { n: 1 }), `after-${first.user}`);
      for (const node of cluster.nodes) {
        await reached(node);
        const socket = await connect(node, { user: first.user, auth: { lastEventId: eventId } });
        assert.equal((await once(socket, 'resume')).recovered, false);
        await logFence(node, socket);
      }
    });

    test('no session is taken for destroyed', async () => {
      // Longer than a node may take to notice the loss, as the default is.
      const check = 1_200;
      const cluster = await clusterForTest(2, { env: { [V.AUTH_MODE]: 'session', [V.SESSION_CHECK_EVERY_MS]: check } });
      const user = newUser('logged-in');
      const value = JSON.stringify({ cookie: {}, passport: { user } });
      await cluster.redis.client.set(KEYS.session('kept'), value);
      const sockets = await Promise.all(cluster.nodes.map((node) => connect(node, { session: 'kept', user })));
      await lose(cluster);
      for (const node of cluster.nodes) await reached(node);
      // A claim about time: several checks pass.
      await delay(check * 4);
      await fence(cluster.nodes[0], ...sockets);
      for (const socket of sockets) {
        assert.deepEqual(socket.ends, []);
        assert.deepEqual(all(socket, 'error'), []);
      }
      // A new login needs a session that is there.
      assert.ok((await refused(cluster.nodes[0], { session: 'kept', user })).message.startsWith(M.authFailed));
      // Once it was seen again its end counts again.
      await cluster.redis.client.set(KEYS.session('kept'), value);
      await delay(check * 2);
      await cluster.redis.client.del(KEYS.session('kept'));
      for (const socket of sockets) await when(socket, () => socket.ends[0] === 'io server disconnect', 'the logout counts', check * 6);
      for (const socket of sockets) assert.deepEqual(all(socket, 'error'), [{ message: M.sessionExpired }]);
    });

    test('slots are registered again: the sixth connection is refused everywhere, and nobody is closed', async () => {
      const cluster = await clusterForTest(2, { env: SHORT_LEASE });
      const user = newUser('slots');
      const sockets = [];
      for (let n = 0; n < MAX; n += 1) sockets.push(await connect(cluster.nodes[n % 2], { user }));
      await lose(cluster);
      for (const node of cluster.nodes) await reached(node);
      const held = async () => Object.keys(await cluster.redis.client.hGetAll(KEYS.slots(user))).filter((field) => field !== 'connects').length;
      await eventually(async () => (await held()) === MAX, SOON_MS, 'all five are registered');
      for (const node of cluster.nodes) assert.equal((await refused(node, { user })).message, M.tooMany);
      for (const socket of sockets) assert.deepEqual(socket.ends, []);
    });
  });
}

describe('data loss of the latest', () => {
  test('an older dump is loaded: connections stay, and everything after it is delivered', async () => {
    const cluster = await clusterForTest(2);
    const sockets = await onEach(cluster.nodes);
    const { user } = sockets[0];
    for (const socket of sockets) await call(socket, 'subscribe:watchlist', ['DUMP']);
    await published(cluster.nodes[0], [...upTo(3).map((n) => trade(user, { n })), quote('DUMP', { n: 0 }), portfolio(user, { n: 0 })]);
    await logFence(cluster.nodes[0], ...sockets);
    await cluster.redis.client.sendCommand(['SAVE']);
    const dump = path.join(cluster.redis.dir, 'dump.rdb');
    await copyFile(dump, `${dump}.kept`);
    for (const n of upTo(20)) await published(cluster.nodes[n % 2], [trade(user, { n: n + 3 }), quote('DUMP', { n: n + 1 })]);
    await logFence(cluster.nodes[0], ...sockets);
    await cluster.redis.kill();
    await copyFile(`${dump}.kept`, dump);
    await cluster.redis.restart();
    for (const node of cluster.nodes) await reached(node);
    for (const n of upTo(10)) await takenOnce(cluster.nodes[n % 2], trade(user, { n: n + 100 }), `dump-${user}-${n}`);
    await published(cluster.nodes[1], quote('DUMP', { n: 100 }));
    for (const socket of sockets) {
      await when(socket, () => trades(socket).at(-1) === 109, 'the later trades', SOON_MS);
      exactly(trades(socket), [...upTo(23), ...upTo(10).map((n) => n + 100)], 'the trades');
      await when(socket, () => quotes(socket, 'DUMP').at(-1) === 100, 'the later value', SOON_MS);
      assert.deepEqual(socket.ends, []);
    }
  });

  test('the stream is trimmed under a node that is away: its clients are told, and later events come', async () => {
    const cluster = await clusterForTest(1);
    const proxy = await proxyForTest(cluster.redis.port);
    const away = await cluster.add({ url: cluster.redis.urlFor(proxy.port) });
    await cluster.settled(2);
    const [near] = cluster.nodes;
    const [witness, socket] = await onEach([near, away]);
    const { user } = witness;
    await published(near, trade(user, { n: 0 }));
    await once(socket, 'trade:executed');
    proxy.cut();
    await published(near, upTo(10).map((n) => trade(user, { n: n + 1 })));
    await when(witness, () => trades(witness).length === 11, 'the trades');
    await cluster.redis.client.xTrim(KEYS.stream, 'MAXLEN', 2);
    proxy.mend();
    await reached(away);
    assert.equal((await once(socket, 'resume', SOON_MS)).recovered, false);
    await published(near, trade(user, { n: 11 }));
    await when(socket, () => trades(socket).at(-1) === 11, 'the later trade', SOON_MS);
    exactly(trades(socket), [0, 9, 10, 11], 'what was left');
    assert.deepEqual(all(witness, 'resume'), [], 'the other node missed nothing');
    await when(witness, () => trades(witness).length >= 12, 'the later trade');
    exactly(trades(witness), upTo(12), 'the trades at the other node');
  });

  test('the scripts are forgotten: they are loaded again', async () => {
    const cluster = await clusterForTest(2);
    const sockets = await onEach(cluster.nodes);
    const { user } = sockets[0];
    await published(cluster.nodes[0], trade(user, { n: 0 }));
    await cluster.redis.client.scriptFlush();
    await takenOnce(cluster.nodes[0], trade(user, { n: 1 }), `scripts-${user}`);
    for (const node of cluster.nodes) await reached(node);
    await published(cluster.nodes[1], portfolio(user, { n: 1 }));
    for (const socket of sockets) {
      await when(socket, () => all(socket, 'portfolio:update').at(-1)?.n === 1, 'the state', SOON_MS);
      await when(socket, () => trades(socket).length === 2, 'the trades', SOON_MS);
      exactly(trades(socket), [0, 1], 'the trades');
      assert.deepEqual(all(socket, 'resume'), [], 'nothing was lost');
    }
  });

  test('connections of the nodes are killed one by one: they come back and nothing is lost', async () => {
    const cluster = await clusterForTest(2, { redis: { appendonly: true } });
    const sockets = await onEach(cluster.nodes);
    const { user } = sockets[0];
    for (const n of upTo(10)) {
      const { client } = cluster.redis;
      const mine = String(await client.sendCommand(['CLIENT', 'ID']));
      const ids = String(await client.sendCommand(['CLIENT', 'LIST'])).split('\n').map((line) => /^id=(\d+)/.exec(line)?.[1]).filter((id) => id && id !== mine);
      await client.sendCommand(['CLIENT', 'KILL', 'ID', ids[n % ids.length]]);
      await takenOnce(cluster.nodes[n % 2], trade(user, { n }), `killed-${user}-${n}`);
    }
    for (const node of cluster.nodes) await reached(node);
    await logFence(cluster.nodes[0], ...sockets);
    for (const socket of sockets) exactly(trades(socket), upTo(10), 'the trades');
  });
});
