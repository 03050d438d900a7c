// Tabs of one user in a process of their own, so that a test can stop it as a lid does:
//   node laptop.mjs URL USER TABS
// Prints a line of JSON for each connect, `{tab, connected}`, and each trade, `{tab, n}`.

import { io } from 'socket.io-client';

const [url, userId, tabs] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

for (let tab = 0; tab < Number(tabs); tab += 1) {
  let lastEventId;
  let previous;
  const socket = io(url, {
    auth: (give) => give({ sessionID: 'laptop', userId, lastEventId, replaces: previous }),
    transports: tab % 2 ? ['polling'] : ['websocket'],
    reconnectionDelay: 100,
    reconnectionDelayMax: 500,
    forceNew: true,
  });
  socket.on('connect', () => {
    previous = socket.id;
    say({ tab, connected: true });
  });
  socket.on('trade:executed', (trade) => {
    lastEventId = trade.eventId;
    say({ tab, n: trade.n });
  });
}
