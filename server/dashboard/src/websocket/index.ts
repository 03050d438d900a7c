// The live connection for React. This folder needs nothing but react and socket.io-client: copy it.

export type { ConnectionState, Identity, RateLimit, Status } from './connection';
export * from './events';
export { useWebSocketContext, type WebSocketContextValue, WebSocketProvider } from './WebSocketContext';
