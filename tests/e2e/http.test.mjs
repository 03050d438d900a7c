// The HTTP routes beside publish, who may call from where, and clients that only hold connections.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { bearer, DEADLINE_MS, eventually, health, publish, request, start, startForTest, test, within } from './harness.mjs';
import { call, connect, fence, newUser, open, when } from './clients.mjs';
import { PATHS, V } from './names.mjs';
import { RawSocket, rawOpen, tcp } from './raw.mjs';

const [LISTED, ALSO_LISTED, UNLISTED] = ['https://app.example', 'http://localhost:5173', 'https://evil.example'];
const POLLING = `${PATHS.socketio}?EIO=4&transport=polling`;

let server;
before(async () => (server = await start({ [V.FRONTEND_URL]: `${LISTED}, ${ALSO_LISTED}` })));
after(() => server?.stop());

function problem(answer, status) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers['content-type'], /^application\/problem\+json/);
  assert.equal(answer.json.status, status);
}

describe('health and metrics', () => {
  test('GET /health/websocket counts connections and users', async () => {
    const alone = await startForTest();
    const first = await request(alone, PATHS.health);
    assert.equal(first.status, 200);
    assert.match(first.headers['content-type'], /^application\/json/);
    const { status, activeConnections, uniqueUsers, uptime } = first.json;
    assert.deepEqual({ status, activeConnections, uniqueUsers }, { status: 'healthy', activeConnections: 0, uniqueUsers: 0 });
    assert.ok(Number.isInteger(uptime) && uptime >= 0, `uptime is ${uptime} whole seconds`);
    const user = newUser('alice');
    const sockets = [await connect(alone, { user }), await connect(alone, { user }), await connect(alone)];
    const counts = async (connections, uniqueOnes) => {
      const now = await health(alone);
      return now.activeConnections === connections && now.uniqueUsers === uniqueOnes;
    };
    await eventually(() => counts(3, 2), DEADLINE_MS, '3 connections of 2 users');
    sockets[0].disconnect();
    await eventually(() => counts(2, 2), DEADLINE_MS, '2 connections of 2 users');
    sockets[1].disconnect();
    await eventually(() => counts(1, 1), DEADLINE_MS, '1 connection of 1 user');
  });

  test('GET /health/live and GET /health/ready answer 200', async () => {
    for (const path of [PATHS.live, PATHS.ready]) assert.equal((await request(server, path)).status, 200, path);
  });

  test('GET /metrics is Prometheus text, open without METRICS_TOKEN', async () => {
    const { status, headers, text } = await request(server, PATHS.metrics);
    assert.equal(status, 200);
    assert.match(headers['content-type'], /^application\/openmetrics-text/);
    assert.ok(text.endsWith('# EOF\n'), 'the exposition is whole');
    assert.match(text, /^# TYPE \S+ (counter|gauge|histogram|summary)$/m);
    for (const line of text.split('\n')) assert.match(line, /^$|^# (HELP|TYPE|EOF|UNIT)|^[a-zA-Z_:][\w:]*(\{.*\})? \S+( \d+)?$/, line);
  });

  test('GET /metrics wants METRICS_TOKEN if that is set', async () => {
    const guarded = await startForTest({ [V.METRICS_TOKEN]: 'metrics-secret' });
    problem(await request(guarded, PATHS.metrics), 401);
    problem(await request(guarded, PATHS.metrics, { headers: bearer('wrong') }), 401);
    assert.equal((await request(guarded, PATHS.metrics, { headers: bearer('metrics-secret') })).status, 200);
  });

  test('GET / says what this is', async () => {
    const page = await request(server, PATHS.dashboard);
    assert.equal(page.status, 200);
    assert.match(page.text, /Tradewire/);
  });

  test('the log line of a connect names the socket and the user', async () => {
    const socket = await connect(server);
    await eventually(() => server.logged(`WebSocket connected: ${socket.id} (User: ${socket.user})`), DEADLINE_MS, 'WebSocket connected is logged');
  });

  test('no log line holds the publish token or a session id', async () => {
    const socket = await connect(server, { session: 'very-secret-session' });
    await fence(server, socket);
    assert.equal(server.logged('very-secret-session'), undefined);
    assert.equal(server.logged('e2e-publish-token'), undefined);
  });
});

describe('routing', () => {
  test('404 as problem+json for an unknown path', async () => {
    for (const path of ['/nope', '/api', '/health', '/health/', '/metrics/x']) problem(await request(server, path), 404);
  });

  test('405 as problem+json for another method', async () => {
    for (const path of [PATHS.health, PATHS.live, PATHS.ready, PATHS.metrics]) problem(await request(server, path, { method: 'POST' }), 405);
  });

  test('Upgrade: websocket anywhere but under /socket.io/ is a 400', async () => {
    const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
    for (const path of ['/', '/ws', PATHS.live, PATHS.health, PATHS.publish]) problem(await request(server, path, { headers }), 400);
  });
});

describe('Origin', () => {
  const websocketFrom = (origin) => new RawSocket(server, { headers: { origin } });
  const status = (raw) => within(Promise.race([raw.opened.then(() => 101), raw.refused.then((answer) => answer.status)]), DEADLINE_MS, 'an answer');

  test('the same host is allowed', async () => {
    const origin = server.url;
    assert.equal((await request(server, POLLING, { headers: { origin } })).status, 200);
    assert.equal(await status(websocketFrom(origin)), 101);
  });

  test('an absent one is allowed', async () => {
    const answer = await request(server, POLLING);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['access-control-allow-origin'], undefined);
    await rawOpen(server);
  });

  test('one of FRONTEND_URL is allowed, with Access-Control headers and credentials', async () => {
    for (const origin of [LISTED, ALSO_LISTED]) {
      const { status: code, headers } = await request(server, POLLING, { headers: { origin } });
      assert.equal(code, 200);
      assert.equal(headers['access-control-allow-origin'], origin);
      assert.equal(headers['access-control-allow-credentials'], 'true');
      assert.match(headers.vary, /origin/i);
      assert.equal(await status(websocketFrom(origin)), 101);
    }
  });

  test('any other is a 403, for polling and websocket alike', async () => {
    const others = [UNLISTED, 'null', `${LISTED}.evil.example`, 'http://app.example', `${LISTED}:8443`, 'http://127.0.0.1:1', 'nonsense'];
    for (const origin of others) {
      const answer = await request(server, POLLING, { headers: { origin } });
      assert.equal(answer.status, 403, origin);
      assert.equal(answer.headers['access-control-allow-origin'], undefined, origin);
      assert.equal(await status(websocketFrom(origin)), 403, origin);
    }
  });

  test('a preflight of a listed one is answered, of any other refused', async () => {
    const preflight = (origin) => request(server, POLLING, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });
    const answer = await preflight(LISTED);
    assert.ok(answer.status === 200 || answer.status === 204, `${answer.status}`);
    assert.equal(answer.headers['access-control-allow-origin'], LISTED);
    assert.equal(answer.headers['access-control-allow-credentials'], 'true');
    assert.match(answer.headers['access-control-allow-methods'], /POST/);
    assert.match(answer.headers['access-control-allow-headers'], /content-type/i);
    assert.equal((await preflight(UNLISTED)).status, 403);
  });

  test('without FRONTEND_URL only the same host is allowed', async () => {
    const closed = await startForTest();
    assert.equal((await request(closed, POLLING, { headers: { origin: closed.url } })).status, 200);
    assert.equal((await request(closed, POLLING, { headers: { origin: LISTED } })).status, 403);
  });

  test('a stock client from a listed origin connects over polling and upgrades', async () => {
    const socket = open(server, { transports: ['polling', 'websocket'], options: { extraHeaders: { origin: LISTED } } });
    await when(socket, () => socket.connected, 'connect');
    await eventually(() => socket.io.engine.transport.name === 'websocket', DEADLINE_MS, 'the upgrade');
  });
});

describe('clients that only hold connections', () => {
  test('a request head that does not end is cut off after REQUEST_HEAD_MAX_MS while others are served', async () => {
    const impatient = await startForTest({ [V.REQUEST_HEAD_MAX_MS]: 400 });
    const [dripping, silent] = [await tcp(impatient), await tcp(impatient)];
    dripping.write('GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    const drip = setInterval(() => dripping.write('a'), 40);
    try {
      assert.equal((await request(impatient, PATHS.live)).status, 200);
      const socket = await connect(impatient);
      await within(dripping.gone, DEADLINE_MS, 'the dripping client is cut off');
      await within(silent.gone, DEADLINE_MS, 'the silent client is cut off');
      assert.doesNotMatch(dripping.text, /^HTTP\/1.1 200/);
      assert.equal((await call(socket, 'subscribe:portfolio')).ok, true, 'an admitted client is not cut off');
    } finally {
      clearInterval(drip);
    }
  });

  test('a thousand half-open TCP connections do not stop a client from connecting', async () => {
    const patient = await startForTest();
    const half = await Promise.all(Array.from({ length: 1_000 }, () => tcp(patient)));
    half.forEach((socket, n) => n % 2 && socket.write('GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n'));
    for (const transports of [['websocket'], ['polling']]) {
      const socket = await connect(patient, { transports });
      assert.equal((await call(socket, 'subscribe:portfolio')).ok, true);
    }
    assert.equal((await request(patient, PATHS.live)).status, 200);
  });

  test('who is refused while still sending sees the answer', async () => {
    const patient = await startForTest();
    const body = ' '.repeat(999_000);
    for (let n = 0; n < 30; n += 1) assert.equal((await publish(patient, body, { token: 'wrong' })).status, 401);
  });
});
