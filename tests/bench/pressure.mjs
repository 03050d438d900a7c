// What connections cost, and what clients that stop reading cost others:
//   - the server's memory for an idle connection, and for one that is congested, by size of the events;
//   - the time from POST to event at clients that read, with and without a tenth more that do not, in turns;
//   - the same while a herd of clients comes in at once, with admission control and without, in turns.
//
//   node tests/bench/pressure.mjs [idle connections] [clients] [seconds per phase]
//
// Needs target/release/tradewire and tests/e2e/node_modules (`npm ci` there).

import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { health, published, start } from '../e2e/harness.mjs';
import { newUser } from '../e2e/clients.mjs';
import { authOf, connectPacket, eventPacket, rawConnect, RawPolling, RawSocket } from '../e2e/raw.mjs';
import { V } from '../e2e/names.mjs';
import { memory, openAll, post, quantile, sleep } from './common.mjs';

const IDLE = Number(process.argv[2] ?? 5_000);
const CLIENTS = Number(process.argv[3] ?? 500);
const SECONDS = Number(process.argv[4] ?? 10);
const ROUNDS = 3;
const HERD = 3_000;
const EVERY_MS = 50;
const SETTLE_MS = 3_000;

const kib = (bytes) => `${(bytes / 1_024).toFixed(1)} KiB`;

async function subscribed(server, symbols) {
  const raw = await rawConnect(server, { pong: true });
  raw.send(eventPacket('subscribe:watchlist', symbols));
  await raw.nextStarting('42["subscription:confirmed"');
  return raw;
}

async function stuck(server, symbols) {
  const raw = await subscribed(server, symbols);
  raw.ws._socket.pause();
  return raw;
}

async function polling(server) {
  const client = await new RawPolling(server).open();
  await client.post(connectPacket(authOf(newUser('idle'))));
  await client.pollUntil('40');
  return client;
}

async function idleMemory(kind, open) {
  const server = await start({ [V.PING_INTERVAL_MS]: 600_000, [V.HANDSHAKE_MAX_MS]: 600_000 });
  try {
    // What the first connections allocate is not theirs alone.
    await openAll(200, () => open(server));
    await sleep(SETTLE_MS);
    const before = memory(server.child.pid);
    await openAll(IDLE, () => open(server));
    await sleep(SETTLE_MS);
    console.log(`idle, ${kind}: ${kib((memory(server.child.pid) - before) / IDLE)} a connection, of ${IDLE}`);
  } finally {
    await server.stop();
  }
}

/** Floods the symbol that only those who do not read hold, until all of them are congested. */
async function congest(server, count, bytes) {
  const padding = 'x'.repeat(Math.max(0, bytes - 60));
  const each = Math.min(1_000, Math.floor(900_000 / (bytes + 60)));
  const quotes = Array.from({ length: each }, () => ({ event: 'quote:update', symbol: 'STUCK', data: { padding } }));
  while ((await health(server)).congestedConnections < count) await published(server, quotes);
}

async function congestedMemory(bytes) {
  const COUNT = 100;
  const server = await start({ [V.PING_INTERVAL_MS]: 600_000, [V.CONGESTED_MAX_MS]: 600_000, [V.OUTBOX_TOTAL_BYTES_MAX]: 4 * 1_024 ** 3 });
  try {
    await openAll(COUNT, () => stuck(server, ['STUCK']));
    await sleep(SETTLE_MS);
    const before = memory(server.child.pid);
    await congest(server, COUNT, bytes);
    console.log(`congested, events of ${bytes} B: ${kib((memory(server.child.pid) - before) / COUNT)} a connection, of ${COUNT}`);
  } finally {
    await server.stop();
  }
}

/** Publishes a quote every so often for a while; milliseconds until it is at each client. */
async function latencies(server, clients, ms) {
  const found = [];
  for (const raw of clients) {
    raw.ws.removeAllListeners('message');
    raw.ws.on('message', (data) => {
      const text = data.toString();
      if (text === '2') raw.ws.send('3');
      const sent = /"sent":([\d.]+)/.exec(text);
      if (sent) found.push(performance.now() - Number(sent[1]));
    });
  }
  const begin = performance.now();
  // Each publish has its time, so that a late one is not measured from when it was sent at last.
  for (let due = begin; due < begin + ms; due += EVERY_MS) {
    await sleep(Math.max(0, due - performance.now()));
    void post(server, { event: 'quote:update', symbol: 'BENCH', data: { sent: due } });
  }
  const expected = Math.ceil(ms / EVERY_MS) * clients.length;
  const end = performance.now() + 10_000;
  while (found.length < expected && performance.now() < end) await sleep(50);
  if (found.length !== expected) throw new Error(`${found.length} of ${expected} events came`);
  return found;
}

function show(phases) {
  for (const [name, ms] of Object.entries(phases)) {
    ms.sort((a, b) => a - b);
    const at = (q) => quantile(ms, q).toFixed(1);
    console.log(`  ${name.padEnd(28)} p50 ${at(0.5)} p95 ${at(0.95)} p99 ${at(0.99)} max ${ms.at(-1).toFixed(1)} ms, of ${ms.length} events`);
  }
}

async function withStuck() {
  const phases = { 'nobody stuck': [], 'a tenth more stuck': [] };
  const count = Math.ceil(CLIENTS / 10);
  for (let round = 0; round < ROUNDS; round += 1) {
    const server = await start({ [V.CONGESTED_MAX_MS]: 600_000, [V.PING_INTERVAL_MS]: 600_000 });
    try {
      const clients = await openAll(CLIENTS, () => subscribed(server, ['BENCH']));
      await latencies(server, clients, 1_000);
      phases['nobody stuck'].push(...(await latencies(server, clients, SECONDS * 1_000)));
      await openAll(count, () => stuck(server, ['STUCK', 'BENCH']));
      await congest(server, count, 200);
      phases['a tenth more stuck'].push(...(await latencies(server, clients, SECONDS * 1_000)));
      const { congestedConnections } = await health(server);
      if (congestedConnections !== count) throw new Error(`${congestedConnections} of ${count} were congested at the end`);
      for (const raw of clients) raw.ws.terminate();
    } finally {
      await server.stop();
    }
  }
  console.log(`${CLIENTS} clients that read a quote every ${EVERY_MS} ms, and ${count} that do not read:`);
  show(phases);
}

/** All at once, each again after a second or two if it is told to come back; in a thread of its own. */
async function herd({ port, count }) {
  let refused = 0;
  const enter = async (n) => {
    for (;;) {
      const raw = new RawSocket({ port });
      const opened = await Promise.race([raw.opened.then(() => true), raw.refused.then(() => false), raw.closed.then(() => false)]);
      if (opened) {
        await raw.nextStarting('0', 60_000);
        raw.send(connectPacket(authOf(`herd-${n}`)));
        await raw.nextStarting('40', 60_000);
        return;
      }
      refused += 1;
      await sleep(1_000 + Math.random() * 1_000);
    }
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: count }, (_, n) => enter(n)));
  parentPort.postMessage({ seconds: (performance.now() - begin) / 1_000, refused });
}

async function withHerd() {
  const kinds = { 'no herd': undefined, 'herd, no admission control': 1_000_000, 'herd, as it is by default': 1_000 };
  const phases = Object.fromEntries(Object.keys(kinds).map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, max] of Object.entries(kinds)) {
      const server = await start({ [V.PING_INTERVAL_MS]: 600_000, [V.ADMISSIONS_PENDING_MAX]: max });
      try {
        const clients = await openAll(CLIENTS / 5, () => subscribed(server, ['BENCH']));
        await latencies(server, clients, 1_000);
        let worker;
        let done;
        if (max) {
          worker = new Worker(new URL(import.meta.url), { workerData: { port: server.port, count: HERD } });
          done = new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
        }
        phases[name].push(...(await latencies(server, clients, 3_000)));
        if (worker) {
          const { seconds, refused } = await done;
          console.log(`  ${name}: all ${HERD} were in after ${seconds.toFixed(1)} s, ${refused} times told to come back`);
          await worker.terminate();
        }
        for (const raw of clients) raw.ws.terminate();
      } finally {
        await server.stop();
      }
    }
  }
  console.log(`${CLIENTS / 5} clients that read a quote every ${EVERY_MS} ms, while ${HERD} others come in at once:`);
  show(phases);
}

if (isMainThread) {
  await idleMemory('websocket', (server) => rawConnect(server));
  await idleMemory('polling', (server) => polling(server));
  for (const bytes of [100, 1_000, 10_000, 100_000]) await congestedMemory(bytes);
  await withStuck();
  await withHerd();
  process.exit(0);
} else {
  await herd(workerData);
}
