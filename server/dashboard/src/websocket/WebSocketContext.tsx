// The provider and the hook. Wrap the application (or the part of it that is live) in the provider; every
// component below may then subscribe to events and emit.

import { createContext, type ReactNode, useContext, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { Connection, type ConnectionState, type Identity } from './connection';

export interface WebSocketContextValue extends ConnectionState {
  /** Calls the handler with each event of this name; returns the way to stop it. */
  subscribe: Connection['subscribe'];
  /** Emits to the server. Subscriptions are kept, and restored at each connect. */
  emit: Connection['emit'];
  /** Tries again at once, also after the server has turned this client away. */
  reconnect: () => void;
  clearError: () => void;
  clearResume: () => void;
}

const WebSocketContext = createContext<WebSocketContextValue | null>(null);

interface Props extends Identity {
  children: ReactNode;
}

/** Without properties it connects to the page's own host, as the user of the session cookie. */
export function WebSocketProvider(props: Props) {
  const { url, sessionID, userId } = props;
  // Another user is another connection, and nothing of the former may stay on the page.
  return <Connected key={JSON.stringify([url, sessionID, userId])} {...props} />;
}

function Connected({ children, ...identity }: Props) {
  const [connection] = useState(() => new Connection(identity));
  useEffect(() => {
    connection.open();
    return () => connection.close();
  }, [connection]);
  const state = useSyncExternalStore(connection.watch, connection.state, connection.state);
  const value = useMemo(() => {
    const { subscribe, emit, reconnect, clearError, clearResume } = connection;
    return { ...state, subscribe, emit, reconnect, clearError, clearResume };
  }, [connection, state]);
  return <WebSocketContext value={value}>{children}</WebSocketContext>;
}

export function useWebSocketContext(): WebSocketContextValue {
  const value = useContext(WebSocketContext);
  if (!value) throw new Error('useWebSocketContext needs a WebSocketProvider above it');
  return value;
}
