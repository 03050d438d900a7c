// What the benchmarks share.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { TOKEN } from '../e2e/harness.mjs';

const TICKS_PER_SECOND = 100;
const AT_ONCE = 50;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];

/** Publishes as bots do: one request after the other, on a connection that is kept. */
export function post(server, item) {
  const body = JSON.stringify(item);
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), authorization: `Bearer ${TOKEN}` };
    const request = http.request({ host: '127.0.0.1', port: server.port, path: '/api/publish', method: 'POST', headers, agent }, (response) => {
      response.resume();
      response.on('end', () => (response.statusCode === 202 ? resolve() : reject(new Error(`publish answered ${response.statusCode}`))));
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** Opens `count` of what `open` opens, some at a time. */
export async function openAll(count, open) {
  const opened = [];
  const opening = async () => {
    while (opened.length < count) {
      const place = opened.push(undefined) - 1;
      opened[place] = await open();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, opening));
  return opened;
}

/** CPU seconds that a process has used. */
export function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Bytes of memory that a process has in use. */
export const memory = (pid) => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1_024;
