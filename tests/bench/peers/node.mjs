// The system that Tradewire replaces, as its guide describes it, in as few lines as will do: to measure
// against, on Node.js and, the same file, on Bun with socket.io's own engine for it.
//
//   node tests/bench/peers/node.mjs        (or: tests/bench/node_modules/.bin/bun tests/bench/peers/node.mjs)
//
// PORT, PUBLISH_TOKEN and REDIS_URL as Tradewire reads them; with REDIS_URL several share rooms by the Redis adapter.

import { createServer } from 'node:http';
import { Server } from 'socket.io';

const PORT = Number(process.env.PORT ?? 3000);
const TOKEN = process.env.PUBLISH_TOKEN;
const CONNECTIONS_PER_USER_MAX = 5;
const LIMITS = { 'subscribe:portfolio': [1, 60_000], 'subscribe:trades': [1, 60_000], 'subscribe:watchlist': [10, 60_000] };
const NAMES = { 'subscribe:portfolio': 'portfolio', 'subscribe:trades': 'trade', 'subscribe:watchlist': 'watchlist' };
const heartbeat = { pingInterval: 15_000, pingTimeout: 10_000 };

const io = new Server(heartbeat);
if (process.env.REDIS_URL) {
  const [{ createClient }, { createAdapter }] = await Promise.all([import('redis'), import('@socket.io/redis-adapter')]);
  const publisher = await createClient({ url: process.env.REDIS_URL }).connect();
  const subscriber = await publisher.duplicate().connect();
  io.adapter(createAdapter(publisher, subscriber));
}

const connections = new Map();
const calls = new Map();

io.use((socket, next) => {
  const { sessionID, userId, userName } = socket.handshake.auth;
  if (!sessionID) return next(new Error('Authentication required: No session ID provided'));
  if (!userId) return next(new Error('Authentication failed: No user ID provided'));
  if ((connections.get(userId) ?? 0) >= CONNECTIONS_PER_USER_MAX) return next(new Error(`Too many connections (max ${CONNECTIONS_PER_USER_MAX})`));
  Object.assign(socket.data, { userId, userName });
  next();
});

function allowed(userId, event) {
  const [max, windowMs] = LIMITS[event];
  const key = `${userId} ${event}`;
  const now = Date.now();
  const recent = (calls.get(key) ?? []).filter((at) => at > now - windowMs);
  calls.set(key, recent);
  if (recent.length >= max) return false;
  recent.push(now);
  return true;
}

io.on('connection', (socket) => {
  const { userId } = socket.data;
  connections.set(userId, (connections.get(userId) ?? 0) + 1);
  socket.join(`user:${userId}`);
  const limited = (event, handle) =>
    socket.on(event, (argument) => {
      if (allowed(userId, event)) handle(argument);
      else socket.emit('error', { message: `Rate limit exceeded for ${NAMES[event]} subscription` });
    });
  const symbolsOf = (handle) => (symbols) => {
    if (Array.isArray(symbols) && symbols.length > 0) handle(symbols);
    else socket.emit('error', { message: 'Invalid symbols array' });
  };
  limited('subscribe:portfolio', () => socket.emit('subscription:confirmed', { type: 'portfolio' }));
  limited('subscribe:trades', () => socket.emit('subscription:confirmed', { type: 'trades' }));
  limited('subscribe:watchlist', symbolsOf((symbols) => {
    socket.join(symbols.map((symbol) => `symbol:${symbol}`));
    socket.emit('subscription:confirmed', { type: 'watchlist', symbols });
  }));
  socket.on('unsubscribe:watchlist', symbolsOf((symbols) => {
    for (const symbol of symbols) socket.leave(`symbol:${symbol}`);
    socket.emit('unsubscription:confirmed', { type: 'watchlist', symbols });
  }));
  socket.on('disconnect', () => {
    const left = connections.get(userId) - 1;
    if (left > 0) connections.set(userId, left);
    else connections.delete(userId);
  });
});

/** Emits what a publish's body holds, and tells the answer's status and text. */
function publish(authorization, body) {
  if (authorization !== `Bearer ${TOKEN}`) return [401, 'Give PUBLISH_TOKEN as a bearer token'];
  let items;
  try {
    items = [JSON.parse(body)].flat();
  } catch {
    return [400, 'The body is not JSON'];
  }
  for (const { event, userId, symbol, data } of items) {
    const room = userId ? `user:${userId}` : symbol && `symbol:${symbol}`;
    (room ? io.to(room) : io).emit(event, data);
  }
  return [202, JSON.stringify({ accepted: items.length })];
}

const health = () => JSON.stringify({ status: 'healthy', activeConnections: io.engine.clientsCount });

if (process.versions.bun) {
  const { Server: Engine } = await import('@socket.io/bun-engine');
  const engine = new Engine({ path: '/socket.io/', ...heartbeat });
  io.bind(engine);
  const { fetch, ...handler } = engine.handler();
  Bun.serve({
    ...handler,
    port: PORT,
    hostname: '127.0.0.1',
    fetch: async (request, server) => {
      const { pathname } = new URL(request.url);
      if (pathname === '/api/publish') {
        const [status, text] = publish(request.headers.get('authorization'), await request.text());
        return new Response(text, { status });
      }
      return pathname === '/health/websocket' ? new Response(health()) : fetch(request, server);
    },
  });
} else {
  const server = createServer((request, response) => {
    if (request.url === '/health/websocket') return response.end(health());
    if (request.url !== '/api/publish') return response.writeHead(404).end();
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const [status, text] = publish(request.headers.authorization, Buffer.concat(chunks).toString());
      response.writeHead(status).end(text);
    });
  });
  io.attach(server);
  server.listen(PORT, '127.0.0.1');
}
