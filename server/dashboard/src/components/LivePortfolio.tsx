// What the user owns, as it is worth now. What was known last stays on the page while the connection is away.

import { memo, useEffect } from 'react';
import {
  formatMoney,
  formatPercent,
  formatPrice,
  formatQuantity,
  formatSignedMoney,
  formatTime,
  NONE,
} from '../lib/format';
import { useLatest } from '../lib/useLatest';
import { type Portfolio, type Position, useWebSocketContext } from '../websocket';
import { Card, Waiting } from './Card';
import { Change } from './Change';

export function LivePortfolio() {
  const { connected, emit } = useWebSocketContext();
  const portfolio = useLatest('portfolio:update');
  useEffect(() => emit('subscribe:portfolio'), [emit]);

  const asOf = portfolio && (
    <p className="as-of">
      {connected ? 'Updated ' : 'As of '}
      <time dateTime={portfolio.timestamp}>{formatTime(portfolio.timestamp)}</time>
    </p>
  );
  return (
    <Card title="Portfolio" className={`portfolio ${connected ? '' : 'stale'}`} aside={asOf}>
      {portfolio ? <Summary portfolio={portfolio} /> : <Waiting>Loading portfolio…</Waiting>}
      {portfolio && <Positions portfolio={portfolio} />}
    </Card>
  );
}

function Summary({ portfolio }: { portfolio: Portfolio }) {
  return (
    <dl className="summary">
      <div className="total">
        <dt>Total value</dt>
        <dd data-testid="total-value">{formatMoney(portfolio.totalValue)}</dd>
      </div>
      <div className="day">
        <dt>Day change</dt>
        <dd>
          <Change by={portfolio.dayChange}>
            {`${formatSignedMoney(portfolio.dayChange)} (${formatPercent(portfolio.dayChangePercent)})`}
          </Change>
        </dd>
      </div>
      <div>
        <dt>Cash</dt>
        <dd>{formatMoney(portfolio.cash)}</dd>
      </div>
      <div>
        <dt>Equity</dt>
        <dd>{formatMoney(portfolio.equity)}</dd>
      </div>
    </dl>
  );
}

function Positions({ portfolio }: { portfolio: Portfolio }) {
  const positions = Array.isArray(portfolio.positions) ? portfolio.positions : [];
  if (positions.length === 0) return <p className="empty">No open positions.</p>;
  return (
    <table className="positions">
      <caption className="visually-hidden">Open positions</caption>
      <thead>
        <tr>
          <th scope="col">Symbol</th>
          <th scope="col">Quantity</th>
          <th scope="col" className="wide-only">
            Average
          </th>
          <th scope="col">Price</th>
          <th scope="col">Value</th>
          <th scope="col">
            <abbr title="Unrealised profit or loss">P/L</abbr>
          </th>
        </tr>
      </thead>
      <tbody>
        {positions.map((position) => (
          <PositionRow key={position.symbol} {...position} />
        ))}
      </tbody>
    </table>
  );
}

const PositionRow = memo(function PositionRow({ symbol, quantity, price, averagePrice, value }: Position) {
  const worth = value ?? (price === undefined ? undefined : price * quantity);
  const gain = price === undefined || averagePrice === undefined ? undefined : (price - averagePrice) * quantity;
  return (
    <tr>
      <th scope="row">{symbol}</th>
      <td>{formatQuantity(quantity)}</td>
      <td className="wide-only">{formatPrice(averagePrice)}</td>
      <td>{formatPrice(price)}</td>
      <td>{formatMoney(worth)}</td>
      <td>{gain === undefined ? NONE : <Change by={gain}>{formatSignedMoney(gain)}</Change>}</td>
    </tr>
  );
});
