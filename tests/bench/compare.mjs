// Runs Tradewire and its peers alternately under the same load, and prints ratios of medians with their
// spread. `tests/bench/compare` builds what it needs and calls it.
//
//   node tests/bench/compare.mjs --bin target/release [--smoke] [--rounds 3] [--only node,bare] [--rows connect,…]
//
// The rows of a cluster need redis-server. They are measured where --rows names them, and in a smoke test.

import { execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify, parseArgs } from 'node:util';
import { sleep } from './common.mjs';

const HERE = import.meta.dirname;
const SERVER_CORE = '0';
const LOAD_CORE = '1';
const START_MAX_MS = 15_000;
const TOKEN = randomBytes(16).toString('hex');

const { values: options } = parseArgs({
  options: {
    bin: { type: 'string', default: 'target/release' },
    smoke: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string' },
    rows: { type: 'string' },
  },
});
const SMOKE = options.smoke;
const ROUNDS = Number(options.rounds ?? (SMOKE ? 1 : 3));
const bin = (name) => path.resolve(options.bin, name);
const redisServer = process.env.REDIS_SERVER_BIN ?? 'redis-server';
const bun = path.join(HERE, 'node_modules/.bin/bun');
const peer = path.join(HERE, 'peers/node.mjs');

const SERVERS = {
  tradewire: { command: [bin('tradewire')], env: { RUST_LOG: 'warn' } },
  node: { command: [process.execPath, peer], name: `Node.js ${process.versions.node}, socket.io` },
  bun: { command: [bun, peer], name: 'Bun, socket.io on its engine' },
  bare: { command: [bin('bare-socketioxide')], name: 'bare socketioxide' },
};

/** A figure of a row: where it is in the load's report, whether more is better, and the goals as ratios. */
const higher = (name, unit, get, node, bun, bare) => ({ name, unit, get, goals: { node, bun, bare }, more: true });
const lower = (name, unit, get, node, bun, bare) => ({ name, unit, get, goals: { node, bun, bare }, more: false });
/** What a search found, or a phase at one rate. */
const best = (report) => ('best' in report ? report.best : report);
const size = (full, tiny) => String(SMOKE ? tiny : full);
const SECONDS = size(1.5, 0.3);
const MANY = size(10_000, 300);
const SOME = size(1_000, 100);

/** A search that begins there, or in a smoke test just a rate. */
const rate = (start) => (SMOKE ? ['--rate', String(start / 20)] : ['--start', String(start)]);

/**
 * Each row is one load on a server that was just started. `start` is where the search for the highest rate begins.
 * Of a `cluster`, one node is published to and clients are on the other; nodes and Redis share the servers' core.
 */
const ROWS = {
  connect: {
    load: () => ['connect', '--connections', MANY, '--settle', size(2, 0.2)],
    figures: [
      higher('connects/s, 10,000', '/s', (r) => r.connects_per_s, 3.5, 1.8, 1),
      lower('p95 time to connect', 'ms', (r) => r.time_to_connect.p95_ms, 0.3),
      lower('server CPU per connect', 'µs', (r) => r.server_cpu_us_per_connect),
      lower('memory per idle connection', 'KiB', (r) => r.rss_kib_per_connection, 0.8, 0.95, 0.45),
    ],
  },
  cpu: {
    load: () => ['fanout', '--clients', SOME, '--rate', size(20_000, 2_000), '--seconds', size(4, 0.5)],
    figures: [
      lower('server CPU per delivery, fan-out to 1,000 at 20,000/s', 'µs', (r) => r.server_cpu_us_per_delivery, 0.55, 0.95, 0.8),
      lower('p95 of the same', 'ms', (r) => r.p95_ms, 0.6),
    ],
  },
  fanout: {
    starts: { tradewire: 5_000_000, node: 170_000, bun: 250_000, bare: 400_000 },
    load: (start) => ['fanout', '--clients', SOME, ...rate(start), '--seconds', SECONDS, '--late-ms', '200'],
    figures: [higher('highest fan-out to 1,000, p95 < 200 ms, no loss', '/s', (r) => best(r)?.rate, 10, 6, 1)],
  },
  wide: {
    starts: { tradewire: 1_100_000, node: 75_000, bun: 145_000, bare: 20_000 },
    load: (start) => ['fanout', '--clients', MANY, ...rate(start), '--seconds', SECONDS, '--late-ms', '200'],
    figures: [higher('highest fan-out to 10,000, p95 < 200 ms, no loss', '/s', (r) => best(r)?.rate, 4, 2, 1)],
  },
  user: {
    starts: { tradewire: 230_000, node: 55_000, bun: 115_000, bare: 70_000 },
    load: (start) => ['user', '--clients', SOME, ...rate(start), '--seconds', SECONDS, '--late-ms', '50'],
    figures: [
      higher('highest to 1,000 users, 50 per POST, p95 < 50 ms', '/s', (r) => best(r)?.rate, 4, 2, 1.3),
      lower('server CPU per delivery of the same', 'µs', (r) => best(r)?.server_cpu_us_per_delivery),
    ],
  },
  'cluster-cpu': {
    cluster: true,
    load: () => ['fanout', '--clients', SOME, '--rate', size(20_000, 2_000), '--seconds', size(4, 0.5)],
    figures: [
      lower('two nodes on Redis: CPU per delivery, theirs and its, fan-out to 1,000 at 20,000/s', 'µs', (r) => r.server_cpu_us_per_delivery),
      lower('p95 of the same', 'ms', (r) => r.p95_ms),
    ],
  },
  'cluster-fanout': {
    cluster: true,
    starts: { tradewire: 4_000_000, node: 165_000, bun: 240_000 },
    load: (start) => ['fanout', '--clients', SOME, ...rate(start), '--seconds', SECONDS, '--late-ms', '200'],
    figures: [higher('two nodes on Redis: highest fan-out to 1,000, p95 < 200 ms, no loss', '/s', (r) => best(r)?.rate)],
  },
  'cluster-user': {
    cluster: true,
    starts: { tradewire: 36_000, node: 16_000, bun: 30_000 },
    load: (start) => ['user', '--clients', SOME, ...rate(start), '--seconds', SECONDS, '--late-ms', '50'],
    figures: [higher('two nodes on Redis: highest to 1,000 users, 50 per POST, p95 < 50 ms', '/s', (r) => best(r)?.rate)],
  },
};

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a process on the servers' core, and waits until it is `ready`. */
async function start(command, env, ready) {
  const child = spawn('taskset', ['-c', SERVER_CORE, ...command], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const deadline = Date.now() + START_MAX_MS;
  while (!(await ready())) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`${command.join(' ')} did not start`);
    }
    await sleep(50);
  }
  return child;
}

async function startServer({ command, env = {} }, more = {}) {
  const port = await freePort();
  const healthy = async () => (await fetch(`http://127.0.0.1:${port}/health/websocket`).catch(() => undefined))?.ok;
  const child = await start(command, { PORT: String(port), PUBLISH_TOKEN: TOKEN, TOKIO_WORKER_THREADS: '1', ...env, ...more }, healthy);
  return { child, port };
}

async function startRedis(folder) {
  const port = await freePort();
  const answers = () =>
    new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
      const end = (pong) => {
        socket.destroy();
        resolve(pong);
      };
      socket.on('data', (data) => end(String(data).startsWith('+PONG'))).on('error', () => end(false));
    });
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder, '--logfile', '/dev/null'];
  return { child: await start([redisServer, ...settings], {}, answers), port };
}

async function stop({ child }) {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

/** One load on a fresh server, or on a cluster of two; its report. */
async function measure(server, { cluster }, args, folder) {
  const started = [];
  const keep = async (starting) => started[started.push(await starting) - 1];
  try {
    const redis = cluster && (await keep(startRedis(folder)));
    const shared = redis && { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    const node = await keep(startServer(server, shared));
    const other = cluster && (await keep(startServer(server, shared)));
    const json = path.join(folder, 'report.json');
    const at = ({ port }) => `127.0.0.1:${port}`;
    const pids = started.map(({ child }) => child.pid).join(',');
    const target = ['--server', at(node), ...(other ? ['--publish-to', at(other)] : []), '--pid', pids, '--token', TOKEN, '--json', json];
    await promisify(execFile)('taskset', ['-c', LOAD_CORE, bin('tradewire-bench'), ...target, ...args]);
    return JSON.parse(await readFile(json, 'utf8'));
  } finally {
    await Promise.all(started.map(stop));
  }
}

/** A figure's ratio to a peer: of the medians, and the smallest and largest of the rounds. */
function ratio(ours, theirs) {
  // A search may find no rate that is good; the rounds in which it found one are compared.
  const pairs = ours.map((value, n) => value / theirs[n]).filter(Number.isFinite);
  if (pairs.length === 0) return undefined;
  return { at: median(ours) / median(theirs.filter(Number.isFinite)), from: Math.min(...pairs), to: Math.max(...pairs) };
}

const number = (value) => (value >= 1_000 ? Math.round(value).toLocaleString('en') : value >= 100 ? value.toFixed(0) : value.toFixed(value < 1 ? 2 : 1));

function cell(figure, name, found, ours) {
  const values = (found[name] ?? []).filter(Number.isFinite);
  if (values.length === 0) return '–';
  const shown = `${number(median(values))} ${figure.unit}`;
  const compared = !SMOKE && name !== 'tradewire' && ratio(ours, found[name]);
  if (!compared) return shown;
  const goal = figure.goals[name];
  const met = figure.more ? compared.at >= goal : compared.at <= goal;
  const wanted = goal === undefined ? '' : `, goal ${figure.more ? '≥' : '≤'} ${goal}${met ? '' : ' **missed**'}`;
  return `${shown}: **${number(compared.at)}×** (${number(compared.from)}–${number(compared.to)}${wanted})`;
}

function table(names, rows, found) {
  const lines = [`| | Tradewire | ${names.slice(1).map((name) => SERVERS[name].name).join(' | ')} |`, `|---|${'---|'.repeat(names.length)}`];
  for (const row of rows) {
    ROWS[row].figures.forEach((figure, n) => {
      const values = Object.fromEntries(names.map((name) => [name, found[row][name].map((report) => figure.get(report))]));
      lines.push(`| ${figure.name} | ${names.map((name) => cell(figure, name, values, values.tradewire)).join(' | ')} |`);
    });
  }
  return lines.join('\n');
}

const wanted = (given, all) => all.filter((name) => !given || given.split(',').includes(name));
const hasRedis = spawnSync(redisServer, ['--version']).status === 0;
const rows = wanted(options.rows, Object.keys(ROWS)).filter((row) => {
  if (!ROWS[row].cluster) return true;
  if (!options.rows && !SMOKE) return false;
  if (!hasRedis) console.error(`${row} is left out: there is no ${redisServer}`);
  return hasRedis;
});
const names = ['tradewire', ...wanted(options.only, ['node', 'bun', 'bare'])].filter((name) => {
  const [program] = SERVERS[name].command;
  if (existsSync(program)) return true;
  console.error(`${name} is left out: there is no ${program}`);
  return false;
});
const folder = await mkdtemp(path.join(os.tmpdir(), 'tradewire-compare-'));
const began = Date.now();
const found = Object.fromEntries(rows.map((row) => [row, Object.fromEntries(names.map((name) => [name, []]))]));
try {
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const row of rows) {
      const { starts, load, figures, cluster } = ROWS[row];
      for (const name of names) {
        // It has no adapter of its own.
        if (cluster && name === 'bare') continue;
        const before = found[row][name].findLast(best) ?? found[row][name].at(-1);
        if (starts && round > 2 && !best(before)) {
          // Where no rate was good twice, another round would only take long to say so again.
          found[row][name].push(before);
          continue;
        }
        // The search is shorter from where it ended the last time.
        const last = before?.best?.rate;
        const start = starts && Math.ceil(last ? last / 1.05 : starts[name]);
        const beganAt = Date.now();
        const report = await measure(SERVERS[name], ROWS[row], load(start), folder);
        found[row][name].push(report);
        const said = (value, unit) => (value === undefined ? 'none' : `${number(value)} ${unit}`);
        const shown = figures.map((figure) => said(figure.get(report), figure.unit)).join(', ');
        const busy = best(report)?.load_cpu ?? 0;
        console.error(`round ${round} ${row.padEnd(14)} ${name.padEnd(10)} ${shown}, in ${((Date.now() - beganAt) / 1_000).toFixed(0)} s${busy > 0.9 ? ` (the load took ${number(busy)} of its core)` : ''}`);
      }
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
const minutes = ((Date.now() - began) / 60_000).toFixed(1);
console.log(table(names, rows, found));
console.log(`\nMedians of ${ROUNDS}, ratios Tradewire : peer with the smallest and largest of the rounds; ${os.cpus()[0].model}, ${os.cpus().length} cores, Linux ${os.release()}, server on one core with one worker thread, load on another; ${minutes} minutes${SMOKE ? '; tiny sizes, which say nothing about speed' : ''}.`);
