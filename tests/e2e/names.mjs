// Every name that the suite shares with the server, in one place: if the server renames one, only this
// file changes.

// Environment variables. The first group is the guide's, the rest is beyond it. The name of a flag is
// the variable's in lower case with dashes, see `flag` below.
export const GUIDE_VARIABLES = ['NODE_ENV', 'FRONTEND_URL', 'REDIS_URL', 'WEBSOCKET_PORT'];

export const VARIABLES = [
  'HOST', 'AUTH_MODE', 'SESSION_SECRET', 'PUBLISH_TOKEN', 'METRICS_TOKEN', 'DELIVERY', 'RECORD_DIR', 'RECORD_PAYLOADS',
  'RECORD_BYTES_MAX', 'RECORD_SEGMENT_BYTES_MAX', 'LOG_FORMAT', 'RUST_LOG',
  'CONNECTIONS_PER_USER_MAX', 'CONNECTS_PER_USER_MINUTE_MAX', 'CONNECTIONS_MAX', 'HANDSHAKES_MAX', 'HANDSHAKE_MAX_MS',
  'ADMISSIONS_PENDING_MAX',
  'PING_INTERVAL_MS', 'PING_TIMEOUT_MS', 'SYMBOLS_PER_CONNECTION_MAX', 'EVENTS_PER_SECOND_MAX', 'EVENTS_BURST_MAX',
  'PORTFOLIO_CALLS_MAX', 'TRADES_CALLS_MAX', 'WATCHLIST_CALLS_MAX', 'CALLS_WINDOW_MS',
  'PUBLISH_BODY_BYTES_MAX', 'PUBLISH_ITEMS_MAX', 'PUBLISH_WAITING_MAX', 'PUBLISH_WAIT_MAX_MS', 'CONGESTED_MAX_MS', 'CONGESTED_LOG_EVENTS_MAX', 'OUTBOX_TOTAL_BYTES_MAX', 'PUBLISH_DEPTH_MAX', 'CLIENT_PAYLOAD_BYTES_MAX',
  'ATTACHMENTS_MAX', 'ATTACHMENTS_BYTES_MAX', 'DRAIN_WINDOW_MS', 'DRAIN_DEADLINE_MS', 'REQUEST_HEAD_MAX_MS',
  'SESSION_PREFIX', 'SESSION_LOOKUP_MAX_MS', 'SESSION_CHECK_EVERY_MS', 'SLOT_LEASE_MS', 'SLOT_RENEW_EVERY_MS', 'BUS_REQUEST_MAX_MS',
  'LOG_STREAM_MAX', 'HISTORY_MAX_MS',
];

// V.PING_INTERVAL_MS is 'PING_INTERVAL_MS'; a name that is not listed throws instead of being ignored
// by the server in silence.
export const V = new Proxy(Object.fromEntries([...GUIDE_VARIABLES, 'PORT', ...VARIABLES].map((name) => [name, name])), {
  get(names, name) {
    if (!(name in names)) throw new Error(`unknown variable ${String(name)}`);
    return names[name];
  },
});

export const flag = (variable) => `--${variable.toLowerCase().replaceAll('_', '-')}`;

export const DEMO_FLAG = '--demo';
export const SEED_FLAG = '--seed';
export const DEMO_USER = 'demo-1';
export const DEMO_SYMBOLS = ['AAPL', 'TSLA', 'NVDA'];

// What a started server says first, and the field of that log line that holds where it listens.
export const STARTED_MESSAGE = 'WebSocket server initialized';
export const STARTED_ADDRESS_FIELD = 'address';

export const PATHS = {
  publish: '/api/publish',
  health: '/health/websocket',
  live: '/health/live',
  ready: '/health/ready',
  metrics: '/metrics',
  dashboard: '/',
  socketio: '/socket.io/',
};

// Messages of the guide and the contract.
export const M = {
  noSession: 'Authentication required: No session ID provided',
  authFailed: 'Authentication failed: ',
  tooMany: 'Too many connections (max 5)',
  portfolioRate: 'Rate limit exceeded for portfolio subscription',
  tradesRate: 'Rate limit exceeded for trade subscription',
  watchlistRate: 'Rate limit exceeded for watchlist subscription',
  symbols: 'Invalid symbols array',
  shutdown: 'Server is shutting down',
  sessionExpired: 'Session expired',
};

export const ISO_MS_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
export const EVENT_ID = /^[^-\s]+-\d+-\d+$/;

// Where things are in Redis, by the README's table.
export const KEYS = {
  stateClock: 'tradewire:{state}:clock',
  stateChannel: 'tradewire:{state}:ch',
  value: (topic) => `tradewire:{state}:v:${topic}`,
  logClock: 'tradewire:{log}:clock',
  stream: 'tradewire:{log}:stream',
  slots: (user) => `tradewire:{slots:${user}}`,
  rate: (user, call) => `tradewire:{rate:${user}}:${call}`,
  emitterLease: 'tradewire:{emitter}:lease',
  session: (id) => `sess:${id}`,
  emitterChannel: 'socket.io#/#',
};
