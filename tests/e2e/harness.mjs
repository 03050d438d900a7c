// Starts the real binary, stops it, and gives every test a clean end.
//
//   cargo build --release && cd tests/e2e && npm ci && npm test
//   TRADEWIRE_BIN=/path/to/tradewire node --test wire.test.mjs
//
// Nothing here sleeps to let something happen: what is waited for is a condition with a deadline.

import { spawn } from 'node:child_process';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test as nodeTest } from 'node:test';
import { PATHS, STARTED_ADDRESS_FIELD, STARTED_MESSAGE, V } from './names.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
export const BINARY = process.env.TRADEWIRE_BIN
  ? path.resolve(process.env.TRADEWIRE_BIN)
  : path.resolve(HERE, '../../target/release/tradewire');
export const TOKEN = 'e2e-publish-token';

// How long anything may take that should come at once. Generous, because it is only spent on failure.
export const DEADLINE_MS = 8_000;
const LOG_LINES_MAX = 5_000;
const LOG_LINES_SHOWN = 25;

export class DeadlineError extends Error {
  name = 'DeadlineError';
}

/** Resolves as the promise does, or fails by name once the deadline has passed. */
export function within(promise, deadlineMs, what) {
  // Made here and not in the timer, so that its stack names the test's line.
  const error = new DeadlineError(`${what}: not within ${deadlineMs} ms`);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(error), deadlineMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Only for claims that are about time itself, and for the pace of a polling loop. */
export const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks again and again until the answer is truthy and returns that answer. An exception counts as "not yet". */
export async function eventually(condition, deadlineMs = DEADLINE_MS, what = condition.toString()) {
  const end = Date.now() + deadlineMs;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new DeadlineError(`${what}: not within ${deadlineMs} ms`, { cause: last });
    await delay(15);
  }
}

const cleanups = [];
/** Runs `fn` when the current test is over, whatever its result. */
export const atEnd = (fn) => cleanups.push(fn);

const alive = new Set();
process.on('exit', () => {
  for (const server of alive) server.child.kill('SIGKILL');
});
// A file that takes too long is ended so; what it started must go with it.
process.once('SIGTERM', () => process.exit(1));

/**
 * A test that closes what it opened and that, if it fails, shows what the servers logged.
 * Tests of one file run one after the other.
 */
export function test(name, fn, options = {}) {
  return nodeTest(name, { timeout: 45_000, ...options }, async (t) => {
    // A server that one of the tests replaced by a restart is not alive at the end, yet its log may
    // hold the reason.
    const servers = new Set(alive);
    try {
      await fn(t);
    } catch (error) {
      for (const server of alive) servers.add(server);
      for (const server of servers) server.tail().split('\n').forEach((line) => t.diagnostic(line));
      throw error;
    } finally {
      for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    }
  });
}

// The child sees only what a test gives it, so that a developer's own variables change nothing.
const baseEnvironment = () => ({ PATH: process.env.PATH, HOME: process.env.HOME, RUST_BACKTRACE: '1' });

function parseLine(line) {
  try {
    const parsed = JSON.parse(line);
    // A formatter may nest the fields of a line; both forms are read alike.
    return parsed && typeof parsed === 'object' ? { ...parsed, ...parsed.fields, line } : { line };
  } catch {
    return { line };
  }
}

function eachLine(stream, take) {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    lines.forEach(take);
  });
  stream.on('end', () => rest && take(rest));
}

/** Runs the binary to its end; for starts that must fail and for `--help`. */
export async function run({ env = {}, args = [], deadlineMs = DEADLINE_MS } = {}) {
  const child = spawn(BINARY, args, { env: { ...baseEnvironment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = [[], []];
  eachLine(child.stdout, (line) => stdout.push(line));
  eachLine(child.stderr, (line) => stderr.push(line));
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  try {
    return await within(ended, deadlineMs, 'the process ends by itself');
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }
}

export class Server {
  constructor(env, args) {
    this.env = env;
    this.args = args;
    this.logs = [];
    this.stderr = [];
    this.child = spawn(BINARY, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    alive.add(this);
    eachLine(this.child.stdout, (line) => this.#take(line));
    eachLine(this.child.stderr, (line) => this.stderr.push(line));
    this.exited = new Promise((resolve) => {
      this.child.on('error', (error) => {
        alive.delete(this);
        this.stderr.push(String(error));
        resolve({ code: null, signal: null, error });
      });
      this.child.on('close', (code, signal) => {
        alive.delete(this);
        resolve({ code, signal });
      });
    });
  }

  #take(line) {
    this.logs.push(parseLine(line));
    if (this.logs.length > LOG_LINES_MAX) this.logs.shift();
    const last = this.logs.at(-1);
    if (!this.address && String(last.message ?? '').includes(STARTED_MESSAGE)) {
      this.address = last[STARTED_ADDRESS_FIELD];
      this.port = Number(String(this.address).split(':').at(-1));
      // Whatever it is bound to, it is spoken to on the loopback.
      this.url = `http://127.0.0.1:${this.port}`;
    }
  }

  async started() {
    const dead = this.exited.then((end) => {
      throw new Error(`the server ended before it listened: ${JSON.stringify(end)}\n${this.tail()}`);
    });
    const up = eventually(() => this.port, DEADLINE_MS, 'the server says that it listens').catch((error) => {
      throw new Error(`${error.message}\n${this.tail()}`);
    });
    dead.catch(() => {});
    await Promise.race([up, dead]);
    return this;
  }

  tail() {
    const out = this.logs.slice(-LOG_LINES_SHOWN).map((entry) => entry.line);
    const err = this.stderr.slice(-LOG_LINES_SHOWN);
    return [`server ${this.child.pid} at ${this.address}`, ...out, ...(err.length ? ['stderr:', ...err] : [])].join('\n  ');
  }

  /** Whether some log line's message or text contains this. */
  logged(text) {
    return this.logs.find((entry) => entry.line.includes(text));
  }

  signal(name) {
    this.child.kill(name);
  }

  /** Waits for the end of the process: `{code, signal}`. A panic anywhere in it fails the test. */
  async ended(deadlineMs = DEADLINE_MS) {
    const end = await within(this.exited, deadlineMs, 'the server process ends');
    const panic = this.stderr.find((line) => line.includes('panicked at')) ?? this.logged('panicked at')?.line;
    if (panic) throw new Error(`the server panicked: ${panic}\n${this.tail()}`);
    return end;
  }

  async stop(signal = 'SIGKILL', deadlineMs = DEADLINE_MS) {
    if (alive.has(this)) this.signal(signal);
    return this.ended(deadlineMs);
  }

  /** A new process with the same settings on the same port, once this one is gone. */
  async restart(env = {}) {
    await this.ended();
    const next = new Server({ ...this.env, ...env, [V.WEBSOCKET_PORT]: String(this.port) }, this.args);
    return next.started();
  }
}

/** Starts the binary on a free port and waits until it listens. Give `undefined` to unset a variable. */
export async function start(env = {}, { args = [] } = {}) {
  const all = {
    ...baseEnvironment(),
    [V.WEBSOCKET_PORT]: '0',
    [V.HOST]: '127.0.0.1',
    [V.PUBLISH_TOKEN]: TOKEN,
    [V.LOG_FORMAT]: 'json',
    ...env,
  };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  return new Server(Object.fromEntries(given.map(([name, value]) => [name, String(value)])), args).started();
}

/** A server for one test only. */
export async function startForTest(env, options) {
  const server = await start(env, options);
  atEnd(() => server.stop());
  return server;
}

/**
 * One HTTP request on a connection of its own: `{status, headers, text, json}`. An upgrade that is
 * accepted is reported as status 101 and ended.
 */
export function request(server, target, { method = 'GET', headers = {}, body, deadlineMs = DEADLINE_MS } = {}) {
  const sent = new Promise((resolve, reject) => {
    const req = http.request({ host: '127.0.0.1', port: server.port, path: target, method, headers, agent: false });
    req.on('upgrade', (res, socket) => {
      socket.destroy();
      resolve({ status: res.statusCode, headers: res.headers, text: '' });
    });
    req.on('response', (res) => {
      const chunks = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        let json;
        try {
          json = JSON.parse(text);
        } catch {
          // Not every answer is JSON; a test that needs it fails on `undefined`.
        }
        resolve({ status: res.statusCode, headers: res.headers, text, json });
      });
    });
    // A server that refuses a body early closes while it is still being sent; the answer counts.
    req.on('error', reject);
    req.end(body);
  });
  return within(sent, deadlineMs, `${method} ${target}`);
}

export const bearer = (token) => ({ authorization: `Bearer ${token}` });

/** `POST /api/publish`. An object or array is sent as JSON, a string or buffer as it is. */
export function publish(server, body, { contentType = 'application/json', token = TOKEN, headers = {} } = {}) {
  const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const all = { 'content-length': Buffer.byteLength(text), ...(token ? bearer(token) : {}), ...headers };
  if (contentType) all['content-type'] = contentType;
  return request(server, PATHS.publish, { method: 'POST', headers: all, body: text });
}

/** Publishes what must be accepted. */
export async function published(server, body, options) {
  const answer = await publish(server, body, options);
  if (answer.status !== 202) throw new Error(`publish answered ${answer.status}: ${answer.text}`);
  return answer.json;
}

export const health = async (server) => (await request(server, PATHS.health)).json;
