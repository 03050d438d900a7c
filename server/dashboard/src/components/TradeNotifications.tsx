// Trades as they happen: a toast for each, and a list of the newest. A toast goes by itself and the list
// keeps what it said; both are dismissed by hand too.

import { type MouseEvent, useCallback, useEffect, useState } from 'react';
import { formatTime } from '../lib/format';
import { oncePerFrame } from '../lib/frame';
import { executed, failed, type Notification, withNew } from '../lib/notifications';
import { useWebSocketContext } from '../websocket';
import { Card, Waiting } from './Card';

/** A failure is worth a longer look. */
const TOAST_MS = { executed: 6_000, failed: 12_000 };

export function TradeNotifications() {
  const { connected, subscribe, emit } = useWebSocketContext();
  const [notifications, setNotifications] = useState<readonly Notification[]>([]);

  useEffect(() => {
    // A client that was away may get hundreds at once.
    let came: Notification[] = [];
    const frame = oncePerFrame(() => {
      const all = came;
      came = [];
      setNotifications((had) => withNew(had, all));
    });
    const take = (notification: Notification) => {
      came.push(notification);
      frame.ask();
    };
    const unsubscribeExecuted = subscribe('trade:executed', (trade) => take(executed(trade)));
    const unsubscribeFailed = subscribe('trade:failed', (trade) => take(failed(trade)));
    return () => {
      unsubscribeExecuted();
      unsubscribeFailed();
      frame.cancel();
    };
  }, [subscribe]);
  useEffect(() => emit('subscribe:trades'), [emit]);

  const hideToast = useCallback((id: string) => {
    setNotifications((had) => had.map((one) => (one.id === id ? { ...one, toast: false } : one)));
  }, []);
  const dismiss = (id: string) => setNotifications((had) => had.filter((one) => one.id !== id));

  return (
    <Card
      title="Trades"
      className={`trades ${connected ? '' : 'stale'}`}
      aside={
        notifications.length > 0 && (
          <button type="button" className="quiet" onClick={() => setNotifications([])}>
            Clear all
          </button>
        )
      }
    >
      {notifications.length === 0 ? (
        <Nothing connected={connected} />
      ) : (
        <ol className="trade-list" aria-label="Newest trades">
          {notifications.map((one) => (
            <Entry key={one.id} notification={one} onDismiss={dismiss} />
          ))}
        </ol>
      )}
      <Toasts notifications={notifications.filter(({ toast }) => toast)} onHide={hideToast} />
    </Card>
  );
}

function Nothing({ connected }: { connected: boolean }) {
  if (!connected) return <Waiting>Loading trades…</Waiting>;
  return <p className="empty">No trades since this page was opened.</p>;
}

interface ToastsProps {
  notifications: readonly Notification[];
  onHide: (id: string) => void;
}

/** Read out as they appear. While somebody points at them or has the focus in them, none goes. */
function Toasts({ notifications, onHide }: ToastsProps) {
  const [held, setHeld] = useState(false);
  const isEmpty = notifications.length === 0;
  // What goes under the pointer says nothing of it.
  useEffect(() => {
    if (isEmpty) setHeld(false);
  }, [isEmpty]);
  return (
    <section
      className="toasts"
      aria-label="Trade notifications"
      aria-live="polite"
      aria-relevant="additions"
      onPointerEnter={() => setHeld(true)}
      onPointerLeave={() => setHeld(false)}
      onFocus={() => setHeld(true)}
      onBlur={() => setHeld(false)}
    >
      <ol>
        {notifications.map((one) => (
          <Toast key={one.id} notification={one} held={held} onHide={onHide} />
        ))}
      </ol>
    </section>
  );
}

interface ToastProps {
  notification: Notification;
  held: boolean;
  onHide: (id: string) => void;
}

function Toast({ notification, held, onHide }: ToastProps) {
  const { id, kind } = notification;
  useEffect(() => {
    if (held) return;
    const timer = setTimeout(() => onHide(id), TOAST_MS[kind]);
    return () => clearTimeout(timer);
  }, [held, id, kind, onHide]);
  return <Entry notification={notification} onDismiss={onHide} />;
}

interface EntryProps {
  notification: Notification;
  onDismiss: (id: string) => void;
}

function Entry({ notification, onDismiss }: EntryProps) {
  const { id, kind, title, detail, timestamp } = notification;
  const isFailure = kind === 'failed';
  return (
    <li className={`entry ${kind}`} data-event-id={id}>
      <span className="badge" aria-hidden="true">
        {isFailure ? '!' : '✓'}
      </span>
      <p>
        <strong>{title}</strong> <span className="detail">{detail}</span>
      </p>
      <time dateTime={timestamp}>{formatTime(timestamp)}</time>
      <button
        type="button"
        className="icon"
        aria-label={`Dismiss: ${title}`}
        onClick={(event) => {
          focusNeighbour(event);
          onDismiss(id);
        }}
      >
        <span aria-hidden="true">×</span>
      </button>
    </li>
  );
}

/** The button is about to go; without this the focus would go to the top of the page. */
function focusNeighbour({ currentTarget }: MouseEvent<HTMLButtonElement>) {
  const entry = currentTarget.closest('li');
  const neighbour = entry?.nextElementSibling ?? entry?.previousElementSibling;
  neighbour?.querySelector('button')?.focus();
}
