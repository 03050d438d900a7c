// The stock clients, with a collector that keeps every event in the order in which it came.

import { strict as assert } from 'node:assert';
import { createRequire } from 'node:module';
import { io as ioNewest } from 'socket.io-client';
import { atEnd, DEADLINE_MS, DeadlineError, published, within } from './harness.mjs';

const require = createRequire(import.meta.url);

export const CLIENTS = {
  newest: ioNewest,
  // The oldest 4.x, as some dashboards still ship it.
  '4.0': require('socket.io-client-40').io,
};

export const TRANSPORTS = {
  websocket: ['websocket'],
  polling: ['polling'],
  'polling then websocket': ['polling', 'websocket'],
};

/** Every client with every transport, as `{title, client, transports}`. */
export const COMBINATIONS = Object.keys(CLIENTS).flatMap((client) =>
  Object.entries(TRANSPORTS).map(([name, transports]) => ({ title: `client ${client}, ${name}`, client, transports })));

let users = 0;
/** A user nobody else in this run uses, so that rate limits of one test do not reach into another. */
export const newUser = (name = 'user') => `${name}-${process.pid}-${++users}`;

export const sessionOf = (user) => `session-of-${user}`;

/**
 * A stock socket that is not waited for. `socket.seen` holds every event as `{event, args}`,
 * `socket.ends` every reason of a disconnect, `socket.refusals` every connect error, `socket.idsHad` the
 * id of every connect.
 */
export function open(server, {
  user = newUser(),
  session = sessionOf(user),
  auth = {},
  client = 'newest',
  transports = TRANSPORTS.websocket,
  reconnection = false,
  options = {},
} = {}) {
  const socket = CLIENTS[client](server.url, {
    auth: { sessionID: session, userId: user, ...auth },
    transports,
    reconnection,
    // Otherwise sockets of one process would share one connection.
    forceNew: true,
    multiplex: false,
    ...options,
  });
  const collector = { user, seen: [], taken: new Set(), waiting: new Set(), ends: [], refusals: [], idsHad: [] };
  for (const name of Object.keys(collector)) assert.ok(!(name in socket), `${name} belongs to the stock client`);
  Object.assign(socket, collector);
  const wake = () => [...socket.waiting].forEach((look) => look());
  socket.onAny((event, ...args) => {
    socket.seen.push({ event, args });
    wake();
  });
  socket.on('connect', () => {
    socket.idsHad.push(socket.id);
    wake();
  });
  socket.on('connect_error', (error) => {
    socket.refusals.push(error);
    wake();
  });
  socket.on('disconnect', (reason) => {
    socket.ends.push(reason);
    wake();
  });
  atEnd(() => socket.disconnect());
  return socket;
}

/** Waits until `look` returns something, asking again at each event, connect, refusal and disconnect. */
export function when(socket, look, what, deadlineMs = DEADLINE_MS) {
  let check;
  const found = new Promise((resolve, reject) => {
    check = () => {
      try {
        const value = look();
        if (value !== undefined && value !== false) resolve(value);
      } catch (error) {
        reject(error);
      }
    };
    socket.waiting.add(check);
    check();
  });
  return within(found, deadlineMs, what)
    .catch((error) => {
      if (error instanceof DeadlineError) {
        const came = socket.seen.slice(-20).map(({ event, args }) => `${event} ${JSON.stringify(args).slice(0, 200)}`);
        error.message += `\n  user ${socket.user}, ends ${JSON.stringify(socket.ends)}, refusals ${socket.refusals.map(String)}\n  ${came.join('\n  ')}`;
      }
      throw error;
    })
    .finally(() => socket.waiting.delete(check));
}

/** A connected stock socket. */
export async function connect(server, options = {}) {
  const socket = open(server, options);
  await when(socket, () => {
    if (socket.refusals.length && !options.reconnection) throw socket.refusals[0];
    return socket.connected;
  }, 'the client connects');
  return socket;
}

/** The error with which the server refuses this connect. */
export async function refused(server, options) {
  const socket = open(server, options);
  const error = await when(socket, () => {
    if (socket.connected) throw new Error('the connect was admitted');
    return socket.refusals[0];
  }, 'the connect is refused');
  socket.disconnect();
  return error;
}

/**
 * The first argument of the next event of this name. Each event is handed out once, and one that came
 * before the call counts, so that nothing depends on who is faster.
 */
export async function once(socket, event, deadlineMs = DEADLINE_MS) {
  const entry = await when(socket, () => socket.seen.find((e) => e.event === event && !socket.taken.has(e)),
    `event ${event} arrives`, deadlineMs);
  socket.taken.add(entry);
  return entry.args[0];
}

/** The data of every event of this name so far. */
export const all = (socket, event) => socket.seen.filter((e) => e.event === event).map((e) => e.args[0]);

/** Names of everything that came, fences left out. */
export const names = (socket) => socket.seen.filter((e) => !isFence(e)).map((e) => e.event);

/** Forgets what came until now. */
export function forget(socket) {
  socket.seen.length = 0;
  socket.taken.clear();
}

/** Emits with a callback and waits for the acknowledgement. Client 4.0 has no `emitWithAck`. */
export function call(socket, event, ...args) {
  return within(new Promise((resolve) => socket.emit(event, ...args, resolve)), DEADLINE_MS, `${event} is acknowledged`);
}

/** Waits for the end of the connection and returns its reason. */
export const ended = (socket, deadlineMs = DEADLINE_MS) =>
  when(socket, () => socket.ends[0], 'the connection ends', deadlineMs);

const isFence = ({ event, args }) => event === 'market:status' && args[0]?.fence !== undefined;

let fences = 0;
/**
 * Publishes something that every one of these sockets must get, and waits for it. What was published
 * before and has not come by then does not come.
 */
export async function fence(server, ...sockets) {
  const mark = `${process.pid}-${++fences}`;
  await published(server, { event: 'market:status', data: { fence: mark } });
  await Promise.all(sockets.map((socket) =>
    when(socket, () => socket.seen.some((e) => isFence(e) && e.args[0].fence === mark), 'the fence arrives')));
}

/**
 * The same for answers to what the client emitted: this call is answered on the connection after all
 * earlier ones. It is not rate limited.
 */
export const answered = (socket) => call(socket, 'unsubscribe:watchlist', ['FENCE']);

/** Asserts that the error event carries exactly this message and nothing beside it. */
export async function errorAlone(socket, message) {
  assert.deepEqual(await once(socket, 'error'), { message });
}

/** Asserts a rate-limit error: message, event and how long to wait. Returns the latter. */
export async function rateError(socket, event, message, windowMs = 60_000) {
  const error = await once(socket, 'error');
  assert.deepEqual(Object.keys(error).sort(), ['event', 'message', 'retryAfterMs']);
  assert.equal(error.message, message);
  assert.equal(error.event, event);
  assert.ok(Number.isInteger(error.retryAfterMs), `retryAfterMs is ${error.retryAfterMs}`);
  assert.ok(error.retryAfterMs > 0 && error.retryAfterMs <= windowMs, `retryAfterMs is ${error.retryAfterMs}`);
  return error.retryAfterMs;
}

/** The guide's payloads, word for word. */
export const GUIDE = {
  portfolio: {
    totalValue: 50000, cash: 10000, equity: 40000,
    positions: [{ symbol: 'AAPL', quantity: 10, price: 175.5 }],
    dayChange: 500, dayChangePercent: 1.0, timestamp: '2025-01-15T12:00:00.000Z',
  },
  executed: {
    id: 'trade-123', symbol: 'AAPL', side: 'buy', quantity: 10, price: 175.5, status: 'filled',
    timestamp: '2025-01-15T12:00:00.000Z',
  },
  failed: {
    error: 'Insufficient funds', signal: { symbol: 'AAPL', side: 'buy', quantity: 10 },
    timestamp: '2025-01-15T12:00:00.000Z',
  },
  quote: {
    symbol: 'AAPL', price: 175.5, change: 2.5, changePercent: 1.45, volume: 50000000,
    timestamp: '2025-01-15T12:00:00.000Z',
  },
  market: {
    isOpen: true, nextOpen: null, nextClose: '2025-01-15T16:00:00Z', timestamp: '2025-01-15T12:00:00.000Z',
  },
};
