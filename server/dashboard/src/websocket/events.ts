// What the server sends and what a client may emit, as types. Nothing here runs but the check of a symbol.

export interface Position {
  symbol: string;
  quantity: number;
  price?: number;
  averagePrice?: number;
  value?: number;
}

export interface Portfolio {
  totalValue: number;
  cash: number;
  equity: number;
  positions: Position[];
  dayChange: number;
  dayChangePercent: number;
  timestamp: string;
}

export interface Quote {
  symbol: string;
  price: number;
  change?: number;
  changePercent?: number;
  volume?: number;
  timestamp: string;
}

export interface TradeExecuted {
  id?: string;
  symbol: string;
  side: string;
  quantity: number;
  price: number;
  status?: string;
  timestamp: string;
  eventId: string;
}

export interface TradeFailed {
  error?: string;
  message?: string;
  signal?: { symbol?: string; side?: string; quantity?: number };
  timestamp: string;
  eventId: string;
}

export interface MarketStatus {
  isOpen: boolean;
  nextOpen: string | null;
  nextClose: string | null;
  timestamp: string;
}

export interface ServerShutdown {
  message: string;
  timestamp: string;
  reconnectInMs?: number;
}

export interface Resume {
  recovered: boolean;
  replayed: number;
  lastEventId: string | null;
}

export interface ServerError {
  message: string;
  event?: string;
  retryAfterMs?: number;
}

export interface Confirmation {
  type: 'portfolio' | 'trades' | 'watchlist';
  symbols?: string[];
}

export interface ServerEvents {
  'portfolio:update': Portfolio;
  'quote:update': Quote;
  'trade:executed': TradeExecuted;
  'trade:failed': TradeFailed;
  'market:status': MarketStatus;
  'server:shutdown': ServerShutdown;
  'subscription:confirmed': Confirmation;
  'unsubscription:confirmed': Confirmation;
  resume: Resume;
  error: ServerError;
}

/** The server's rule; one bad symbol would refuse a whole call. */
const SYMBOL = /^[A-Za-z0-9.\-_:/^=]{1,32}$/;

export const isSymbol = (text: unknown): text is string => typeof text === 'string' && SYMBOL.test(text);
