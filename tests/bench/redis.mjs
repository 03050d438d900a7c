// What Redis costs, against the embedded bus in the same run:
//   - the time from POST to a client's event, published one at a time, on either bus in turns;
//   - the CPU time of a node that holds connections and does nothing else, on either bus.
//
//   node tests/bench/redis.mjs [connections] [seconds]
//
// Needs target/release/tradewire, redis-server and tests/e2e/node_modules (`npm ci` there).

import { start } from '../e2e/harness.mjs';
import { newUser } from '../e2e/clients.mjs';
import { authOf, eventPacket, rawConnect } from '../e2e/raw.mjs';
import { V } from '../e2e/names.mjs';
import { Redis } from '../e2e/redis.mjs';
import { cpu, openAll, post, quantile, sleep } from './common.mjs';

const CONNECTIONS = Number(process.argv[2] ?? 10_000);
const SECONDS = Number(process.argv[3] ?? 30);
const SETTLE_MS = 5_000;
const ROUNDS = 20;
const PER_ROUND = 100;

/** Milliseconds from handing a POST in until the event is at the client, and until the POST is answered. */
async function once(server, raw, item, start) {
  const begin = performance.now();
  const arrived = raw.nextStarting(start).then(() => performance.now() - begin);
  const answered = post(server, item).then(() => performance.now() - begin);
  return { arrived: await arrived, answered: await answered };
}

async function latency(nodes) {
  const kinds = {
    trade: (user) => ({ item: { event: 'trade:executed', userId: user, data: { PRICE: 1 } }, start: '42["trade:executed"' }),
    quote: () => ({ item: { event: 'quote:update', symbol: 'BENCH', data: { PRICE: 1 } }, start: '42["quote:update"' }),
  };
  const found = {};
  for (const node of nodes) {
    node.raw = await rawConnect(node.server);
    node.raw.send(eventPacket('subscribe:watchlist', ['BENCH']));
    await node.raw.nextStarting('42["subscription:confirmed"');
  }
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const { name, server, raw } of nodes) {
      for (const [kind, make] of Object.entries(kinds)) {
        const { item, start } = make(raw.user);
        for (let n = 0; n < PER_ROUND; n += 1) {
          const times = await once(server, raw, item, start);
          // The first round warms up.
          if (round > 0) for (const [what, ms] of Object.entries(times)) ((found[`${kind} ${what}`] ??= {})[name] ??= []).push(ms);
        }
      }
    }
  }
  for (const [what, byNode] of Object.entries(found)) {
    const figures = Object.entries(byNode).map(([name, ms]) => {
      ms.sort((a, b) => a - b);
      return `${name} p50 ${quantile(ms, 0.5).toFixed(2)} p99 ${quantile(ms, 0.99).toFixed(2)} ms`;
    });
    const [embedded, redis] = nodes.map(({ name }) => quantile(byNode[name], 0.5));
    console.log(`${what.padEnd(16)} ${figures.join(' · ')} · Redis adds ${(redis - embedded).toFixed(2)} ms at p50`);
  }
}

/** Percent of one core that each process uses while one of the nodes holds idle connections. */
async function idle({ server }, processes) {
  const sockets = await openAll(CONNECTIONS, () => {
    const user = newUser('lease');
    return rawConnect(server, { user, auth: authOf(user) });
  });
  await sleep(SETTLE_MS);
  const before = processes.map((pid) => cpu(pid));
  await sleep(SECONDS * 1_000);
  const used = processes.map((pid, n) => ((cpu(pid) - before[n]) / SECONDS) * 100);
  for (const { ws } of sockets) ws.terminate();
  await sleep(SETTLE_MS);
  return used;
}

async function leases([embedded, shared], redis) {
  const [alone, redisAlone] = await idle(embedded, [embedded.server.child.pid, redis.child.pid]);
  const [node, redisBusy] = await idle(shared, [shared.server.child.pid, redis.child.pid]);
  const show = (percent) => `${percent.toFixed(2)} % of one core`;
  console.log(`${CONNECTIONS} idle connections, each of a user of its own, for ${SECONDS} s:`);
  console.log(`  node without Redis ${show(alone)} · with Redis ${show(node)}: ${show(node - alone)} more`);
  console.log(`  redis-server without them ${show(redisAlone)} · with them ${show(redisBusy)}: ${show(redisBusy - redisAlone)} more`);
}

const redis = await new Redis().start();
const settings = { [V.PING_INTERVAL_MS]: 600_000 };
const nodes = [
  { name: 'embedded', server: await start(settings) },
  { name: 'redis', server: await start({ ...settings, [V.REDIS_URL]: redis.url }) },
];
try {
  await latency(nodes);
  await leases(nodes, redis);
} finally {
  for (const { server } of nodes) await server.stop();
  await redis.stop();
}
process.exit(0);
