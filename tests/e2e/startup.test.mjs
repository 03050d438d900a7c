// Starting: what stops a start and how it is said, and what is said when it works.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import net from 'node:net';
import { atEnd, DEADLINE_MS, eventually, publish, run, startForTest, test, TOKEN } from './harness.mjs';
import { connect, refused } from './clients.mjs';
import { DEMO_FLAG, SEED_FLAG, flag, GUIDE_VARIABLES, M, STARTED_MESSAGE, V, VARIABLES } from './names.mjs';
import { rawOpen } from './raw.mjs';

const GOOD = { [V.WEBSOCKET_PORT]: '0', [V.HOST]: '127.0.0.1', [V.PUBLISH_TOKEN]: TOKEN };
// Nothing listens there; the address is only ever read, or refused at once.
const NO_REDIS = 'redis://127.0.0.1:1';
const PRODUCTION = { ...GOOD, [V.NODE_ENV]: 'production', [V.REDIS_URL]: NO_REDIS, [V.FRONTEND_URL]: 'https://app.example' };

/** A start that must fail with this code and one line on stderr. Returns that line. */
async function fails(options, code) {
  const end = await run(options);
  assert.equal(end.code, code, `code ${end.code}, stderr ${end.stderr.join('\n')}`);
  assert.equal(end.stderr.length, 1, `one line on stderr, not:\n${end.stderr.join('\n')}`);
  assert.ok(!end.stdout.some((line) => line.includes(STARTED_MESSAGE)));
  return end.stderr[0];
}

const BAD = [
  [V.WEBSOCKET_PORT, 'abc', /65535/],
  [V.WEBSOCKET_PORT, '70000', /65535/],
  [V.PORT, 'abc', /65535/, { [V.WEBSOCKET_PORT]: undefined }],
  [V.AUTH_MODE, 'foo', /session.*trust|trust.*session/],
  [V.HOST, 'nope nope', /address|host/i],
  [V.DELIVERY, 'some', /subscribed/],
  [V.LOG_FORMAT, 'xml', /json/],
  [V.FRONTEND_URL, 'not an origin', /https?/],
  [V.PING_INTERVAL_MS, '-5', /\d/],
  [V.PING_TIMEOUT_MS, '10s', /\d|milliseconds/],
  [V.CONNECTIONS_PER_USER_MAX, '0', /1/],
  [V.PUBLISH_BODY_BYTES_MAX, '1e6', /\d/],
];

describe('a bad value stops the start with exit code 2 and one line naming variable, value and what is allowed', () => {
  for (const [name, value, allowed, more] of BAD) {
    test(`${name}=${value}`, async () => {
      const env = Object.fromEntries(Object.entries({ ...GOOD, ...more, [name]: value }).filter(([, v]) => v !== undefined));
      const line = await fails({ env }, 2);
      assert.ok(line.includes(name), line);
      assert.ok(line.includes(value), line);
      assert.match(line.replace(name, '').replace(value, ''), allowed);
    });
  }

  test(`${V.DRAIN_DEADLINE_MS} less than ${V.DRAIN_WINDOW_MS}`, async () => {
    const line = await fails({ env: { ...GOOD, [V.DRAIN_WINDOW_MS]: '5000', [V.DRAIN_DEADLINE_MS]: '4999' } }, 2);
    for (const part of [V.DRAIN_DEADLINE_MS, V.DRAIN_WINDOW_MS, '4999', '5000']) assert.ok(line.includes(part), line);
  });

  const NO_URLS = ['localhost:6379', 'http://user:hush-hush@127.0.0.1', 'redis://user:hush-hush@127.0.0.1:99999', 'redis://:hush-hush@127.0.0.1/one'];
  for (const url of NO_URLS) {
    test(`${V.REDIS_URL} that is none, without repeating a password in it: ${url}`, async () => {
      const line = await fails({ env: { ...GOOD, [V.REDIS_URL]: url } }, 2);
      assert.ok(line.includes(V.REDIS_URL), line);
      assert.match(line.replaceAll(V.REDIS_URL, ''), /redis:|port|database/);
      assert.ok(!line.includes('hush-hush'), line);
    });
  }

  test(`${V.SLOT_LEASE_MS} less than two renewals`, async () => {
    const line = await fails({ env: { ...GOOD, [V.SLOT_LEASE_MS]: '1999', [V.SLOT_RENEW_EVERY_MS]: '1000' } }, 2);
    for (const part of [V.SLOT_LEASE_MS, V.SLOT_RENEW_EVERY_MS, '1999', '1000']) assert.ok(line.includes(part), line);
  });

  test(`${V.RECORD_DIR}, which cannot be a directory`, async () => {
    assert.ok((await fails({ env: { ...GOOD, [V.RECORD_DIR]: '/dev/null/traces' } }, 1)).includes(V.RECORD_DIR));
  });

  test('an unknown flag', async () => {
    assert.equal((await run({ env: GOOD, args: ['--no-such-flag'] })).code, 2);
  });
});

describe('NODE_ENV=production', () => {
  const dropped = (name) => Object.fromEntries(Object.entries(PRODUCTION).filter(([key]) => key !== name));

  test('without PUBLISH_TOKEN stops the start', async () => {
    assert.ok((await fails({ env: dropped(V.PUBLISH_TOKEN) }, 2)).includes(V.PUBLISH_TOKEN));
  });

  test('with AUTH_MODE=trust stops the start', async () => {
    assert.ok((await fails({ env: { ...PRODUCTION, [V.AUTH_MODE]: 'trust' } }, 2)).includes(V.AUTH_MODE));
  });

  test('without REDIS_URL stops the start', async () => {
    assert.ok((await fails({ env: dropped(V.REDIS_URL) }, 2)).includes(V.REDIS_URL));
  });

  test('with all of it set starts, with sessions as the default', async () => {
    const server = await startForTest(PRODUCTION);
    assert.equal((await refused(server, { session: undefined, auth: { sessionID: undefined } })).message, M.noSession);
  });
});

describe('defaults', () => {
  test('outside production trust is the default and said in the log; HOST is 127.0.0.1', async () => {
    const server = await startForTest({ [V.HOST]: undefined });
    assert.match(server.address, /^127\.0\.0\.1:/);
    await eventually(() => server.logs.some((entry) => entry.line.includes(V.AUTH_MODE) && entry.line.includes('trust')), DEADLINE_MS, 'trust is said');
    await connect(server);
  });

  test('without PUBLISH_TOKEN a random one is made, printed once, and works', async () => {
    const servers = [await startForTest({ [V.PUBLISH_TOKEN]: undefined }), await startForTest({ [V.PUBLISH_TOKEN]: undefined })];
    const tokens = [];
    for (const server of servers) {
      const lines = await eventually(() => {
        const found = server.logs.filter((entry) => entry.line.includes(V.PUBLISH_TOKEN));
        return found.length > 0 && found;
      }, DEADLINE_MS, 'the token is printed');
      const words = lines.flatMap((entry) => entry.line.match(/[A-Za-z0-9_-]{16,}/g) ?? []);
      for (const token of new Set(words)) {
        const { status } = await publish(server, { event: 'market:status', data: {} }, { token });
        if (status === 202) tokens.push(token);
        else assert.equal(status, 401);
      }
    }
    assert.equal(tokens.length, 2);
    assert.notEqual(tokens[0], tokens[1]);
    servers.forEach((server, n) => assert.equal(server.logs.filter((entry) => entry.line.includes(tokens[n])).length, 1));
  });

  test('PORT is used where WEBSOCKET_PORT is not set, and WEBSOCKET_PORT wins', async () => {
    const first = await startForTest({ [V.WEBSOCKET_PORT]: undefined, [V.PORT]: '0' });
    assert.ok(first.port > 0);
    const second = await startForTest({ [V.WEBSOCKET_PORT]: '0', [V.PORT]: String(first.port) });
    assert.notEqual(second.port, first.port);
  });

  test('every variable is a flag too, and the flag wins', async () => {
    const server = await startForTest({ [V.PING_INTERVAL_MS]: 1_111 }, { args: [flag(V.PING_INTERVAL_MS), '2222', flag(V.PING_TIMEOUT_MS), '3333'] });
    const { handshake } = await rawOpen(server);
    assert.deepEqual([handshake.pingInterval, handshake.pingTimeout], [2_222, 3_333]);
  });

  test('--help lists every variable and flag, and the demo', async () => {
    const { code, stdout, stderr } = await run({ args: ['--help'] });
    assert.equal(code, 0);
    assert.deepEqual(stderr, []);
    const text = stdout.join('\n');
    for (const name of [...GUIDE_VARIABLES, V.PORT, ...VARIABLES]) assert.match(text, new RegExp(`\\b${name}\\b`), name);
    for (const name of [...GUIDE_VARIABLES, ...VARIABLES]) assert.ok(text.includes(flag(name)), flag(name));
    for (const name of [DEMO_FLAG, SEED_FLAG]) assert.ok(text.includes(name), name);
    for (const value of ['100000', '10000', '15000', '1000000']) assert.match(text.replaceAll(/[,_]/g, ''), new RegExp(value), `the default ${value}`);
  });

  test('a port in use stops the start with exit code 1 and one line naming it', async () => {
    const holder = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    atEnd(() => holder.close());
    const port = String(holder.address().port);
    const line = await fails({ env: { ...GOOD, [V.WEBSOCKET_PORT]: port } }, 1);
    assert.ok(line.includes(port), line);
  });
});
