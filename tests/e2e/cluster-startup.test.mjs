// Starting with a Redis that is not there, not willing or not a Redis: the node runs, says what is wrong
// without giving away the password, and is ready once the bus was up.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import net from 'node:net';
import { atEnd, eventually, health, publish, published, request, startForTest, test } from './harness.mjs';
import { all, call, connect, newUser, once, when } from './clients.mjs';
import { BACK_MS, bus, clusterForTest, portfolio, quote, reached, ready, trade } from './cluster.mjs';
import { PATHS, V } from './names.mjs';
import { freePort, Redis, redisForTest } from './redis.mjs';

const SOON_MS = BACK_MS + 3_000;
const PASSWORD = 'correct horse/battery@staple';
const WRONG = 'hush-hush-secret';

const node = (url, env = {}) => startForTest({ [V.REDIS_URL]: url, ...env });

/** It runs and says so, but takes no part in a cluster yet. */
async function waits(server) {
  assert.equal((await request(server, PATHS.live)).status, 200);
  const answer = await request(server, PATHS.ready);
  assert.equal(answer.status, 503);
  assert.equal((await bus(server)).state, 'never');
  const told = await request(server, PATHS.health);
  assert.equal(told.status, 200);
  assert.equal(told.json.status, 'degraded');
}

const logs = (server) => [...server.logs.map((entry) => entry.line), ...server.stderr];
const says = (server, pattern, what) => eventually(() => logs(server).find((line) => pattern.test(line)), SOON_MS, what);

describe('without Redis', () => {
  test('a node starts, says so, is not ready, and is once Redis is there', async () => {
    const redis = await new Redis().prepare();
    atEnd(() => redis.stop());
    const server = await node(redis.url);
    await waits(server);
    await says(server, /redis/i, 'Redis is named in the log');
    await redis.start();
    await reached(server, SOON_MS);
    assert.equal(await ready(server), true);
    assert.equal((await health(server)).status, 'healthy');
  });

  test('before the bus was up once, publishes are answered honestly', async () => {
    const server = await node(`redis://127.0.0.1:${await freePort()}`);
    const log = await publish(server, trade(newUser()));
    assert.equal(log.status, 503);
    assert.equal(log.json.ids.length, 1);
    const state = await published(server, quote('EARLY', { n: 1 }));
    assert.equal(state.degraded, true);
  });

  test('what was published and who was connected before that is not lost', async () => {
    const redis = await new Redis().prepare();
    atEnd(() => redis.stop());
    const servers = [await node(redis.url), await node(redis.url)];
    const user = newUser('early');
    const sockets = await Promise.all(servers.map((server) => connect(server, { user })));
    for (const socket of sockets) {
      await call(socket, 'subscribe:watchlist', ['EARLY']);
      await call(socket, 'subscribe:portfolio');
    }
    await published(servers[0], [quote('EARLY', { n: 1 }), portfolio(user, { n: 1 })]);
    assert.equal((await once(sockets[0], 'quote:update')).n, 1);
    await redis.start();
    for (const server of servers) await reached(server, SOON_MS);
    assert.equal((await once(sockets[1], 'quote:update')).n, 1);
    assert.equal((await once(sockets[1], 'portfolio:update')).n, 1);
    await published(servers[1], trade(user, { n: 2 }));
    for (const socket of sockets) {
      assert.equal((await once(socket, 'trade:executed')).n, 2);
      assert.deepEqual(socket.ends, []);
    }
  });

  test('a host that has no address is no reason to end', async () => {
    const server = await node('redis://no-such-host.invalid:6379');
    await waits(server);
    await says(server, /no-such-host\.invalid/, 'the host is named');
  });

  test('SIGTERM ends a node that never reached it with code 0', async () => {
    const server = await node(`redis://127.0.0.1:${await freePort()}`);
    server.signal('SIGTERM');
    assert.deepEqual(await server.ended(), { code: 0, signal: null });
  });
});

describe('a wrong password', () => {
  const noSecret = (server, ...secrets) => {
    for (const line of logs(server)) {
      for (const secret of secrets) {
        assert.ok(!line.includes(secret) && !line.includes(encodeURIComponent(secret)), `a password in the log: ${line}`);
      }
    }
  };

  test('is said without repeating it, keeps the node from being ready, and is mended by setting it right', async () => {
    const redis = await redisForTest({ requirepass: PASSWORD });
    const server = await node(redis.urlFor(redis.port, WRONG));
    await waits(server);
    await says(server, /password|WRONGPASS/i, 'the password is named as the reason');
    await redis.client.configSet('requirepass', WRONG);
    await reached(server, SOON_MS);
    assert.equal(await ready(server), true);
    const socket = await connect(server);
    await published(server, trade(socket.user, { n: 1 }));
    assert.equal((await once(socket, 'trade:executed')).n, 1);
    noSecret(server, WRONG, PASSWORD);
    assert.ok(!JSON.stringify(await health(server)).includes(WRONG));
  });

  test('no password where one is needed is the same', async () => {
    const redis = await redisForTest({ requirepass: PASSWORD });
    const server = await node(redis.urlFor(redis.port, ''));
    await waits(server);
    await says(server, /password|NOAUTH/i, 'the password is named as the reason');
    await redis.client.configSet('requirepass', '');
    await reached(server, SOON_MS);
  });

  test('changed under a running node: it goes on until its connection ends, then says so, and returns', async () => {
    const redis = await redisForTest({ requirepass: WRONG });
    const server = await node(redis.url);
    await reached(server);
    const socket = await connect(server);
    await redis.client.configSet('requirepass', PASSWORD);
    await redis.client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    await redis.client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes']);
    await eventually(async () => (await bus(server)).state === 'lost', SOON_MS, 'it is lost');
    await says(server, /password|WRONGPASS/i, 'the password is named as the reason');
    assert.equal((await published(server, portfolio(socket.user, { n: 1 }))).degraded, true);
    assert.equal((await once(socket, 'portfolio:update')).n, 1);
    await redis.client.configSet('requirepass', WRONG);
    await reached(server, SOON_MS);
    noSecret(server, WRONG, PASSWORD);
    assert.deepEqual(socket.ends, []);
  });

  test('the right one with odd characters, a user and a database work', async () => {
    const redis = await redisForTest({ requirepass: PASSWORD });
    await redis.client.sendCommand(['ACL', 'SETUSER', 'wire', 'on', `>${PASSWORD}`, '~*', '&*', '+@all']);
    const server = await node(`redis://wire:${encodeURIComponent(PASSWORD)}@127.0.0.1:${redis.port}/3`);
    await reached(server);
    const socket = await connect(server);
    await published(server, [trade(socket.user, { n: 1 }), portfolio(socket.user, { n: 2 })]);
    await once(socket, 'trade:executed');
    await redis.client.select(3);
    assert.ok((await redis.client.keys('tradewire:*')).length > 0, 'it uses the database that it was given');
    noSecret(server, PASSWORD);
  });
});

describe('something else at the address', () => {
  const STRANGERS = {
    'answers HTTP': (socket) => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
    'answers noise': (socket) => socket.write(Buffer.from(Array.from({ length: 5_000 }, (_, n) => (n * 37) % 256))),
    'answers without end': (socket) => {
      const more = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(65_536, 0x2a)));
      };
      socket.on('drain', more);
      more();
    },
    'claims a huge reply': (socket) => socket.write('$999999999999\r\nx'),
    'claims a huge array': (socket) => socket.write('*2147483647\r\n'),
    'nests without end': (socket) => socket.write('*1\r\n'.repeat(200_000)),
    'says nothing': () => {},
    'hangs up': (socket) => socket.destroy(),
  };
  for (const [title, answer] of Object.entries(STRANGERS)) {
    test(`which ${title}: the node runs on and is ready once a Redis is there`, async () => {
      const sockets = new Set();
      const stranger = net.createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => sockets.delete(socket));
        socket.once('data', () => answer(socket));
      }).listen(0, '127.0.0.1');
      await new Promise((resolve) => stranger.once('listening', resolve));
      const close = () => {
        sockets.forEach((socket) => socket.destroy());
        return new Promise((resolve) => stranger.close(resolve));
      };
      atEnd(close);
      const redis = await new Redis().prepare();
      redis.port = stranger.address().port;
      atEnd(() => redis.stop());
      const server = await node(redis.url);
      await eventually(() => sockets.size > 0 || logs(server).some((line) => /redis/i.test(line)), SOON_MS, 'it has been there');
      await waits(server);
      const socket = await connect(server);
      await call(socket, 'subscribe:watchlist', ['STRANGE']);
      await published(server, quote('STRANGE', { n: 1 }));
      assert.equal((await once(socket, 'quote:update')).n, 1);
      await close();
      await redis.start();
      await reached(server, SOON_MS);
      assert.deepEqual(socket.ends, []);
    });
  }

  test('a Redis without TLS at a rediss:// address: said, and no reason to end', async () => {
    const redis = await redisForTest();
    const server = await node(redis.url.replace('redis:', 'rediss:'));
    await waits(server);
    await says(server, /tls/i, 'TLS is named');
  });

  test('a Redis that is too small and refuses writes: publishes are answered honestly', async () => {
    const redis = await redisForTest();
    const server = await node(redis.url);
    await reached(server);
    const socket = await connect(server);
    await redis.client.configSet({ maxmemory: '1', 'maxmemory-policy': 'noeviction' });
    const log = await publish(server, trade(socket.user, { n: 1 }));
    assert.equal(log.status, 503);
    const state = await publish(server, portfolio(socket.user, { n: 1 }));
    assert.equal(state.status, 202);
    assert.equal(state.json.degraded, true);
    await redis.client.configSet({ maxmemory: '0' });
    await eventually(() => published(server, { ...trade(socket.user, { n: 1 }), id: log.json.ids[0] }), SOON_MS, 'the retry is taken');
    await when(socket, () => all(socket, 'trade:executed').length === 1, 'the trade');
    assert.deepEqual(socket.ends, []);
  });
});

describe('many nodes at once', () => {
  test('start on an empty Redis together and agree on one life of its data', async () => {
    const cluster = await clusterForTest(4);
    const user = newUser('together');
    const sockets = await Promise.all(cluster.nodes.map((one) => connect(one, { user })));
    const ids = [];
    for (const one of cluster.nodes) {
      await published(one, trade(user));
      for (const socket of sockets) ids.push((await once(socket, 'trade:executed')).eventId.split('-')[0]);
    }
    assert.equal(new Set(ids).size, 1);
  });
});
