// How many publishes may be under way or wait, and what those beyond get.

import { describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { atEnd, eventually, publish, startForTest, test, TOKEN } from './harness.mjs';
import { PATHS, V } from './names.mjs';
import { tcp } from './raw.mjs';

// The server reads so many bodies at once; here all of them from publishers that never finish theirs.
const AT_ONCE = 64;
const ITEM = { event: 'market:status', data: {} };

async function fill(server, places = AT_ONCE) {
  const sockets = await Promise.all(Array.from({ length: places }, () => tcp(server)));
  for (const socket of sockets) {
    socket.write(`POST ${PATHS.publish} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKEN}\r\n`
      + 'content-type: application/json\r\ncontent-length: 100\r\n\r\n[');
  }
  atEnd(() => sockets.forEach((socket) => socket.destroy()));
  return sockets;
}

const status = (server, wanted, otherwise = () => {}) => eventually(async () => {
  const answer = await publish(server, ITEM);
  if (answer.status === wanted) return answer;
  await otherwise();
}, undefined, `a publish gets ${wanted}`);

describe('while all places are taken', () => {
  test('a publish beyond those that may wait gets 429 with Retry-After, and 202 once there is room', async () => {
    const server = await startForTest({ [V.PUBLISH_WAITING_MAX]: 0 });
    assert.equal((await publish(server, ITEM)).status, 202);
    const sockets = await fill(server);
    // A publish of the test's own may have been in the way of one.
    const answer = await status(server, 429, async () => sockets.push(...await fill(server, 1)));
    assert.match(answer.headers['content-type'], /^application\/problem\+json/);
    assert.ok(Number(answer.headers['retry-after']) >= 1);
    sockets.forEach((socket) => socket.destroy());
    await status(server, 202);
  });

  test('a publish that waits in vain gets 503 with Retry-After', async () => {
    const server = await startForTest({ [V.PUBLISH_WAIT_MAX_MS]: 200 });
    await fill(server);
    const answer = await status(server, 503, () => fill(server, 1));
    assert.match(answer.headers['content-type'], /^application\/problem\+json/);
    assert.ok(Number(answer.headers['retry-after']) >= 1);
  });
});
