// A real Redis for tests, which can be paused, killed and started again, with or without its data, and a
// small TCP proxy that cuts one node off from it.
//
// It ends only the process that it started and removes only the folder that it made.

import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createClient } from 'redis';
import { atEnd, DEADLINE_MS, eventually, within } from './harness.mjs';

const BINARY = process.env.REDIS_SERVER_BIN ?? 'redis-server';
const READY = /Ready to accept connections/;
const PORT_TAKEN = /Address already in use|bind: /i;
const STARTS_MAX = 5;

const alive = new Set();
process.on('exit', () => {
  for (const redis of alive) {
    redis.child.kill('SIGKILL');
    rmSync(redis.dir, { recursive: true, force: true });
  }
});

/** A port that was free a moment ago. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class Redis {
  /** `appendonly` keeps every answered write over a kill; without it a kill loses all but what was saved. */
  constructor({ appendonly = false, requirepass } = {}) {
    this.appendonly = appendonly;
    this.requirepass = requirepass;
  }

  /** Prepares a port and a folder without starting anything. */
  async prepare() {
    this.port = await freePort();
    this.dir = await mkdtemp(path.join(os.tmpdir(), 'tradewire-redis-'));
    return this;
  }

  get url() {
    return this.urlFor(this.port);
  }

  urlFor(port, password = this.requirepass) {
    return `redis://${password ? `:${encodeURIComponent(password)}@` : ''}127.0.0.1:${port}`;
  }

  async start() {
    if (!this.dir) await this.prepare();
    const first = !this.started;
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#launch();
        break;
      } catch (error) {
        // Somebody else took the port in between. Once nodes know it, it must stay the same.
        if (!first || tries >= STARTS_MAX || !PORT_TAKEN.test(this.output)) throw error;
        this.port = await freePort();
      }
    }
    this.started = true;
    this.client = await this.connect();
    return this;
  }

  async #launch() {
    const args = ['--port', this.port, '--bind', '127.0.0.1', '--dir', this.dir, '--save', '', '--daemonize', 'no', '--logfile', '',
      '--appendonly', this.appendonly ? 'yes' : 'no',
      // By the second it answers before it has written, while an earlier second is still on its way to a slow disk.
      '--appendfsync', 'always', ...(this.requirepass ? ['--requirepass', this.requirepass] : [])];
    this.output = '';
    const child = spawn(BINARY, args.map(String), { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    alive.add(this);
    const take = (chunk) => (this.output = (this.output + chunk).slice(-20_000));
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    this.exited = new Promise((resolve) => {
      child.on('error', (error) => {
        take(`${error}: install redis-server, or name it in REDIS_SERVER_BIN`);
        resolve();
      });
      child.on('close', resolve);
    });
    let gone = false;
    this.exited.then(() => (gone = true));
    await eventually(() => gone || READY.test(this.output), DEADLINE_MS, 'Redis is ready');
    if (gone) throw new Error(`Redis ended: ${this.output}`);
  }

  /** A client of its own, which fails instead of connecting again. */
  async connect({ password = this.requirepass } = {}) {
    const client = createClient({ url: this.urlFor(this.port, password), socket: { reconnectStrategy: false } });
    // Redis is killed under it; who uses it then sees the command fail.
    client.on('error', () => {});
    await within(client.connect(), DEADLINE_MS, 'a client of Redis connects');
    return client;
  }

  /** A client for the current test only. */
  async clientForTest(options) {
    const client = await this.connect(options);
    atEnd(() => client.isOpen && client.destroy());
    return client;
  }

  /** Connections stay open and nobody answers. */
  pause() {
    this.child.kill('SIGSTOP');
  }

  resume() {
    this.child.kill('SIGCONT');
  }

  /** As a crash: connections are reset, new ones refused. */
  async kill() {
    if (this.client?.isOpen) this.client.destroy();
    // A stopped process ends at SIGKILL too.
    this.child.kill('SIGKILL');
    await within(this.exited, DEADLINE_MS, 'Redis ends');
  }

  /** The same address again, with the data that it had or with none. */
  async restart({ empty = false } = {}) {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    if (empty) {
      await rm(this.dir, { recursive: true, force: true });
      await mkdir(this.dir);
    }
    return this.start();
  }

  async stop() {
    if (this.child && this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    alive.delete(this);
    if (this.dir) await rm(this.dir, { recursive: true, force: true });
  }
}

export const startRedis = (options) => new Redis(options).start();

export async function redisForTest(options) {
  const redis = new Redis(options);
  atEnd(() => redis.stop());
  return redis.start();
}

/**
 * A TCP proxy on the loopback. `cut()` resets what is open and refuses what is new, `freeze()` keeps
 * connections and moves nothing, `mend()` ends both.
 */
export class Proxy {
  constructor(targetPort) {
    this.targetPort = targetPort;
    this.pairs = new Set();
    this.state = 'open';
  }

  async start() {
    this.server = net.createServer((near) => this.#accept(near)).listen(0, '127.0.0.1');
    await new Promise((resolve, reject) => this.server.once('listening', resolve).once('error', reject));
    this.port = this.server.address().port;
    return this;
  }

  #accept(near) {
    near.on('error', () => {});
    if (this.state === 'cut') {
      near.resetAndDestroy();
      return;
    }
    const far = net.connect(this.targetPort, '127.0.0.1');
    far.on('error', () => {});
    const pair = [near, far];
    this.pairs.add(pair);
    for (const [from, to] of [pair, [far, near]]) {
      from.setNoDelay(true);
      from.on('data', (chunk) => to.write(chunk));
      from.on('close', () => {
        to.destroy();
        this.pairs.delete(pair);
      });
      if (this.state === 'frozen') from.pause();
    }
  }

  cut() {
    this.state = 'cut';
    for (const pair of this.pairs) pair.forEach((socket) => socket.resetAndDestroy());
  }

  freeze() {
    this.state = 'frozen';
    for (const pair of this.pairs) pair.forEach((socket) => socket.pause());
  }

  mend() {
    this.state = 'open';
    for (const pair of this.pairs) pair.forEach((socket) => socket.resume());
  }

  async stop() {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export async function proxyForTest(targetPort) {
  const proxy = await new Proxy(targetPort).start();
  atEnd(() => proxy.stop());
  return proxy;
}
