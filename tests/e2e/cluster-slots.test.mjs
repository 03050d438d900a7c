// At most five connections of a user in the whole cluster, whichever nodes hold them, and what becomes of
// the slots of a node that dies, leaves or is cut off.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { delay, eventually, health, test } from './harness.mjs';
import { all, call, connect, ended, fence, newUser, once, open, refused, when } from './clients.mjs';
import { balancerForTest, clusterForTest, connectResuming, EXCESS_MS, lost, onEach, reached, SHORT_LEASE, startCluster } from './cluster.mjs';
import { KEYS, M, V } from './names.mjs';
import { proxyForTest } from './redis.mjs';

const MAX = 5;
const LEASE_MS = SHORT_LEASE[V.SLOT_LEASE_MS];

/** As many connections of a user, one after the other, on these nodes in turn. */
async function fill(nodes, user, count) {
  const sockets = [];
  for (let n = 0; n < count; n += 1) sockets.push(await connect(nodes[n % nodes.length], { user }));
  return sockets;
}

/** Tries until this many connections are admitted; a refusal must be the one for too many. */
async function admittedAgain(nodes, user, count, deadlineMs) {
  const sockets = [];
  await eventually(async () => {
    const socket = open(nodes[sockets.length % nodes.length], { user });
    await when(socket, () => socket.connected || socket.refusals.length > 0, 'an answer');
    if (socket.connected) {
      sockets.push(socket);
      return sockets.length === count;
    }
    assert.equal(socket.refusals[0].message, M.tooMany);
    socket.disconnect();
    await delay(500);
    return false;
  }, deadlineMs, `${count} connections are admitted again`);
  return sockets;
}

const still = (sockets, what) => {
  for (const socket of sockets) assert.deepEqual(socket.ends, [], what);
};

describe('five connections of a user', () => {
  let cluster;
  before(async () => (cluster = await startCluster(3, { env: SHORT_LEASE })));
  after(() => cluster?.stop());

  test('on three nodes: the sixth is refused on each of them, and one that leaves makes room on any', async () => {
    const user = newUser('full');
    const sockets = await fill(cluster.nodes, user, MAX);
    for (const node of cluster.nodes) assert.equal((await refused(node, { user })).message, M.tooMany);
    sockets[0].disconnect();
    sockets.push(...await admittedAgain([cluster.nodes[2]], user, 1));
    for (const node of cluster.nodes) assert.equal((await refused(node, { user })).message, M.tooMany);
    still(sockets.slice(1), 'nobody was cut for it');
  });

  test('on one node: the sixth is refused on another', async () => {
    const user = newUser('full');
    await fill([cluster.nodes[0]], user, MAX);
    assert.equal((await refused(cluster.nodes[1], { user })).message, M.tooMany);
  });

  test('twenty that race on three nodes: five are admitted, fifteen refused', async () => {
    for (let round = 0; round < 3; round += 1) {
      const user = newUser('race');
      const sockets = Array.from({ length: 20 }, (_, n) => open(cluster.nodes[n % 3], { user }));
      await Promise.all(sockets.map((socket) => when(socket, () => socket.connected || socket.refusals.length > 0, 'an answer')));
      const admitted = sockets.filter((socket) => socket.connected);
      assert.equal(admitted.length, MAX);
      for (const socket of sockets) if (!admitted.includes(socket)) assert.equal(socket.refusals[0].message, M.tooMany);
      sockets.forEach((socket) => socket.disconnect());
      await admittedAgain(cluster.nodes, user, MAX);
    }
  });

  test('stay held for longer than the lease, because they are renewed', async () => {
    const user = newUser('lasting');
    const sockets = await fill(cluster.nodes, user, MAX);
    // A claim about time: two leases and a renewal pass.
    await delay(LEASE_MS * 2 + SHORT_LEASE[V.SLOT_RENEW_EVERY_MS]);
    for (const node of cluster.nodes) assert.equal((await refused(node, { user })).message, M.tooMany);
    still(sockets, 'held');
  });

  test('refused connects hold no slot', async () => {
    const user = newUser('refused');
    const sockets = await fill(cluster.nodes, user, MAX);
    for (let n = 0; n < 10; n += 1) await refused(cluster.nodes[n % 3], { user });
    sockets[4].disconnect();
    await admittedAgain(cluster.nodes, user, 1);
  });

  test('of other users are not touched by it', async () => {
    await fill(cluster.nodes, newUser('full'), MAX);
    for (const node of cluster.nodes) await connect(node);
  });

  test('a connection that replaces one of them on another node takes its slot', async () => {
    const user = newUser('replacing');
    const sockets = await fill(cluster.nodes, user, MAX);
    const next = await connect(cluster.nodes[1], { user, auth: { replaces: sockets[0].id } });
    await ended(sockets[0], LEASE_MS * 3);
    assert.equal((await refused(cluster.nodes[2], { user })).message, M.tooMany);
    // Its place is taken for good: the one that was replaced does not come back by a renewal.
    await delay(SHORT_LEASE[V.SLOT_RENEW_EVERY_MS] * 2);
    still([next, ...sockets.slice(1)], 'the others are not cut');
  });

  test('replaces of another session or another user takes nothing', async () => {
    const user = newUser('replacing');
    const sockets = await fill(cluster.nodes, user, MAX);
    const stranger = await connect(cluster.nodes[1]);
    assert.equal((await refused(cluster.nodes[1], { user, session: 'another', auth: { replaces: sockets[0].id } })).message, M.tooMany);
    assert.equal((await refused(cluster.nodes[1], { user, auth: { replaces: stranger.id } })).message, M.tooMany);
    still([...sockets, stranger], 'nobody is cut');
  });

  test('no slot is left in Redis when all are gone', async () => {
    const user = newUser('gone');
    const sockets = await fill(cluster.nodes, user, MAX);
    const slots = async () => Object.keys(await cluster.redis.client.hGetAll(KEYS.slots(user))).filter((field) => field !== 'connects' && !field.startsWith('r:'));
    assert.equal((await slots()).length, MAX);
    sockets.forEach((socket) => socket.disconnect());
    await eventually(async () => (await slots()).length === 0, LEASE_MS, 'the slots are given back');
    await eventually(async () => (await cluster.redis.client.pTTL(KEYS.slots(user))) !== -1, LEASE_MS, 'the key expires');
  });
});

describe('a node that ends', () => {
  test('by SIGKILL: its slots are free after the lease, and clients of the others notice nothing', async () => {
    const cluster = await clusterForTest(3, { env: SHORT_LEASE });
    const [doomed, ...rest] = cluster.nodes;
    const user = newUser('crashed');
    await fill([doomed], user, MAX);
    const others = await onEach(rest);
    assert.equal((await refused(rest[0], { user })).message, M.tooMany);
    await doomed.stop();
    const begun = Date.now();
    const again = await admittedAgain(rest, user, MAX, LEASE_MS * 2);
    assert.ok(Date.now() - begun <= LEASE_MS * 2, 'twice the lease at most');
    await fence(rest[0], ...others, ...again);
    still(others, 'clients of other nodes notice nothing');
    for (const node of rest) assert.equal((await health(node)).status, 'healthy');
  });

  test('by SIGKILL, with default settings: its users are back within 60 s', async () => {
    const cluster = await clusterForTest(2);
    const [doomed, other] = cluster.nodes;
    const user = newUser('crashed');
    await fill([doomed], user, MAX);
    const witness = await connect(other);
    await doomed.stop();
    const begun = Date.now();
    await admittedAgain([other], user, MAX, 60_000);
    assert.ok(Date.now() - begun <= 60_000);
    still([witness], 'the other clients notice nothing');
  }, { timeout: 90_000 });

  test('by SIGKILL: stock clients that name what they replace are back at once', async () => {
    const cluster = await clusterForTest(2);
    const balancer = await balancerForTest(cluster);
    const user = newUser('crashed');
    const sockets = [];
    for (let n = 0; n < MAX; n += 1) sockets.push(await connectResuming(balancer, { user }));
    await cluster.nodes[0].stop();
    await eventually(async () => (await health(cluster.nodes[1])).activeConnections === MAX, 8_000, 'all five are on the node that is left');
    for (const socket of sockets) assert.deepEqual(socket.refusals.filter((error) => error.message === M.tooMany), []);
    assert.ok(sockets.some((socket) => socket.ends.length > 0));
    assert.ok(sockets.some((socket) => socket.ends.length === 0), 'those on the other node notice nothing');
  });

  test('by SIGTERM: its slots are free as soon as it is gone', async () => {
    const cluster = await clusterForTest(2, { env: { [V.DRAIN_WINDOW_MS]: 200, [V.DRAIN_DEADLINE_MS]: 3_000 } });
    const [leaving, other] = cluster.nodes;
    const user = newUser('drained');
    await fill([leaving], user, MAX);
    leaving.signal('SIGTERM');
    assert.deepEqual(await leaving.ended(), { code: 0, signal: null });
    // Not a lease of 30 s.
    await admittedAgain([other], user, MAX, 4_000);
  });
});

describe('a node that is cut off from Redis', () => {
  async function cutOff(env = SHORT_LEASE) {
    const cluster = await clusterForTest(1, { env });
    const proxy = await proxyForTest(cluster.redis.port);
    const away = await cluster.add({ url: cluster.redis.urlFor(proxy.port) });
    await cluster.settled(2);
    return { cluster, proxy, near: cluster.nodes[0], away };
  }

  test('for longer than the lease: on its return the excess is closed, the newest first, with an error and a Socket.IO disconnect', async () => {
    const { proxy, near, away } = await cutOff();
    const user = newUser('split');
    const old = await fill([away], user, 3);
    proxy.cut();
    await lost(away);
    // Meanwhile their slots run out, and the user's other connections are admitted at the other node.
    const young = await admittedAgain([near], user, MAX, LEASE_MS * 3);
    still([...old, ...young], 'as long as it is cut off nobody is closed');
    proxy.mend();
    await reached(away);
    const begun = Date.now();
    const excess = young.slice(2);
    for (const socket of excess) {
      assert.equal(await ended(socket, EXCESS_MS), 'io server disconnect');
      assert.deepEqual(await once(socket, 'error'), { message: M.tooMany });
    }
    assert.ok(Date.now() - begun <= EXCESS_MS);
    const kept = [...old, ...young.slice(0, 2)];
    assert.equal((await refused(near, { user })).message, M.tooMany);
    assert.equal((await refused(away, { user })).message, M.tooMany);
    await delay(SHORT_LEASE[V.SLOT_RENEW_EVERY_MS] * 2);
    still(kept, 'the oldest five stay');
  });

  test('admits its own five by itself, refuses its own sixth, and the excess of both is closed later', async () => {
    const { proxy, near, away } = await cutOff();
    const user = newUser('split');
    const old = await fill([near], user, 2);
    proxy.cut();
    await lost(away);
    const alone = await fill([away], user, MAX);
    assert.equal((await refused(away, { user })).message, M.tooMany);
    still([...old, ...alone], 'nobody is closed');
    proxy.mend();
    await reached(away);
    for (const socket of alone.slice(3)) {
      assert.equal(await ended(socket, EXCESS_MS), 'io server disconnect');
      assert.deepEqual(await once(socket, 'error'), { message: M.tooMany });
    }
    await delay(SHORT_LEASE[V.SLOT_RENEW_EVERY_MS] * 2);
    still([...old, ...alone.slice(0, 3)], 'the oldest five stay');
  });

  test('for less than the lease: nothing is closed and no slot is given away', async () => {
    const { proxy, near, away } = await cutOff({});
    const user = newUser('blink');
    const sockets = await fill([away, near], user, MAX);
    proxy.cut();
    await lost(away);
    assert.equal((await refused(near, { user })).message, M.tooMany);
    proxy.mend();
    await reached(away);
    for (const node of [near, away]) assert.equal((await refused(node, { user })).message, M.tooMany);
    for (const socket of sockets) assert.equal((await call(socket, 'unsubscribe:watchlist', ['ANY'])).ok, true);
    still(sockets, 'nobody is closed');
    for (const socket of sockets) assert.deepEqual(all(socket, 'error'), []);
  });

  test('connections that left meanwhile hold no slot after its return', async () => {
    const { proxy, near, away } = await cutOff();
    const user = newUser('left');
    const sockets = await fill([away], user, MAX);
    proxy.cut();
    await lost(away);
    sockets.forEach((socket) => socket.disconnect());
    await eventually(async () => (await health(away)).activeConnections === 0, LEASE_MS, 'they are gone');
    proxy.mend();
    await reached(away);
    await admittedAgain([near], user, MAX, LEASE_MS * 2);
  });

  test('with hanging connections instead of broken ones: clients are admitted all the same', async () => {
    const { proxy, away } = await cutOff();
    proxy.freeze();
    const user = newUser('hang');
    await fill([away], user, 3);
    await lost(away);
    proxy.mend();
    await reached(away);
    await connect(away, { user });
  });
});
