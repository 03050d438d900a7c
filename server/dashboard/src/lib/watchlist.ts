// Which symbols a user watches: reading what was typed, and keeping the list in the browser.

import { isSymbol } from '../websocket';

/** What the server takes from one connection. */
export const SYMBOLS_MAX = 500;

export const FIRST_SYMBOLS = ['AAPL', 'TSLA', 'NVDA', 'MSFT', 'AMZN', 'GOOGL', 'META', 'SPY'];

const keyOf = (user: string) => `tradewire:watchlist:${user}`;

export interface Typed {
  symbols: string[];
  /** Words that cannot be symbols. */
  bad: string[];
}

/** Symbols are separated by commas, semicolons or blanks, and are upper case. */
export function readSymbols(text: string): Typed {
  const words = text.split(/[\s,;]+/).filter((word) => word !== '');
  const symbols = [...new Set(words.filter(isSymbol).map((word) => word.toUpperCase()))];
  return { symbols, bad: words.filter((word) => !isSymbol(word)) };
}

export function loadWatchlist(user: string): string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(keyOf(user)) ?? 'null');
    if (Array.isArray(kept)) return [...new Set(kept.filter(isSymbol))].slice(0, SYMBOLS_MAX);
  } catch {
    // Storage is forbidden, or holds something else.
  }
  return FIRST_SYMBOLS;
}

export function saveWatchlist(user: string, symbols: readonly string[]) {
  try {
    localStorage.setItem(keyOf(user), JSON.stringify(symbols));
  } catch {
    // Storage is forbidden or full: the list lasts as long as the page.
  }
}
