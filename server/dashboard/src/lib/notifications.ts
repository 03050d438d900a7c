// What is told of a trade, and the list of the newest ones.

import type { TradeExecuted, TradeFailed } from '../websocket';
import { formatPrice, formatQuantity } from './format';

export const NOTIFICATIONS_MAX = 10;

export interface Notification {
  id: string;
  kind: 'executed' | 'failed';
  title: string;
  detail: string;
  timestamp: string;
  /** Still shown as a toast, not in the list alone. */
  toast: boolean;
}

const DONE: Record<string, string> = { buy: 'Bought', sell: 'Sold' };

let unnamed = 0;
const idOf = (eventId: string | undefined) => eventId ?? `unnamed-${++unnamed}`;

export function executed(trade: TradeExecuted): Notification {
  const done = DONE[trade.side] ?? trade.side;
  return {
    id: idOf(trade.eventId),
    kind: 'executed',
    title: `${done} ${formatQuantity(trade.quantity)} ${trade.symbol}`,
    detail: `at ${formatPrice(trade.price)}`,
    timestamp: trade.timestamp,
    toast: true,
  };
}

export function failed(trade: TradeFailed): Notification {
  const { side, quantity, symbol } = trade.signal ?? {};
  const order = [side, quantity === undefined ? undefined : formatQuantity(quantity), symbol].filter(Boolean).join(' ');
  return {
    id: idOf(trade.eventId),
    kind: 'failed',
    title: order === '' ? 'Trade failed' : `Failed: ${order}`,
    detail: trade.message ?? trade.error ?? 'No reason was given',
    timestamp: trade.timestamp,
    toast: true,
  };
}

/** The newest first; `came` is in the order in which it came. */
export function withNew(had: readonly Notification[], came: readonly Notification[]): Notification[] {
  return [...came.slice(-NOTIFICATIONS_MAX).reverse(), ...had].slice(0, NOTIFICATIONS_MAX);
}
