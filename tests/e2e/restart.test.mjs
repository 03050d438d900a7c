// Shutdowns and restarts as stock clients see them: they come back by themselves, with default
// reconnection settings and without a line of code of their own.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { atEnd, DEADLINE_MS, eventually, publish, published, request, start, startForTest, test, within } from './harness.mjs';
import { all, call, COMBINATIONS, connect, newUser, once, open, when } from './clients.mjs';
import { ISO_MS_UTC, M, PATHS, V } from './names.mjs';
import { RawPolling, rawConnect, RawSocket } from './raw.mjs';

const BACK_MS = 20_000;
const SLACK_MS = 3_000;
const POLLING = `${PATHS.socketio}?EIO=4&transport=polling`;

const back = (socket) => when(socket, () => socket.connected && socket.idsHad.length > 1, 'the client comes back', BACK_MS);

async function everyClient(server) {
  const sockets = new Map();
  for (const { title, client, transports } of COMBINATIONS) {
    const socket = await connect(server, { client, transports, reconnection: true });
    assert.equal((await call(socket, 'subscribe:portfolio')).ok, true);
    // A client in the middle of an upgrade is a matter of its own, see below.
    await eventually(() => socket.io.engine.transport.name === transports.at(-1), DEADLINE_MS, 'the transport');
    sockets.set(title, socket);
  }
  return sockets;
}

/** One after the other would take a restart each, so that all combinations go through the same one. */
async function restartUnder(env, signal) {
  const first = await start(env);
  const sockets = await everyClient(first);
  const begun = Date.now();
  first.signal(signal);
  const end = await first.ended();
  const took = Date.now() - begun;
  const second = await first.restart();
  atEnd(() => second.stop());
  await Promise.all([...sockets.values()].map(back));
  return { sockets, end, took, second };
}

const WINDOW = { [V.DRAIN_WINDOW_MS]: 600, [V.DRAIN_DEADLINE_MS]: 3_000 };

describe('a graceful restart', () => {
  test('SIGTERM: server:shutdown is told to every client, each is closed at the transport and comes back by itself', async (t) => {
    const { sockets, end, took, second } = await restartUnder(WINDOW, 'SIGTERM');
    await t.test('the process exits with code 0 within the deadline', () => {
      assert.deepEqual(end, { code: 0, signal: null });
      assert.ok(took <= 3_000 + SLACK_MS, `${took} ms`);
    });
    for (const [title, socket] of sockets) {
      await t.test(`${title}: server:shutdown {message, timestamp, reconnectInMs}`, async () => {
        assert.equal(all(socket, 'server:shutdown').length, 1);
        const told = await once(socket, 'server:shutdown');
        assert.deepEqual(Object.keys(told).sort(), ['message', 'reconnectInMs', 'timestamp']);
        assert.equal(told.message, M.shutdown);
        assert.match(told.timestamp, ISO_MS_UTC);
        assert.ok(told.reconnectInMs >= 0 && told.reconnectInMs <= 600, `reconnectInMs is ${told.reconnectInMs}`);
      });
      await t.test(`${title}: closed at the transport, so that the client comes back`, async () => {
        assert.equal(socket.ends.length, 1);
        assert.ok(['transport close', 'transport error'].includes(socket.ends[0]), socket.ends[0]);
        assert.notEqual(socket.idsHad[0], socket.idsHad[1]);
        await published(second, { event: 'trade:executed', userId: socket.user, data: { title } });
        assert.equal((await once(socket, 'trade:executed')).title, title);
        assert.equal((await call(socket, 'subscribe:portfolio')).ok, true);
      });
    }
  });

  test('SIGINT drains like SIGTERM', async () => {
    const server = await startForTest(WINDOW);
    const socket = await connect(server, { reconnection: true });
    server.signal('SIGINT');
    assert.equal((await once(socket, 'server:shutdown')).message, M.shutdown);
    assert.deepEqual(await server.ended(), { code: 0, signal: null });
  });

  test('a client in the middle of an upgrade comes back too', async () => {
    const server = await start(WINDOW);
    const sockets = Array.from({ length: 10 }, () => open(server, { transports: ['polling', 'websocket'], reconnection: true }));
    await Promise.all(sockets.map((socket) => when(socket, () => socket.connected, 'connect')));
    server.signal('SIGTERM');
    await server.ended();
    const next = await server.restart();
    atEnd(() => next.stop());
    await Promise.all(sockets.map(back));
    for (const socket of sockets) assert.notEqual(socket.ends[0], 'io server disconnect');
  });

  test('what was answered 202 before the signal is delivered before the close', async () => {
    const server = await startForTest(WINDOW);
    const socket = await connect(server);
    await published(server, Array.from({ length: 500 }, (_, n) => ({ event: 'trade:executed', userId: socket.user, data: { n } })));
    server.signal('SIGTERM');
    await server.ended();
    await when(socket, () => socket.ends.length > 0, 'the close');
    assert.deepEqual(all(socket, 'trade:executed').map((trade) => trade.n), Array.from({ length: 500 }, (_, n) => n));
  });
});

describe('the drain window', () => {
  const LONG = { [V.DRAIN_WINDOW_MS]: 20_000, [V.DRAIN_DEADLINE_MS]: 30_000 };

  test('with no client the process exits at once', async () => {
    const server = await startForTest(LONG);
    server.signal('SIGTERM');
    assert.deepEqual(await server.ended(SLACK_MS), { code: 0, signal: null });
  });

  test('the process exits as soon as the last client is gone', async () => {
    const server = await startForTest(LONG);
    const sockets = [await connect(server), await connect(server, { transports: ['polling'] }), await connect(server)];
    server.signal('SIGTERM');
    for (const socket of sockets) {
      await once(socket, 'server:shutdown');
      socket.disconnect();
    }
    assert.deepEqual(await server.ended(), { code: 0, signal: null });
  });

  test('closes are spread: reconnectInMs is when this connection will be closed', async () => {
    const server = await startForTest({ [V.DRAIN_WINDOW_MS]: 2_000, [V.DRAIN_DEADLINE_MS]: 6_000 });
    const raws = await Promise.all(Array.from({ length: 20 }, () => rawConnect(server)));
    server.signal('SIGTERM');
    const waits = await Promise.all(raws.map(async (raw) => {
      const told = JSON.parse((await raw.nextStarting('42["server:shutdown"')).slice(2))[1];
      const begun = Date.now();
      await raw.end();
      return { promised: told.reconnectInMs, waited: Date.now() - begun };
    }));
    assert.ok(new Set(waits.map((wait) => wait.promised)).size > 5, 'not all at one time');
    for (const { promised, waited } of waits) {
      assert.ok(promised >= 0 && promised <= 2_000);
      assert.ok(waited >= promised - 250, `promised ${promised} ms, closed after ${waited} ms`);
    }
    assert.deepEqual(await server.ended(), { code: 0, signal: null });
  });

  test('a second SIGTERM ends the window: all told, all closed, exit 0', async () => {
    const server = await startForTest(LONG);
    const stock = await connect(server, { reconnection: true });
    const raws = await Promise.all(Array.from({ length: 20 }, () => rawConnect(server)));
    server.signal('SIGTERM');
    await Promise.all(raws.map((raw) => raw.nextStarting('42["server:shutdown"')));
    server.signal('SIGTERM');
    assert.deepEqual(await server.ended(), { code: 0, signal: null });
    await Promise.all(raws.map((raw) => raw.end()));
    await when(stock, () => stock.ends.length > 0, 'the close');
    assert.notEqual(stock.ends[0], 'io server disconnect');
  });

  test('a client that does not read cannot hold the process beyond the deadline', async () => {
    const server = await startForTest({ [V.DRAIN_WINDOW_MS]: 300, [V.DRAIN_DEADLINE_MS]: 900 });
    const deaf = await rawConnect(server);
    deaf.ws._socket.pause();
    const polling = await new RawPolling(server).open();
    server.signal('SIGTERM');
    assert.deepEqual(await server.ended(900 + SLACK_MS), { code: 0, signal: null });
    assert.ok(polling.sid);
  });

  test('a draining server is not ready: /health/ready and /health/websocket are 503, /health/live 200, handshakes get 503 with Retry-After', async () => {
    const server = await start(LONG);
    const holder = await Promise.all(Array.from({ length: 20 }, () => rawConnect(server)));
    server.signal('SIGTERM');
    await Promise.all(holder.map((raw) => raw.nextStarting('42["server:shutdown"')));
    assert.equal((await request(server, PATHS.ready)).status, 503);
    assert.equal((await request(server, PATHS.health)).status, 503);
    assert.equal((await request(server, PATHS.live)).status, 200);
    const polling = await request(server, POLLING);
    assert.equal(polling.status, 503);
    assert.ok(Number(polling.headers['retry-after']) > 0);
    const websocket = await within(new RawSocket(server).refused, DEADLINE_MS, 'a refusal');
    assert.equal(websocket.status, 503);
    assert.ok(Number(websocket.headers['retry-after']) > 0);

    // Clients that meet the draining server again, or for the first time, still come back later.
    const user = newUser('late');
    const late = COMBINATIONS.map(({ client, transports }) => open(server, { client, transports, reconnection: true, user: newUser(user) }));
    await Promise.all(late.map((socket) => when(socket, () => socket.refusals.length > 0, 'the draining server refuses')));
    for (const raw of holder) raw.ws.close();
    await server.ended();
    const next = await server.restart();
    atEnd(() => next.stop());
    await Promise.all(late.map((socket) => when(socket, () => socket.connected, 'the client comes back', BACK_MS)));
  });

  test('an event during the window is still answered, and a publish still delivered or refused, never lost', async () => {
    const server = await startForTest(LONG);
    const sockets = await Promise.all(Array.from({ length: 20 }, () => connect(server)));
    server.signal('SIGTERM');
    const told = await Promise.all(sockets.map((socket) => once(socket, 'server:shutdown')));
    const last = sockets[told.findIndex((one) => one.reconnectInMs === Math.max(...told.map((other) => other.reconnectInMs)))];
    assert.equal((await call(last, 'subscribe:portfolio')).ok, true);
    const answer = await publish(server, { event: 'trade:executed', userId: last.user, data: { n: 1 } });
    if (answer.status === 202) assert.equal((await once(last, 'trade:executed')).n, 1);
    else assert.equal(answer.status, 503);
    server.signal('SIGTERM');
    await server.ended();
  });
});

describe('a crash', () => {
  test('SIGKILL: stock clients of every kind come back by themselves', async (t) => {
    const { sockets, end, second } = await restartUnder({}, 'SIGKILL');
    assert.equal(end.signal, 'SIGKILL');
    for (const [title, socket] of sockets) {
      await t.test(title, async () => {
        assert.notEqual(socket.ends[0], 'io server disconnect');
        await published(second, { event: 'trade:executed', userId: socket.user, data: { title } });
        assert.equal((await once(socket, 'trade:executed')).title, title);
      });
    }
  });
});
