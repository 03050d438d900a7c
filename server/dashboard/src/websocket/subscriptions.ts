// What the page wants to be subscribed to, and what the server holds for this connection. It sends nothing:
// `changes` says what there is to ask for, so that a call is made once and not at every mount.

export type Call = 'subscribe:portfolio' | 'subscribe:trades' | 'subscribe:watchlist';

/** The handshake's `subscriptions`. */
export interface Wish {
  portfolio?: true;
  trades?: true;
  watchlist?: string[];
}

interface Change {
  event: Call | 'unsubscribe:watchlist';
  symbols: string[];
}

class Holdings {
  portfolio = false;
  trades = false;
  readonly watchlist = new Set<string>();

  set(event: Call, symbols: Iterable<string>, held: boolean) {
    if (event === 'subscribe:portfolio') this.portfolio = held;
    else if (event === 'subscribe:trades') this.trades = held;
    else for (const symbol of symbols) held ? this.watchlist.add(symbol) : this.watchlist.delete(symbol);
  }

  clear() {
    this.portfolio = false;
    this.trades = false;
    this.watchlist.clear();
  }
}

export class Subscriptions {
  readonly #wanted = new Holdings();
  /** What the server has, or has been asked for. */
  readonly #held = new Holdings();

  want(event: Call, symbols: string[] = []) {
    this.#wanted.set(event, symbols, true);
  }

  drop(event: Call, symbols: string[] = []) {
    this.#wanted.set(event, symbols, false);
  }

  /** What a handshake should restore; undefined if there is nothing. */
  wish(): Wish | undefined {
    const { portfolio, trades, watchlist } = this.#wanted;
    if (!portfolio && !trades && watchlist.size === 0) return undefined;
    return {
      ...(portfolio && { portfolio }),
      ...(trades && { trades }),
      ...(watchlist.size > 0 && { watchlist: [...watchlist] }),
    };
  }

  /** A new connection holds what its handshake asked for and nothing else. */
  restored(wish: Wish | undefined) {
    this.#held.clear();
    this.#held.portfolio = wish?.portfolio ?? false;
    this.#held.trades = wish?.trades ?? false;
    for (const symbol of wish?.watchlist ?? []) this.#held.watchlist.add(symbol);
  }

  /** A call is on its way. */
  asked({ event, symbols }: Change) {
    if (event === 'unsubscribe:watchlist') this.#held.set('subscribe:watchlist', symbols, false);
    else this.#held.set(event, symbols, true);
  }

  /** A call was refused: what it asked for is not held. */
  refused(event: Call, symbols: string[]) {
    this.#held.set(event, symbols, false);
  }

  /** The calls that would make what is held what is wanted. */
  changes(): Change[] {
    const changes: Change[] = [];
    const surplus = [...this.#held.watchlist].filter((symbol) => !this.#wanted.watchlist.has(symbol));
    const missing = [...this.#wanted.watchlist].filter((symbol) => !this.#held.watchlist.has(symbol));
    if (surplus.length > 0) changes.push({ event: 'unsubscribe:watchlist', symbols: surplus });
    if (this.#wanted.portfolio && !this.#held.portfolio) changes.push({ event: 'subscribe:portfolio', symbols: [] });
    if (this.#wanted.trades && !this.#held.trades) changes.push({ event: 'subscribe:trades', symbols: [] });
    if (missing.length > 0) changes.push({ event: 'subscribe:watchlist', symbols: missing });
    return changes;
  }
}
