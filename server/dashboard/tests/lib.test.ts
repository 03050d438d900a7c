// How things read, and what is made of what was typed.

import { beforeEach, describe, expect, test } from 'vitest';
import * as format from '../src/lib/format';
import { executed, failed, NOTIFICATIONS_MAX, withNew } from '../src/lib/notifications';
import { FIRST_SYMBOLS, loadWatchlist, readSymbols, saveWatchlist } from '../src/lib/watchlist';

describe('numbers', () => {
  test('read as money, with as many digits as a price has', () => {
    expect(format.formatMoney(50_000)).toBe('$50,000.00');
    expect(format.formatPrice(175.5)).toBe('$175.50');
    expect(format.formatPrice(0.000123)).toBe('$0.000123');
    expect(format.formatQuantity(1.5)).toBe('1.5');
    expect(format.formatVolume(50_000_000)).toBe('50.0M');
  });

  test('say up and down by more than colour', () => {
    expect(format.formatSignedMoney(2.5)).toBe('+$2.50');
    expect(format.formatSignedMoney(-2.5)).toBe('-$2.50');
    expect(format.formatPercent(1.45)).toBe('+1.45%');
    expect(format.formatPercent(-0.5)).toBe('-0.50%');
    expect(format.formatPercent(0.001)).toBe('0.00%');
    expect([2, -2, 0, 0.001, -0.004, undefined].map(format.direction)).toEqual([
      'up',
      'down',
      'flat',
      'flat',
      'flat',
      'flat',
    ]);
    expect(new Set(Object.values(format.ARROW)).size).toBe(3);
  });

  test('that are missing leave a dash', () => {
    for (const show of [format.formatMoney, format.formatPrice, format.formatPercent, format.formatQuantity]) {
      for (const value of [undefined, null, 'x', Number.NaN]) expect(show(value)).toBe(format.NONE);
    }
    expect(format.formatTime('never')).toBe(format.NONE);
    expect(format.formatTime(undefined)).toBe(format.NONE);
  });
});

describe('notifications', () => {
  const timestamp = '2025-01-15T12:00:00.000Z';
  const trade = { id: 't', symbol: 'AAPL', side: 'buy', quantity: 10, price: 175.5, timestamp };

  test('say what happened', () => {
    expect(executed({ ...trade, eventId: 'e' })).toMatchObject({
      id: 'e',
      title: 'Bought 10 AAPL',
      detail: 'at $175.50',
    });
    expect(executed({ ...trade, side: 'sell', eventId: 'e' }).title).toBe('Sold 10 AAPL');
    const signal = { symbol: 'AAPL', side: 'buy', quantity: 10 };
    expect(failed({ error: 'Insufficient funds', signal, timestamp, eventId: 'f' })).toMatchObject({
      kind: 'failed',
      title: 'Failed: buy 10 AAPL',
      detail: 'Insufficient funds',
    });
    expect(failed({ message: 'No', error: 'x', timestamp, eventId: 'f' })).toMatchObject({
      title: 'Trade failed',
      detail: 'No',
    });
  });

  test('are the ten newest, the newest first', () => {
    const many = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, n) => executed({ ...trade, eventId: String(from + n) }));
    const ids = (all: { id: string }[]) => all.map(({ id }) => Number(id));
    const had = withNew([], many(0, 4));
    expect(ids(had)).toEqual([3, 2, 1, 0]);
    expect(ids(withNew(had, many(4, 6)))).toEqual([5, 4, 3, 2, 1, 0]);
    expect(ids(withNew(had, many(4, 300)))).toEqual(Array.from({ length: NOTIFICATIONS_MAX }, (_, n) => 299 - n));
  });
});

describe('the watchlist', () => {
  beforeEach(() => localStorage.clear());

  test('is typed with any separators, once each, in upper case', () => {
    expect(readSymbols(' aapl,tsla;  BRK.B\naapl ')).toEqual({ symbols: ['AAPL', 'TSLA', 'BRK.B'], bad: [] });
    expect(readSymbols('AAPL $$$')).toEqual({ symbols: ['AAPL'], bad: ['$$$'] });
    expect(readSymbols(' , ')).toEqual({ symbols: [], bad: [] });
  });

  test('is kept for each user, also when it is empty', () => {
    expect(loadWatchlist('alice')).toEqual(FIRST_SYMBOLS);
    saveWatchlist('alice', ['AMD']);
    saveWatchlist('bob', []);
    expect(loadWatchlist('alice')).toEqual(['AMD']);
    expect(loadWatchlist('bob')).toEqual([]);
  });

  test('is read with care, because anything may lie there', () => {
    for (const [kept, read] of [
      ['{', FIRST_SYMBOLS],
      ['7', FIRST_SYMBOLS],
      ['["AMD","AMD",7,"a b",null]', ['AMD']],
    ] as const) {
      localStorage.setItem('tradewire:watchlist:alice', kept);
      expect(loadWatchlist('alice')).toEqual(read);
    }
  });
});
