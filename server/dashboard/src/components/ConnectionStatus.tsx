// How the connection is, in one word that everyone can see, and a line below the header that says more. The
// line always has its space, so that nothing on the page moves when there is something to say.

import type { ReactNode } from 'react';
import { useCountdown } from '../lib/useCountdown';
import { type RateLimit, type ServerShutdown, useWebSocketContext, type WebSocketContextValue } from '../websocket';
import { MarketStatus } from './MarketStatus';

type Mood = 'good' | 'waiting' | 'bad';

function wordFor({ status, shutdown, attempt }: WebSocketContextValue): [Mood, string] {
  switch (status) {
    case 'connected':
      return shutdown ? ['waiting', 'Restarting'] : ['good', 'Live'];
    case 'connecting':
      return ['waiting', 'Connecting'];
    case 'reconnecting':
      return ['waiting', attempt > 1 ? `Reconnecting (${attempt})` : 'Reconnecting'];
    case 'refused':
      return ['bad', 'Not connected'];
  }
}

const SHAPE: Record<Mood, string> = { good: '●', waiting: '◐', bad: '■' };

export function ConnectionStatus() {
  const context = useWebSocketContext();
  const [mood, word] = wordFor(context);
  return (
    <p className={`connection ${mood}`} role="status" data-testid="connection" data-status={context.status}>
      <span aria-hidden="true">{SHAPE[mood]}</span> {word}
    </p>
  );
}

export function StatusLine() {
  return (
    <div className="status-line">
      <div className="message" role="status" data-testid="message">
        <Message />
      </div>
      <MarketStatus />
    </div>
  );
}

/** The most important thing there is to say. */
function Message(): ReactNode {
  const { status, error, shutdown, resume, rateLimits, reconnect, clearError, clearResume } = useWebSocketContext();
  if (status === 'refused') {
    return (
      <>
        <span className="wrong">{reasonFor(error?.message ?? '')}</span> <Action onClick={reconnect}>Try again</Action>
      </>
    );
  }
  if (status === 'connecting') return 'Connecting to live data…';
  if (status === 'reconnecting') return 'Connection lost. This page reconnects by itself and catches up.';
  if (shutdown) return <Leaving shutdown={shutdown} />;
  if (error) {
    return (
      <>
        <span className="wrong">{error.message}</span> <Action onClick={clearError}>Dismiss</Action>
      </>
    );
  }
  const limit = rateLimits.find(({ event }) => event !== 'subscribe:watchlist');
  if (limit) return <BackingOff limit={limit} />;
  if (resume && !resume.recovered) {
    return (
      <>
        Some trades may be missing here: this page was away for too long. <Action onClick={clearResume}>Dismiss</Action>
      </>
    );
  }
  return 'Values change as they are published.';
}

function Action({ onClick, children }: { onClick: () => void; children: string }) {
  return (
    <button type="button" className="quiet" onClick={onClick}>
      {children}
    </button>
  );
}

function Leaving({ shutdown }: { shutdown: ServerShutdown }) {
  const wait = Math.ceil((shutdown.reconnectInMs ?? 0) / 1_000);
  return `The server is restarting. This page reconnects by itself${wait > 0 ? ` within ${wait} s` : ''}.`;
}

function BackingOff({ limit }: { limit: RateLimit }) {
  const seconds = useCountdown(limit.retryAt);
  return (
    <>
      {limit.message}.<span aria-hidden="true"> Tried again in {seconds} s.</span>
    </>
  );
}

function reasonFor(message: string): string {
  if (/^Authentication required/.test(message)) return 'You are not signed in. Sign in, then try again.';
  if (/^Session expired/.test(message)) return 'Your session has ended. Sign in, then try again.';
  if (/^Too many connections/.test(message)) return `${message}. Close another tab of this dashboard, then try again.`;
  return message;
}
