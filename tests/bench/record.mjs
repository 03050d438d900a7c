// What recording costs a server, against one that does not record, in turns in one run:
//   - CPU time for the same publishes to the same number of clients, and how many events are handed over in it (what
//     the driver pays for an input is less than two servers differ by: server/src/driver/cost.rs measures that);
//   - the longest that the beginning of a segment held the node up, with many connections and a full history.
//
//   node tests/bench/record.mjs [clients] [rounds] [connections]
//
// Needs target/release/tradewire and tests/e2e/node_modules (`npm ci` there).

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { published, request, start } from '../e2e/harness.mjs';
import { newUser } from '../e2e/clients.mjs';
import { authOf, eventPacket, rawConnect } from '../e2e/raw.mjs';
import { PATHS, V } from '../e2e/names.mjs';
import { cpu, memory, openAll, quantile, sleep } from './common.mjs';

const CLIENTS = Number(process.argv[2] ?? 200);
const ROUNDS = Number(process.argv[3] ?? 10);
const CONNECTIONS = Number(process.argv[4] ?? 10_000);
const BATCHES = 500;
const PER_BATCH = 10;
const TICKS_PER_SECOND = 100;

const metric = async (server, name) =>
  Number(new RegExp(`^tradewire_${name} ([\\d.e+-]+)$`, 'm').exec((await request(server, PATHS.metrics)).text)[1]);

/** CPU seconds of the thread that writes the recording. */
function writer(pid) {
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const [name, rest] = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8').split(') ');
    if (!name.endsWith('(recorder')) continue;
    const fields = rest.split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }
  return 0;
}

/** Publishes, and waits until the last of it is at every client. */
async function load({ server, clients }, round) {
  for (let n = 0; n < BATCHES; n += 1) {
    const items = Array.from({ length: PER_BATCH }, (_, item) => {
      const user = clients[(n * PER_BATCH + item) % clients.length].user;
      if (item % 5 === 4) return { event: 'trade:executed', userId: user, data: { id: n, symbol: 'AAPL', side: 'buy', quantity: 10, price: 175.5 } };
      if (item % 5 === 3) return { event: 'portfolio:update', userId: user, data: { totalValue: 50_000, cash: 10_000, n } };
      return { event: 'quote:update', symbol: `S${item % 10}`, data: { price: 175.5, change: 2.5, n } };
    });
    await published(server, items);
  }
  const end = `"end":"${round}"`;
  const waiting = clients.map((raw) => new Promise((resolve) => {
    const look = (data) => {
      if (!data.includes(end)) return;
      raw.ws.off('message', look);
      resolve();
    };
    raw.ws.on('message', look);
  }));
  await published(server, { event: 'market:status', data: { end: String(round) } });
  await Promise.all(waiting);
}

async function clientsOf(server) {
  let odd = 0;
  return openAll(CLIENTS, async () => {
    const raw = await rawConnect(server, { pong: true });
    odd = 1 - odd;
    raw.send(eventPacket('subscribe:watchlist', [0, 2, 4, 6, 8].map((n) => `S${n + odd}`)));
    await raw.nextStarting('42["subscription:confirmed"');
    raw.ws.removeAllListeners('message');
    raw.ws.on('message', (data) => String(data) === '2' && raw.ws.send('3'));
    return raw;
  });
}

async function throughput(dir) {
  const settings = { [V.PING_INTERVAL_MS]: 600_000 };
  const nodes = [];
  for (const [name, more] of [['without', {}], ['with', { [V.RECORD_DIR]: dir }]]) {
    const server = await start({ ...settings, ...more });
    nodes.push({ name, server, clients: await clientsOf(server), used: [], took: [], inputs: 0, writing: 0, seconds: 0 });
  }
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const node of round % 2 ? nodes : [...nodes].reverse()) {
      const { pid } = node.server.child;
      const before = { cpu: cpu(pid), writer: writer(pid), inputs: await metric(node.server, 'inputs_total'), at: performance.now() };
      await load(node, round);
      // The first round warms up.
      if (round === 0) continue;
      node.took.push((performance.now() - before.at) / 1_000);
      const used = cpu(pid) - before.cpu;
      const writing = writer(pid) - before.writer;
      node.used.push(used);
      node.seconds += used;
      node.writing += writing;
      node.inputs += (await metric(node.server, 'inputs_total')) - before.inputs;
    }
  }
  const [plain, recorded] = nodes;
  for (const { name, seconds, writing, inputs, took } of nodes) {
    took.sort((a, b) => a - b);
    console.log(`${name.padEnd(8)} recording: ${seconds.toFixed(2)} s of CPU (${writing.toFixed(2)} of it writing) for ${inputs} inputs; a round of ${BATCHES * PER_BATCH} events took ${quantile(took, 0.5).toFixed(2)} s (median)`);
  }
  console.log(`recording adds ${((recorded.seconds / plain.seconds - 1) * 100).toFixed(1)} % of CPU`);
  const bytes = await metric(recorded.server, 'record_bytes_total');
  console.log(`${(bytes / (await metric(recorded.server, 'inputs_total'))).toFixed(0)} bytes an input, ${await metric(recorded.server, 'record_holes_total')} holes`);
  for (const { server } of nodes) await server.stop();
}

async function pause(dir) {
  const server = await start({
    [V.PING_INTERVAL_MS]: 600_000, [V.RECORD_DIR]: dir, [V.RECORD_SEGMENT_BYTES_MAX]: 32_000_000, [V.HANDSHAKE_MAX_MS]: 600_000,
  });
  await openAll(CONNECTIONS, () => {
    const user = newUser('hold');
    return rawConnect(server, { user, auth: { ...authOf(user), subscriptions: { portfolio: true, trades: true, watchlist: ['AAPL'] } } });
  });
  const trade = (n) => ({ event: 'trade:executed', userId: `reader-${n % 10_000}`, data: { n, note: 'x'.repeat(150) } });
  let n = 0;
  while ((await metric(server, 'history_bytes')) < 66_000_000) await published(server, Array.from({ length: 1_000 }, () => trade((n += 1))));
  const begun = await metric(server, 'record_segments_total');
  while ((await metric(server, 'record_segments_total')) < begun + 2) await published(server, Array.from({ length: 1_000 }, () => trade((n += 1))));
  console.log(`${CONNECTIONS} connections and ${await metric(server, 'history_events')} log events: the beginning of a segment held the node up for ${((await metric(server, 'record_pause_seconds')) * 1_000).toFixed(1)} ms at most; ${(memory(server.child.pid) / 1_048_576).toFixed(0)} MiB of memory after, ${await metric(server, 'record_holes_total')} holes`);
  await sleep(2_000);
  await server.stop();
}

const dir = mkdtempSync(path.join(os.tmpdir(), 'tradewire-bench-'));
try {
  await throughput(path.join(dir, 'load'));
  console.log(`recorded in ${dir}; KEEP=1 leaves it there`);
  await pause(path.join(dir, 'full'));
} finally {
  if (!process.env.KEEP) rmSync(dir, { recursive: true, force: true });
}
process.exit(0);
