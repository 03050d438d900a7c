// The limits below Socket.IO: what is too big, too many or too late is closed or sent away, never
// answered with a CONNECT_ERROR, after which a stock client would give up.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { DEADLINE_MS, eventually, request, start, startForTest, test, within } from './harness.mjs';
import { call, connect, newUser, open, when } from './clients.mjs';
import { M, PATHS, V } from './names.mjs';
import { authOf, connectPacket, eventPacket, rawConnect, rawOpen, RawPolling, RawSocket } from './raw.mjs';

const POLLING = `${PATHS.socketio}?EIO=4&transport=polling`;
const ERROR_SYMBOLS = `42${JSON.stringify(['error', { message: M.symbols }])}`;
const placeholders = (count) => Array.from({ length: count }, (_, num) => ({ _placeholder: true, num }));
const binaryEvent = (count) => `45${count}-${JSON.stringify(['subscribe:watchlist', ...placeholders(count)])}`;

let server;
before(async () => (server = await start()));
after(() => server?.stop());

async function healthy() {
  const fresh = await connect(server);
  assert.equal((await call(fresh, 'subscribe:watchlist', ['AAPL'])).ok, true);
}

describe('the size of what a client sends', () => {
  test('a message of 1,000,000 bytes is taken, one of more closes the connection', async () => {
    const sized = (bytes) => {
      const empty = eventPacket('subscribe:watchlist', '').length;
      return eventPacket('subscribe:watchlist', 'x'.repeat(bytes - empty));
    };
    const fits = await rawConnect(server);
    fits.send(sized(1_000_000));
    assert.equal(await fits.nextStarting('42["error"'), ERROR_SYMBOLS);
    const exceeds = await rawConnect(server);
    exceeds.send(sized(1_000_001));
    await exceeds.end();
    await healthy();
  });

  test('a polling body of more than 1,000,000 bytes is refused', async () => {
    const polling = await new RawPolling(server).open();
    const answer = await polling.post(`42["x","${'x'.repeat(1_000_000)}"]`).catch(() => ({ status: 413 }));
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`);
    await healthy();
  });

  test('the payload limit is configurable', async () => {
    const small = await startForTest({ [V.CLIENT_PAYLOAD_BYTES_MAX]: 2_000 });
    const raw = await rawConnect(small);
    assert.equal(raw.handshake.maxPayload, 2_000);
    raw.send(eventPacket('subscribe:watchlist', 'x'.repeat(2_000)));
    await raw.end();
  });
});

describe('binary attachments', () => {
  test('an event with one attachment is answered as invalid, and the connection lives', async () => {
    const raw = await rawConnect(server);
    raw.send(binaryEvent(1), Buffer.from('AAPL'));
    assert.equal(await raw.nextStarting('42["error"'), ERROR_SYMBOLS);
    raw.send(eventPacket('subscribe:watchlist', ['AAPL']));
    await raw.nextStarting('42["subscription:confirmed"');
  });

  test('10 attachments are taken, 11 close the connection', async () => {
    const fits = await rawConnect(server);
    fits.send(binaryEvent(10), ...Array(10).fill(Buffer.from('x')));
    assert.equal(await fits.nextStarting('42["error"'), ERROR_SYMBOLS);
    const exceeds = await rawConnect(server);
    exceeds.send(binaryEvent(11));
    await exceeds.end();
    const absurd = await rawConnect(server);
    absurd.send('4599999999999-["x"]');
    await absurd.end();
    await healthy();
  });

  test('attachments of more than 1 MB together close the connection', async () => {
    const raw = await rawConnect(server);
    raw.send(binaryEvent(3), Buffer.alloc(600_000), Buffer.alloc(600_000));
    await raw.end();
    await healthy();
  });

  test('a binary frame that no event announced harms nobody', async () => {
    const raw = await rawConnect(server);
    raw.send(Buffer.from('stray'));
    raw.send(eventPacket('subscribe:watchlist', ['AAPL']));
    await Promise.race([raw.closed, raw.nextStarting('42').catch(() => {})]);
    await healthy();
  });

  test('an event whose attachments never come does not block others', async () => {
    const raw = await rawConnect(server);
    raw.send(binaryEvent(2), Buffer.from('only one'));
    await healthy();
  });
});

describe('handshakes', () => {
  test('without CONNECT within HANDSHAKE_MAX_MS the transport is closed, websocket and polling', async () => {
    const impatient = await startForTest({ [V.HANDSHAKE_MAX_MS]: 300 });
    const admitted = await rawConnect(impatient);
    const raw = await rawOpen(impatient);
    const polling = await new RawPolling(impatient).open();
    const pending = polling.poll();
    await raw.end();
    assert.ok(!raw.all.some((frame) => String(frame).startsWith('4')), 'no CONNECT_ERROR');
    await pending.catch(() => {});
    await eventually(async () => (await polling.poll()).status === 400, DEADLINE_MS, 'the polling session is gone');
    admitted.send(eventPacket('subscribe:portfolio'));
    await admitted.nextStarting('42["subscription:confirmed"');
  });

  test('over HANDSHAKES_MAX the oldest is closed, and the newest can CONNECT', async () => {
    const tight = await startForTest({ [V.HANDSHAKES_MAX]: 3 });
    const raws = [];
    for (let n = 0; n < 4; n += 1) raws.push(await rawOpen(tight));
    await raws[0].end();
    for (const raw of raws.slice(1)) {
      raw.send(connectPacket(authOf(newUser('raw'))));
      assert.match(await raw.nextStarting('4'), /^40/);
    }
  });
});

describe('too many', () => {
  test('over CONNECTIONS_MAX the handshake gets 503 with Retry-After, and the client gets in once there is room', async () => {
    const tight = await startForTest({ [V.CONNECTIONS_MAX]: 3 });
    const sockets = [await connect(tight), await connect(tight), await connect(tight, { transports: ['polling'] })];
    const polling = await request(tight, POLLING);
    assert.equal(polling.status, 503);
    assert.ok(Number(polling.headers['retry-after']) > 0);
    const websocket = await within(new RawSocket(tight).refused, DEADLINE_MS, 'a refusal');
    assert.equal(websocket.status, 503);
    assert.ok(Number(websocket.headers['retry-after']) > 0);
    const waiting = open(tight, { reconnection: true, options: { reconnectionDelay: 100, reconnectionDelayMax: 200 } });
    await when(waiting, () => waiting.refusals.length > 0, 'the first try fails');
    sockets[0].disconnect();
    await when(waiting, () => waiting.connected, 'the client comes back by itself');
  });

  test('over CONNECTS_PER_USER_MINUTE_MAX the transport is closed without CONNECT_ERROR, other users are admitted', async () => {
    const tight = await startForTest({ [V.CONNECTS_PER_USER_MINUTE_MAX]: 3 });
    const user = newUser('alice');
    for (let n = 0; n < 3; n += 1) (await rawConnect(tight, { user })).send('41');
    const raw = await rawOpen(tight);
    raw.send(connectPacket(authOf(user)));
    await raw.end();
    assert.ok(!raw.all.some((frame) => String(frame).startsWith('4')), `got ${raw.all}`);
    await rawConnect(tight);
  });
});
