// Clients that misuse what they may do: what they take is bounded, and given back as soon as they are gone.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { DEADLINE_MS, eventually, health, published, startForTest, test } from './harness.mjs';
import { connect, fence, newUser } from './clients.mjs';
import { V } from './names.mjs';
import { authOf, connectPacket, eventPacket, rawConnect, rawOpen, RawPolling } from './raw.mjs';

const nobody = (server) => eventually(async () => (await health(server)).transports === 0, DEADLINE_MS, 'every transport is given back');

const residentMiB = (server) => {
  const [, kib] = readFileSync(`/proc/${server.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+) kB/);
  return Number(kib) / 1024;
};

describe('what is taken is given back', () => {
  test('by clients that send CONNECT again in the same segment as DISCONNECT', async () => {
    const server = await startForTest();
    for (let n = 0; n < 30; n += 1) {
      const raw = await rawConnect(server);
      raw.send('41', connectPacket(authOf(raw.user)));
      raw.ws.terminate();
    }
    await nobody(server);
  });

  test('by clients that leave between CONNECT and its answer, long before a handshake would time out', async () => {
    const server = await startForTest();
    const user = newUser('hasty');
    for (let n = 0; n < 30; n += 1) {
      const raw = await rawOpen(server);
      raw.send(connectPacket(authOf(user)));
      raw.ws.terminate();
    }
    await nobody(server);
    await connect(server, { user });
  });

  test('by clients that leave without CONNECT, so that a drain does not wait for them', async () => {
    const server = await startForTest();
    for (let n = 0; n < 10; n += 1) (await rawOpen(server)).ws.terminate();
    await nobody(server);
    server.signal('SIGTERM');
    assert.equal((await server.ended(2_000)).code, 0);
  });

  test('by a client that stopped reading, after a heartbeat and not only after its congestion', async () => {
    const server = await startForTest({ [V.PING_INTERVAL_MS]: 1_500, [V.PING_TIMEOUT_MS]: 1_000 });
    const raw = await rawConnect(server);
    raw.send(eventPacket('subscribe:watchlist', ['X']));
    await raw.nextStarting('42["subscription:confirmed"');
    raw.ws._socket.pause();
    // More than the kernel's buffers take, so that a write waits when the ping goes unanswered.
    const quote = { event: 'quote:update', symbol: 'X', data: { PADDING: 'x'.repeat(50_000) } };
    for (let n = 0; n < 24; n += 1) await published(server, Array(18).fill(quote));
    assert.equal((await health(server)).activeConnections, 1);
    await nobody(server);
    assert.ok(server.logged('"stalled"'), 'the log says why');
  });
});

describe('answers that nobody reads do not pile up', () => {
  const NAMESPACE = `40/${'n'.repeat(200_000)},`;

  test('over a websocket', async () => {
    const server = await startForTest();
    const other = await connect(server);
    const before = residentMiB(server);
    const raw = await rawOpen(server);
    raw.ws._socket.pause();
    for (let n = 0; n < 400; n += 1) raw.ws.send(NAMESPACE);
    await fence(server, other);
    assert.ok(residentMiB(server) - before < 64, `grew by ${residentMiB(server) - before} MiB`);
  });

  test('over polling', async () => {
    const server = await startForTest();
    const polling = await new RawPolling(server).open();
    const statuses = [];
    for (let n = 0; n < 20; n += 1) statuses.push((await polling.post(NAMESPACE)).status);
    assert.ok(statuses.includes(413), String(statuses));
    await nobody(server);
    assert.ok(server.logged('"unread"'), 'the log says why');
  });

  test('over polling by a client that takes the small ones away and leaves the large', async () => {
    const server = await startForTest();
    const polling = await new RawPolling(server).open();
    // As large as a POST may be, so that its answers do not fit into one poll.
    const large = `40/a,\x1e40/${'n'.repeat(999_980)},`;
    const statuses = [];
    for (let n = 0; n < 12 && !statuses.includes(413); n += 1) {
      statuses.push((await polling.post(large)).status);
      if (statuses.at(-1) === 200) await polling.poll();
    }
    assert.ok(statuses.includes(413), String(statuses));
    await nobody(server);
  });

  test('and a polling client that takes its answers away may go on for ever', async () => {
    const server = await startForTest();
    const polling = await new RawPolling(server).open();
    const large = `40/${'n'.repeat(900_000)},`;
    for (let n = 0; n < 8; n += 1) {
      assert.equal((await polling.post(large)).status, 200);
      await polling.pollUntil('44');
    }
  });
});
