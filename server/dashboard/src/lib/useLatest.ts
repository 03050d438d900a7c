// The newest value of an event of state, rendered once per frame at most.

import { useEffect, useState } from 'react';
import { type ServerEvents, useWebSocketContext } from '../websocket';
import { oncePerFrame } from './frame';

export function useLatest<E extends keyof ServerEvents>(event: E): ServerEvents[E] | null {
  const { subscribe } = useWebSocketContext();
  const [latest, setLatest] = useState<ServerEvents[E] | null>(null);
  useEffect(() => {
    let newest: ServerEvents[E] | null = null;
    const frame = oncePerFrame(() => setLatest(newest));
    const unsubscribe = subscribe(event, (data) => {
      newest = data;
      frame.ask();
    });
    return () => {
      unsubscribe();
      frame.cancel();
    };
  }, [event, subscribe]);
  return latest;
}
