// Engine.IO and Socket.IO spoken by hand: frames as text, over websocket, polling or a bare TCP socket.
//
// Engine.IO packet types: 0 open, 1 close, 2 ping, 3 pong, 4 message. Socket.IO types inside a message:
// 0 CONNECT, 1 DISCONNECT, 2 EVENT, 3 ACK, 4 CONNECT_ERROR, 5 BINARY_EVENT.

import net from 'node:net';
import { WebSocket } from 'ws';
import { atEnd, DEADLINE_MS, request, within } from './harness.mjs';
import { newUser, sessionOf } from './clients.mjs';
import { PATHS } from './names.mjs';

export const authOf = (user) => ({ sessionID: sessionOf(user), userId: user });
export const connectPacket = (auth) => `40${JSON.stringify(auth)}`;
export const eventPacket = (...data) => `42${JSON.stringify(data)}`;

/** A websocket whose frames are queued as text (binary ones as buffers). */
export class RawSocket {
  constructor(server, { query = 'EIO=4&transport=websocket', headers = {}, path = PATHS.socketio, pong = true } = {}) {
    this.frames = [];
    this.all = [];
    this.takers = [];
    this.ws = new WebSocket(`ws://127.0.0.1:${server.port}${path}?${query}`, { headers, perMessageDeflate: false });
    this.ws.on('message', (data, binary) => this.#take(binary ? data : data.toString('utf8'), pong));
    this.ws.on('error', (error) => (this.error = error));
    // The status with which the upgrade was answered instead of 101.
    this.refused = new Promise((resolve) => {
      this.ws.on('unexpected-response', (req, res) => {
        resolve({ status: res.statusCode, headers: res.headers });
        req.destroy();
      });
    });
    this.opened = new Promise((resolve) => this.ws.on('open', resolve));
    this.closed = new Promise((resolve) => this.ws.on('close', (code) => {
      this.closeCode = code;
      resolve(code);
      this.takers.splice(0).forEach(({ reject }) => reject(new Error(`closed (${code}) while a frame was awaited`)));
    }));
    atEnd(() => this.ws.terminate());
  }

  #take(frame, pong) {
    this.all.push(frame);
    if (frame === '2' && pong) {
      this.ws.send('3');
      return;
    }
    const taker = this.takers.shift();
    if (taker) taker.resolve(frame);
    else this.frames.push(frame);
  }

  /** The next frame; pings are left out while they are answered by themselves. */
  next(deadlineMs = DEADLINE_MS) {
    if (this.frames.length) return Promise.resolve(this.frames.shift());
    if (this.closeCode !== undefined) return Promise.reject(new Error(`closed (${this.closeCode})`));
    return within(new Promise((resolve, reject) => this.takers.push({ resolve, reject })), deadlineMs, 'a frame arrives');
  }

  /** The next frame that begins with this; what comes before it is dropped. */
  async nextStarting(start, deadlineMs = DEADLINE_MS) {
    const end = Date.now() + deadlineMs;
    for (;;) {
      const frame = await this.next(Math.max(1, end - Date.now()));
      if (String(frame).startsWith(start)) return frame;
    }
  }

  send(...frames) {
    for (const frame of frames) this.ws.send(frame);
  }

  /** All frames in one write, so that they travel in one TCP segment if they fit. */
  sendTogether(...frames) {
    this.ws._socket.cork();
    this.send(...frames);
    this.ws._socket.uncork();
  }

  end(deadlineMs = DEADLINE_MS) {
    return within(this.closed, deadlineMs, 'the server closes the connection');
  }
}

/** A websocket that has got its open packet, which is at `.handshake`. */
export async function rawOpen(server, options) {
  const raw = new RawSocket(server, options);
  const open = await raw.next();
  if (open[0] !== '0') throw new Error(`not an open packet: ${open}`);
  raw.handshake = JSON.parse(open.slice(1));
  return raw;
}

/** A websocket that has been admitted. */
export async function rawConnect(server, { user = newUser('raw'), auth = authOf(user), ...options } = {}) {
  const raw = await rawOpen(server, options);
  raw.send(connectPacket(auth));
  const answer = await raw.nextStarting('4');
  if (!answer.startsWith('40')) throw new Error(`not admitted: ${answer}`);
  raw.sid = JSON.parse(answer.slice(2)).sid;
  raw.user = user;
  return raw;
}

/** Long polling by hand. */
export class RawPolling {
  constructor(server, headers = {}) {
    this.server = server;
    this.headers = headers;
  }

  #target() {
    return `${PATHS.socketio}?EIO=4&transport=polling${this.sid ? `&sid=${this.sid}` : ''}`;
  }

  poll(deadlineMs) {
    return request(this.server, this.#target(), { headers: this.headers, deadlineMs });
  }

  post(body) {
    const headers = { 'content-type': 'text/plain;charset=UTF-8', 'content-length': Buffer.byteLength(body), ...this.headers };
    return request(this.server, this.#target(), { method: 'POST', headers, body });
  }

  async open() {
    const answer = await this.poll();
    if (answer.status !== 200) throw new Error(`handshake answered ${answer.status}: ${answer.text}`);
    this.handshake = JSON.parse(answer.text.slice(1));
    this.sid = this.handshake.sid;
    return this;
  }

  /** Polls until a packet begins with this and returns it. */
  async pollUntil(start) {
    for (let polls = 0; polls < 20; polls += 1) {
      const { status, text } = await this.poll();
      if (status !== 200) throw new Error(`poll answered ${status}: ${text}`);
      const packets = text.split('\x1e');
      if (packets.includes('2')) await this.post('3');
      const packet = packets.find((p) => p.startsWith(start));
      if (packet) return packet;
    }
    throw new Error(`no packet beginning with ${start} in 20 polls`);
  }
}

/** A bare TCP connection: what it received is at `.text`, its end is `.gone`. */
export async function tcp(server) {
  const socket = net.connect(server.port, '127.0.0.1');
  socket.setNoDelay(true);
  socket.text = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => (socket.text += chunk));
  // Writing to a connection that the server has just closed is expected here.
  socket.on('error', () => {});
  socket.gone = new Promise((resolve) => socket.on('close', resolve));
  atEnd(() => socket.destroy());
  await within(new Promise((resolve) => socket.once('connect', resolve)), DEADLINE_MS, 'TCP connects');
  return socket;
}
