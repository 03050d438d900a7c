// Many quotes, few renders.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { QuoteStore } from '../src/lib/quotes';

let frames: (() => void)[] = [];
let now = 0;
const quote = (symbol: string, price: number) => ({ symbol, price, timestamp: '' });
const nextFrame = () => {
  for (const work of frames.splice(0)) work();
};

beforeEach(() => {
  frames = [];
  now = 0;
  vi.stubGlobal('requestAnimationFrame', (work: () => void) => frames.push(work));
});
afterEach(() => vi.unstubAllGlobals());

test('what comes is shown once per frame, the newest of each symbol, to who watches it', () => {
  const quotes = new QuoteStore(() => now);
  const [apple, tesla] = [vi.fn(), vi.fn()];
  quotes.watch('AAPL', apple);
  quotes.watch('TSLA', tesla);
  for (let price = 1; price <= 20; price += 1) quotes.put(quote('AAPL', price));
  expect(frames).toHaveLength(1);
  expect(quotes.get('AAPL')).toBeUndefined();
  nextFrame();
  expect(quotes.get('AAPL')).toMatchObject({ quote: quote('AAPL', 20), moved: 0, turn: 1 });
  expect(apple).toHaveBeenCalledTimes(1);
  expect(tesla).not.toHaveBeenCalled();
});

test('a price that moves is pointed out, unless it does so all the time', () => {
  const quotes = new QuoteStore(() => now);
  const moved = [
    [0, 10],
    [100, 11],
    [150, 12],
    [250, 12],
    [350, 9],
  ].map(([ms, price]) => {
    now = ms ?? 0;
    quotes.put(quote('AAPL', price ?? 0));
    nextFrame();
    return quotes.get('AAPL')?.moved;
  });
  expect(moved).toEqual([0, 1, 0, 0, -1]);
});

test('all of a frame is there before anybody is told', () => {
  const quotes = new QuoteStore(() => now);
  const seen: unknown[] = [];
  quotes.watch('AAPL', () => seen.push(quotes.get('TSLA')?.quote.price));
  quotes.put(quote('AAPL', 1));
  quotes.put(quote('TSLA', 2));
  nextFrame();
  expect(seen).toEqual([2]);
});

test('a trail has a price a second, the last sixty of them, and is the same array in between', () => {
  const quotes = new QuoteStore(() => now);
  const at = (ms: number, price: number) => {
    now = ms;
    quotes.put(quote('AAPL', price));
    nextFrame();
    return quotes.get('AAPL')?.trail;
  };
  const first = at(0, 1);
  expect(first).toEqual([1]);
  expect(at(999, 2)).toBe(first);
  expect(at(1_000, 3)).toEqual([1, 3]);
  for (let second = 2; second < 100; second += 1) at(second * 1_000, second);
  expect(quotes.get('AAPL')?.trail).toHaveLength(60);
  expect(quotes.get('AAPL')?.trail.at(-1)).toBe(99);
});

test('nothing is left of a symbol that is forgotten, and who watches no more is not told', () => {
  const quotes = new QuoteStore(() => now);
  const watcher = vi.fn();
  const unwatch = quotes.watch('AAPL', watcher);
  quotes.put(quote('AAPL', 1));
  nextFrame();
  quotes.put(quote('AAPL', 2));
  quotes.forget('AAPL');
  unwatch();
  nextFrame();
  expect(quotes.get('AAPL')).toBeUndefined();
  expect(watcher).toHaveBeenCalledTimes(1);
});
