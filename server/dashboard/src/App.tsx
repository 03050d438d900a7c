// The page: who is looking, and what they see.

import { useEffect, useState } from 'react';
import { ConnectionStatus, StatusLine } from './components/ConnectionStatus';
import { LivePortfolio } from './components/LivePortfolio';
import { LiveWatchlist } from './components/LiveWatchlist';
import { TradeNotifications } from './components/TradeNotifications';
import { UserPicker } from './components/UserPicker';
import { addressOf, newSession, readSettings, userOfAddress } from './lib/settings';
import { WebSocketProvider } from './websocket';

export function App() {
  const [{ auth, users }] = useState(readSettings);
  const [sessionID] = useState(newSession);
  const [user, setUser] = useState(userOfAddress);

  useEffect(() => {
    const follow = () => setUser(userOfAddress());
    addEventListener('popstate', follow);
    return () => removeEventListener('popstate', follow);
  }, []);
  const pick = (next: string) => {
    history.pushState(null, '', addressOf(next));
    setUser(next);
  };

  if (auth === 'session') {
    return (
      <WebSocketProvider>
        <Dashboard user="" />
      </WebSocketProvider>
    );
  }
  if (user === '') return <UserPicker users={users} onPick={pick} />;
  return (
    <WebSocketProvider sessionID={sessionID} userId={user}>
      <Dashboard key={user} user={user} onLeave={() => pick('')} />
    </WebSocketProvider>
  );
}

function Dashboard({ user, onLeave }: { user: string; onLeave?: () => void }) {
  return (
    <>
      <header>
        <div className="top">
          <h1>
            <img src="/favicon.svg" alt="" width="24" height="24" />
            Tradewire
          </h1>
          <ConnectionStatus />
          {onLeave && (
            <button type="button" className="quiet user" onClick={onLeave}>
              <span className="name">{user}</span>
              <span className="change-user">
                Change<span className="visually-hidden"> user</span>
              </span>
            </button>
          )}
        </div>
        <StatusLine />
      </header>
      <main className="cards">
        <LivePortfolio />
        <LiveWatchlist user={user} />
        <TradeNotifications />
      </main>
    </>
  );
}
