// Prints what a user receives, one line an event:
//   node watch.mjs --user demo-1 [--url http://127.0.0.1:3000] [--symbols AAPL,TSLA] [--session any]

import { parseArgs } from 'node:util';
import { io } from 'socket.io-client';

const { values } = parseArgs({
  options: {
    user: { type: 'string' },
    url: { type: 'string', default: 'http://127.0.0.1:3000' },
    symbols: { type: 'string', default: 'AAPL,TSLA,NVDA' },
    session: { type: 'string', default: 'watch' },
  },
});
if (!values.user) {
  console.error('usage: node watch.mjs --user demo-1 [--url http://127.0.0.1:3000] [--symbols AAPL,TSLA] [--session any]');
  process.exit(2);
}

// The reader of a pipe may leave first, as `head` does.
process.stdout.on('error', () => process.exit(0));

const say = (what, data) => console.log(`${new Date().toISOString().slice(11, 23)}  ${what.padEnd(24)} ${data === undefined ? '' : JSON.stringify(data)}`);

const socket = io(values.url, { auth: { sessionID: values.session, userId: values.user } });
socket.onAny((event, data) => say(event, data));
socket.on('connect_error', (error) => say('connect_error', error.message));
socket.on('disconnect', (reason) => say('disconnect', reason));
socket.on('connect', () => {
  say('connect', socket.id);
  socket.emit('subscribe:portfolio');
  socket.emit('subscribe:trades');
  socket.emit('subscribe:watchlist', values.symbols.split(','));
});
