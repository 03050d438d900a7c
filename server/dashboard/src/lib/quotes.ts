// The quotes on the page, outside of React: what comes is kept at once and shown once per frame, and a new
// price renders the row of its symbol alone.

import type { Quote } from '../websocket';
import { oncePerFrame } from './frame';

/** A price that changes more often than this is a blur already, and is not pointed out. */
const CALM_MS = 95;
/** How many prices a sparkline is made of, and how far they are apart. */
const TRAIL_MAX = 60;
const TRAIL_EVERY_MS = 1_000;

export interface Tick {
  quote: Quote;
  /** Against the price that was shown before; 0 also when that was shown too short a time ago. */
  moved: -1 | 0 | 1;
  /** How many prices were shown; changes with each one. */
  turn: number;
  /** Prices a second apart, the oldest first. */
  trail: readonly number[];
}

export class QuoteStore {
  readonly #shown = new Map<string, Tick>();
  readonly #came = new Map<string, Quote>();
  readonly #changed = new Map<string, number>();
  readonly #sampled = new Map<string, number>();
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #frame = oncePerFrame(() => this.#show());
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  put(quote: Quote) {
    this.#came.set(quote.symbol, quote);
    this.#frame.ask();
  }

  /** Forgets a symbol, so that it begins anew when it is watched again. */
  forget(symbol: string) {
    this.#came.delete(symbol);
    this.#shown.delete(symbol);
    this.#changed.delete(symbol);
    this.#sampled.delete(symbol);
  }

  get(symbol: string): Tick | undefined {
    return this.#shown.get(symbol);
  }

  watch(symbol: string, watcher: () => void): () => void {
    const watchers = this.#watchers.get(symbol) ?? new Set();
    this.#watchers.set(symbol, watchers.add(watcher));
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0) this.#watchers.delete(symbol);
    };
  }

  #show() {
    const now = this.#now();
    const came = [...this.#came];
    this.#came.clear();
    for (const [symbol, quote] of came) {
      const before = this.#shown.get(symbol);
      const isCalm = now - (this.#changed.get(symbol) ?? now) >= CALM_MS;
      const moved = before && isCalm ? (Math.sign(quote.price - before.quote.price) as -1 | 0 | 1) : 0;
      this.#changed.set(symbol, now);
      this.#shown.set(symbol, {
        quote,
        moved,
        turn: (before?.turn ?? 0) + 1,
        trail: this.#trail(symbol, before?.trail ?? [], quote.price, now),
      });
    }
    for (const [symbol] of came) for (const watcher of [...(this.#watchers.get(symbol) ?? [])]) watcher();
  }

  /** The same array until there is a new sample, so that the sparkline is drawn no more often. */
  #trail(symbol: string, trail: readonly number[], price: number, now: number): readonly number[] {
    const last = this.#sampled.get(symbol);
    if (last !== undefined && now - last < TRAIL_EVERY_MS) return trail;
    this.#sampled.set(symbol, now);
    return [...trail.slice(1 - TRAIL_MAX), price];
  }
}
