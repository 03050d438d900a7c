// A stand-in for the stock socket: it records what the page sends, and the test plays the server.

import { vi } from 'vitest';

type Listener = (...args: never[]) => void;

class Emitter {
  readonly #listeners = new Map<string, Set<Listener>>();

  on(event: string, listener: Listener) {
    const had = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, had.add(listener));
    return this;
  }

  removeAllListeners() {
    this.#listeners.clear();
    return this;
  }

  tell(event: string, ...args: unknown[]) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) listener(...(args as never[]));
  }
}

interface Sent {
  event: string;
  data: unknown;
  answer: ((answer: unknown) => void) | undefined;
}

type AuthFunction = (give: (auth: Record<string, unknown>) => void) => void;

export class FakeSocket extends Emitter {
  readonly io = new Emitter();
  readonly sent: Sent[] = [];
  connected = false;
  active = true;
  id: string | undefined;
  connects = 0;
  #any: Listener | undefined;

  constructor(readonly options: { auth: AuthFunction } & Record<string, unknown>) {
    super();
  }

  onAny(listener: Listener) {
    this.#any = listener;
  }

  offAny() {
    this.#any = undefined;
  }

  emit(event: string, ...args: unknown[]) {
    const answer = typeof args.at(-1) === 'function' ? (args.pop() as Sent['answer']) : undefined;
    this.sent.push({ event, data: args[0], answer });
  }

  connect() {
    this.connects += 1;
    return this;
  }

  disconnect() {
    this.connected = false;
    return this;
  }

  // What the server does:

  /** Admits the client under this socket id; returns what its handshake said. */
  admit(id: string): Record<string, unknown> {
    let auth: Record<string, unknown> = {};
    this.options.auth((given) => {
      auth = given;
    });
    this.id = id;
    this.connected = true;
    this.tell('connect');
    return auth;
  }

  drop(reason = 'transport close') {
    this.connected = false;
    this.id = undefined;
    this.tell('disconnect', reason);
  }

  /** Refuses the CONNECT, after which a stock client gives up. */
  refuse(message: string) {
    this.active = false;
    this.tell('connect_error', new Error(message));
  }

  send(event: string, data: unknown) {
    this.#any?.(...([event, data] as never[]));
  }

  /** What was emitted since the last time this was asked. */
  take() {
    return this.sent.splice(0).map(({ event, data }) => (data === undefined ? [event] : [event, data]));
  }
}

export const sockets: FakeSocket[] = [];

/** For `vi.mock('socket.io-client')`. */
export const fakeClient = () => ({
  io: vi.fn((first: unknown, second?: unknown) => {
    const socket = new FakeSocket((second ?? first) as FakeSocket['options']);
    sockets.push(socket);
    return socket;
  }),
});
