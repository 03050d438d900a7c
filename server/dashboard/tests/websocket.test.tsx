// The provider and the hook against a server that the test plays.

import { act, cleanup, render } from '@testing-library/react';
import { StrictMode, useEffect } from 'react';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { useWebSocketContext, type WebSocketContextValue, WebSocketProvider } from '../src/websocket';
import { type FakeSocket, sockets } from './fakeSocket';

vi.mock('socket.io-client', async () => (await import('./fakeSocket')).fakeClient());

let hook: WebSocketContextValue;

function Hook() {
  hook = useWebSocketContext();
  return null;
}

/** The guide's component: it emits on every connect, and again when it is mounted again. */
function GuidePortfolio({ onValue }: { onValue: (data: unknown) => void }) {
  const { connected, subscribe, emit } = useWebSocketContext();
  useEffect(() => {
    if (!connected) return;
    const unsubscribe = subscribe('portfolio:update', onValue);
    emit('subscribe:portfolio');
    return () => {
      unsubscribe();
    };
  }, [connected, subscribe, emit, onValue]);
  return null;
}

const socket = () => sockets.at(-1) as FakeSocket;
/** Does it, and lets what was put off to the end of the turn happen. */
const does = (what: () => void) => act(async () => what());

async function start(
  props: Omit<Parameters<typeof WebSocketProvider>[0], 'children'> = { userId: 'alice', sessionID: 's' },
) {
  const view = render(
    <WebSocketProvider {...props}>
      <Hook />
    </WebSocketProvider>,
  );
  await does(() => {});
  return view;
}

const trade = (n: number) => ({ id: `t${n}`, eventId: `e-1-${n}` });

beforeEach(() => {
  sockets.length = 0;
  sessionStorage.clear();
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

describe('the connection', () => {
  test('is made once, to the page itself, with the cookie', async () => {
    await start({});
    expect(sockets).toHaveLength(1);
    expect(socket().options.withCredentials).toBe(true);
    expect(hook).toMatchObject({ status: 'connecting', connected: false });
    let auth = {};
    await does(() => (auth = socket().admit('a')));
    expect(auth).toEqual({});
    expect(hook).toMatchObject({ status: 'connected', connected: true, attempt: 0 });
  });

  test('says who it is', async () => {
    await start({ url: 'http://other', sessionID: 's', userId: 'alice', userName: 'Alice' });
    expect(socket().admit('a')).toEqual({ sessionID: 's', userId: 'alice', userName: 'Alice' });
  });

  test('names its former socket, the last event and its subscriptions when it comes back', async () => {
    await start();
    hook.subscribe('trade:executed', () => {});
    await does(() => socket().admit('first'));
    await does(() => {
      hook.emit('subscribe:trades');
      hook.emit('subscribe:watchlist', ['AAPL', 'TSLA']);
    });
    await does(() => socket().send('trade:executed', trade(1)));
    await does(() => socket().drop());
    expect(hook).toMatchObject({ status: 'reconnecting', connected: false });
    expect(socket().admit('second')).toEqual({
      sessionID: 's',
      userId: 'alice',
      lastEventId: 'e-1-1',
      replaces: 'first',
      subscriptions: { trades: true, watchlist: ['AAPL', 'TSLA'] },
    });
  });

  test('counts its attempts', async () => {
    await start();
    await does(() => socket().admit('a'));
    await does(() => socket().drop());
    await does(() => socket().io.tell('reconnect_attempt', 3));
    expect(hook.attempt).toBe(3);
    await does(() => socket().admit('b'));
    expect(hook.attempt).toBe(0);
  });

  test('stays away after a refusal until it is told to try again', async () => {
    await start();
    await does(() => socket().refuse('Too many connections (max 5)'));
    expect(hook).toMatchObject({ status: 'refused', error: { message: 'Too many connections (max 5)' } });
    await does(() => hook.reconnect());
    expect(socket().connects).toBe(1);
    expect(hook).toMatchObject({ status: 'connecting', error: null });
  });

  test('is not refused by what passes by itself', async () => {
    await start();
    await does(() => socket().tell('connect_error', new Error('websocket error')));
    expect(hook).toMatchObject({ status: 'connecting', error: null });
  });

  test('stays away when its session has ended', async () => {
    await start();
    await does(() => socket().admit('a'));
    await does(() => socket().send('error', { message: 'Session expired' }));
    await does(() => socket().drop('io server disconnect'));
    expect(hook).toMatchObject({ status: 'refused', error: { message: 'Session expired' } });
  });

  test('comes back by itself after any other disconnect by the server', async () => {
    vi.useFakeTimers();
    await start();
    await does(() => socket().admit('a'));
    await does(() => socket().drop('io server disconnect'));
    expect(hook.status).toBe('reconnecting');
    await act(() => vi.advanceTimersByTimeAsync(5_000));
    expect(socket().connects).toBe(1);
  });

  test('tells that the server goes, until another one is there', async () => {
    await start();
    await does(() => socket().admit('a'));
    const told = { message: 'Server is shutting down', timestamp: '', reconnectInMs: 900 };
    await does(() => socket().send('server:shutdown', told));
    expect(hook).toMatchObject({ connected: true, shutdown: told });
    await does(() => socket().drop());
    await does(() => socket().admit('b'));
    expect(hook.shutdown).toBeNull();
  });

  test('another user is another connection, and nothing of the former is left', async () => {
    const view = await start();
    const former = socket();
    await does(() => former.admit('a'));
    await does(() => former.send('portfolio:update', { totalValue: 1 }));
    view.rerender(
      <WebSocketProvider userId="bob" sessionID="s">
        <Hook />
      </WebSocketProvider>,
    );
    await does(() => {});
    expect(sockets).toHaveLength(2);
    expect(former.connected).toBe(false);
    const handler = vi.fn();
    hook.subscribe('portfolio:update', handler);
    await does(() => {});
    expect(handler).not.toHaveBeenCalled();
    expect(socket().admit('b')).toEqual({ sessionID: 's', userId: 'bob' });
  });

  test('is closed with the provider', async () => {
    const view = await start();
    await does(() => socket().admit('a'));
    view.unmount();
    expect(socket().connected).toBe(false);
  });
});

describe('subscribe', () => {
  test('hands over events until it is taken back, to each handler in turn', async () => {
    await start();
    const [first, second] = [vi.fn(), vi.fn()];
    const unsubscribe = hook.subscribe('trade:executed', first);
    hook.subscribe('trade:executed', second);
    await does(() => socket().admit('a'));
    await does(() => socket().send('trade:executed', trade(1)));
    unsubscribe();
    await does(() => socket().send('trade:executed', trade(2)));
    expect(first.mock.calls).toEqual([[trade(1)]]);
    expect(second.mock.calls).toEqual([[trade(1)], [trade(2)]]);
  });

  test('hands the newest value of state to a handler that comes later, and no trades', async () => {
    await start();
    await does(() => socket().admit('a'));
    await does(() => {
      socket().send('quote:update', { symbol: 'AAPL', price: 1 });
      socket().send('quote:update', { symbol: 'AAPL', price: 2 });
      socket().send('quote:update', { symbol: 'TSLA', price: 3 });
      socket().send('trade:executed', trade(1));
    });
    const [quotes, trades] = [vi.fn(), vi.fn()];
    hook.subscribe('quote:update', quotes);
    hook.subscribe('trade:executed', trades);
    expect(quotes).not.toHaveBeenCalled();
    await does(() => {});
    expect(quotes.mock.calls).toEqual([[{ symbol: 'AAPL', price: 2 }], [{ symbol: 'TSLA', price: 3 }]]);
    expect(trades).not.toHaveBeenCalled();
  });

  test("a handler's mistake keeps nobody else from the event", async () => {
    await start();
    const reported = vi.fn();
    vi.stubGlobal('reportError', reported);
    const handler = vi.fn();
    hook.subscribe('trade:executed', () => {
      throw new Error('a mistake');
    });
    hook.subscribe('trade:executed', handler);
    await does(() => socket().admit('a'));
    await does(() => socket().send('trade:executed', trade(1)));
    expect(handler).toHaveBeenCalledOnce();
    expect(reported).toHaveBeenCalledOnce();
    vi.unstubAllGlobals();
  });
});

describe('the last event', () => {
  test('is kept over a reload, for its user alone', async () => {
    const view = await start();
    hook.subscribe('trade:failed', () => {});
    await does(() => socket().admit('a'));
    await does(() => socket().send('trade:failed', trade(7)));
    view.unmount();
    const again = await start();
    expect(socket().admit('b').lastEventId).toBe('e-1-7');
    again.unmount();
    await start({ userId: 'bob', sessionID: 's' });
    expect(socket().admit('c').lastEventId).toBeUndefined();
  });

  test('is one that somebody has handled', async () => {
    await start();
    await does(() => socket().admit('a'));
    await does(() => socket().send('trade:executed', trade(1)));
    await does(() => socket().drop());
    expect(socket().admit('b').lastEventId).toBeUndefined();
  });

  test('that never was: who shows trades is told whether there were any to miss', async () => {
    await start();
    hook.subscribe('trade:executed', () => {});
    await does(() => expect(socket().admit('a').lastEventId).toBeUndefined());
    await does(() => socket().drop());
    await does(() => expect(socket().admit('b').lastEventId).toBe('none'));
    await does(() => socket().send('resume', { recovered: false, replayed: 0, lastEventId: null }));
    expect(hook.resume).toBeNull();
    await does(() => socket().drop());
    await does(() => expect(socket().admit('c').lastEventId).toBe('none'));
    const told = { recovered: false, replayed: 0, lastEventId: 'e-1-3' };
    await does(() => socket().send('resume', told));
    expect(hook.resume).toEqual(told);
    await does(() => socket().drop());
    expect(socket().admit('d').lastEventId).toBe('e-1-3');
  });

  test('is already that of the event when the next one comes, and not before it was handled', async () => {
    await start();
    const during: (string | null)[] = [];
    hook.subscribe('trade:executed', () => during.push(sessionStorage.getItem('tradewire:last-event: alice')));
    await does(() => socket().admit('a'));
    await does(() => {
      socket().send('trade:executed', trade(1));
      socket().send('trade:executed', trade(2));
    });
    expect(during).toEqual([null, 'e-1-1']);
  });

  test('gives way to what the server has when trades are lost', async () => {
    await start();
    hook.subscribe('trade:executed', () => {});
    await does(() => socket().admit('a'));
    await does(() => socket().send('trade:executed', trade(1)));
    const told = { recovered: false, replayed: 0, lastEventId: 'f-9-9' };
    await does(() => socket().send('resume', told));
    expect(hook.resume).toEqual(told);
    await does(() => socket().drop());
    expect(socket().admit('b').lastEventId).toBe('f-9-9');
    await does(() => socket().send('resume', { recovered: false, replayed: 0, lastEventId: null }));
    await does(() => socket().drop());
    expect(socket().admit('c').lastEventId).toBe('none');
  });
});

describe('emit', () => {
  test('subscriptions of one turn are one call, and what is held is not asked for again', async () => {
    await start();
    await does(() => socket().admit('a'));
    await does(() => {
      hook.emit('subscribe:watchlist', ['AAPL']);
      hook.emit('subscribe:watchlist', ['TSLA', 'AAPL']);
      hook.emit('subscribe:portfolio');
    });
    expect(socket().take()).toEqual([['subscribe:portfolio'], ['subscribe:watchlist', ['AAPL', 'TSLA']]]);
    await does(() => {
      hook.emit('subscribe:watchlist', ['AAPL', 'NVDA']);
      hook.emit('subscribe:portfolio');
    });
    expect(socket().take()).toEqual([['subscribe:watchlist', ['NVDA']]]);
    await does(() => hook.emit('unsubscribe:watchlist', ['AAPL', 'TSLA']));
    expect(socket().take()).toEqual([['unsubscribe:watchlist', ['AAPL', 'TSLA']]]);
  });

  test('what is asked for without a connection goes with the next handshake, and is not sent again', async () => {
    await start();
    await does(() => {
      hook.emit('subscribe:trades');
      hook.emit('subscribe:watchlist', ['AAPL', 'TSLA']);
      hook.emit('unsubscribe:watchlist', ['TSLA']);
    });
    let auth = {};
    await does(() => (auth = socket().admit('a')));
    expect(auth).toMatchObject({ subscriptions: { trades: true, watchlist: ['AAPL'] } });
    expect(socket().take()).toEqual([]);
  });

  test("the guide's component costs no call that a limit would refuse", async () => {
    const onValue = vi.fn();
    const view = render(
      <StrictMode>
        <WebSocketProvider userId="alice" sessionID="s">
          <GuidePortfolio onValue={onValue} />
        </WebSocketProvider>
      </StrictMode>,
    );
    await does(() => socket().admit('a'));
    expect(socket().take()).toEqual([['subscribe:portfolio']]);
    await does(() => socket().send('portfolio:update', { totalValue: 1 }));
    await does(() => socket().drop());
    await does(() => socket().admit('b'));
    expect(socket().take()).toEqual([]);
    onValue.mockClear();
    // It goes and comes back, as a route does.
    const page = (child: React.ReactNode) => (
      <StrictMode>
        <WebSocketProvider userId="alice" sessionID="s">
          {child}
        </WebSocketProvider>
      </StrictMode>
    );
    view.rerender(page(null));
    view.rerender(page(<GuidePortfolio onValue={onValue} />));
    await does(() => {});
    expect(socket().take()).toEqual([]);
    expect(onValue).toHaveBeenCalledWith({ totalValue: 1 });
  });

  test('a list that the server would refuse whole is not sent', async () => {
    await start();
    await does(() => socket().admit('a'));
    for (const data of [undefined, 'AAPL', [], ['AAPL', 'A B'], ['AAPL', 7], ['A'.repeat(33)]]) {
      await does(() => hook.clearError());
      await does(() => hook.emit('subscribe:watchlist', data));
      expect(hook.error).toEqual({ message: 'Invalid symbols array' });
    }
    expect(socket().take()).toEqual([]);
  });

  test('any other event goes out as it is', async () => {
    await start();
    await does(() => socket().admit('a'));
    await does(() => hook.emit('something', { n: 1 }));
    expect(socket().take()).toEqual([['something', { n: 1 }]]);
  });

  test('subscriptions that the handshake could not restore are asked for one by one', async () => {
    await start();
    await does(() => {
      hook.emit('subscribe:trades');
      hook.emit('subscribe:watchlist', ['AAPL']);
    });
    await does(() => socket().admit('a'));
    await does(() => socket().send('error', { message: 'Invalid subscriptions' }));
    expect(socket().take()).toEqual([['subscribe:trades'], ['subscribe:watchlist', ['AAPL']]]);
    expect(hook.error).toBeNull();
  });

  test('what the server refuses for good is told and not asked for again', async () => {
    await start();
    await does(() => socket().admit('a'));
    await does(() => hook.emit('subscribe:watchlist', ['AAPL']));
    await does(() => socket().sent[0]?.answer?.({ ok: false, error: { message: 'Invalid symbols array' } }));
    expect(hook.error).toEqual({ message: 'Invalid symbols array' });
    await does(() => socket().drop());
    expect(socket().admit('b').subscriptions).toBeUndefined();
  });
});

describe('a rate limit', () => {
  const error = { message: 'Rate limit exceeded for watchlist subscription', retryAfterMs: 30_000 };

  async function limited() {
    vi.useFakeTimers();
    await start();
    await does(() => socket().admit('a'));
    await does(() => hook.emit('subscribe:watchlist', ['AAPL']));
    await does(() => {
      socket().send('error', { ...error, event: 'subscribe:watchlist' });
      socket().sent[0]?.answer?.({ ok: false, error });
    });
    socket().take();
  }

  test('is told with the time of the next try, and is no other error', async () => {
    await limited();
    const retryAt = Date.now() + 30_000;
    expect(hook.rateLimits).toEqual([{ event: 'subscribe:watchlist', message: error.message, retryAt }]);
    expect(hook.error).toBeNull();
  });

  test('is waited out once for all that was asked meanwhile', async () => {
    await limited();
    await does(() => hook.emit('subscribe:watchlist', ['TSLA']));
    await act(() => vi.advanceTimersByTimeAsync(29_000));
    expect(socket().take()).toEqual([]);
    await act(() => vi.advanceTimersByTimeAsync(1_000));
    expect(socket().take()).toEqual([['subscribe:watchlist', ['AAPL', 'TSLA']]]);
    expect(hook.rateLimits).toEqual([]);
  });

  test('ends with the connection: the handshake restores what was refused', async () => {
    await limited();
    await does(() => socket().drop());
    expect(hook.rateLimits).toEqual([]);
    let auth = {};
    await does(() => (auth = socket().admit('b')));
    expect(auth).toMatchObject({ subscriptions: { watchlist: ['AAPL'] } });
    await act(() => vi.advanceTimersByTimeAsync(60_000));
    expect(socket().take()).toEqual([]);
  });

  test('what is no longer wanted is not tried again', async () => {
    await limited();
    await does(() => hook.emit('unsubscribe:watchlist', ['AAPL']));
    await act(() => vi.advanceTimersByTimeAsync(30_000));
    expect(socket().take()).toEqual([]);
  });
});

test('the hook says what it needs', () => {
  const silenced = vi.spyOn(console, 'error').mockImplementation(() => {});
  expect(() => render(<Hook />)).toThrow('useWebSocketContext needs a WebSocketProvider above it');
  silenced.mockRestore();
});
