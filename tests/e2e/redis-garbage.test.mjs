// Redis counts as outside: whatever lies in its keys and comes through its channels, the nodes live on,
// clients get none of it, and what is well formed still flows.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { delay, eventually, health, publish, published, request, test } from './harness.mjs';
import { all, call, connect, fence, forget, names, newUser, once, refused, when } from './clients.mjs';
import { BACK_MS, exactly, onEach, portfolio, quote, quotes, SHORT_LEASE, startCluster, trade, trades } from './cluster.mjs';
import { KEYS, PATHS } from './names.mjs';

const SOON_MS = BACK_MS + 3_000;

let cluster;
before(async () => (cluster = await startCluster(3, { env: SHORT_LEASE })));
after(() => cluster?.stop());

const UNSURE = 'unsure';
const EPOCH = 'f'.repeat(16);
const bytes = (...parts) => Buffer.concat(parts.map((part) => (Buffer.isBuffer(part) ? part : Buffer.from(part))));

/** Log and state still cross the nodes, each once, and these clients got nothing else. */
async function allIsWell(sockets, what) {
  const mark = randomBytes(4).toString('hex');
  const { user } = sockets[0];
  for (const [n, node] of cluster.nodes.entries()) {
    const batch = [trade(user, { n: `${mark}-${n}` }), portfolio(user, { n: `${mark}-${n}` })];
    const ids = batch.map((_, i) => `${mark}-${n}-${i}`);
    await eventually(() => published(node, batch.map((item, i) => ({ ...item, id: ids[i] }))), SOON_MS, `${what}: a publish is taken`);
    for (const socket of sockets) {
      await when(socket, () => trades(socket).includes(`${mark}-${n}`), `${what}: the trade`, SOON_MS);
      await when(socket, () => all(socket, 'portfolio:update').at(-1)?.n === `${mark}-${n}`, `${what}: the portfolio`, SOON_MS);
    }
  }
  for (const socket of sockets) {
    // A publish that was answered 503 may have been taken after all.
    exactly(trades(socket).filter((n) => n !== UNSURE), [0, 1, 2].map((n) => `${mark}-${n}`), what);
    assert.deepEqual(socket.ends, [], what);
    assert.deepEqual(all(socket, 'error'), [], what);
    forget(socket);
  }
  for (const node of cluster.nodes) assert.equal((await request(node, PATHS.live)).status, 200);
}

const CHANNEL = {
  'nothing': '',
  'text': 'hello',
  'JSON': '{"event":"quote:update"}',
  'random bytes': randomBytes(2_000),
  'a head without an epoch': 'v \n',
  'an epoch that is none': `v ${'g'.repeat(16)}\n1 1 2\nm{}`,
  'an epoch too long': `v ${'a'.repeat(4_000)}\n1 1 2\nm{}`,
  'a head without an end': `v ${EPOCH}`,
  'another kind': `x ${EPOCH}\n1 1 2\nm{}`,
  'no values': `v ${EPOCH}\n`,
  'lengths that are missing': `v ${EPOCH}\n1\nm{}`,
  'a length beyond the end': `v ${EPOCH}\n1 1 99\nm{}`,
  'a length beyond all bounds': `v ${EPOCH}\n1 1 99999999999999999999999\nm{}`,
  'a length near 2^64': `v ${EPOCH}\n1 18446744073709551615 18446744073709551615\nm{}`,
  'a negative length': `v ${EPOCH}\n1 -1 2\nm{}`,
  'a counter beyond all bounds': `v ${EPOCH}\n99999999999999999999999 1 2\nm{}`,
  'a topic that is none': `v ${EPOCH}\n1 3 2\nx:y{}`,
  'a topic without a user': `v ${EPOCH}\n1 2 2\np:{}`,
  'a symbol that is none': `v ${EPOCH}\n1 6 2\nq:a b!{}`,
  'a payload that is no object': `v ${EPOCH}\n1 1 3\nm[1]`,
  'a payload that is no JSON': `v ${EPOCH}\n1 1 3\nm{{{`,
  'a payload that is no text': bytes(`v ${EPOCH}\n1 1 4\nm`, Buffer.from([0xff, 0xfe, 0xc0, 0x80])),
  'something after the last value': `v ${EPOCH}\n1 6 2\nq:NONE{}trailing`,
  'two megabytes': bytes('v ', 'x'.repeat(2_000_000)),
  'a heartbeat of nobody': 'h \n',
  'a heartbeat without a number': 'h 0123456789abcdef',
  'a heartbeat with a huge number': `h 0123456789abcdef ${'9'.repeat(40)}`,
  'a heartbeat from a name too long': `h ${'a'.repeat(100_000)} 1`,
};

const array = (...items) => bytes(Buffer.from([0x90 + items.length]), ...items);
const text = (value) => (value.length < 32 ? bytes(Buffer.from([0xa0 + value.length]), value) : bytes(Buffer.from([0xd9, value.length]), value));
const emitted = (packet, opts) => array(text('emitter'), packet, opts);
const NONE = Buffer.from([0x80]);

const EMITTED = {
  'nothing': Buffer.alloc(0),
  'text': Buffer.from('hello'),
  'random bytes': randomBytes(2_000),
  'a number': Buffer.from([7]),
  'two items': array(text('emitter'), NONE),
  'empty maps': emitted(NONE, NONE),
  'an array that claims 2^32 items': Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
  'a map that claims 2^32 items': bytes(Buffer.from([0x93]), text('emitter'), Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff])),
  'a text that claims 4 GiB': bytes(Buffer.from([0x93]), Buffer.from([0xdb, 0xff, 0xff, 0xff, 0xff]), 'x'),
  'a blob that claims 4 GiB': bytes(Buffer.from([0x93]), Buffer.from([0xc6, 0xff, 0xff, 0xff, 0xff]), 'x'),
  'nesting of 100,000 levels': bytes(Buffer.from([0x93]), text('emitter'), Buffer.alloc(100_000, 0x91)),
  'nesting of 100,000 maps': bytes(Buffer.from([0x93]), text('emitter'), Buffer.alloc(100_000, 0x81)),
  'an extension of a size that is not there': bytes(Buffer.from([0x93]), Buffer.from([0xc9, 0xff, 0xff, 0xff, 0xff, 0x01])),
  'the byte that is never used': Buffer.from([0x93, 0xc1, 0xc1, 0xc1]),
  'text that is no UTF-8': emitted(bytes(Buffer.from([0x81]), text('type'), Buffer.from([0xa2, 0xff, 0xfe])), NONE),
  'three megabytes': bytes(Buffer.from([0x93]), Buffer.from([0xdb, 0x00, 0x2d, 0xc6, 0xc0]), 'x'.repeat(3_000_000)),
};

describe('garbage on channels', () => {
  test(`on ${KEYS.stateChannel}`, async () => {
    const sockets = await onEach(cluster.nodes);
    await fence(cluster.nodes[0], ...sockets);
    sockets.forEach(forget);
    for (const body of Object.values(CHANNEL)) await cluster.redis.client.publish(KEYS.stateChannel, body);
    await fence(cluster.nodes[0], ...sockets);
    for (const socket of sockets) assert.deepEqual(names(socket), [], 'clients get none of it');
    await allIsWell(sockets, 'all at once');
    for (const [title, body] of Object.entries(CHANNEL)) {
      await cluster.redis.client.publish(KEYS.stateChannel, body);
      await allIsWell(sockets, title);
    }
    for (const node of cluster.nodes) assert.equal((await health(node)).bus.state, 'reached');
  });

  test(`on ${KEYS.emitterChannel} and rooms of it`, async () => {
    const sockets = await onEach(cluster.nodes);
    await fence(cluster.nodes[0], ...sockets);
    sockets.forEach(forget);
    const { client } = cluster.redis;
    await eventually(async () => (await client.pubSubNumPat()) === 1, SOON_MS, 'a node listens');
    for (const body of Object.values(EMITTED)) {
      for (const channel of [KEYS.emitterChannel, `${KEYS.emitterChannel}user:${sockets[0].user}#`, `${KEYS.emitterChannel}${'x'.repeat(10_000)}#`]) {
        await client.publish(channel, body);
      }
    }
    await fence(cluster.nodes[0], ...sockets);
    for (const socket of sockets) assert.deepEqual(names(socket), [], 'clients get none of it');
    await allIsWell(sockets, 'after it');
    assert.equal(await client.pubSubNumPat(), 1, 'it still listens');
  });

  test('a flood of well-formed messages with an old epoch changes nothing that is newer', async () => {
    const sockets = await onEach(cluster.nodes);
    for (const socket of sockets) await call(socket, 'subscribe:watchlist', ['FLOODED']);
    await published(cluster.nodes[0], quote('FLOODED', { n: 1 }));
    for (const socket of sockets) await once(socket, 'quote:update');
    const epoch = await cluster.redis.client.hGet(KEYS.stateClock, 'e');
    const payload = '{"n":0}';
    const old = `v ${epoch}\n1 9 ${payload.length}\nq:FLOODED${payload}`;
    for (let n = 0; n < 2_000; n += 1) cluster.redis.client.publish(KEYS.stateChannel, old);
    await published(cluster.nodes[1], quote('FLOODED', { n: 2 }));
    for (const socket of sockets) {
      await when(socket, () => quotes(socket, 'FLOODED').at(-1) === 2, 'the newer value', SOON_MS);
      assert.deepEqual(quotes(socket, 'FLOODED'), [1, 2]);
    }
  });
});

describe('garbage in keys', () => {
  const ENTRIES = [
    ['x', 'y'],
    ['e', EPOCH, 'n', '1', 'k', 'executed', 'u', 'alice'],
    ['e', 'nonsense', 'n', '1', 'k', 'executed', 'u', 'alice', 'p', '{}'],
    ['e', '', 'n', '', 'k', '', 'u', '', 'p', ''],
    ['n', '99999999999999999999999999', 'e', EPOCH, 'k', 'executed', 'u', 'alice', 'p', '{}'],
    ['k', 'cancelled', 'e', EPOCH, 'n', '2', 'u', 'alice', 'p', '{}'],
    ['p', 'x'.repeat(3_000_000)],
    [Buffer.from([0xff, 0xfe]), Buffer.from([0xff, 0xfe])],
  ];

  test(`entries in ${KEYS.stream} that nobody of us wrote are passed over`, async () => {
    const sockets = await onEach(cluster.nodes);
    await allIsWell(sockets, 'before it');
    for (const [n, fields] of ENTRIES.entries()) {
      await cluster.redis.client.sendCommand(['XADD', KEYS.stream, '*', ...fields]);
      await allIsWell(sockets, `entry ${n}`);
    }
    const epoch = await cluster.redis.client.hGet(KEYS.logClock, 'e');
    for (const payload of ['[]', 'null', '{"a":', 'x']) {
      await cluster.redis.client.sendCommand(['XADD', KEYS.stream, '*', 'e', epoch, 'n', 'NaN', 'k', 'executed', 'u', sockets[0].user, 'p', payload]);
    }
    await allIsWell(sockets, 'entries of the right epoch');
    await cluster.redis.client.sendCommand(['XADD', KEYS.stream, '*', ...ENTRIES[0]]);
    const late = await cluster.add();
    cluster.nodes.pop();
    await late.stop('SIGTERM');
    await allIsWell(sockets, 'a node that starts reads over them');
  }, { timeout: 90_000 });

  test('values of topics that nobody of us wrote are not delivered, and are written over', async () => {
    const VALUES = ['', 'hello', '1', '1\n', '\n{}', 'x\n{}', '-1\n{}', '99999999999999999999999\n{}', '1\n[]', '1\n{{', `1\n${'x'.repeat(2_000_000)}`, Buffer.from([0xff, 0xfe, 0x0a, 0xff])];
    const { client } = cluster.redis;
    for (const [n, value] of VALUES.entries()) {
      const symbol = `GARBAGE${n}`;
      await client.set(KEYS.value(`q:${symbol}`), value);
      const socket = await connect(cluster.nodes[n % 3]);
      assert.equal((await call(socket, 'subscribe:watchlist', [symbol])).ok, true, `value ${n}`);
      await fence(cluster.nodes[0], socket);
      assert.deepEqual(all(socket, 'quote:update'), [], `value ${n}`);
      await published(cluster.nodes[1], quote(symbol, { n: 1 }));
      assert.equal((await once(socket, 'quote:update')).n, 1, `value ${n}`);
      socket.disconnect();
    }
  });

  // What each of our keys may be replaced with: one of another type, and one of the right type that says nothing.
  const foreign = (key, type) => async ({ client }) => {
    await client.del(key);
    if (type === 'list') await client.lPush(key, ['a', 'b']);
    if (type === 'string') await client.set(key, 'garbage');
    if (type === 'hash') await client.hSet(key, { e: 'garbage', c: 'garbage', n: 'garbage', connects: 'garbage', garbage: 'garbage garbage', 'r:x': 'garbage' });
  };
  const SHARED = [KEYS.stateClock, KEYS.logClock, KEYS.stream, KEYS.emitterLease];
  for (const key of SHARED) {
    for (const type of ['list', 'string', 'hash']) {
      test(`a ${type} at ${key}: answers stay honest, nobody is cut, and without it all is well again`, async () => {
        const sockets = await onEach(cluster.nodes);
        await allIsWell(sockets, 'before it');
        await foreign(key, type)(cluster.redis);
        const { user } = sockets[0];
        const log = await publish(cluster.nodes[0], trade(user, { n: UNSURE }));
        assert.ok([202, 503].includes(log.status), `${log.status}: ${log.text}`);
        if (log.status === 202) for (const socket of sockets) await when(socket, () => trades(socket).includes(UNSURE), 'what was answered 202', SOON_MS);
        else assert.equal(log.json.ids.length, 1);
        const state = await publish(cluster.nodes[0], portfolio(user, { n: 'state' }));
        assert.equal(state.status, 202, state.text);
        await when(sockets[0], () => all(sockets[0], 'portfolio:update').at(-1)?.n === 'state', 'clients of the node itself get state');
        for (const node of cluster.nodes) assert.equal((await request(node, PATHS.health)).status, 200);
        await cluster.redis.client.del(key);
        await eventually(async () => (await Promise.all(cluster.nodes.map(health))).every(({ status }) => status === 'healthy'), SOON_MS, 'all are healthy');
        for (const socket of sockets) {
          assert.deepEqual(socket.ends, []);
          assert.deepEqual(all(socket, 'error'), []);
          forget(socket);
        }
        await allIsWell(sockets, 'after it');
      });
    }
  }

  test('slots and rates of a user that nobody of us wrote: the user is served all the same, and others are not touched', async () => {
    const other = await connect(cluster.nodes[0]);
    for (const type of ['list', 'string', 'hash']) {
      const user = newUser('garbage');
      for (const key of [KEYS.slots(user), ...['portfolio', 'trades', 'watchlist'].map((name) => KEYS.rate(user, name))]) await foreign(key, type)(cluster.redis);
      const socket = await connect(cluster.nodes[0], { user });
      for (let n = 0; n < 3; n += 1) assert.equal((await call(socket, 'subscribe:watchlist', ['ANY'])).ok, true, type);
      // A claim about time: some renewals pass.
      await delay(2_500);
      assert.deepEqual(socket.ends, [], type);
      await connect(cluster.nodes[1], { user });
    }
    await fence(cluster.nodes[0], other);
    assert.deepEqual(other.ends, []);
    for (const node of cluster.nodes) assert.equal((await health(node)).status, 'healthy');
  });

  test('fields among a user\'s slots that nobody of us wrote do not keep the user out', async () => {
    const user = newUser('fields');
    const { client } = cluster.redis;
    await client.hSet(KEYS.slots(user), Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`junk${n}`, ['', 'x', '1', 'a b', '1 x', 'nan nan', '-1 -1', '1e999 1e999'][n % 8]])));
    const sockets = [];
    for (let n = 0; n < 5; n += 1) sockets.push(await connect(cluster.nodes[n % 3], { user }));
    await refused(cluster.nodes[0], { user });
    await delay(2_500);
    for (const socket of sockets) assert.deepEqual(socket.ends, []);
  });
});
