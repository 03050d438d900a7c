// A client that gives the id of the last event it handled gets every later one exactly once, or is told
// that it cannot.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { published, start, test } from './harness.mjs';
import { all, COMBINATIONS, connect, fence, newUser, once } from './clients.mjs';

let server;
before(async () => (server = await start()));
after(() => server?.stop());

const trades = (user, from, to) =>
  Array.from({ length: to - from }, (_, n) => ({ event: 'trade:executed', userId: user, data: { n: from + n } }));

for (const { title, client, transports } of COMBINATIONS) {
  describe(`resume, ${title}`, () => {
    test('every event after lastEventId is replayed once, in order, then resume {recovered, replayed, lastEventId}', async () => {
      const first = await connect(server, { client, transports });
      const { user } = first;
      await published(server, trades(user, 0, 3));
      const seen = [];
      for (let n = 0; n < 3; n += 1) seen.push(await once(first, 'trade:executed'));
      first.disconnect();
      await published(server, [...trades(user, 3, 8), ...trades(newUser('other'), 100, 103)]);
      const second = await connect(server, { client, transports, user, auth: { lastEventId: seen[1].eventId } });
      const resume = await once(second, 'resume');
      const replayed = all(second, 'trade:executed');
      assert.deepEqual(replayed.map((trade) => trade.n), [2, 3, 4, 5, 6, 7]);
      assert.equal(replayed[0].eventId, seen[2].eventId, 'a replayed event has the id it had');
      assert.deepEqual(resume, { recovered: true, replayed: 6, lastEventId: replayed.at(-1).eventId });
      await published(server, trades(user, 8, 9));
      await fence(server, second);
      assert.deepEqual(all(second, 'trade:executed').map((trade) => trade.n), [2, 3, 4, 5, 6, 7, 8]);
    });
  });
}

describe('resume', () => {
  test('with nothing missed: recovered, none replayed', async () => {
    const first = await connect(server);
    await published(server, trades(first.user, 0, 1));
    const { eventId } = await once(first, 'trade:executed');
    const second = await connect(server, { user: first.user, auth: { lastEventId: eventId } });
    assert.deepEqual(await once(second, 'resume'), { recovered: true, replayed: 0, lastEventId: eventId });
  });

  test('without lastEventId nothing is replayed and no resume is told', async () => {
    const user = newUser('alice');
    await published(server, trades(user, 0, 3));
    const socket = await connect(server, { user });
    await fence(server, socket);
    assert.deepEqual(all(socket, 'trade:executed'), []);
    assert.deepEqual(all(socket, 'resume'), []);
  });

  test('an id of another life, a made-up or a malformed one: recovered is false, and the connection works', async () => {
    const user = newUser('alice');
    const witness = await connect(server, { user });
    await published(server, trades(user, 0, 1));
    const { eventId } = await once(witness, 'trade:executed');
    const [epoch, ms, seq] = eventId.split('-');
    const strange = [`${'0'.repeat(epoch.length)}-${ms}-${seq}`, `${epoch}-1-0`, `${epoch}-99999999999999-0`];
    for (const lastEventId of strange) {
      const socket = await connect(server, { user, auth: { lastEventId } });
      assert.equal((await once(socket, 'resume')).recovered, false, lastEventId);
      await published(server, trades(user, 5, 6));
      assert.equal((await once(socket, 'trade:executed')).n, 5);
      socket.disconnect();
    }
    for (const lastEventId of ['nonsense', '', 7, {}]) {
      const socket = await connect(server, { user, auth: { lastEventId } });
      await fence(server, socket);
      assert.ok(!all(socket, 'resume').some((told) => told.recovered), JSON.stringify(lastEventId));
      assert.deepEqual(all(socket, 'trade:executed'), []);
      socket.disconnect();
    }
  });
});
