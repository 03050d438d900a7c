// A small line of the last prices. Decoration: the numbers beside it say the same to those who do not see it.

import { memo } from 'react';
import { direction } from '../lib/format';

const WIDTH = 96;
const HEIGHT = 28;
const EDGE = 3;

export const Sparkline = memo(function Sparkline({ prices }: { prices: readonly number[] }) {
  const first = prices[0];
  const last = prices.at(-1);
  if (first === undefined || last === undefined || prices.length < 2) {
    return <svg className="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" />;
  }
  const low = Math.min(...prices);
  const span = Math.max(...prices) - low;
  const x = (n: number) => EDGE + (n * (WIDTH - 2 * EDGE)) / (prices.length - 1);
  // A price that does not move is a line in the middle.
  const y = (price: number) => (span === 0 ? HEIGHT / 2 : HEIGHT - EDGE - ((price - low) * (HEIGHT - 2 * EDGE)) / span);
  const line = prices.map((price, n) => `${x(n).toFixed(1)},${y(price).toFixed(1)}`).join(' ');
  return (
    <svg className={`sparkline ${direction(last - first)}`} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      <polygon points={`${EDGE},${HEIGHT} ${line} ${WIDTH - EDGE},${HEIGHT}`} />
      <polyline points={line} />
      <circle cx={x(prices.length - 1)} cy={y(last)} r="2" />
    </svg>
  );
});
