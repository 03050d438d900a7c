// Everybody comes back at once: after a deploy, a network that failed, a laptop that slept. All get in, with
// nothing lost or doubled, and whoever was in already does not suffer for it.

import { describe } from 'node:test';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { strict as assert } from 'node:assert';
import { atEnd, DEADLINE_MS, eventually, health, published, request, startForTest, test, within } from './harness.mjs';
import { all, connect, forget, newUser, once, open, when } from './clients.mjs';
import { balancerForTest, exactly, openResuming, quote, trade, trades, upTo } from './cluster.mjs';
import { PATHS, V } from './names.mjs';
import { authOf, connectPacket, rawOpen, RawPolling, RawSocket } from './raw.mjs';

const HERD_DEADLINE_MS = 30_000;
const USERS = 100;
const TABS = 5;
const SUBSCRIPTIONS = { portfolio: true, trades: true, watchlist: ['AAPL'] };

/** 500 clients of 100 users that resume, and a balancer in front of one node that can cut them off. */
async function herdForTest() {
  const server = await startForTest();
  const balancer = await balancerForTest({ nodes: [server] });
  const users = Array.from({ length: USERS }, () => newUser('herd'));
  const sockets = users.flatMap((user) =>
    Array.from({ length: TABS }, () => openResuming(balancer, { user, subscriptions: SUBSCRIPTIONS })));
  await Promise.all(sockets.map((socket) => when(socket, () => socket.connected, 'the client connects', HERD_DEADLINE_MS)));
  // A first trade, so that each has something to resume from.
  await published(server, users.map((user) => trade(user, { n: 0 })));
  await Promise.all(sockets.map((socket) => when(socket, () => trades(socket).length === 1, 'the first trade', HERD_DEADLINE_MS)));
  return { server, balancer, users, sockets };
}

async function allAreBackWithEverything({ server, balancer, users, sockets }, cut) {
  sockets.forEach(forget);
  cut();
  for (let n = 1; n <= 4; n += 1) {
    await published(server, users.map((user) => trade(user, { n })));
    await published(server, quote('AAPL', { n }));
  }
  await Promise.all(sockets.map((socket) => when(socket,
    () => socket.idsHad.length > 1 && trades(socket).length >= 4 && all(socket, 'quote:update').at(-1)?.n === 4,
    'it is back with every trade and the current quote', HERD_DEADLINE_MS)));
  await published(server, users.map((user) => trade(user, { n: 5 })));
  await Promise.all(sockets.map((socket) => when(socket, () => trades(socket).length >= 5, 'the last trade', HERD_DEADLINE_MS)));
  for (const socket of sockets) exactly(trades(socket), upTo(6).slice(1), `trades of ${socket.user}`);
  for (const socket of sockets) assert.deepEqual(socket.refusals.map(String).filter((text) => /Too many/.test(text)), []);
  await eventually(async () => (await health(server)).activeConnections === sockets.length, DEADLINE_MS, 'nobody is counted twice');
  await balancer.stop();
}

describe('500 clients, five tabs each', () => {
  test('dropped and back at once: every tab has every trade once, and the current quote', async () => {
    const herd = await herdForTest();
    await allAreBackWithEverything(herd, () => herd.balancer.drop());
  }, { timeout: 90_000 });

  test('dropped without the server hearing of it: each takes the slot of its former connection', async () => {
    const herd = await herdForTest();
    await allAreBackWithEverything(herd, () => herd.balancer.vanish());
  }, { timeout: 90_000 });
});

describe('a laptop that sleeps', () => {
  const HEARTBEAT = { [V.PING_INTERVAL_MS]: 400, [V.PING_TIMEOUT_MS]: 400 };

  /** Five stock tabs of one user in a process of their own, as lines of what happened. */
  function laptop(server, user) {
    const child = spawn(process.execPath, [fileURLToPath(new URL('./laptop.mjs', import.meta.url)), server.url, user, String(TABS)],
      { stdio: ['ignore', 'pipe', 'inherit'] });
    atEnd(() => child.kill('SIGKILL'));
    const tabs = Array.from({ length: TABS }, () => ({ connects: 0, trades: [] }));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { tab, connected, n } = JSON.parse(line);
      if (connected) tabs[tab].connects += 1;
      else tabs[tab].trades.push(n);
    });
    return { child, tabs };
  }

  test('past the ping timeout: all five tabs are back by themselves, with every trade once', async () => {
    const server = await startForTest(HEARTBEAT);
    const user = newUser('laptop');
    const { child, tabs } = laptop(server, user);
    await eventually(async () => (await health(server)).activeConnections === TABS, DEADLINE_MS, 'five tabs are open');
    await published(server, trade(user, { n: 0 }));
    await eventually(() => tabs.every((tab) => tab.trades.length === 1), DEADLINE_MS, 'each has the first trade');

    child.kill('SIGSTOP');
    await eventually(async () => (await health(server)).activeConnections === 0, DEADLINE_MS, 'their connections are closed');
    for (let n = 1; n <= 20; n += 1) await published(server, trade(user, { n }));
    child.kill('SIGCONT');

    await eventually(() => tabs.every((tab) => tab.connects === 2 && tab.trades.length >= 21), DEADLINE_MS, 'all are back with what they missed');
    await published(server, trade(user, { n: 21 }));
    await eventually(() => tabs.every((tab) => tab.trades.includes(21)), DEADLINE_MS, 'and get what comes after');
    for (const tab of tabs) exactly(tab.trades, upTo(22), 'trades of a tab');
    assert.equal((await health(server)).activeConnections, TABS);
  });
});

describe('admission control', () => {
  const POLLING = `${PATHS.socketio}?EIO=4&transport=polling`;

  test('while ADMISSIONS_PENDING_MAX clients are on their way in: 503 with Retry-After, and whoever is in is served', async () => {
    const server = await startForTest({ [V.ADMISSIONS_PENDING_MAX]: 2 });
    const healthy = await connect(server);
    // Both within the second for which they count; otherwise the try says nothing and is made again.
    const refusals = await eventually(async () => {
      const pending = [await rawOpen(server), await new RawPolling(server).open()];
      const polling = await request(server, POLLING);
      const websocket = await Promise.race([new RawSocket(server).refused, new Promise((resolve) => setTimeout(resolve, 500, {}))]);
      pending[0].ws.terminate();
      return polling.status === 503 && websocket.status === 503 && [polling, websocket];
    }, DEADLINE_MS, 'both transports are refused');
    for (const { headers } of refusals) assert.ok(Number(headers['retry-after']) > 0);
    await published(server, { event: 'market:status', data: { isOpen: true } });
    assert.deepEqual((await once(healthy, 'market:status')).isOpen, true);
    assert.match((await request(server, PATHS.metrics)).text, /reason="busy"/);
  });

  test('a client that takes its time does not turn others away for longer than a second', async () => {
    const server = await startForTest({ [V.ADMISSIONS_PENDING_MAX]: 1 });
    const dawdler = await rawOpen(server);
    await eventually(async () => {
      const socket = new RawSocket(server);
      const opened = socket.opened.then(() => true);
      const refused = socket.refused.then(() => false);
      return within(Promise.race([opened, refused]), DEADLINE_MS, 'an answer');
    }, DEADLINE_MS, 'another handshake is allowed');
    dawdler.send(connectPacket(authOf(newUser('raw'))));
    assert.match(await dawdler.nextStarting('4'), /^40/, 'and it is admitted all the same');
  });

  test('a herd of stock clients gets in, a few at a time', async () => {
    const server = await startForTest({ [V.ADMISSIONS_PENDING_MAX]: 5 });
    const options = { reconnectionDelay: 100, reconnectionDelayMax: 500 };
    const sockets = Array.from({ length: 150 }, () => open(server, { reconnection: true, options }));
    await Promise.all(sockets.map((socket) => when(socket, () => socket.connected, 'it gets in', HERD_DEADLINE_MS)));
    assert.ok(sockets.some((socket) => socket.refusals.length > 0), 'some were told to come back');
    assert.equal((await health(server)).activeConnections, sockets.length);
  }, { timeout: 60_000 });
});
