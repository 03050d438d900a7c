// Quotes of the symbols that the user watches. The list is the user's to edit and is kept in the browser.

import { memo, type ReactNode, useCallback, useEffect, useState, useSyncExternalStore } from 'react';
import { formatPercent, formatPrice, formatSignedMoney, formatVolume, NONE } from '../lib/format';
import { QuoteStore } from '../lib/quotes';
import { loadWatchlist, SYMBOLS_MAX, saveWatchlist } from '../lib/watchlist';
import { useWebSocketContext } from '../websocket';
import { Card } from './Card';
import { Change } from './Change';
import { Sparkline } from './Sparkline';
import { SymbolForm } from './SymbolForm';

export function LiveWatchlist({ user }: { user: string }) {
  const { connected, subscribe, emit } = useWebSocketContext();
  const [quotes] = useState(() => new QuoteStore());
  const [symbols, setSymbols] = useState(() => loadWatchlist(user));

  useEffect(() => subscribe('quote:update', (quote) => quotes.put(quote)), [subscribe, quotes]);
  useEffect(() => {
    saveWatchlist(user, symbols);
    if (symbols.length > 0) emit('subscribe:watchlist', symbols);
  }, [user, symbols, emit]);

  const add = useCallback((more: string[]) => setSymbols((had) => [...new Set([...had, ...more])]), []);
  const remove = useCallback(
    (symbol: string) => {
      setSymbols((had) => had.filter((one) => one !== symbol));
      emit('unsubscribe:watchlist', [symbol]);
      quotes.forget(symbol);
    },
    [emit, quotes],
  );

  return (
    <Card
      title="Watchlist"
      className={`watchlist ${connected ? '' : 'stale'}`}
      aside={
        <p className="as-of">
          {symbols.length} {symbols.length === 1 ? 'symbol' : 'symbols'}
        </p>
      }
    >
      <SymbolForm held={symbols} max={SYMBOLS_MAX} onAdd={add} />
      {symbols.length === 0 ? (
        <p className="empty">No symbols yet. Add one above.</p>
      ) : (
        <Table>
          {symbols.map((symbol) => (
            <Row key={symbol} symbol={symbol} quotes={quotes} onRemove={remove} />
          ))}
        </Table>
      )}
    </Card>
  );
}

function Table({ children }: { children: ReactNode }) {
  return (
    <table className="quotes">
      <caption className="visually-hidden">Live quotes</caption>
      <thead>
        <tr>
          <th scope="col">Symbol</th>
          <th scope="col">Price</th>
          <th scope="col" className="wide-only">
            Change
          </th>
          <th scope="col">Change %</th>
          <th scope="col" className="wide-only">
            Volume
          </th>
          <th scope="col">Last minute</th>
          <th scope="col">
            <span className="visually-hidden">Remove</span>
          </th>
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}

interface RowProps {
  symbol: string;
  quotes: QuoteStore;
  onRemove: (symbol: string) => void;
}

const Row = memo(function Row({ symbol, quotes, onRemove }: RowProps) {
  const watch = useCallback((watcher: () => void) => quotes.watch(symbol, watcher), [quotes, symbol]);
  const tick = useSyncExternalStore(watch, () => quotes.get(symbol));
  const quote = tick?.quote;
  return (
    <tr data-symbol={symbol}>
      <th scope="row">{symbol}</th>
      <td className="price">
        {tick && quote ? <Price text={formatPrice(quote.price)} moved={tick.moved} turn={tick.turn} /> : NONE}
      </td>
      <td className="wide-only">{formatSignedMoney(quote?.change)}</td>
      <td>
        {quote?.changePercent === undefined ? (
          NONE
        ) : (
          <Change by={quote.changePercent}>{formatPercent(quote.changePercent)}</Change>
        )}
      </td>
      <td className="wide-only">{formatVolume(quote?.volume)}</td>
      <td className="trend">
        <Sparkline prices={tick?.trail ?? NO_PRICES} />
      </td>
      <td className="remove">
        <button type="button" className="icon" aria-label={`Remove ${symbol}`} onClick={() => onRemove(symbol)}>
          <span aria-hidden="true">×</span>
        </button>
      </td>
    </tr>
  );
});

const NO_PRICES: readonly number[] = [];

const FLASH = { '-1': 'fell', '0': '', '1': 'rose' } as const;

/** Two classes in turns, because an animation begins again only if its name changes. */
function Price({ text, moved, turn }: { text: string; moved: -1 | 0 | 1; turn: number }) {
  const flash = FLASH[moved];
  return <span className={flash && `${flash}-${turn % 2}`}>{text}</span>;
}
