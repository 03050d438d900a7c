// Whether the market is open, and until when.

import { formatHour } from '../lib/format';
import { useLatest } from '../lib/useLatest';

export function MarketStatus() {
  const market = useLatest('market:status');
  if (!market) return <p className="market" />;
  const { isOpen, nextOpen, nextClose } = market;
  const next = isOpen ? nextClose : nextOpen;
  return (
    <p className={`market ${isOpen ? 'open' : 'closed'}`} data-testid="market">
      <span aria-hidden="true">{isOpen ? '○' : '◌'}</span> Market {isOpen ? 'open' : 'closed'}
      {next && (
        <>
          , {isOpen ? 'closes' : 'opens'} <time dateTime={next}>{formatHour(next)}</time>
        </>
      )}
    </p>
  );
}
