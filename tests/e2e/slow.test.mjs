// Clients that stop reading: what they are owed, how long, and that nobody else notices.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { DEADLINE_MS, eventually, health, published, startForTest, test } from './harness.mjs';
import { all, connect, once, when } from './clients.mjs';
import { V } from './names.mjs';
import { eventPacket, rawConnect, RawPolling } from './raw.mjs';

// Far more than the kernel's buffers on both sides take (some megabytes), so that the server's fill.
const BATCHES = 60;
const BATCH = 200;
const PADDING = 'x'.repeat(2_000);

/** Publishes 24 MB of quotes of one symbol, numbered from 1, and a trade after each batch. */
async function flood(server, symbol, user) {
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const quotes = Array.from({ length: BATCH }, (_, n) => (
      { event: 'quote:update', symbol, data: { n: batch * BATCH + n + 1, PADDING } }));
    await published(server, quotes);
    await published(server, { event: 'trade:executed', userId: user, data: { n: batch + 1 } });
  }
}

/** A client that subscribed and reads no more. */
async function stopped(server) {
  const slow = await rawConnect(server);
  slow.send(eventPacket('subscribe:watchlist', ['SLOW']));
  await slow.nextStarting('42["subscription:confirmed"');
  slow.ws._socket.pause();
  return slow;
}

const data = (raw, event) => raw.all.filter((frame) => String(frame).startsWith(`42["${event}"`))
  .map((frame) => JSON.parse(String(frame).slice(2))[1]);

const rising = (numbers) => numbers.every((n, at) => at === 0 || n > numbers[at - 1]);

describe('a client that stops reading', () => {
  test('gets the newest quote and every trade once it reads again; others get every quote', async () => {
    const server = await startForTest();
    const healthy = await connect(server);
    healthy.emit('subscribe:watchlist', ['SLOW']);
    await once(healthy, 'subscription:confirmed');
    const slow = await stopped(server);

    await flood(server, 'SLOW', slow.user);
    assert.equal((await health(server)).congestedConnections, 1);
    await when(healthy, () => all(healthy, 'quote:update').length === BATCHES * BATCH, 'every quote arrives');

    slow.ws._socket.resume();
    const newest = () => data(slow, 'quote:update').at(-1)?.n === BATCHES * BATCH;
    await eventually(() => newest() && data(slow, 'trade:executed').length >= BATCHES, DEADLINE_MS, 'what is owed arrives');
    const quotes = data(slow, 'quote:update').map(({ n }) => n);
    assert.ok(quotes.length < BATCHES * BATCH, 'quotes were conflated');
    assert.ok(rising(quotes), 'values never go back');
    assert.deepEqual(data(slow, 'trade:executed').map(({ n }) => n), Array.from({ length: BATCHES }, (_, n) => n + 1));
    await eventually(async () => (await health(server)).congestedConnections === 0, DEADLINE_MS, 'it is not congested any more');
  });

  test('over polling it is bounded the same way, and gets the newest quote and every trade', async () => {
    const server = await startForTest();
    const slow = await new RawPolling(server).open();
    const user = 'slow-poller';
    await slow.post(`40${JSON.stringify({ sessionID: 's', userId: user })}`);
    await slow.pollUntil('40');
    await slow.post(eventPacket('subscribe:watchlist', ['SLOW']));
    await slow.pollUntil('42["subscription:confirmed"');

    await flood(server, 'SLOW', user);
    assert.equal((await health(server)).congestedConnections, 1);

    const seen = [];
    await eventually(async () => {
      const { text } = await slow.poll();
      const packets = text.split('\x1e').filter((packet) => packet.startsWith('42'));
      seen.push(...packets.map((packet) => JSON.parse(packet.slice(2))));
      if (text.split('\x1e').includes('2')) await slow.post('3');
      const quotes = seen.filter(([event]) => event === 'quote:update');
      return quotes.at(-1)?.[1].n === BATCHES * BATCH && seen.filter(([event]) => event === 'trade:executed').length >= BATCHES;
    }, DEADLINE_MS, 'what is owed arrives');
    assert.ok(rising(seen.filter(([event]) => event === 'quote:update').map(([, { n }]) => n)));
    assert.deepEqual(seen.filter(([event]) => event === 'trade:executed').map(([, { n }]) => n),
      Array.from({ length: BATCHES }, (_, n) => n + 1));
  });

  test('is closed when it stays congested too long, and its slot is free', async () => {
    const server = await startForTest({ [V.CONGESTED_MAX_MS]: 300 });
    const slow = await stopped(server);
    await flood(server, 'SLOW', slow.user);
    await eventually(async () => (await health(server)).activeConnections === 0, DEADLINE_MS, 'it is closed');
    assert.ok(server.logged('slow_time'));
    slow.ws._socket.resume();
    await slow.end();
  });

  test('is closed when it is owed more trades than allowed', async () => {
    const server = await startForTest({ [V.CONGESTED_LOG_EVENTS_MAX]: 10 });
    const slow = await stopped(server);
    await flood(server, 'SLOW', slow.user);
    await eventually(async () => (await health(server)).activeConnections === 0, DEADLINE_MS, 'it is closed');
    assert.ok(server.logged('slow_log'));
  });
});
