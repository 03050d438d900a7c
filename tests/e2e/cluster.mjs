// Several nodes on one Redis: starting them, waiting for what they say of themselves, publishers that do
// not give up, and stock clients that come back to whichever node answers.

import { strict as assert } from 'node:assert';
import net from 'node:net';
import { atEnd, DEADLINE_MS, delay, eventually, health, publish, published, request, start } from './harness.mjs';
import { all, connect, newUser, open, when } from './clients.mjs';
import { PATHS, V } from './names.mjs';
import { Redis } from './redis.mjs';

// What the guarantees say of the time after contact with Redis returns.
export const BACK_MS = 5_000;
export const EXCESS_MS = 15_000;
const READY_MS = 10_000;
const HEARD_MS = 10_000;
const RETRY_MS = 50;

/** Leases short enough for a test, in the proportions of the defaults. */
export const SHORT_LEASE = { [V.SLOT_LEASE_MS]: 3_000, [V.SLOT_RENEW_EVERY_MS]: 1_000 };

export const ready = async (node) => (await request(node, PATHS.ready)).status === 200;
export const bus = async (node) => (await health(node)).bus;

export const reached = (node, deadlineMs = READY_MS) =>
  eventually(async () => (await bus(node)).state === 'reached', deadlineMs, `node ${node.port} has reached Redis`);
export const lost = (node, deadlineMs = READY_MS) =>
  eventually(async () => (await bus(node)).state === 'lost', deadlineMs, `node ${node.port} has lost Redis`);

export class Cluster {
  constructor(redis, env) {
    this.redis = redis;
    this.env = env;
    this.nodes = [];
  }

  /** One more node; `url` is another way to Redis, `env` is for this node alone. Waits until it is ready. */
  async add({ url = this.redis.url, env = {} } = {}) {
    const node = await start({ [V.REDIS_URL]: url, ...this.env, ...env });
    this.nodes.push(node);
    await eventually(() => ready(node), READY_MS, `node ${node.port} is ready`);
    return node;
  }

  /** Waits until every node hears every other. */
  async settled(count = this.nodes.length) {
    await Promise.all(this.nodes.map((node) =>
      eventually(async () => (await bus(node)).nodes === count, HEARD_MS, `node ${node.port} hears ${count} nodes`)));
  }

  /** A new process in the place of one that has ended. */
  async replace(node) {
    const next = await node.restart();
    this.nodes[this.nodes.indexOf(node)] = next;
    await eventually(() => ready(next), READY_MS, `node ${next.port} is ready again`);
    return next;
  }

  async stop() {
    const ends = await Promise.allSettled(this.nodes.map((node) => node.stop()));
    await this.redis.stop();
    // A node that panicked says so here.
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed) throw failed.reason;
  }
}

/** Nodes on a Redis of their own. */
export async function startCluster(count = 3, { redis = {}, env = {} } = {}) {
  const cluster = new Cluster(new Redis(redis), env);
  try {
    await cluster.redis.start();
    await Promise.all(Array.from({ length: count }, () => cluster.add()));
    await cluster.settled();
  } catch (error) {
    await cluster.stop().catch(() => {});
    throw error;
  }
  return cluster;
}

export async function clusterForTest(count, options) {
  const cluster = await startCluster(count, options);
  atEnd(() => cluster.stop());
  return cluster;
}

export const trade = (userId, data = {}, more = {}) => ({ event: 'trade:executed', userId, data, ...more });
export const quote = (symbol, data = {}, more = {}) => ({ event: 'quote:update', symbol, data, ...more });
export const portfolio = (userId, data = {}, more = {}) => ({ event: 'portfolio:update', userId, data, ...more });

let marks = 0;
/**
 * Log events of one user come in order: once this one has come, what was published before and has not
 * come does not come. The marks are left out by `trades`.
 */
export async function logFence(node, ...sockets) {
  const mark = `${process.pid}-${++marks}`;
  const users = [...new Set(sockets.map((socket) => socket.user))];
  await published(node, users.map((user) => trade(user, { mark })));
  await Promise.all(sockets.map((socket) =>
    when(socket, () => all(socket, 'trade:executed').some((t) => t.mark === mark), 'the mark arrives')));
}

/** The numbers `n` of the trades so far, in the order in which they came. */
export const trades = (socket) => all(socket, 'trade:executed').filter((t) => t.mark === undefined).map((t) => t.n);

/** The numbers `n` of the quotes of a symbol so far. */
export const quotes = (socket, symbol) => all(socket, 'quote:update').filter((q) => q.symbol === symbol).map((q) => q.n);

export function neverBackwards(values, what) {
  for (let i = 1; i < values.length; i += 1) {
    assert.ok(values[i] >= values[i - 1], `${what} went back from ${values[i - 1]} to ${values[i]}, at ${i} of ${values.length}`);
  }
}

/** Exactly these numbers in this order; names what is missing or doubled instead of printing thousands. */
export function exactly(came, expected, what) {
  const missing = expected.filter((n) => !came.includes(n));
  const doubled = came.filter((n, i) => came.indexOf(n) !== i);
  assert.deepEqual({ missing, doubled, count: came.length }, { missing: [], doubled: [], count: expected.length }, what);
  assert.deepEqual(came, expected, `${what}: the order`);
}

export const upTo = (count) => Array.from({ length: count }, (_, n) => n);

/**
 * Publishes numbered batches one after the other until it is stopped. A batch that is answered 503 is
 * published again, whole and with the ids of that answer, and nothing else before it; with `ownIds` the
 * publisher names its items itself, so that it may also retry at another node when one dies under it.
 * A number counts once its batch is answered 202.
 */
export class Publisher {
  constructor(targets, itemsOf, { everyMs = 20, ownIds = false, name = newUser('publisher') } = {}) {
    Object.assign(this, { targets, itemsOf, everyMs, ownIds, name });
    this.accepted = 0;
    this.retries = 0;
    this.degraded = 0;
    this.turn = 0;
    this.running = true;
    atEnd(() => this.stop().catch(() => {}));
    this.done = this.#run();
    // The failure is told by `stop`, or by whoever waits for the clients.
    this.done.catch((error) => (this.failure = error));
  }

  async #run() {
    while (this.running) {
      const items = this.itemsOf(this.accepted);
      if (this.ownIds) items.forEach((item, i) => (item.id = `${this.name}-${this.accepted}-${i}`));
      if (!(await this.#push(items))) return;
      this.accepted += 1;
      await delay(this.everyMs);
    }
  }

  /** Whether the batch was accepted; false only if the publisher was aborted before. */
  async #push(items) {
    for (;;) {
      const targets = this.targets();
      const target = targets[this.turn % targets.length];
      let answer;
      try {
        answer = await publish(target, items);
      } catch (error) {
        // Without ids a second try could double what the first has done.
        if (!this.ownIds) throw error;
        this.turn += 1;
      }
      if (answer?.status === 202) {
        if (answer.json.degraded) this.degraded += 1;
        return true;
      }
      if (answer && answer.status !== 503) throw new Error(`publish answered ${answer.status}: ${answer.text}`);
      if (answer) {
        const { ids } = answer.json;
        if (ids) items.forEach((item, i) => (item.id = ids[i]));
        else this.turn += 1;
      }
      this.retries += 1;
      if (this.aborted) return false;
      await delay(RETRY_MS);
    }
  }

  /** Waits until this many batches more are accepted. */
  async more(count, deadlineMs = DEADLINE_MS) {
    const goal = this.accepted + count;
    await eventually(() => {
      if (this.failure) return true;
      return this.accepted >= goal;
    }, deadlineMs, `${this.name} has published ${count} more`);
    if (this.failure) throw this.failure;
  }

  /** Ends after the batch at hand and returns how many were accepted. */
  async stop() {
    this.running = false;
    // A test that failed must not wait for a Redis that does not come back.
    const patience = setTimeout(() => (this.aborted = true), DEADLINE_MS);
    await this.done.finally(() => clearTimeout(patience));
    return this.accepted;
  }
}

/**
 * One address for all nodes, as a load balancer gives: each connection goes to the next node that
 * accepts it.
 */
export class Balancer {
  constructor(cluster) {
    this.cluster = cluster;
    this.turn = 0;
    this.sockets = new Set();
    this.pairs = new Map();
    this.vanished = new Set();
  }

  async start() {
    this.server = net.createServer((near) => this.#forward(near)).listen(0, '127.0.0.1');
    await new Promise((resolve, reject) => this.server.once('listening', resolve).once('error', reject));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  #forward(near, tries = 0) {
    // What goes wrong on this side ends it; `close` follows.
    if (tries === 0) near.on('error', () => {});
    const { nodes } = this.cluster;
    if (near.destroyed || tries === nodes.length) {
      near.resetAndDestroy();
      return;
    }
    const far = net.connect(nodes[this.turn++ % nodes.length].port, '127.0.0.1');
    let open = false;
    far.on('connect', () => {
      open = true;
      near.setNoDelay(true);
      far.setNoDelay(true);
      near.pipe(far).pipe(near);
      this.pairs.set(near, far);
      near.on('close', () => this.vanished.has(far) || far.destroy());
    });
    far.on('error', () => {});
    far.on('close', () => {
      if (!open) this.#forward(near, tries + 1);
      else near.end();
      this.sockets.delete(far);
    });
    this.sockets.add(far);
    this.sockets.add(near);
    near.on('close', () => {
      this.sockets.delete(near);
      this.pairs.delete(near);
    });
  }

  /** Every client loses its connection, and so does the server. */
  drop() {
    for (const near of this.pairs.keys()) near.resetAndDestroy();
  }

  /** Every client loses its connection, and the server does not hear of it. */
  vanish() {
    for (const [near, far] of this.pairs) {
      this.vanished.add(far);
      near.unpipe(far);
      far.unpipe(near);
      far.resume();
      near.resetAndDestroy();
    }
  }

  async stop() {
    this.sockets.forEach((socket) => socket.destroy());
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export async function balancerForTest(cluster) {
  const balancer = await new Balancer(cluster).start();
  atEnd(() => balancer.stop());
  return balancer;
}

/**
 * A stock client that resumes: on each connect it gives the id of the last log event it handled, its
 * subscriptions and its former socket id.
 */
export function openResuming(target, { user = newUser(), session = `session-of-${user}`, subscriptions, reconnection = true } = {}) {
  let lastEventId;
  const auth = (give) => {
    const auth = { sessionID: session, userId: user, lastEventId, subscriptions, replaces: socket.idsHad.at(-1) };
    give(Object.fromEntries(Object.entries(auth).filter(([, value]) => value !== undefined)));
  };
  const socket = open(target, { user, session, reconnection, options: { auth, reconnectionDelay: 100, reconnectionDelayMax: 500 } });
  const handle = (data) => (lastEventId = data.eventId);
  socket.on('trade:executed', handle);
  socket.on('trade:failed', handle);
  return socket;
}

export async function connectResuming(target, options) {
  const socket = openResuming(target, options);
  await when(socket, () => socket.connected, 'the client connects');
  return socket;
}

/** One socket of the same user on each node. */
export const onEach = (nodes, user = newUser(), options = {}) =>
  Promise.all(nodes.map((node) => connect(node, { user, ...options })));
