// Engine.IO and Socket.IO by hand: what a stock client never sends.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { DEADLINE_MS, delay, eventually, health, request, start, startForTest, test, within } from './harness.mjs';
import { call, connect, newUser, refused } from './clients.mjs';
import { M, PATHS, V } from './names.mjs';
import { authOf, connectPacket, eventPacket, rawConnect, rawOpen, RawPolling, RawSocket } from './raw.mjs';

let server;
before(async () => (server = await start()));
after(() => server?.stop());

const SUBSCRIBE = eventPacket('subscribe:watchlist', ['AAPL']);
const CONFIRMED = '42["subscription:confirmed"';

/** That the server still admits and answers, and that a client that was there before is still there. */
async function healthy(witness) {
  if (witness) assert.equal(await closedOrAnswers(witness), false, 'a client that was there before is still there');
  const fresh = await connect(server);
  assert.equal((await call(fresh, 'subscribe:watchlist', ['AAPL'])).ok, true);
  fresh.disconnect();
}

/** Resolves to whether the connection was closed by the time an answer to a later event was due. */
async function closedOrAnswers(raw) {
  raw.send(`425${JSON.stringify(['unsubscribe:watchlist', ['X']])}`);
  return raw.nextStarting('435').then(() => false, (error) => {
    if (raw.closeCode === undefined) throw error;
    return true;
  });
}

/** The next message packet, or 'closed'. */
const messageOrClosed = (raw) => raw.nextStarting('4').catch((error) => {
  if (raw.closeCode === undefined) throw error;
  return 'closed';
});

describe('the Engine.IO handshake', () => {
  test('the open packet tells the contract\'s heartbeat and payload limit', async () => {
    const { handshake } = await rawOpen(server);
    assert.equal(handshake.pingInterval, 15_000);
    assert.equal(handshake.pingTimeout, 10_000);
    assert.equal(handshake.maxPayload, 1_000_000);
    assert.deepEqual(handshake.upgrades, []);
    assert.deepEqual((await new RawPolling(server).open()).handshake.upgrades, ['websocket']);
  });

  test('EIO=3, EIO=2 and no EIO are refused', async () => {
    for (const version of ['EIO=3&', 'EIO=2&', 'EIO=x&', '']) {
      assert.equal((await request(server, `${PATHS.socketio}?${version}transport=polling`)).status, 400, version);
      // Refused before the upgrade or right after it, and in no case with an open packet.
      const raw = new RawSocket(server, { query: `${version}transport=websocket` });
      await Promise.race([raw.refused, raw.end()]);
      assert.deepEqual(raw.all.filter((frame) => frame[0] === '0'), [], version);
    }
  });

  test('an unknown transport is refused', async () => {
    for (const query of ['EIO=4&transport=pigeon', 'EIO=4', 'EIO=4&transport=']) {
      assert.equal((await request(server, `${PATHS.socketio}?${query}`)).status, 400, query);
    }
  });

  test('an unknown sid is a 400 with code 1', async () => {
    const target = `${PATHS.socketio}?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA`;
    for (const options of [{}, { method: 'POST', body: '40{}' }]) {
      const { status, text } = await request(server, target, options);
      assert.equal(status, 400);
      assert.equal(Number(JSON.parse(text).code), 1);
    }
    const raw = new RawSocket(server, { query: 'EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA' });
    assert.equal((await within(raw.refused, DEADLINE_MS, 'a refusal')).status, 400);
  });
});

// Packets that no decoder can take.
const MALFORMED = ['x', '9', 'hello', '4x', '49', '42{', '42[', '42["subscribe:watchlist"', '42["subscribe:watchlist",',
  '42{"0":"subscribe:watchlist"}', '42"subscribe:watchlist"', '45', '45-["x"]', '4\u0000', '{"event":"x"}'];

// Packets that are odd, yet that a decoder may take or refuse.
const ODD = ['', '1', '42', '42[]', '42[5]', '451-', '451-["x"', '43', '43[]', '430["x"]', '4299999999999999999999["x"]', '42/other,["x"]', '42["connect"]', '42["disconnect"]',
  '42["connection"]', '42["__proto__",{"__proto__":{"a":1}}]', '42["subscribe:watchlist","\\ud800"]', '44{"message":"x"}', '6', '5', '2probe', '3probe',
  `42["subscribe:watchlist",${'['.repeat(100_000)}${']'.repeat(100_000)}]`, `42[${'"x",'.repeat(50_000)}1]`, `40/${'n'.repeat(100_000)},`];

describe('malformed packets', () => {
  for (const packet of MALFORMED) {
    test(`${JSON.stringify(packet)} closes that connection only`, async () => {
      const [witness, raw] = [await rawConnect(server), await rawConnect(server)];
      raw.send(packet);
      await raw.end();
      await healthy(witness);
    });
  }

  test('odd packets harm nobody', async () => {
    for (const packet of ODD) {
      const raw = await rawConnect(server);
      raw.send(packet);
      await closedOrAnswers(raw);
      raw.ws.terminate();
    }
    await healthy();
  });

  test('text that is not UTF-8 closes the connection', async () => {
    const raw = await rawConnect(server);
    raw.ws.send(Buffer.from([0x34, 0x32, 0xff, 0xfe]), { binary: false });
    await raw.end();
    await healthy();
  });

  test('malformed packets over polling end that session only', async () => {
    for (const body of ['', 'x', '42["x"', '\x1e', 'b!!!']) {
      const polling = await new RawPolling(server).open();
      await polling.post(connectPacket(authOf(newUser('polling'))));
      await polling.pollUntil('40');
      await polling.post(body);
    }
    await healthy();
  });

  test('garbage before CONNECT and instead of CONNECT gets no further than its own connection', async () => {
    const impatient = await startForTest({ [V.HANDSHAKE_MAX_MS]: 500 });
    await Promise.all([...MALFORMED, ...ODD, '40[', '40"x"', '40{"sessionID":', '405', '41'].map(async (packet) => {
      const raw = await rawOpen(impatient);
      raw.send(packet);
      await raw.end();
      assert.ok(!raw.all.some((frame) => String(frame).startsWith('40')), `${packet} was admitted`);
    }));
    await rawConnect(impatient);
  });
});

describe('CONNECT', () => {
  test('auth that is no object is refused like absent auth', async () => {
    for (const packet of ['40', '40[]', '40null', '40"x"', '407']) {
      const raw = await rawOpen(server);
      raw.send(packet);
      const answer = await messageOrClosed(raw);
      assert.ok(answer === 'closed' || answer === `44${JSON.stringify({ message: M.noSession })}`, `${packet}: ${answer}`);
      raw.ws.terminate();
    }
  });

  test('an event before CONNECT is never answered', async () => {
    const raw = await rawOpen(server);
    raw.send(SUBSCRIBE, connectPacket(authOf(newUser('raw'))));
    const first = await messageOrClosed(raw);
    assert.ok(first === 'closed' || first.startsWith('40'), first);
    if (first !== 'closed') await closedOrAnswers(raw);
    assert.ok(!raw.all.some((frame) => String(frame).startsWith(CONFIRMED)));
    await healthy();
  });

  test('CONNECT again on one connection takes no second slot', async () => {
    const user = newUser('alice');
    const raw = await rawConnect(server, { user });
    raw.send(...Array(8).fill(connectPacket(authOf(user))));
    const closed = await closedOrAnswers(raw);
    for (let n = closed ? 0 : 1; n < 5; n += 1) await eventually(() => rawConnect(server, { user }), DEADLINE_MS, 'a slot is free');
    assert.equal((await refused(server, { user })).message, M.tooMany);
  });

  test('an unknown namespace gets CONNECT_ERROR "Invalid namespace", and the connection can still CONNECT', async () => {
    const raw = await rawOpen(server);
    raw.send(`40/admin,${JSON.stringify(authOf(newUser('raw')))}`);
    assert.deepEqual(await raw.next(), '44/admin,{"message":"Invalid namespace"}');
    raw.send(connectPacket(authOf(newUser('raw'))));
    assert.match(await raw.nextStarting('4'), /^40/);
  });

  test('a DISCONNECT packet frees the slot', async () => {
    const user = newUser('alice');
    const raws = [];
    for (let n = 0; n < 5; n += 1) raws.push(await rawConnect(server, { user }));
    assert.equal((await refused(server, { user })).message, M.tooMany);
    raws[3].send('41');
    await eventually(() => connect(server, { user }), DEADLINE_MS, 'the slot is free');
  });

  test('an Engine.IO close packet frees the slot, over polling', async () => {
    const user = newUser('alice');
    const polling = await new RawPolling(server).open();
    await polling.post(connectPacket(authOf(user)));
    await polling.pollUntil('40');
    for (let n = 0; n < 4; n += 1) await rawConnect(server, { user });
    assert.equal((await refused(server, { user })).message, M.tooMany);
    await polling.post('1');
    await eventually(() => connect(server, { user }), DEADLINE_MS, 'the slot is free');
  });

  test('a websocket that is cut frees the slot', async () => {
    const user = newUser('alice');
    const raws = [];
    for (let n = 0; n < 5; n += 1) raws.push(await rawConnect(server, { user }));
    raws[0].ws.terminate();
    await eventually(() => connect(server, { user }), DEADLINE_MS, 'the slot is free');
  });
});

describe('subscribing at once', () => {
  test('a subscribe in the same instant as the CONNECT answer is answered, 500 times of 500', async () => {
    const one = async () => {
      const raw = await rawConnect(server);
      raw.send(SUBSCRIBE);
      await raw.nextStarting(CONFIRMED);
      raw.ws.terminate();
    };
    let left = 500;
    const worker = async () => {
      while (left-- > 0) await one();
    };
    await Promise.all(Array.from({ length: 25 }, worker));
  });

  test('a subscribe in the same TCP segment as CONNECT is answered or the connection is closed, never lost in silence', async () => {
    for (let n = 0; n < 50; n += 1) {
      const raw = await rawOpen(server);
      raw.sendTogether(connectPacket(authOf(newUser('raw'))), SUBSCRIBE);
      const first = await messageOrClosed(raw);
      if (first === 'closed') continue;
      assert.match(first, /^40/, 'nothing is answered before the CONNECT');
      if (await closedOrAnswers(raw)) continue;
      assert.ok(raw.all.some((frame) => String(frame).startsWith(CONFIRMED)), 'the early subscribe is answered');
      raw.ws.terminate();
    }
  });

  test('a subscribe in the POST after the CONNECT answer is answered, over polling', async () => {
    const polling = await new RawPolling(server).open();
    assert.equal((await polling.post(connectPacket(authOf(newUser('raw'))))).status, 200);
    await polling.pollUntil('40');
    assert.equal((await polling.post(SUBSCRIBE)).status, 200);
    await polling.pollUntil(CONFIRMED);
  });

  test('two packets in one POST are both answered', async () => {
    const polling = await new RawPolling(server).open();
    await polling.post(connectPacket(authOf(newUser('raw'))));
    await polling.pollUntil('40');
    await polling.post(`${SUBSCRIBE}\x1e431${JSON.stringify([])}\x1e427${JSON.stringify(['unsubscribe:watchlist', ['AAPL']])}`);
    await polling.pollUntil('437');
  });
});

describe('the heartbeat', () => {
  test('a client that never answers a ping is closed after interval and timeout, and its slot is free', async () => {
    const quick = await startForTest({ [V.PING_INTERVAL_MS]: 300, [V.PING_TIMEOUT_MS]: 300 });
    const raw = await rawConnect(quick, { pong: false });
    assert.deepEqual([raw.handshake.pingInterval, raw.handshake.pingTimeout], [300, 300]);
    await raw.end();
    assert.ok(raw.all.includes('2'), 'it was asked');
    await eventually(async () => (await health(quick)).activeConnections === 0, DEADLINE_MS, 'nobody is connected');
  });

  test('a polling client that stops polling is dropped', async () => {
    const quick = await startForTest({ [V.PING_INTERVAL_MS]: 300, [V.PING_TIMEOUT_MS]: 300 });
    const polling = await new RawPolling(quick).open();
    await polling.post(connectPacket(authOf(newUser('raw'))));
    await polling.pollUntil('40');
    await eventually(async () => (await health(quick)).activeConnections === 0, DEADLINE_MS, 'nobody is connected');
    assert.equal((await polling.poll()).status, 400);
  });

  test('pings come at the interval, and clients that answer stay', async () => {
    const quick = await startForTest({ [V.PING_INTERVAL_MS]: 200, [V.PING_TIMEOUT_MS]: 2_000 });
    const begun = Date.now();
    const raw = await rawConnect(quick);
    const stock = [await connect(quick), await connect(quick, { transports: ['polling'] })];
    await eventually(() => raw.all.filter((frame) => frame === '2').length >= 5, DEADLINE_MS, 'five pings');
    assert.ok(Date.now() - begun >= 600, 'pings are not sent faster than the interval');
    assert.equal(await closedOrAnswers(raw), false);
    for (const socket of stock) assert.equal((await call(socket, 'subscribe:trades')).ok, true);
  });

  test('a client that pongs out of turn is not closed', async () => {
    const raw = await rawConnect(server);
    raw.send('3', '3', '3');
    await delay(0);
    assert.equal(await closedOrAnswers(raw), false);
  });
});
