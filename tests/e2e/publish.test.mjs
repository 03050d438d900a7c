// The publish API: what it takes, what it delivers, and what it refuses naming item and field.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { publish, published, request, start, test } from './harness.mjs';
import { all, call, connect, fence, names, newUser, once } from './clients.mjs';
import { PATHS } from './names.mjs';
import { eventPacket, rawConnect } from './raw.mjs';

let server;
before(async () => (server = await start()));
after(() => server?.stop());

const NDJSON = 'application/x-ndjson';
const trade = (userId, data = {}, more = {}) => ({ event: 'trade:executed', userId, data, ...more });
const quote = (symbol, data = {}) => ({ event: 'quote:update', symbol, data });
const lines = (items) => items.map((item) => JSON.stringify(item)).join('\n');

function problem(answer, status, what = '') {
  assert.equal(answer.status, status, `${what}: ${answer.text.slice(0, 300)}`);
  assert.match(answer.headers['content-type'], /^application\/problem\+json/, what);
  assert.equal(answer.json.status, status, what);
  for (const field of ['type', 'title', 'detail']) {
    assert.equal(typeof answer.json[field], 'string', `${what}: ${field}`);
    assert.ok(answer.json[field].length > 0, `${what}: ${field}`);
  }
  return answer.json;
}

const ids = (answer, count) => {
  assert.equal(answer.accepted, count);
  assert.equal(answer.ids.length, count);
  assert.ok(answer.ids.every((id) => typeof id === 'string' && id.length > 0));
  assert.equal(new Set(answer.ids).size, count);
};

describe('POST /api/publish takes', () => {
  test('POST /api/publish takes one object and answers 202 {accepted, ids}', async () => {
    const socket = await connect(server);
    const answer = await publish(server, trade(socket.user, { n: 1 }));
    assert.equal(answer.status, 202);
    assert.match(answer.headers['content-type'], /^application\/json/);
    ids(answer.json, 1);
    assert.equal((await once(socket, 'trade:executed')).n, 1);
  });

  test('POST /api/publish takes an array, delivered in its order', async () => {
    const socket = await connect(server);
    ids(await published(server, [1, 2, 3].map((n) => trade(socket.user, { n }))), 3);
    for (const n of [1, 2, 3]) assert.equal((await once(socket, 'trade:executed')).n, n);
  });

  test('POST /api/publish takes NDJSON, with and without a newline at the end', async () => {
    const socket = await connect(server);
    for (const end of ['', '\n', '\r\n']) {
      const body = lines([1, 2].map((n) => trade(socket.user, { n }))) + end;
      ids(await published(server, body, { contentType: NDJSON }), 2);
      for (const n of [1, 2]) assert.equal((await once(socket, 'trade:executed')).n, n);
    }
  });

  test('POST /api/publish takes a charset in the content type', async () => {
    ids(await published(server, trade(newUser()), { contentType: 'application/json; charset=utf-8' }), 1);
  });

  test('every number reaches the client digit for digit', async () => {
    const raw = await rawConnect(server);
    raw.send(eventPacket('subscribe:watchlist', ['DIGITS']));
    await raw.nextStarting('42["subscription:confirmed"');
    const numbers = '"a":0.1000000000000000055,"b":12345678901234567890,"c":1.50,"d":1E+2,"e":-0,"f":[1e400,3.0]';
    await published(server, `{"event":"quote:update","symbol":"DIGITS","data":{${numbers}}}`);
    const quoteText = await raw.nextStarting('42["quote:update"');
    assert.ok(quoteText.includes(numbers), quoteText);
    await published(server, `{"event":"trade:executed","userId":${JSON.stringify(raw.user)},"data":{${numbers}}}`);
    const tradeText = await raw.nextStarting('42["trade:executed"');
    assert.ok(tradeText.includes(numbers), tradeText);
    await published(server, `[{"event":"portfolio:update","userId":${JSON.stringify(raw.user)},"data":{${numbers}}}]`);
    assert.ok((await raw.nextStarting('42["portfolio:update"')).includes(numbers));
  });

  test('the same id is delivered once, in one batch and across requests', async () => {
    const socket = await connect(server);
    const id = `order-${socket.user}`;
    const first = await published(server, trade(socket.user, { n: 1 }, { id }));
    assert.deepEqual(first.ids, [id]);
    const again = await published(server, trade(socket.user, { n: 2 }, { id }));
    assert.deepEqual(again.ids, [id]);
    await published(server, [trade(socket.user, { n: 3 }, { id }), trade(socket.user, { n: 4 }, { id: `${id}-2` }), trade(socket.user, { n: 5 }, { id: `${id}-2` })]);
    await fence(server, socket);
    assert.deepEqual(all(socket, 'trade:executed').map((t) => t.n), [1, 4]);
  });

  test('the same id of a state event is delivered once', async () => {
    const socket = await connect(server);
    const id = `state-${socket.user}`;
    for (const n of [1, 2]) await published(server, { event: 'portfolio:update', userId: socket.user, id, data: { n } });
    await fence(server, socket);
    assert.deepEqual(all(socket, 'portfolio:update').map((p) => p.n), [1]);
  });

  test('trade:failed gets message from error, and keeps its own', async () => {
    const socket = await connect(server);
    await published(server, [
      { event: 'trade:failed', userId: socket.user, data: { error: 'Insufficient funds' } },
      { event: 'trade:failed', userId: socket.user, data: { error: 'E42', message: 'Market closed' } },
    ]);
    assert.equal((await once(socket, 'trade:failed')).message, 'Insufficient funds');
    assert.equal((await once(socket, 'trade:failed')).message, 'Market closed');
  });

  test('data may be empty, and a symbol in it may equal the item\'s', async () => {
    const socket = await connect(server);
    await call(socket, 'subscribe:watchlist', ['SAME']);
    await published(server, [quote('SAME', { symbol: 'SAME' }), quote('SAME')]);
    for (let n = 0; n < 2; n += 1) assert.equal((await once(socket, 'quote:update')).symbol, 'SAME');
  });

  test('1,000 items are accepted', async () => {
    ids(await published(server, Array.from({ length: 1_000 }, (_, n) => quote(`Q${n % 7}`, { n }))), 1_000);
  });

  test('a body of 1,000,000 bytes is accepted', async () => {
    const body = JSON.stringify(trade(newUser())).padEnd(1_000_000, ' ');
    ids(await published(server, body), 1);
  });

  test('JSON nested 64 deep is accepted', async () => {
    ids(await published(server, nested(64)), 1);
  });
});

/** One item whose JSON is nested this deep, the item itself counting 1 and its data 2. */
const nested = (depth) => `{"event":"market:status","data":{"x":${'['.repeat(depth - 2)}${']'.repeat(depth - 2)}}}`;

const BAD_ITEMS = [
  ['an unknown event', { event: 'order:placed', userId: 'u', data: {} }, /^event$/],
  ['no event', { userId: 'u', data: {} }, /^event$/],
  ['server:shutdown', { event: 'server:shutdown', data: {} }, /^event$/],
  ['portfolio:update without userId', { event: 'portfolio:update', data: {} }, /^userId$/],
  ['trade:executed without userId', { event: 'trade:executed', data: {} }, /^userId$/],
  ['trade:failed with an empty userId', { event: 'trade:failed', userId: '', data: {} }, /^userId$/],
  ['a userId of 257 bytes', { event: 'trade:failed', userId: 'x'.repeat(257), data: {} }, /^userId$/],
  ['quote:update without symbol', { event: 'quote:update', data: {} }, /^symbol$/],
  ['a symbol with a blank', { event: 'quote:update', symbol: 'A B', data: {} }, /^symbol$/],
  ['a symbol of 33 characters', { event: 'quote:update', symbol: 'A'.repeat(33), data: {} }, /^symbol$/],
  ['a symbol that is a number', { event: 'quote:update', symbol: 5, data: {} }, /^symbol$/],
  ['data missing', { event: 'market:status' }, /^data$/],
  ['data an array', { event: 'market:status', data: [] }, /^data$/],
  ['data null', { event: 'market:status', data: null }, /^data$/],
  ['data a string', { event: 'market:status', data: '{}' }, /^data$/],
  ['another symbol in data', { event: 'quote:update', symbol: 'AAPL', data: { symbol: 'TSLA' } }, /symbol$/],
  ['an unknown field', { event: 'market:status', data: {}, colour: 'red' }, /^colour$/],
  ['an id that is no string', { event: 'market:status', data: {}, id: {} }, /^id$/],
];

describe('POST /api/publish refuses', () => {
  for (const [what, item, field] of BAD_ITEMS) {
    test(`400 names item and field for ${what}`, async () => {
      const single = problem(await publish(server, item), 400, what);
      assert.equal(single.item, 0);
      assert.match(single.field, field);
      const good = trade(newUser());
      const batch = problem(await publish(server, [good, good, item]), 400, what);
      assert.equal(batch.item, 2);
      assert.match(batch.field, field);
      const line = problem(await publish(server, lines([good, item]), { contentType: NDJSON }), 400, what);
      assert.equal(line.item, 1);
      assert.match(line.field, field);
    });
  }

  test('400 for an empty batch', async () => {
    problem(await publish(server, []), 400, 'empty array');
    problem(await publish(server, ''), 400, 'empty body');
    problem(await publish(server, '', { contentType: NDJSON }), 400, 'no lines');
    problem(await publish(server, '\n\n', { contentType: NDJSON }), 400, 'empty lines');
  });

  test('400 for 1,001 items', async () => {
    problem(await publish(server, Array.from({ length: 1_001 }, () => quote('Q'))), 400);
    problem(await publish(server, lines(Array.from({ length: 1_001 }, () => quote('Q'))), { contentType: NDJSON }), 400);
  });

  test('400 for JSON nested 65 deep, and for 400,000 deep', async () => {
    problem(await publish(server, nested(65)), 400, '65');
    problem(await publish(server, nested(400_000)), 400, '400,000');
    problem(await publish(server, '['.repeat(900_000)), 400, 'only brackets');
  });

  test('400 for malformed JSON', async () => {
    for (const body of ['{', '{"event":}', 'nonsense', '{"event":"market:status","data":{}} trailing', '[{},]', '7', 'null', '"x"', '\u0000']) {
      problem(await publish(server, body), 400, body);
    }
    const notUtf8 = Buffer.concat([Buffer.from('{"event":"market:status","data":{"x":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}}')]);
    problem(await publish(server, notUtf8), 400, 'not UTF-8');
  });

  test('400 for a malformed NDJSON line names the item', async () => {
    const body = `${lines([quote('Q'), quote('Q')])}\n{"event":\n${lines([quote('Q')])}`;
    assert.equal(problem(await publish(server, body, { contentType: NDJSON }), 400).item, 2);
  });

  test('400 for an item that is no object', async () => {
    for (const item of [7, null, 'x', []]) assert.equal(problem(await publish(server, [quote('Q'), item]), 400).item, 1);
  });

  test('a batch with one bad item delivers nothing of it', async () => {
    const socket = await connect(server);
    await call(socket, 'subscribe:watchlist', ['WHOLE']);
    const good = [trade(socket.user), quote('WHOLE'), { event: 'portfolio:update', userId: socket.user, data: {} }];
    problem(await publish(server, [...good, { event: 'nope', data: {} }]), 400);
    problem(await publish(server, `${lines(good)}\nnonsense`, { contentType: NDJSON }), 400);
    await fence(server, socket);
    assert.deepEqual(names(socket).filter((name) => name !== 'market:status'), ['subscription:confirmed']);
    // What is not delivered is not kept either.
    const late = await connect(server, { user: socket.user });
    await call(late, 'subscribe:watchlist', ['WHOLE']);
    await call(late, 'subscribe:portfolio');
    await fence(server, late);
    assert.deepEqual(all(late, 'quote:update'), []);
    assert.deepEqual(all(late, 'portfolio:update'), []);
  });

  test('401 without and with a wrong token, with WWW-Authenticate', async () => {
    const item = trade(newUser());
    for (const options of [{ token: '' }, { token: 'wrong' }, { token: '', headers: { authorization: 'Basic eDp5' } }, { token: '', headers: { authorization: 'Bearer' } }]) {
      const answer = await publish(server, item, options);
      problem(answer, 401, JSON.stringify(options));
      assert.match(answer.headers['www-authenticate'], /^Bearer/);
    }
  });

  test('413 for a body of 1,000,001 bytes', async () => {
    const body = JSON.stringify(trade(newUser())).padEnd(1_000_001, ' ');
    problem(await publish(server, body), 413);
  });

  test('405 for another method, with Allow', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await request(server, PATHS.publish, { method });
      problem(answer, 405, method);
      assert.match(answer.headers.allow, /POST/);
    }
  });

  test('404 for a path beside it', async () => {
    problem(await request(server, `${PATHS.publish}/more`, { method: 'POST' }), 404);
  });

  test('415 for another content type', async () => {
    for (const contentType of ['text/plain', 'application/xml', 'application/x-www-form-urlencoded']) {
      problem(await publish(server, trade(newUser()), { contentType }), 415, contentType);
    }
  });
});
