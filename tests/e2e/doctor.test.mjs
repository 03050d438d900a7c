// `tradewire doctor`: what it says of a Redis, with which code it exits, and that it leaves nothing behind.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { run, test } from './harness.mjs';
import { V } from './names.mjs';
import { freePort, redisForTest } from './redis.mjs';

const SECRET = 'hush-hush-secret';

async function doctor(url, args = []) {
  const end = await run({ env: url ? { [V.REDIS_URL]: url } : {}, args: ['doctor', ...args], deadlineMs: 30_000 });
  end.text = [...end.stdout, ...end.stderr].join('\n');
  assert.ok(!end.text.includes(SECRET), 'no password is printed');
  assert.ok(!end.text.includes('panicked'), end.text);
  return end;
}

describe('tradewire doctor', () => {
  test('with a good Redis: exit code 0, every check has a line, nothing is left behind', async () => {
    const redis = await redisForTest({ appendonly: true });
    const { code, text } = await doctor(redis.url);
    assert.equal(code, 0, text);
    for (const check of [/connect/i, /version/i, /p99/i, /pub/i, /stream/i, /script/i, /maxmemory|evict/i]) assert.match(text, check);
    assert.doesNotMatch(text, /\bfail\b/i);
    assert.deepEqual(await redis.client.keys('*'), []);
  });

  test('with the password, and by flag', async () => {
    const redis = await redisForTest({ requirepass: SECRET, appendonly: true });
    assert.equal((await doctor(undefined, ['--redis-url', redis.url])).code, 0);
  });

  test('with a wrong password: exit code 1, the password named as the reason', async () => {
    const redis = await redisForTest({ requirepass: 'another' });
    const { code, text } = await doctor(redis.urlFor(redis.port, SECRET));
    assert.equal(code, 1, text);
    assert.match(text, /password|WRONGPASS/i);
  });

  test('with nothing at the address: exit code 1 and the address', async () => {
    const port = await freePort();
    const { code, text } = await doctor(`redis://127.0.0.1:${port}`);
    assert.equal(code, 1, text);
    assert.ok(text.includes(String(port)), text);
  });

  test('with a Redis that hangs: exit code 1, in time', async () => {
    const redis = await redisForTest();
    redis.pause();
    assert.equal((await doctor(redis.url)).code, 1);
  });

  test('with a policy that throws our keys away: exit code 1, naming the policy and what to set', async () => {
    const redis = await redisForTest({ appendonly: true });
    await redis.client.configSet('maxmemory-policy', 'allkeys-lru');
    await redis.client.configSet('maxmemory', '100mb');
    const { code, text } = await doctor(redis.url);
    assert.equal(code, 1, text);
    assert.match(text, /allkeys-lru/);
    assert.match(text, /noeviction/);
  });

  test('without persistence: a warning, and exit code 0', async () => {
    const redis = await redisForTest();
    const { code, text } = await doctor(redis.url);
    assert.equal(code, 0, text);
    assert.match(text, /warn/i);
    assert.match(text, /appendonly|persist/i);
  });

  test('without REDIS_URL, or with one that is none: exit code 2, naming the variable', async () => {
    for (const url of [undefined, 'localhost:6379']) {
      const { code, text } = await doctor(url);
      assert.equal(code, 2, text);
      assert.ok(text.includes(V.REDIS_URL), text);
    }
  });
});
