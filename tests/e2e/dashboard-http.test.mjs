// The dashboard and the stock client's bundles as files: types, caching, policy, and where they may be loaded.

import { after, before, describe } from 'node:test';
import { strict as assert } from 'node:assert';
import { readFile } from 'node:fs/promises';
import vm from 'node:vm';
import { request, start, startForTest, test } from './harness.mjs';
import { DEMO_FLAG, PATHS, V } from './names.mjs';

const dist = new URL('../../server/dashboard/node_modules/socket.io-client/dist/', import.meta.url);
const BUNDLES = ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js', 'socket.io.msgpack.min.js'];
const GZIP = { 'accept-encoding': 'gzip, deflate, br' };

let server;
before(async () => (server = await start()));
after(() => server?.stop());

const assets = async () => [...(await request(server, PATHS.dashboard)).text.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((match) => match[1]);

describe('GET /', () => {
  test('is the page, checked anew each time, with a policy that allows its own files alone', async () => {
    const { status, headers, text } = await request(server, PATHS.dashboard);
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/html; charset=utf-8');
    assert.equal(headers['cache-control'], 'no-cache');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    const policy = new Map(headers['content-security-policy'].split('; ').map((part) => part.split(/ (.*)/)));
    assert.equal(policy.get('default-src'), "'none'");
    assert.equal(policy.get('frame-ancestors'), "'none'");
    for (const [directive, sources] of policy) assert.doesNotMatch(sources, /unsafe|\*|http|data/, directive);
    assert.doesNotMatch(text, /<style|<script(?![^>]*src=)/, 'nothing is inline');
  });

  test('says whether it asks for a session, and which users the demo has', async () => {
    const meta = (text, name) => text.match(new RegExp(`<meta name="tradewire-${name}" content="([^"]*)"`))?.[1];
    const plain = (await request(server, PATHS.dashboard)).text;
    assert.deepEqual([meta(plain, 'auth'), meta(plain, 'users')], ['trust', '']);
    const demo = await startForTest({}, { args: [DEMO_FLAG] });
    assert.equal(meta((await request(demo, PATHS.dashboard)).text, 'users'), 'demo-1 demo-2 demo-3');
    const guarded = await startForTest({ [V.AUTH_MODE]: 'session', [V.REDIS_URL]: 'redis://127.0.0.1:1' });
    const page = await request(guarded, PATHS.dashboard);
    assert.equal(meta(page.text, 'auth'), 'session');
    assert.notEqual(page.headers.etag, (await request(server, PATHS.dashboard)).headers.etag);
  });

  test('has files that are there, with types, and are kept for ever if their name has a hash', async () => {
    const names = await assets();
    assert.ok(names.some((name) => name.endsWith('.js')) && names.some((name) => name.endsWith('.css')), names.join());
    for (const name of names) {
      const { status, headers } = await request(server, name);
      assert.equal(status, 200, name);
      const type = { js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', svg: 'image/svg+xml' }[name.split('.').at(-1)];
      assert.equal(headers['content-type'], type);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['cache-control'], name.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache');
    }
  });
});

describe('every file', () => {
  const all = async () => [PATHS.dashboard, ...(await assets()), ...BUNDLES.map((name) => `/socket.io/${name}`)];

  test('is answered 304 to who has it', async () => {
    for (const name of await all()) {
      const { etag } = (await request(server, name)).headers;
      assert.ok(etag, name);
      for (const known of [etag, etag.replace('W/', ''), `"x", ${etag}`, '*']) {
        const answer = await request(server, name, { headers: { 'if-none-match': known } });
        assert.deepEqual([answer.status, answer.text, answer.headers.etag], [304, '', etag], name);
      }
      assert.equal((await request(server, name, { headers: { 'if-none-match': '"x"' } })).status, 200);
    }
  });

  test('has a HEAD, and no other method', async () => {
    for (const name of await all()) {
      const [get, head] = [await request(server, name), await request(server, name, { method: 'HEAD' })];
      assert.deepEqual([head.status, head.text], [200, '']);
      for (const field of ['content-type', 'content-length', 'etag']) assert.equal(head.headers[field], get.headers[field], name);
      const post = await request(server, name, { method: 'POST' });
      assert.deepEqual([post.status, post.headers.allow, post.json.status], [405, 'GET, HEAD', 405]);
    }
  });

  test('is packed for who can unpack it', async () => {
    for (const name of (await all()).filter((name) => /\.(js|css)$/.test(name))) {
      const [plain, packed] = [await request(server, name), await request(server, name, { headers: GZIP })];
      assert.equal(plain.headers['content-encoding'], undefined);
      assert.equal(packed.headers['content-encoding'], 'gzip');
      assert.match(packed.headers.vary, /accept-encoding/i);
      assert.ok(Number(packed.headers['content-length']) < Number(plain.headers['content-length']) / 2, name);
    }
  });
});

describe('/socket.io/socket.io.js', () => {
  test('and its kin are the stock client’s files, byte for byte, with their maps', async () => {
    for (const name of BUNDLES) {
      const { status, headers, text } = await request(server, `/socket.io/${name}`);
      assert.equal(status, 200, name);
      assert.equal(headers['content-type'], 'text/javascript; charset=utf-8');
      assert.equal(text, await readFile(new URL(name, dist), 'utf8'), name);
      const map = await request(server, `/socket.io/${name}.map`);
      assert.deepEqual([map.status, map.headers['content-type']], [200, 'application/json; charset=utf-8']);
      assert.equal(map.json.version, 3);
    }
  });

  test('defines io', async () => {
    for (const name of ['socket.io.js', 'socket.io.min.js']) {
      const global = {};
      global.self = global;
      vm.runInNewContext((await request(server, `/socket.io/${name}`)).text, global);
      assert.equal(typeof global.io, 'function', name);
    }
  });

  test('is no way to other files', async () => {
    for (const path of ['/socket.io/../index.html', '/socket.io/package.json', '/socket.io/socket.io.js.gz', '/index.html', '/assets/', '/assets/x.js']) {
      assert.equal((await request(server, path)).status, 404, path);
    }
  });
});
