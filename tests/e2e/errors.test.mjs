// Every refusal of the contract, word for word, and what it leaves untouched.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { DEADLINE_MS, delay, eventually, health, published, start, startForTest, test } from './harness.mjs';
import {
  all, answered, call, COMBINATIONS, connect, ended, errorAlone, fence, newUser, once, open, rateError, refused, when,
} from './clients.mjs';
import { M, V } from './names.mjs';
import { eventPacket, rawConnect } from './raw.mjs';

let server;
before(async () => (server = await start()));
after(() => server?.stop());

const rateAck = (ack, message) => {
  assert.equal(ack.ok, false);
  assert.deepEqual(Object.keys(ack).sort(), ['error', 'ok']);
  assert.equal(ack.error.message, message);
  assert.ok(Number.isInteger(ack.error.retryAfterMs) && ack.error.retryAfterMs > 0 && ack.error.retryAfterMs <= 60_000);
};

for (const { title, client, transports } of COMBINATIONS) {
  describe(`connect errors, ${title}`, () => {
    const refuse = (options) => refused(server, { client, transports, ...options });

    test(`"${M.noSession}" without a sessionID and with an empty one`, async () => {
      for (const sessionID of [undefined, '', null]) {
        assert.equal((await refuse({ auth: { sessionID } })).message, M.noSession, `sessionID ${JSON.stringify(sessionID)}`);
      }
    });

    test(`"${M.authFailed}…" without a user id and with one that is over-long`, async () => {
      for (const userId of [undefined, '', null, {}, 'x'.repeat(257), '€'.repeat(86)]) {
        const { message } = await refuse({ user: 'x', auth: { userId } });
        assert.ok(message.startsWith(M.authFailed) && message.length > M.authFailed.length, `${JSON.stringify(userId)}: ${message}`);
      }
    });

    test(`"${M.tooMany}" for the sixth connection of a user, others are admitted`, async () => {
      const user = newUser('alice');
      for (let n = 0; n < 5; n += 1) await connect(server, { user, client, transports });
      assert.equal((await refuse({ user })).message, M.tooMany);
      assert.ok((await connect(server, { client, transports })).connected);
    });
  });
}

describe('connections', () => {
  test(`"${M.noSession}" without any auth`, async () => {
    assert.equal((await refused(server, { options: { auth: undefined } })).message, M.noSession);
  });

  test('a user id of exactly 256 bytes is admitted', async () => {
    const user = newUser('').padEnd(256, 'x');
    const socket = await connect(server, { user });
    await published(server, { event: 'trade:executed', userId: user, data: { n: 1 } });
    assert.equal((await once(socket, 'trade:executed')).n, 1);
  });

  test('a closed connection frees its slot', async () => {
    const user = newUser('alice');
    const sockets = [];
    for (let n = 0; n < 5; n += 1) sockets.push(await connect(server, { user }));
    assert.equal((await refused(server, { user })).message, M.tooMany);
    sockets[0].disconnect();
    await eventually(() => connect(server, { user }), DEADLINE_MS, 'the freed slot is given again');
    assert.equal((await refused(server, { user })).message, M.tooMany);
  });

  test('refused connects hold neither a slot nor a connection', async () => {
    const alone = await startForTest();
    const user = newUser('alice');
    for (let n = 0; n < 8; n += 1) await refused(alone, { user, session: '' });
    for (let n = 0; n < 5; n += 1) await connect(alone, { user });
    await refused(alone, { user });
    await eventually(async () => (await health(alone)).activeConnections === 5, DEADLINE_MS, 'five connections are counted');
  });
});

const RATES = [
  { event: 'subscribe:portfolio', args: [], message: M.portfolioRate, max: 1 },
  { event: 'subscribe:trades', args: [], message: M.tradesRate, max: 1 },
  { event: 'subscribe:watchlist', args: [['AAPL']], message: M.watchlistRate, max: 10 },
];

for (const { event, args, message, max } of RATES) {
  describe(event, () => {
    test(`${event}: ${max} in 60 s are admitted, one more gets "${message}" with retryAfterMs and event`, async () => {
      const socket = await connect(server);
      for (let n = 0; n < max; n += 1) assert.equal((await call(socket, event, ...args)).ok, true, `call ${n + 1}`);
      socket.emit(event, ...args);
      await rateError(socket, event, message);
      rateAck(await call(socket, event, ...args), message);
      await answered(socket);
      assert.equal(all(socket, 'subscription:confirmed').length, max);
      assert.ok(socket.connected);
    });

    test(`${event}: the limit is per user across connections; the first call of a new connection is admitted and counted`, async () => {
      const user = newUser('alice');
      const [first, second] = [await connect(server, { user }), await connect(server, { user })];
      // One call of the second tab is enough to use up the last place of the window.
      for (let n = 0; n < max; n += 1) assert.equal((await call(n === max - 1 ? second : first, event, ...args)).ok, true);
      const third = await connect(server, { user });
      assert.equal((await call(third, event, ...args)).ok, true, 'the grace of a new connection');
      const spent = max === 1 ? [second, third] : [first, second, third];
      for (const socket of spent) {
        socket.emit(event, ...args);
        await rateError(socket, event, message);
      }
      const stranger = await connect(server);
      assert.equal((await call(stranger, event, ...args)).ok, true, 'another user has a limit of its own');
    });
  });
}

describe('the window of the rate limits', () => {
  test('calls admitted by grace are counted', async () => {
    const user = newUser('alice');
    const first = await connect(server, { user });
    for (let n = 0; n < 5; n += 1) assert.equal((await call(first, 'subscribe:watchlist', ['A'])).ok, true);
    const second = await connect(server, { user });
    for (let n = 0; n < 5; n += 1) assert.equal((await call(second, 'subscribe:watchlist', ['A'])).ok, true);
    rateAck(await call(second, 'subscribe:watchlist', ['A']), M.watchlistRate);
    rateAck(await call(first, 'subscribe:watchlist', ['A']), M.watchlistRate);
  });

  test('invalid calls are counted, and each kind has a window of its own', async () => {
    const socket = await connect(server);
    for (let n = 0; n < 9; n += 1) assert.equal((await call(socket, 'subscribe:watchlist', [])).error.message, M.symbols);
    assert.equal((await call(socket, 'subscribe:watchlist', ['A'])).ok, true);
    rateAck(await call(socket, 'subscribe:watchlist', ['A']), M.watchlistRate);
    assert.equal((await call(socket, 'subscribe:portfolio')).ok, true);
    assert.equal((await call(socket, 'subscribe:trades')).ok, true);
    for (let n = 0; n < 20; n += 1) assert.equal((await call(socket, 'unsubscribe:watchlist', ['A'])).ok, true, 'unsubscribing is not limited');
  });

  test('after retryAfterMs the call is admitted, and refused calls were not counted', async () => {
    const brief = await startForTest({ [V.CALLS_WINDOW_MS]: 900 });
    const socket = await connect(brief);
    assert.equal((await call(socket, 'subscribe:portfolio')).ok, true);
    for (let n = 0; n < 5; n += 1) {
      socket.emit('subscribe:portfolio');
      await rateError(socket, 'subscribe:portfolio', M.portfolioRate, 900);
    }
    const { error } = await call(socket, 'subscribe:portfolio');
    await delay(error.retryAfterMs + 5);
    assert.equal((await call(socket, 'subscribe:portfolio')).ok, true);
  });

  test('the limits are configurable', async () => {
    const other = await startForTest({ [V.PORTFOLIO_CALLS_MAX]: 3, [V.TRADES_CALLS_MAX]: 2, [V.WATCHLIST_CALLS_MAX]: 4, [V.CONNECTIONS_PER_USER_MAX]: 2 });
    const socket = await connect(other);
    for (const [event, max, ...args] of [['subscribe:portfolio', 3], ['subscribe:trades', 2], ['subscribe:watchlist', 4, ['A']]]) {
      for (let n = 0; n < max; n += 1) assert.equal((await call(socket, event, ...args)).ok, true, `${event} ${n + 1}`);
      assert.equal((await call(socket, event, ...args)).ok, false);
    }
    await connect(other, { user: socket.user });
    assert.equal((await refused(other, { user: socket.user })).message, 'Too many connections (max 2)');
  });
});

const many = (count, name = (n) => `S${n}`) => Array.from({ length: count }, (_, n) => name(n));
const INVALID = [
  ['no argument'],
  ['null', null],
  ['a string', 'AAPL'],
  ['an object', { 0: 'AAPL' }],
  ['an empty array', []],
  ['a number among them', ['AAPL', 5]],
  ['null among them', ['AAPL', null]],
  ['a nested array', [['AAPL']]],
  ['an empty symbol', ['AAPL', '']],
  ['a blank', ['AA PL']],
  ['an umlaut', ['ÄAPL']],
  ['a comma', ['AAPL,TSLA']],
  ['a control character', ['AAPL\u0000']],
  ['33 characters', ['A'.repeat(33)]],
  ['501 symbols', many(501)],
  ['100,000 symbols', many(100_000)],
];

describe(M.symbols, () => {
  for (const event of ['subscribe:watchlist', 'unsubscribe:watchlist']) {
    test(`${event} with anything but 1 to 500 symbols gets "${M.symbols}" alone, and nothing changes`, async () => {
      for (const [what, ...args] of INVALID) {
        // A connection each, because invalid calls are counted.
        const socket = await connect(server);
        await call(socket, 'subscribe:watchlist', ['HELD']);
        socket.emit(event, ...args);
        assert.deepEqual(await once(socket, 'error'), { message: M.symbols }, what);
        const ack = await call(socket, event, ...args);
        assert.deepEqual(ack, { ok: false, error: { message: M.symbols } }, what);
        await published(server, ['HELD', 'AAPL', 'S1'].map((symbol) => ({ event: 'quote:update', symbol, data: { what } })));
        await fence(server, socket);
        const quotes = all(socket, 'quote:update').filter((quote) => quote.what === what);
        assert.deepEqual(quotes.map((quote) => quote.symbol), ['HELD'], what);
        socket.disconnect();
      }
    });
  }

  test('32 characters and every allowed character make a symbol', async () => {
    const socket = await connect(server);
    const symbols = ['A'.repeat(32), 'a', 'BRK.B', 'BTC-USD', 'EUR_USD', 'X:Y', 'A/B', '^GSPC', 'EURUSD=X', '0123456789'];
    assert.deepEqual(await call(socket, 'subscribe:watchlist', symbols), { ok: true, type: 'watchlist', symbols });
  });

  test('500 symbols of one connection are held, in one call or several; the 501st is refused', async () => {
    const socket = await connect(server);
    const held = many(500, (n) => `L${n}`);
    assert.equal((await call(socket, 'subscribe:watchlist', held)).ok, true);
    assert.deepEqual(await call(socket, 'subscribe:watchlist', ['ONEMORE']), { ok: false, error: { message: M.symbols } });
    assert.equal((await call(socket, 'subscribe:watchlist', ['L7'])).ok, true, 'what is held takes no more room');
    assert.equal((await call(socket, 'unsubscribe:watchlist', ['L7'])).ok, true);
    assert.equal((await call(socket, 'subscribe:watchlist', ['ONEMORE'])).ok, true);
    await published(server, held.map((symbol) => ({ event: 'quote:update', symbol, data: {} })));
    await fence(server, socket);
    assert.equal(all(socket, 'quote:update').length, 499);
  });

  test('a binary argument is invalid, and the connection lives', async () => {
    const socket = await connect(server);
    for (const argument of [Buffer.from('AAPL'), ['AAPL', Buffer.from('x')]]) {
      socket.emit('subscribe:watchlist', argument);
      await errorAlone(socket, M.symbols);
    }
    assert.equal((await call(socket, 'subscribe:trades')).ok, true);
  });
});

describe('a flood of events', () => {
  const unsubscribe = eventPacket('unsubscribe:watchlist', ['A']);

  test('a burst of 200 events is answered in full', async () => {
    const raw = await rawConnect(server);
    raw.send(...Array(200).fill(unsubscribe));
    for (let n = 0; n < 200; n += 1) await raw.nextStarting('42["unsubscription:confirmed"');
    assert.equal(raw.all.filter((frame) => String(frame).startsWith('42["error"')).length, 0);
  });

  test('over 100 events a second and the burst: one error, then the connection is closed, others are unaffected', async () => {
    const other = await connect(server);
    const raw = await rawConnect(server);
    raw.send(...Array(400).fill(unsubscribe));
    await raw.end();
    const errors = raw.all.filter((frame) => String(frame).startsWith('42["error"'));
    assert.equal(errors.length, 1);
    assert.deepEqual(Object.keys(JSON.parse(errors[0].slice(2))[1]), ['message']);
    const confirmed = raw.all.filter((frame) => String(frame).startsWith('42["unsubscription:confirmed"')).length;
    assert.ok(confirmed >= 200 && confirmed < 400, `${confirmed} were answered`);
    assert.equal((await call(other, 'subscribe:portfolio')).ok, true);
    await fence(server, other);
  });

  test('a stock client that floods is closed at the transport, so that it comes back by itself', async () => {
    const socket = open(server, { reconnection: true });
    await when(socket, () => socket.connected, 'connect');
    for (let n = 0; n < 1_000; n += 1) socket.emit('unsubscribe:watchlist', ['A']);
    assert.notEqual(await ended(socket), 'io server disconnect');
    await when(socket, () => socket.idsHad.length > 1 && socket.connected, 'the client comes back');
  });
});
