// One user's connection: the stock socket, what it must be told at each connect, and how it is.
//
// It knows nothing of React, and hands events to handlers in the order in which they came. It never sends a
// call for what the server holds already, because calls are limited per user.

import { io, type Socket } from 'socket.io-client';
import { isSymbol, type Resume, type ServerError, type ServerEvents, type ServerShutdown } from './events';
import { EventMemory } from './memory';
import { type Call, Subscriptions, type Wish } from './subscriptions';

export interface Identity {
  /** Where the server is; the page's own origin if it is not given. */
  url?: string | undefined;
  /** Not needed where the express-session cookie says it. */
  sessionID?: string | undefined;
  userId?: string | undefined;
  userName?: string | undefined;
}

export type Status =
  /** Not connected yet. */
  | 'connecting'
  | 'connected'
  /** Was connected, and tries again by itself. */
  | 'reconnecting'
  /** Turned away for good: it does not try again until `reconnect` is called. */
  | 'refused';

export interface RateLimit {
  event: Call;
  message: string;
  /** When the call is made again, as `Date.now()` counts. */
  retryAt: number;
}

export interface ConnectionState {
  status: Status;
  connected: boolean;
  /** How often it has tried since the connection was lost. */
  attempt: number;
  error: ServerError | null;
  /** The server said that it is about to go. */
  shutdown: ServerShutdown | null;
  rateLimits: readonly RateLimit[];
  /** What became of the trades that came while this tab was away. */
  resume: Resume | null;
}

export type Handler = (data: never) => void;

type Answer = { ok: true } | { ok: false; error: ServerError };

const CALLS = new Set<string>(['subscribe:portfolio', 'subscribe:trades', 'subscribe:watchlist']);
const isCall = (event: string): event is Call => CALLS.has(event);

/** Waited after a refused call if the server does not say how long: the guide's window. */
const RETRY_MS = 60_000;
/** Waited after the server ended a connection without saying that it should stay away. */
const RETURN_MS = 2_000;
/** No event's id: asks to be told whether there was anything to miss. */
const NONE = 'none';
const TRADES = ['trade:executed', 'trade:failed'];
/** What the server says before it ends a connection for good. */
const FINAL = [/^Session expired/, /^Too many connections/, /^Authentication /];

const NEW: ConnectionState = {
  status: 'connecting',
  connected: false,
  attempt: 0,
  error: null,
  shutdown: null,
  rateLimits: [],
  resume: null,
};

export class Connection {
  readonly #identity: Identity;
  readonly #memory: EventMemory;
  readonly #subscriptions = new Subscriptions();
  readonly #handlers = new Map<string, Set<Handler>>();
  readonly #watchers = new Set<() => void>();
  /** The newest value of each topic of state, for handlers that come later. */
  readonly #latest = new Map<string, Map<string, unknown>>();
  readonly #retries = new Map<Call, ReturnType<typeof setTimeout>>();
  #socket: Socket | null = null;
  #state = NEW;
  #previousId: string | undefined;
  #offered: Wish | undefined;
  #goesOnFrom: string | undefined;
  #settling = false;
  #returning: ReturnType<typeof setTimeout> | undefined;

  constructor(identity: Identity) {
    this.#identity = identity;
    this.#memory = new EventMemory(`${identity.url ?? ''} ${identity.userId ?? ''}`);
  }

  readonly state = () => this.#state;

  readonly watch = (watcher: () => void) => {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  };

  /** Hands every later event of this name to the handler, and the newest value at once if there is one. */
  readonly subscribe = <E extends keyof ServerEvents>(event: E, handler: (data: ServerEvents[E]) => void) => {
    // Wrapped, so that a handler given twice is two handlers, each with an end of its own.
    const mine: Handler = (data: ServerEvents[E]) => handler(data);
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers.add(mine));
    const known = this.#latest.get(event);
    if (known) {
      // Later, so that the caller has the way to unsubscribe before it is called.
      queueMicrotask(() => {
        for (const data of known.values()) if (handlers.has(mine)) run(mine, data);
      });
    }
    return () => {
      handlers.delete(mine);
    };
  };

  /**
   * Emits an event. Subscriptions are remembered: while there is no connection they are kept for the next
   * one, and what is held already is not asked for again.
   */
  readonly emit = (event: string, data?: unknown) => {
    if (event === 'unsubscribe:watchlist' || isCall(event)) {
      const symbols = event.endsWith('watchlist') ? data : [];
      if (
        !Array.isArray(symbols) ||
        !symbols.every(isSymbol) ||
        (event.endsWith('watchlist') && symbols.length === 0)
      ) {
        this.#set({ error: { message: 'Invalid symbols array' } });
        return;
      }
      if (isCall(event)) this.#subscriptions.want(event, symbols);
      else this.#unwatch(symbols);
      this.#settleSoon();
    } else if (data === undefined) this.#socket?.emit(event);
    else this.#socket?.emit(event, data);
  };

  /** Tries again at once, also after the server has turned this client away. */
  readonly reconnect = () => {
    clearTimeout(this.#returning);
    this.#set({ status: this.#previousId ? 'reconnecting' : 'connecting', error: null });
    this.#socket?.disconnect().connect();
  };

  readonly clearError = () => this.#set({ error: null });
  readonly clearResume = () => this.#set({ resume: null });

  open() {
    const { url } = this.#identity;
    const options = {
      auth: (give: (auth: object) => void) => give(this.#auth()),
      withCredentials: true,
      transports: ['websocket', 'polling'],
      // A proxy that breaks websockets is no reason to stay away.
      tryAllTransports: true,
      forceNew: true,
    };
    const socket = url === undefined ? io(options) : io(url, options);
    this.#socket = socket;
    this.#state = NEW;
    socket.on('connect', () => this.#connected(socket));
    socket.on('disconnect', (reason) => this.#disconnected(reason));
    socket.on('connect_error', (error) => this.#failed(socket, error));
    socket.io.on('reconnect_attempt', (attempt) => this.#set({ attempt }));
    socket.onAny((event: string, data: unknown) => this.#received(event, data));
  }

  close() {
    clearTimeout(this.#returning);
    this.#forgetRetries();
    const socket = this.#socket;
    this.#socket = null;
    socket?.offAny();
    socket?.removeAllListeners();
    socket?.io.removeAllListeners();
    socket?.disconnect();
  }

  #auth() {
    const { sessionID, userId, userName } = this.#identity;
    this.#offered = this.#subscriptions.wish();
    this.#goesOnFrom = this.#memory.last ?? (this.#mayMissTrades() ? NONE : undefined);
    const auth = {
      sessionID,
      userId,
      userName,
      lastEventId: this.#goesOnFrom,
      subscriptions: this.#offered,
      replaces: this.#previousId,
    };
    return Object.fromEntries(Object.entries(auth).filter(([, value]) => value !== undefined));
  }

  /** Whether this page, which shows trades and has had none, was away. */
  #mayMissTrades() {
    return this.#previousId !== undefined && TRADES.some((event) => (this.#handlers.get(event)?.size ?? 0) > 0);
  }

  #connected(socket: Socket) {
    this.#previousId = socket.id;
    this.#subscriptions.restored(this.#offered);
    this.#set({ status: 'connected', connected: true, attempt: 0, error: null, shutdown: null });
    this.#settleSoon();
  }

  #disconnected(reason: Socket.DisconnectReason) {
    // The first call on a new connection is always admitted, so there is nothing to wait for.
    this.#forgetRetries();
    const lost = { connected: false, rateLimits: [] };
    if (reason !== 'io server disconnect') {
      this.#set({ ...lost, status: 'reconnecting' });
      return;
    }
    // The stock client stays away after this one.
    const message = this.#state.error?.message ?? '';
    if (FINAL.some((final) => final.test(message))) {
      this.#set({ ...lost, status: 'refused' });
      return;
    }
    this.#set({ ...lost, status: 'reconnecting' });
    this.#returning = setTimeout(this.reconnect, RETURN_MS * (1 + Math.random()));
  }

  #failed(socket: Socket, { message }: Error) {
    // While it is active it tries again by itself, and what went wrong will pass.
    if (!socket.active) this.#set({ status: 'refused', connected: false, error: { message } });
  }

  #received(event: string, data: unknown) {
    if (event === 'error') this.#complained(data as ServerError);
    else if (event === 'server:shutdown') this.#set({ shutdown: data as ServerShutdown });
    else if (event === 'resume') this.#resumed(data as Resume);
    const fields = (typeof data === 'object' && data !== null ? data : {}) as { symbol?: string; eventId?: string };
    if (event === 'quote:update') this.#keep(event, fields.symbol ?? '', data);
    else if (event === 'portfolio:update' || event === 'market:status') this.#keep(event, '', data);
    const handlers = this.#handlers.get(event);
    if (!handlers || handlers.size === 0) return;
    for (const handler of [...handlers]) run(handler, data);
    // Only now, so that what nobody has handled comes again after a reconnect.
    if (typeof fields.eventId === 'string') this.#memory.last = fields.eventId;
  }

  #keep(event: string, topic: string, data: unknown) {
    const topics = this.#latest.get(event) ?? new Map<string, unknown>();
    this.#latest.set(event, topics.set(topic, data));
  }

  #unwatch(symbols: string[]) {
    this.#subscriptions.drop('subscribe:watchlist', symbols);
    for (const symbol of symbols) this.#latest.get('quote:update')?.delete(symbol);
  }

  #complained(error: ServerError) {
    // A refused call is answered to its acknowledgement too, where it is known what it asked for.
    if (typeof error?.message !== 'string' || typeof error.retryAfterMs === 'number') return;
    if (error.message === 'Invalid subscriptions') {
      // The handshake's were not taken, so they are asked for one by one.
      this.#subscriptions.restored(undefined);
      this.#settleSoon();
    } else this.#set({ error });
  }

  #resumed(resume: Resume) {
    // The user has had no trade for as long as the server remembers, so none was missed.
    const nothingMissed = this.#goesOnFrom === NONE && resume.lastEventId === null;
    if (!nothingMissed) this.#set({ resume });
    // What is lost stays lost: from here on there is something to go on from again.
    if (!resume.recovered) this.#memory.last = resume.lastEventId ?? undefined;
  }

  /** Once a turn, so that subscriptions of several components become one call. */
  #settleSoon() {
    if (this.#settling) return;
    this.#settling = true;
    queueMicrotask(() => {
      this.#settling = false;
      this.#settle();
    });
  }

  #settle() {
    const socket = this.#socket;
    if (!socket?.connected) return;
    for (const change of this.#subscriptions.changes()) {
      const { event, symbols } = change;
      if (event === 'unsubscribe:watchlist') {
        this.#subscriptions.asked(change);
        socket.emit(event, symbols);
      } else if (!this.#retries.has(event)) {
        this.#subscriptions.asked(change);
        const connection = socket.id;
        const answered = (answer: Answer) => {
          if (!answer.ok && socket.id === connection) this.#refused(event, symbols, answer.error);
        };
        if (event === 'subscribe:watchlist') socket.emit(event, symbols, answered);
        else socket.emit(event, answered);
      }
    }
  }

  #refused(event: Call, symbols: string[], error: ServerError) {
    this.#subscriptions.refused(event, symbols);
    if (!/^Rate limit/.test(error.message)) {
      this.#subscriptions.drop(event, symbols);
      this.#set({ error });
      return;
    }
    const wait = error.retryAfterMs ?? RETRY_MS;
    const others = this.#state.rateLimits.filter((limit) => limit.event !== event);
    this.#set({ rateLimits: [...others, { event, message: error.message, retryAt: Date.now() + wait }] });
    clearTimeout(this.#retries.get(event));
    this.#retries.set(
      event,
      setTimeout(() => {
        this.#retries.delete(event);
        this.#set({ rateLimits: this.#state.rateLimits.filter((limit) => limit.event !== event) });
        this.#settle();
      }, wait),
    );
  }

  #forgetRetries() {
    for (const retry of this.#retries.values()) clearTimeout(retry);
    this.#retries.clear();
  }

  #set(change: Partial<ConnectionState>) {
    this.#state = { ...this.#state, ...change };
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** One handler's mistake must not keep others from the event. */
function run(handler: Handler, data: unknown) {
  try {
    handler(data as never);
  } catch (error) {
    reportError(error);
  }
}
