// The signed cookie of express-session instead of auth.sessionID.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { createHmac } from 'node:crypto';
import { start, startForTest, test } from './harness.mjs';
import { call, connect, refused, TRANSPORTS } from './clients.mjs';
import { M, V } from './names.mjs';

const SECRETS = ['keyboard cat', 'the one before'];

let server;
before(async () => (server = await start({ [V.SESSION_SECRET]: SECRETS.join(',') })));
after(() => server?.stop());

// As express-session writes it: `s:` + id + `.` + HMAC-SHA256 in base64 without padding, URL-encoded.
const cookie = (secret, id = 'session-in-a-cookie') => {
  const signature = createHmac('sha256', secret).update(id).digest('base64').replace(/=+$/, '');
  return `theme=dark; connect.sid=${encodeURIComponent(`s:${id}.${signature}`)}`;
};

const by = (value, more = {}) => ({ auth: { sessionID: undefined }, options: { extraHeaders: { cookie: value } }, ...more });

describe('a cookie connect.sid', () => {
  for (const transports of Object.values(TRANSPORTS)) {
    test(`with a good signature stands in for auth.sessionID, over ${transports.join(' and ')}`, async () => {
      for (const secret of SECRETS) {
        const socket = await connect(server, by(cookie(secret), { transports }));
        assert.equal((await call(socket, 'subscribe:portfolio')).ok, true);
      }
    });

    test(`with a bad signature counts as absent, over ${transports.join(' and ')}`, async () => {
      assert.equal((await refused(server, by(cookie('another secret'), { transports }))).message, M.noSession);
    });
  }

  test('does not count where auth.sessionID is given', async () => {
    await connect(server, { options: { extraHeaders: { cookie: cookie('another secret') } } });
  });

  test('does not count without SESSION_SECRET', async () => {
    const plain = await startForTest();
    assert.equal((await refused(plain, by(cookie(SECRETS[0])))).message, M.noSession);
  });
});
