// What the guide promises, for the newest and the oldest 4.x client, over every transport.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { eventually, published, start, startForTest, test } from './harness.mjs';
import {
  all, answered, call, COMBINATIONS, connect, ended, errorAlone, fence, forget, GUIDE, names, newUser, once, rateError,
  refused, sessionOf, when,
} from './clients.mjs';
import { EVENT_ID, ISO_MS_UTC, M, V } from './names.mjs';

let server;
before(async () => (server = await start()));
after(() => server?.stop());

let symbols = 0;
// State is kept by the server, so every test has symbols of its own.
const newSymbol = () => `S${++symbols}`;
const without = (object, field) => Object.fromEntries(Object.entries(object).filter(([name]) => name !== field));

for (const { title, client, transports } of COMBINATIONS) {
  describe(title, () => {
    const join = (options = {}) => connect(server, { client, transports, ...options });

    test('connect gives a socket.id and keeps the transport that was asked for', async () => {
      const socket = await join();
      assert.equal(typeof socket.id, 'string');
      assert.ok(socket.id.length > 0);
      const last = transports.at(-1);
      await eventually(() => socket.io.engine.transport.name === last, undefined, `the transport is ${last}`);
    });

    test('userName in auth is optional and accepted', async () => {
      const socket = await join({ auth: { userName: 'John Doe' } });
      assert.ok(socket.connected);
    });

    test('portfolio:update arrives as published, on every connection of the user, subscribed or not', async () => {
      const user = newUser('alice');
      const sockets = [await join({ user }), await join({ user })];
      await published(server, { event: 'portfolio:update', userId: user, data: GUIDE.portfolio });
      for (const socket of sockets) assert.deepEqual(await once(socket, 'portfolio:update'), GUIDE.portfolio);
    });

    test('portfolio:update gets a timestamp only when it has none', async () => {
      const socket = await join();
      const data = without(GUIDE.portfolio, 'timestamp');
      await published(server, { event: 'portfolio:update', userId: socket.user, data });
      const { timestamp, ...rest } = await once(socket, 'portfolio:update');
      assert.deepEqual(rest, data);
      assert.match(timestamp, ISO_MS_UTC);
    });

    test('trade:executed arrives as published with an eventId, on every connection of the user', async () => {
      const user = newUser('alice');
      const sockets = [await join({ user }), await join({ user })];
      await published(server, { event: 'trade:executed', userId: user, data: GUIDE.executed });
      const ids = [];
      for (const socket of sockets) {
        const { eventId, ...rest } = await once(socket, 'trade:executed');
        assert.deepEqual(rest, GUIDE.executed);
        assert.match(eventId, EVENT_ID);
        ids.push(eventId);
      }
      assert.equal(ids[0], ids[1]);
    });

    test('trade:failed arrives as published with an eventId, and with message beside error', async () => {
      const socket = await join();
      await published(server, { event: 'trade:failed', userId: socket.user, data: GUIDE.failed });
      const { eventId, message, ...rest } = await once(socket, 'trade:failed');
      assert.deepEqual(rest, GUIDE.failed);
      assert.equal(message, GUIDE.failed.error);
      assert.match(eventId, EVENT_ID);
    });

    test('trades come in order, each once, executed and failed alike', async () => {
      const socket = await join();
      const items = Array.from({ length: 40 }, (_, n) =>
        ({ event: n % 3 ? 'trade:executed' : 'trade:failed', userId: socket.user, data: { n } }));
      await published(server, items);
      await fence(server, socket);
      const trades = socket.seen.filter((e) => e.event.startsWith('trade:'));
      assert.deepEqual(trades.map((e) => e.args[0].n), items.map((item) => item.data.n));
      assert.deepEqual(trades.map((e) => e.event), items.map((item) => item.event));
      assert.equal(new Set(trades.map((e) => e.args[0].eventId)).size, items.length);
    });

    test('quote:update arrives as published at subscribers of the symbol only', async () => {
      const [mine, other] = [newSymbol(), newSymbol()];
      const [subscriber, stranger] = [await join(), await join()];
      await call(subscriber, 'subscribe:watchlist', [mine]);
      await call(stranger, 'subscribe:watchlist', [other]);
      const data = { ...GUIDE.quote, symbol: mine };
      await published(server, { event: 'quote:update', symbol: mine, data });
      assert.deepEqual(await once(subscriber, 'quote:update'), data);
      await fence(server, subscriber, stranger);
      assert.deepEqual(all(stranger, 'quote:update'), []);
    });

    test('quote:update gets symbol and timestamp when it has none', async () => {
      const symbol = newSymbol();
      const socket = await join();
      await call(socket, 'subscribe:watchlist', [symbol]);
      await published(server, { event: 'quote:update', symbol, data: { price: 1.25 } });
      const { timestamp, ...rest } = await once(socket, 'quote:update');
      assert.deepEqual(rest, { price: 1.25, symbol });
      assert.match(timestamp, ISO_MS_UTC);
    });

    test('market:status goes to everyone, and the current one comes on connect', async () => {
      const early = [await join(), await join()];
      const data = { ...GUIDE.market, round: newSymbol() };
      await published(server, { event: 'market:status', data });
      // An early client may still be getting the value that was current when it connected.
      const latest = (socket) => all(socket, 'market:status').find((status) => status.round === data.round);
      for (const socket of early) assert.deepEqual(await when(socket, () => latest(socket), 'market:status'), data);
      const late = await join();
      assert.deepEqual(await once(late, 'market:status'), data);
    });

    test('subscribe:portfolio is answered by subscription:confirmed {type:"portfolio"}', async () => {
      const socket = await join();
      socket.emit('subscribe:portfolio');
      assert.deepEqual(await once(socket, 'subscription:confirmed'), { type: 'portfolio' });
    });

    test('subscribe:trades is answered by subscription:confirmed {type:"trades"}', async () => {
      const socket = await join();
      socket.emit('subscribe:trades');
      assert.deepEqual(await once(socket, 'subscription:confirmed'), { type: 'trades' });
    });

    test('subscribe:watchlist is answered by subscription:confirmed with the symbols', async () => {
      const socket = await join();
      socket.emit('subscribe:watchlist', ['AAPL', 'TSLA', 'NVDA']);
      assert.deepEqual(await once(socket, 'subscription:confirmed'), { type: 'watchlist', symbols: ['AAPL', 'TSLA', 'NVDA'] });
    });

    test('unsubscribe:watchlist is answered by unsubscription:confirmed and stops the quotes of those symbols only', async () => {
      const [gone, kept] = [newSymbol(), newSymbol()];
      const socket = await join();
      await call(socket, 'subscribe:watchlist', [gone, kept]);
      socket.emit('unsubscribe:watchlist', [gone]);
      assert.deepEqual(await once(socket, 'unsubscription:confirmed'), { type: 'watchlist', symbols: [gone] });
      await published(server, [gone, kept].map((symbol) => ({ event: 'quote:update', symbol, data: { price: 1 } })));
      assert.equal((await once(socket, 'quote:update')).symbol, kept);
      await fence(server, socket);
      assert.equal(all(socket, 'quote:update').length, 1);
    });

    test('an acknowledgement callback gets the same answer as {ok:true, …}, beside the event', async () => {
      const socket = await join();
      assert.deepEqual(await call(socket, 'subscribe:portfolio'), { ok: true, type: 'portfolio' });
      assert.deepEqual(await call(socket, 'subscribe:trades'), { ok: true, type: 'trades' });
      assert.deepEqual(await call(socket, 'subscribe:watchlist', ['AAPL']), { ok: true, type: 'watchlist', symbols: ['AAPL'] });
      assert.deepEqual(await call(socket, 'unsubscribe:watchlist', ['AAPL']), { ok: true, type: 'watchlist', symbols: ['AAPL'] });
      await answered(socket);
      assert.deepEqual(all(socket, 'subscription:confirmed').map((c) => c.type), ['portfolio', 'trades', 'watchlist']);
      assert.deepEqual(all(socket, 'unsubscription:confirmed')[0], { type: 'watchlist', symbols: ['AAPL'] });
    });

    test('no user gets portfolio or trades of another', async () => {
      const [alice, bob] = [await join(), await join()];
      for (const socket of [alice, bob]) {
        await call(socket, 'subscribe:portfolio');
        await call(socket, 'subscribe:trades');
      }
      await published(server, [
        { event: 'portfolio:update', userId: alice.user, data: { of: 'alice' } },
        { event: 'trade:executed', userId: alice.user, data: { of: 'alice' } },
        { event: 'trade:failed', userId: alice.user, data: { of: 'alice' } },
        // A user nobody is connected as, whose id only begins like theirs.
        { event: 'trade:executed', userId: bob.user.slice(0, -1), data: { of: 'nobody' } },
      ]);
      await fence(server, alice, bob);
      const isPrivate = (name) => name === 'portfolio:update' || name.startsWith('trade:');
      assert.deepEqual(names(bob).filter(isPrivate), []);
      assert.deepEqual(names(alice).filter(isPrivate).sort(), ['portfolio:update', 'trade:executed', 'trade:failed']);
    });

    test('subscribing makes the current value arrive at once', async () => {
      const user = newUser('alice');
      const symbol = newSymbol();
      await published(server, [
        { event: 'portfolio:update', userId: user, data: { n: 1 } },
        { event: 'portfolio:update', userId: user, data: { n: 2 } },
        { event: 'quote:update', symbol, data: { price: 7 } },
      ]);
      const socket = await join({ user });
      socket.emit('subscribe:portfolio');
      assert.equal((await once(socket, 'portfolio:update')).n, 2);
      socket.emit('subscribe:watchlist', [symbol]);
      assert.equal((await once(socket, 'quote:update')).price, 7);
    });

    test('subscribing again to what is held is confirmed and sends the current value again', async () => {
      const symbol = newSymbol();
      const socket = await join();
      await published(server, { event: 'quote:update', symbol, data: { price: 7 } });
      for (let round = 0; round < 3; round += 1) {
        socket.emit('subscribe:watchlist', [symbol]);
        assert.deepEqual(await once(socket, 'subscription:confirmed'), { type: 'watchlist', symbols: [symbol] });
        assert.equal((await once(socket, 'quote:update')).price, 7);
      }
      forget(socket);
      await published(server, { event: 'quote:update', symbol, data: { price: 8 } });
      await fence(server, socket);
      assert.deepEqual(all(socket, 'quote:update').map((q) => q.price), [8], 'holding a symbol thrice delivers once');
    });

    test('auth.subscriptions are restored, each confirmed, without being charged to the rate limits', async () => {
      const user = newUser('alice');
      const symbol = newSymbol();
      await published(server, [
        { event: 'portfolio:update', userId: user, data: { n: 5 } },
        { event: 'quote:update', symbol, data: { price: 5 } },
      ]);
      const socket = await join({ user, auth: { subscriptions: { portfolio: true, trades: true, watchlist: [symbol, 'TSLA'] } } });
      const confirmed = [];
      for (let n = 0; n < 3; n += 1) confirmed.push(await once(socket, 'subscription:confirmed'));
      confirmed.sort((a, b) => a.type.localeCompare(b.type));
      assert.deepEqual(confirmed, [{ type: 'portfolio' }, { type: 'trades' }, { type: 'watchlist', symbols: [symbol, 'TSLA'] }]);
      assert.equal((await once(socket, 'portfolio:update')).n, 5);
      assert.equal((await once(socket, 'quote:update')).price, 5);
      for (let n = 0; n < 10; n += 1) assert.equal((await call(socket, 'subscribe:watchlist', [symbol])).ok, true, `call ${n + 1}`);
      socket.emit('subscribe:watchlist', [symbol]);
      await rateError(socket, 'subscribe:watchlist', M.watchlistRate);
    });
  });
}

describe('whatever the client', () => {
  test('malformed auth.subscriptions are ignored with an error, and the connection works', async () => {
    for (const subscriptions of ['portfolio', ['portfolio'], 7, { watchlist: 'AAPL' }, { watchlist: ['AAPL', 'no spaces'] }, { watchlist: [1] }]) {
      const socket = await connect(server, { auth: { subscriptions } });
      const error = await once(socket, 'error');
      assert.deepEqual(Object.keys(error), ['message'], JSON.stringify(subscriptions));
      assert.deepEqual(await call(socket, 'subscribe:portfolio'), { ok: true, type: 'portfolio' });
      await once(socket, 'subscription:confirmed');
      assert.equal(all(socket, 'subscription:confirmed').length, 1, 'nothing of a malformed one is restored');
    }
  });

  test('replaces takes the slot of the previous socket when 5 are there', async () => {
    const user = newUser('alice');
    const sockets = [];
    for (let n = 0; n < 5; n += 1) sockets.push(await connect(server, { user }));
    assert.equal((await refused(server, { user })).message, M.tooMany);
    const next = await connect(server, { user, auth: { replaces: sockets[2].id } });
    await ended(sockets[2]);
    assert.equal((await refused(server, { user })).message, M.tooMany);
    await published(server, { event: 'trade:executed', userId: user, data: { n: 1 } });
    for (const socket of [next, sockets[0], sockets[1], sockets[3], sockets[4]]) assert.equal((await once(socket, 'trade:executed')).n, 1);
  });

  test('replaces of another session or another user takes nothing', async () => {
    const user = newUser('alice');
    const sockets = [];
    for (let n = 0; n < 5; n += 1) sockets.push(await connect(server, { user }));
    const stranger = await connect(server, { auth: { replaces: sockets[0].id } });
    const thief = await refused(server, { user, session: `${sessionOf(user)}-other`, auth: { replaces: sockets[0].id } });
    assert.equal(thief.message, M.tooMany);
    await fence(server, stranger, ...sockets);
  });

  test('DELIVERY=subscribed restricts portfolio and trades to subscribers', async () => {
    const strict = await startForTest({ [V.DELIVERY]: 'subscribed' });
    const user = newUser('alice');
    const [portfolio, trades, neither] = [await connect(strict, { user }), await connect(strict, { user }), await connect(strict, { user })];
    await call(portfolio, 'subscribe:portfolio');
    await call(trades, 'subscribe:trades');
    await published(strict, [
      { event: 'portfolio:update', userId: user, data: { n: 1 } },
      { event: 'trade:executed', userId: user, data: { n: 1 } },
      { event: 'trade:failed', userId: user, data: { n: 1 } },
    ]);
    await fence(strict, portfolio, trades, neither);
    const delivered = (socket) => names(socket).filter((name) => name !== 'subscription:confirmed');
    assert.deepEqual(delivered(portfolio), ['portfolio:update']);
    assert.deepEqual(delivered(trades), ['trade:executed', 'trade:failed']);
    assert.deepEqual(delivered(neither), []);
  });

  test('fields beyond the guide pass through, nested and in other scripts', async () => {
    const socket = await connect(server);
    const data = { note: 'Grüße 🚀   " \\ \n', nested: { list: [1, null, true, { deep: [] }] }, '': 0, timestamp: 'as given' };
    await published(server, { event: 'portfolio:update', userId: socket.user, data });
    assert.deepEqual(await once(socket, 'portfolio:update'), data);
  });

  test('user ids of any script are isolated by their exact text', async () => {
    const users = ['Ünï-ç', 'ünï-ç', 'a b', 'a', 'user:1', '__proto__'].map((u) => `${u}${newUser('')}`);
    const sockets = [];
    for (const user of users) sockets.push(await connect(server, { user }));
    await published(server, users.map((userId) => ({ event: 'trade:executed', userId, data: { of: userId } })));
    await fence(server, ...sockets);
    sockets.forEach((socket, n) => assert.deepEqual(all(socket, 'trade:executed').map((trade) => trade.of), [users[n]]));
  });

  test('an event with an unknown name changes nothing', async () => {
    const socket = await connect(server);
    socket.emit('no:such:event', 1, 2, 3);
    assert.equal((await call(socket, 'subscribe:trades')).ok, true);
  });

  test('an error event carries its message alone', async () => {
    const socket = await connect(server);
    socket.emit('unsubscribe:watchlist', 'AAPL');
    await errorAlone(socket, M.symbols);
  });
});
