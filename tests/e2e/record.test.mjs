// What a real server under real clients records replays to the same effects, also after it was killed.

import { before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { atEnd, eventually, published, request, startForTest, test } from './harness.mjs';
import { call, COMBINATIONS, connect, fence, newUser } from './clients.mjs';
import { PATHS, V } from './names.mjs';
import { directory, sim, simIsThere } from './sim.mjs';

// Written every second at the latest; the rest is for a busy machine.
const WRITTEN_MS = 8_000;
const SECRET = 'strictly-confidential';

const segments = (dir) => readdirSync(dir).filter((name) => name.endsWith('.trace')).sort().map((name) => path.join(dir, name));
const bytesIn = (dir) => segments(dir).reduce((sum, file) => sum + statSync(file).size, 0);

async function recorded(dir, env = {}) {
  return startForTest({ [V.RECORD_DIR]: dir, [V.RECORD_SEGMENT_BYTES_MAX]: 100_000, ...env });
}

/** Stock clients of every kind, and enough publishes for several segments. */
async function load(server, rounds) {
  const sockets = [];
  for (const { client, transports } of COMBINATIONS) sockets.push(await connect(server, { client, transports, user: newUser('record') }));
  for (const socket of sockets) {
    await call(socket, 'subscribe:portfolio');
    await call(socket, 'subscribe:watchlist', ['AAPL', 'TSLA']);
    await call(socket, 'subscribe:watchlist', ['not a symbol']);
  }
  for (let n = 0; n < rounds; n += 1) {
    const batch = sockets.flatMap(({ user }) => [
      { event: 'quote:update', symbol: n % 2 ? 'AAPL' : 'TSLA', data: { n, note: SECRET } },
      { event: 'trade:executed', userId: user, data: { n, note: SECRET } },
      { event: 'portfolio:update', userId: user, data: { n, note: SECRET } },
    ]);
    await published(server, batch);
    if (n % 20 === 0) sockets[n % sockets.length].disconnect().connect();
  }
  await fence(server, ...sockets.filter((socket) => socket.connected));
  return sockets;
}

/** Publishes something and waits until it can be read in the recording. */
async function written(server, dir) {
  const mark = `mark-${Date.now()}`;
  await published(server, { event: 'market:status', data: { mark } });
  await eventually(() => readFileSync(segments(dir).at(-1)).includes(mark), WRITTEN_MS, 'it is written');
}

/** How many steps a replay says that it went through. */
function steps({ code, text }) {
  assert.equal(code, 0, text);
  return Number(/replayed (\d+) steps/.exec(text)[1]);
}

before(simIsThere);

describe('a recording', () => {
  test('of a server under real clients that is killed replays to the same effects, but for what was cut off', async (t) => {
    const dir = directory();
    const server = await recorded(dir);
    await load(server, 200);
    await written(server, dir);
    server.signal('SIGKILL');
    await server.ended();
    writeFileSync(path.join(dir, 'notes.txt'), 'not a trace');
    const whole = await sim('replay', dir);
    const count = steps(whole);
    assert.ok(count > 1_000, `${count} steps`);
    assert.ok(segments(dir).length > 2, `${segments(dir)}`);
    assert.match(whole.text, /not closed/);

    await t.test('a torn end is told', async () => {
      const last = segments(dir).at(-1);
      truncateSync(last, statSync(last).size - 10);
      const torn = await sim('replay', dir);
      assert.match(torn.text, /torn: \d+ bytes at byte \d+/);
      assert.ok(steps(torn) < count);
    });

    await t.test('show finds what a user, a connection, a topic and a decision were about', async () => {
      const file = segments(dir)[0];
      const all = (await sim('show', file)).text.split('\n').length;
      const lines = async (...filter) => (await sim('show', file, ...filter)).text.split('\n').filter((line) => line.startsWith('#'));
      const topic = await lines('--topic', 'quote(AAPL)');
      assert.ok(topic.length > 5 && topic.length < all && topic.every((line) => line.includes('AAPL')));
      assert.ok((await lines('--kind', 'connectrequested')).length >= COMBINATIONS.length);
      const conn = await lines('--conn', 'c0');
      assert.ok(conn.length > 5 && conn.every((line) => /\bc0\b/.test(line)));
      assert.match((await lines('--kind', 'admitted'))[0], /Note\(Admitted/);
    });

    await t.test('it stops where it is told to, and shows the state', async () => {
      const { code, text } = await sim('replay', dir, '--to', '40', '--dump-state');
      assert.equal(code, 0);
      assert.match(text, /stopped after #40 at/);
      assert.match(text, /^Engine \{/m);
      const broken = await sim('replay', dir, '--break-on', 'admitted');
      assert.match(broken.text, /Note\(Admitted/);
      assert.match(broken.text, /stopped after #/);
    });

    await t.test('one changed byte is caught', async () => {
      const [, file] = segments(dir);
      const bytes = readFileSync(file);
      bytes[bytes.length - 5_000] ^= 1;
      writeFileSync(file, bytes);
      const { code, text } = await sim('replay', dir);
      assert.equal(code, 2);
      assert.match(text, /damaged at byte \d+/);
    });
  }, { timeout: 120_000 });

  test('of a server that drains is closed, and the next life of the node goes on beside it', async () => {
    const dir = directory();
    const first = await recorded(dir, { [V.DRAIN_WINDOW_MS]: 100 });
    await load(first, 5);
    first.signal('SIGTERM');
    assert.deepEqual(await first.ended(), { code: 0, signal: null });
    const second = await first.restart();
    atEnd(() => second.stop());
    await load(second, 5);
    await written(second, dir);
    second.signal('SIGKILL');
    await second.ended();
    const replay = await sim('replay', dir);
    steps(replay);
    assert.match(replay.text, /; closed/);
    assert.match(replay.text, /not closed/);
    assert.equal(new Set([...replay.text.matchAll(/life ([0-9a-f]{16})/g)].map(([, life]) => life)).size, 2);
  });

  test(`${V.RECORD_PAYLOADS}=mask leaves out what was published, and replays all the same`, async () => {
    const dir = directory();
    const server = await recorded(dir, { [V.RECORD_PAYLOADS]: 'mask' });
    await load(server, 60);
    server.signal('SIGTERM');
    await server.ended(15_000);
    for (const file of segments(dir)) assert.ok(!readFileSync(file).includes(SECRET), file);
    const replay = await sim('replay', dir);
    assert.ok(steps(replay) > 200);
    assert.match(replay.text, /without the texts/);
  });

  test('keeps to its bound by forgetting the oldest, and what SIGUSR1 kept stays', async () => {
    const dir = directory();
    const bound = 600_000;
    const server = await recorded(dir, { [V.RECORD_BYTES_MAX]: bound, [V.HISTORY_MAX_MS]: 1_000 });
    await load(server, 30);
    await written(server, dir);
    server.signal('SIGUSR1');
    const line = await eventually(() => server.logged('the recording is kept'));
    await load(server, 300);
    await written(server, dir);
    assert.ok(bytesIn(dir) <= bound + 100_000, `${bytesIn(dir)} bytes`);
    const kept = readdirSync(dir).filter((name) => name.startsWith('kept-')).map((name) => path.join(dir, name));
    assert.equal(kept.length, 1);
    assert.equal(line.place, kept[0]);
    const metrics = (await request(server, PATHS.metrics)).text;
    assert.match(metrics, /tradewire_record_holes_total 0/);
    assert.match(metrics, /tradewire_record_pause_seconds \d/);
    server.signal('SIGKILL');
    await server.ended();
    assert.ok(!segments(dir)[0].endsWith('-000000.trace'), 'the oldest is gone');
    assert.ok(segments(kept[0])[0].endsWith('-000000.trace'), 'and kept');
    steps(await sim('replay', dir));
    steps(await sim('replay', kept[0]));
  }, { timeout: 120_000 });
});
