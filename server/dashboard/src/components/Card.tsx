// A titled part of the page.

import { type ReactNode, useId } from 'react';
import { useWebSocketContext } from '../websocket';

interface Props {
  title: string;
  className?: string;
  /** Beside the title. */
  aside?: ReactNode;
  children: ReactNode;
}

export function Card({ title, className = '', aside, children }: Props) {
  const id = useId();
  return (
    <section className={`card ${className}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

/** What a card shows while there is nothing in it: what it waits for, if it does. */
export function Waiting({ children }: { children: ReactNode }) {
  const { connected, status } = useWebSocketContext();
  if (status === 'refused') return <p className="empty">Not connected.</p>;
  return (
    <p className="waiting" role="status">
      <span className="spinner" aria-hidden="true" />
      {connected ? children : 'Connecting to live data…'}
    </p>
  );
}
