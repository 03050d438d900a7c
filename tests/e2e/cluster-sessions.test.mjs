// Sessions in Redis as express-session and connect-redis write them: who is admitted, and how a session's
// end closes its connections on every node.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import http from 'node:http';
import session from 'express-session';
import { RedisStore } from 'connect-redis';
import { atEnd, DEADLINE_MS, delay, eventually, health, published, request, test, within } from './harness.mjs';
import { all, connect, ended, fence, newUser, once, open, refused, when } from './clients.mjs';
import { clusterForTest, startCluster, trade } from './cluster.mjs';
import { KEYS, M, PATHS, V } from './names.mjs';

const SECRET = 'keyboard cat';
const CHECK_MS = 500;
const ENV = {
  [V.AUTH_MODE]: 'session',
  [V.SESSION_SECRET]: SECRET,
  [V.SESSION_CHECK_EVERY_MS]: CHECK_MS,
};

let cluster;
before(async () => (cluster = await startCluster(3, { env: ENV })));
after(() => cluster?.stop());

const COOKIE = { originalMaxAge: 86_400_000, expires: '2030-01-01T00:00:00.000Z', secure: false, httpOnly: true, path: '/', sameSite: 'lax' };
const text = (fields) => JSON.stringify({ cookie: COOKIE, ...fields });

let sessions = 0;
/** Writes a session as connect-redis does and returns its id. */
async function store(value, { ttl = 86_400, redis = cluster.redis } = {}) {
  const id = `e2e-${process.pid}-${++sessions}`;
  await redis.client.set(KEYS.session(id), typeof value === 'string' ? value : text(value), { expiration: { type: 'EX', value: ttl } });
  return id;
}

const login = async (user, more) => store({ passport: { user } }, more);
const destroy = (id, redis = cluster.redis) => redis.client.del(KEYS.session(id));

/** Connects with what is in the session, naming no user. */
const bySession = (node, id, more = {}) => connect(node, { session: id, auth: { userId: undefined, ...more } });

async function belongsTo(socket, user) {
  await published(cluster.nodes[0], trade(user, { proof: user }));
  assert.equal((await once(socket, 'trade:executed')).proof, user);
}

async function unknown(id, options = {}) {
  for (const node of cluster.nodes) {
    const error = await refused(node, { session: id, ...options });
    assert.ok(error.message.startsWith(M.authFailed), error.message);
  }
}

async function expiredWithin(socket, deadlineMs) {
  assert.equal(await ended(socket, deadlineMs), 'io server disconnect');
  assert.deepEqual(all(socket, 'error'), [{ message: M.sessionExpired }]);
}

describe('a session names its user', () => {
  const oid = '507f1f77bcf86cd799439011';
  const SHAPES = [
    ['passport.user, a string', (user) => ({ passport: { user } })],
    ['passport.user, an object with id', (user) => ({ passport: { user: { id: user, name: 'x' } } })],
    ['passport.user, an object with _id', (user) => ({ passport: { user: { _id: user } } })],
    ['userId', (user) => ({ userId: user, views: 7 })],
  ];
  for (const [title, fields] of SHAPES) {
    test(title, async () => {
      const user = newUser('alice');
      const id = await store(fields(user));
      await belongsTo(await bySession(cluster.nodes[1], id), user);
      await belongsTo(await connect(cluster.nodes[2], { session: id, user }), user);
    });
  }

  const NUMBERS = [['passport.user', { passport: { user: 12345678901 } }], ['passport.user.id', { passport: { user: { id: 12345678901 } } }], ['userId', { userId: 12345678901 }]];
  for (const [title, fields] of NUMBERS) {
    test(`${title}, a number, compares as its decimal text`, async () => {
      const id = await store(fields);
      const sockets = [await bySession(cluster.nodes[1], id), await connect(cluster.nodes[2], { session: id, user: '12345678901' }), await connect(cluster.nodes[0], { session: id, user: 12345678901 })];
      for (const socket of sockets) await belongsTo(socket, '12345678901');
      for (const socket of sockets) socket.disconnect();
      await eventually(async () => (await cluster.redis.client.hLen(KEYS.slots('12345678901'))) <= 1, DEADLINE_MS, 'the slots are given back');
    });
  }

  test('an ObjectId as text', async () => {
    await belongsTo(await bySession(cluster.nodes[1], await store({ passport: { user: { _id: oid } } })), oid);
  });

  test('a userId that does not match is refused', async () => {
    const id = await login(newUser('alice'));
    await unknown(id, { user: newUser('mallory') });
  });
});

describe('a session that does not count', () => {
  test('is refused when it does not exist or has expired', async () => {
    await unknown('no-such-session');
    const id = await login(newUser('short'), { ttl: 1 });
    await eventually(async () => !(await cluster.redis.client.exists(KEYS.session(id))), 3_000, 'the key expires');
    await unknown(id);
  });

  test('the key\'s TTL is the truth, not cookie.expires', async () => {
    const user = newUser('stale');
    const id = await store(JSON.stringify({ cookie: { ...COOKIE, expires: '2001-01-01T00:00:00.000Z' }, passport: { user } }));
    await belongsTo(await bySession(cluster.nodes[1], id), user);
  });

  test('one without a TTL counts', async () => {
    const user = newUser('endless');
    const id = await login(user);
    await cluster.redis.client.persist(KEYS.session(id));
    await belongsTo(await bySession(cluster.nodes[1], id), user);
  });

  const deep = (levels) => `${'['.repeat(levels)}${']'.repeat(levels)}`;
  const MALFORMED = [
    ['nobody logged in', text({})],
    ['passport without a user', text({ passport: {} })],
    ['not JSON', 'not json at all'],
    ['half of it', text({ passport: { user: 'half' } }).slice(0, -3)],
    ['nothing', ''],
    ['binary', '\u0000\uffff\u0001'],
    ['an array', '[1,2,3]'],
    ['a string', '"passport"'],
    ['null', 'null'],
    ['an empty user', text({ passport: { user: '' } })],
    ['a user that is an array', text({ passport: { user: ['alice'] } })],
    ['a user that is true', text({ passport: { user: true } })],
    ['a fraction', text({ userId: 1.5 })],
    ['a user of 300 bytes', text({ passport: { user: 'u'.repeat(300) } })],
    ['deep nesting', `{"cookie":{},"a":${deep(10_000)},"passport":{"user":"deep"}}`],
    ['a megabyte', text({ pad: 'x'.repeat(1_000_000), passport: { user: 'huge' } })],
  ];
  for (const [title, value] of MALFORMED) {
    test(`${title}: that login is refused and nothing else`, async () => {
      const id = await store(value);
      const good = await bySession(cluster.nodes[0], await login(newUser('good')));
      await unknown(id, { auth: { userId: undefined } });
      await fence(cluster.nodes[0], good);
      assert.equal((await health(cluster.nodes[0])).status, 'healthy');
      await destroy(id);
    });
  }

  test('a key of another type: that login is refused and nothing else', async () => {
    const { client } = cluster.redis;
    for (const [n, write] of [(key) => client.lPush(key, 'x'), (key) => client.hSet(key, 'a', 'b'), (key) => client.sAdd(key, 'x')].entries()) {
      const id = `foreign-${process.pid}-${n}`;
      await write(KEYS.session(id));
      await unknown(id, { auth: { userId: undefined } });
      await client.del(KEYS.session(id));
    }
    for (const node of cluster.nodes) assert.equal((await health(node)).status, 'healthy');
  });

  test('session ids that would confuse a key are only unknown', async () => {
    for (const id of ['*', '../x', 'a\r\nFLUSHALL\r\n', '{x}', 'x'.repeat(10_000)]) {
      const error = await refused(cluster.nodes[0], { session: id });
      assert.match(error.message, /^Authentication/);
    }
    assert.ok(await cluster.redis.client.exists(KEYS.logClock), 'nothing was flushed');
  });
});

describe('a session that ends', () => {
  test('destroyed: its connections on every node get the error and a Socket.IO disconnect, nobody else does', async () => {
    const [user, other] = [newUser('leaver'), newUser('stayer')];
    const [id, second, kept] = [await login(user), await login(user), await login(other)];
    const doomed = await Promise.all(cluster.nodes.map((node) => bySession(node, id)));
    const staying = [await bySession(cluster.nodes[0], second), ...await Promise.all(cluster.nodes.map((node) => bySession(node, kept)))];
    await destroy(id);
    for (const socket of doomed) await expiredWithin(socket, CHECK_MS * 8);
    await fence(cluster.nodes[0], ...staying);
    for (const socket of staying) assert.deepEqual(socket.ends, []);
    await unknown(id);
  });

  test('expired by its TTL: as destroyed', async () => {
    const id = await login(newUser('expiring'), { ttl: 2 });
    const socket = await bySession(cluster.nodes[1], id);
    await expiredWithin(socket, 2_000 + CHECK_MS * 8);
  });

  test('touched in time: goes on', async () => {
    const id = await login(newUser('touched'), { ttl: 2 });
    const socket = await bySession(cluster.nodes[1], id);
    // A claim about time: three lifetimes pass.
    for (let n = 0; n < 6; n += 1) {
      await delay(1_000);
      await cluster.redis.client.expire(KEYS.session(id), 2);
    }
    assert.deepEqual(socket.ends, []);
    await destroy(id);
    await expiredWithin(socket, CHECK_MS * 8);
  });

  test('gone for one check only, as when it is written anew: goes on', async () => {
    const user = newUser('rewritten');
    const id = await login(user);
    const socket = await bySession(cluster.nodes[1], id);
    const value = await cluster.redis.client.get(KEYS.session(id));
    for (let n = 0; n < 10; n += 1) {
      await destroy(id);
      await cluster.redis.client.set(KEYS.session(id), value);
      await delay(100);
    }
    assert.deepEqual(socket.ends, []);
  });

  test('with default settings: within 30 s, and not before two checks', async () => {
    const slow = await clusterForTest(1, { env: { ...ENV, [V.SESSION_CHECK_EVERY_MS]: undefined } });
    const id = await login(newUser('default'), { redis: slow.redis });
    const socket = await bySession(slow.nodes[0], id);
    const begun = Date.now();
    await destroy(id, slow.redis);
    await expiredWithin(socket, 30_000);
    assert.ok(Date.now() - begun >= 9_500, `after ${Date.now() - begun} ms, which is less than two checks are apart`);
  }, { timeout: 60_000 });
});

describe('the real express-session and connect-redis', () => {
  /** The guide's site: /login starts a session, /logout destroys it. */
  async function site() {
    const client = await cluster.redis.clientForTest();
    const middleware = session({ store: new RedisStore({ client }), secret: SECRET, resave: false, saveUninitialized: false });
    const server = http.createServer((req, res) => middleware(req, res, () => {
      const done = (error) => {
        res.statusCode = error ? 500 : 200;
        res.end(JSON.stringify({ id: req.sessionID }));
      };
      const { pathname, searchParams } = new URL(req.url, 'http://site');
      if (pathname === '/logout') return req.session.destroy(done);
      req.session.passport = { user: searchParams.get('user') };
      return req.session.save(done);
    }));
    server.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    atEnd(() => new Promise((resolve) => server.close(resolve)));
    return { port: server.address().port };
  }

  test('a login there is a login here, by session id and by cookie, and a logout there closes both', async () => {
    const web = await site();
    const user = newUser('express');
    const answer = await request(web, `/login?user=${user}`);
    assert.equal(answer.status, 200);
    const cookie = answer.headers['set-cookie'][0].split(';')[0];
    const byId = await bySession(cluster.nodes[0], answer.json.id);
    const byCookie = await connect(cluster.nodes[1], { user, session: undefined, auth: { sessionID: undefined }, options: { extraHeaders: { cookie } } });
    await belongsTo(byId, user);
    await belongsTo(byCookie, user);
    assert.equal((await request(web, '/logout', { headers: { cookie } })).status, 200);
    for (const socket of [byId, byCookie]) await expiredWithin(socket, CHECK_MS * 8);
    await unknown(answer.json.id);
  });

  test('a cookie with another secret\'s signature counts as absent', async () => {
    const id = await login(newUser('forged'));
    const error = await refused(cluster.nodes[0], { auth: { sessionID: undefined }, options: { extraHeaders: { cookie: `connect.sid=${encodeURIComponent(`s:${id}.${'A'.repeat(43)}`)}` } } });
    assert.equal(error.message, M.noSession);
  });
});

describe('settings', () => {
  test(`${V.SESSION_PREFIX} names the keys`, async () => {
    const own = await clusterForTest(1, { env: { ...ENV, [V.SESSION_PREFIX]: 'shop:s:' } });
    const user = newUser('prefixed');
    await own.redis.client.set('shop:s:abc', text({ passport: { user } }));
    await own.redis.client.set('sess:def', text({ passport: { user } }));
    await bySession(own.nodes[0], 'abc');
    assert.ok((await refused(own.nodes[0], { session: 'def', user })).message.startsWith(M.authFailed));
  });

  test('with AUTH_MODE=trust sessions are not looked at', async () => {
    const trusting = await clusterForTest(1, { env: { [V.SESSION_CHECK_EVERY_MS]: CHECK_MS } });
    const socket = await connect(trusting.nodes[0]);
    await delay(CHECK_MS * 4);
    assert.deepEqual(socket.ends, []);
  });
});

describe('while the store cannot be asked', () => {
  test('a login is refused for now, below Socket.IO, and a stock client gets in by itself once Redis is back', async () => {
    const alone = await clusterForTest(1, { redis: { appendonly: true }, env: ENV });
    const user = newUser('patient');
    const id = await login(user, { redis: alone.redis });
    const inside = await bySession(alone.nodes[0], id);
    await alone.redis.kill();
    const socket = open(alone.nodes[0], { session: id, user, reconnection: true });
    await when(socket, () => socket.refusals.length > 0 || socket.ends.length > 0, 'a refusal for now', 15_000);
    assert.equal(socket.connected, false);
    assert.equal(socket.active, true, 'it tries again');
    await alone.redis.restart();
    await when(socket, () => socket.connected, 'it gets in', 15_000);
    assert.deepEqual(inside.ends, [], 'who was inside stays inside');
  });

  test('a login that waits for Redis is admitted as soon as it answers', async () => {
    const alone = await clusterForTest(1, { env: ENV });
    const user = newUser('waiting');
    const id = await login(user, { redis: alone.redis });
    alone.redis.pause();
    const socket = open(alone.nodes[0], { session: id, user, reconnection: true });
    await eventually(() => socket.io.engine?.readyState === 'open', DEADLINE_MS, 'the transport opens');
    assert.equal(socket.connected, false);
    alone.redis.resume();
    await when(socket, () => socket.connected, 'it gets in', 10_000);
    assert.deepEqual(socket.refusals.map((error) => error.message).filter((message) => message.startsWith('Authentication')), []);
  });

  test('nobody is cut while Redis is away or hangs, however long the checks', async () => {
    const alone = await clusterForTest(1, { redis: { appendonly: true }, env: ENV });
    const socket = await bySession(alone.nodes[0], await login(newUser('kept'), { redis: alone.redis }));
    alone.redis.pause();
    await delay(CHECK_MS * 6);
    alone.redis.resume();
    await eventually(async () => (await health(alone.nodes[0])).bus.state === 'reached', 5_000, 'Redis is reached again');
    await alone.redis.kill();
    await delay(CHECK_MS * 6);
    await alone.redis.restart();
    await eventually(async () => (await health(alone.nodes[0])).bus.state === 'reached', 8_000, 'Redis is reached again');
    await delay(CHECK_MS * 4);
    assert.deepEqual(socket.ends, []);
    assert.deepEqual(all(socket, 'error'), []);
  });

  test('a flood of logins with unknown sessions does not keep a good one out', async () => {
    const id = await login(newUser('good'));
    const flood = Array.from({ length: 200 }, (_, n) => open(cluster.nodes[0], { session: `flood-${n}` }));
    const good = await bySession(cluster.nodes[0], id);
    await within(Promise.all(flood.map((socket) => when(socket, () => socket.refusals.length > 0, 'refused'))), DEADLINE_MS, 'all are refused');
    assert.deepEqual(good.ends, []);
    assert.equal((await request(cluster.nodes[0], PATHS.ready)).status, 200);
  });
});
