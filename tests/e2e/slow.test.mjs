// Clients that stop reading: what they are owed, how long, and that nobody else notices.

import { describe } from 'node:test';
import { readFileSync } from 'node:fs';
import { strict as assert } from 'node:assert';
import { DEADLINE_MS, delay, eventually, health, published, startForTest, test } from './harness.mjs';
import { all, call, connect, newUser, once, when } from './clients.mjs';
import { V } from './names.mjs';
import { authOf, connectPacket, eventPacket, rawConnect, RawPolling } from './raw.mjs';

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

// However slow the machine that publishes is, nobody is closed for having waited.
const PATIENT = { [V.CONGESTED_MAX_MS]: 600_000, [V.PING_TIMEOUT_MS]: 60_000 };
const SYMBOLS = Array.from({ length: 100 }, (_, n) => `SYM${n}`);
const ROUNDS = 200;
const PER_SYMBOL = 10;
const TRADES_PER_ROUND = 5;
const LAST_QUOTE = ROUNDS * PER_SYMBOL;
const LAST_TRADE = ROUNDS * TRADES_PER_ROUND;
const MEMORY_MAX = 32 << 20;

const memory = (server) => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))[1]) * 1_024;

/**
 * 200,000 quotes of 100 symbols and 1,000 trades, each numbered, the quotes behind `from`. `watch` is told how many
 * quotes there were so far, and waited for.
 */
async function pressure(server, user, { from = 0, watch = () => {} } = {}) {
  for (let round = 0; round < ROUNDS; round += 1) {
    const quotes = Array.from({ length: PER_SYMBOL }, (_, n) => from + round * PER_SYMBOL + n + 1)
      .flatMap((n) => SYMBOLS.map((symbol) => ({ event: 'quote:update', symbol, data: { n, price: 175.5, change: -2.5, volume: 1_000_000 } })));
    await published(server, quotes);
    await published(server, Array.from({ length: TRADES_PER_ROUND }, (_, n) =>
      ({ event: 'trade:executed', userId: user, data: { n: round * TRADES_PER_ROUND + n + 1 } })));
    await watch((round + 1) * PER_SYMBOL * SYMBOLS.length);
  }
}

/** Takes packets in until it has the newest quote of each symbol and all trades; checks that nothing goes back. */
class Inbox {
  newest = new Map();
  trades = [];

  constructor(last = LAST_QUOTE) {
    this.last = last;
  }

  take([event, { symbol, n }]) {
    if (event === 'trade:executed') this.trades.push(n);
    if (event !== 'quote:update') return;
    assert.ok(n > (this.newest.get(symbol) ?? 0), `${symbol} went back to ${n}`);
    this.newest.set(symbol, n);
  }

  get whole() {
    return this.trades.length >= LAST_TRADE && SYMBOLS.every((symbol) => this.newest.get(symbol) === this.last);
  }
}

const events = (packets) => packets.filter((packet) => packet.startsWith('42')).map((packet) => JSON.parse(packet.slice(2)));

/** Takes in what a websocket has got and gets, until it is all that it is owed. */
async function reads(raw, inbox, what) {
  let from = 0;
  await eventually(() => {
    const frames = raw.all.slice(from);
    from += frames.length;
    events(frames.map(String)).forEach((event) => inbox.take(event));
    return inbox.whole;
  }, DEADLINE_MS, what);
  return inbox;
}

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

describe('four clients that stop reading', () => {
  test('cost less than 32 MB, nobody notices, and each gets the newest quotes and every trade once it reads again', async (t) => {
    const server = await startForTest(PATIENT);
    // One that keeps up, to whom all this is sent first: what that costs is not the others'.
    const healthy = await connect(server);
    let taken = 0;
    healthy.offAny();
    healthy.on('quote:update', () => (taken += 1));
    assert.ok((await call(healthy, 'subscribe:watchlist', SYMBOLS)).ok);
    // It reads in this very process, beside all else: no more is published than it has read.
    const keepsUp = (sent) => eventually(() => taken === sent, DEADLINE_MS, 'the healthy client has every quote');
    await pressure(server, newUser('nobody'), { watch: keepsUp });
    taken = 0;

    const user = newUser('slow');
    const websockets = [await rawConnect(server, { user }), await rawConnect(server, { user })];
    const pollings = [await new RawPolling(server).open(), await new RawPolling(server).open()];
    for (const raw of websockets) {
      raw.send(eventPacket('subscribe:watchlist', SYMBOLS));
      await raw.nextStarting('42["subscription:confirmed"');
      raw.ws._socket.pause();
    }
    for (const polling of pollings) {
      await polling.post(connectPacket(authOf(user)));
      await polling.pollUntil('40');
      await polling.post(eventPacket('subscribe:watchlist', SYMBOLS));
      await polling.pollUntil('42["subscription:confirmed"');
    }
    const before = memory(server);
    let most = before;
    await pressure(server, user, {
      from: LAST_QUOTE,
      watch: async (sent) => {
        most = Math.max(most, memory(server));
        await keepsUp(sent);
      },
    });
    t.diagnostic(`four of them cost ${((most - before) / (1 << 20)).toFixed(1)} MiB`);
    assert.ok(most - before < MEMORY_MAX, `the server has grown by ${((most - before) / (1 << 20)).toFixed(1)} MiB`);
    assert.equal((await health(server)).congestedConnections, 4);

    for (const raw of websockets) {
      raw.ws._socket.resume();
      const inbox = await reads(raw, new Inbox(2 * LAST_QUOTE), 'it has the newest quotes and the trades');
      assert.deepEqual(inbox.trades, Array.from({ length: LAST_TRADE }, (_, n) => n + 1));
      assert.equal(raw.closeCode, undefined);
    }
    for (const polling of pollings) {
      const inbox = new Inbox(2 * LAST_QUOTE);
      await eventually(async () => {
        const { status, text } = await polling.poll();
        assert.equal(status, 200);
        const packets = text.split('\x1e');
        if (packets.includes('2')) await polling.post('3');
        events(packets).forEach((event) => inbox.take(event));
        return inbox.whole;
      }, DEADLINE_MS, 'it has the newest quotes and the trades');
      assert.deepEqual(inbox.trades, Array.from({ length: LAST_TRADE }, (_, n) => n + 1));
    }
    await eventually(async () => (await health(server)).congestedConnections === 0, DEADLINE_MS, 'nobody is congested any more');
  }, { timeout: 120_000 });

  test('too long are closed, and have every trade once they resume', async () => {
    const server = await startForTest({ [V.CONGESTED_MAX_MS]: 1_000 });
    const first = await rawConnect(server);
    first.send(eventPacket('subscribe:watchlist', SYMBOLS));
    await first.nextStarting('42["subscription:confirmed"');
    await published(server, { event: 'trade:executed', userId: first.user, data: { n: 0 } });
    const { eventId } = JSON.parse((await first.nextStarting('42["trade:executed"')).slice(2))[1];
    first.ws._socket.pause();
    await pressure(server, first.user);
    await eventually(() => server.logged('slow_time'), DEADLINE_MS, 'it is closed');

    const again = await rawConnect(server, { user: first.user, auth: { ...authOf(first.user), lastEventId: eventId, subscriptions: { watchlist: SYMBOLS } } });
    const resume = JSON.parse((await again.nextStarting('42["resume"')).slice(2))[1];
    assert.deepEqual([resume.recovered, resume.replayed], [true, LAST_TRADE]);
    const inbox = await reads(again, new Inbox(), 'with the subscriptions come the newest quotes');
    assert.deepEqual(inbox.trades, Array.from({ length: LAST_TRADE }, (_, n) => n + 1));
  }, { timeout: 90_000 });
});

describe('a client that is slow for a moment', () => {
  test('for many heartbeats, with its buffers full, does not die of one that found no room', async () => {
    const server = await startForTest({ ...PATIENT, [V.PING_INTERVAL_MS]: 100 });
    const slow = await rawConnect(server);
    slow.send(eventPacket('subscribe:watchlist', SYMBOLS));
    await slow.nextStarting('42["subscription:confirmed"');
    slow.ws._socket.pause();
    // So small that it is their number that fills the buffer, to the last place that events may have.
    await pressure(server, slow.user);
    assert.equal((await health(server)).congestedConnections, 1);
    // Time itself is what this is about: heartbeats come due while there is no room.
    await delay(2_000);
    slow.ws._socket.resume();
    await reads(slow, new Inbox(), 'what is owed arrives');
    assert.equal(slow.closeCode, undefined);
    assert.deepEqual((await health(server)).activeConnections, 1);
  });
});

describe('a client that reads', () => {
  test('gets every one of 2,000 quotes that come at once', async () => {
    const server = await startForTest();
    const socket = await connect(server);
    assert.ok((await call(socket, 'subscribe:watchlist', ['BURST'])).ok);
    const burst = (from) => Array.from({ length: 1_000 }, (_, n) => ({ event: 'quote:update', symbol: 'BURST', data: { n: from + n } }));
    await Promise.all([published(server, burst(0)), published(server, burst(1_000))]);
    await when(socket, () => all(socket, 'quote:update').length === 2_000, 'all 2,000 arrive');
    const came = all(socket, 'quote:update').map(({ n }) => n);
    assert.deepEqual([...came].sort((a, b) => a - b), Array.from({ length: 2_000 }, (_, n) => n));
  });
});
