//! Short constructors for what tests are about.

use tradewire_engine::event::{
    LogEntry, LogKind, Payload, Publish, StateValue, Target, Topic, Version,
};
use tradewire_engine::ids::{
    ConnId, Epoch, EventId, PublishId, SessionId, SocketId, Symbol, UserId,
};
use tradewire_engine::input::Pending;
use tradewire_engine::parse::{
    Auth, ClientEvent, InvalidSubscriptions, InvalidSymbols, LastEventId, Subscriptions, UserClaim,
};

/// The epoch of the embedded bus in tests.
pub(crate) const EPOCH: Epoch = Epoch::new(0xe);

/// The `slot`th connection, its slot used for the first time.
pub(crate) fn c(slot: u32) -> ConnId {
    ConnId::new(slot, 0)
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn session(id: &str) -> SessionId {
    SessionId::new(id).unwrap()
}

pub(crate) fn symbols(names: &[&str]) -> Vec<Symbol> {
    names
        .iter()
        .map(|name| Symbol::new(name).unwrap())
        .collect()
}

/// `count` different symbols.
pub(crate) fn many_symbols(count: usize) -> Vec<Symbol> {
    (0..count)
        .map(|number| Symbol::new(&format!("S{number:04}")).unwrap())
        .collect()
}

pub(crate) fn pending(bytes: u64, packets: u32) -> Pending {
    Pending { bytes, packets }
}

/// What a handshake says; by default a session and user of that name.
pub(crate) fn hello(name: &str) -> Auth {
    Auth {
        session: Some(session(&format!("s-{name}"))),
        user: UserClaim::Claimed(user(name)),
        ..Auth::default()
    }
}

/// Additions to a handshake.
pub(crate) trait With: Sized {
    fn session_of(self, id: &str) -> Self;
    fn replacing(self, conn: ConnId) -> Self;
    fn resuming(self, id: EventId) -> Self;
    fn restoring(self, portfolio: bool, trades: bool, watchlist: &[&str]) -> Self;
    fn restoring_garbage(self) -> Self;
}

impl With for Auth {
    fn session_of(mut self, id: &str) -> Self {
        self.session = Some(session(id));
        self
    }

    fn replacing(mut self, conn: ConnId) -> Self {
        self.replaces = Some(socket(conn));
        self
    }

    fn resuming(mut self, id: EventId) -> Self {
        self.last_event_id = LastEventId::Given(Some(id));
        self
    }

    fn restoring(mut self, portfolio: bool, trades: bool, watchlist: &[&str]) -> Self {
        let watchlist = symbols(watchlist);
        self.subscriptions = Some(Ok(Subscriptions {
            portfolio,
            trades,
            watchlist,
        }));
        self
    }

    fn restoring_garbage(mut self) -> Self {
        self.subscriptions = Some(Err(InvalidSubscriptions));
        self
    }
}

/// The socket id under which a connection's client knows it.
pub(crate) fn socket(conn: ConnId) -> SocketId {
    SocketId::new(&format!("socket-{conn}")).unwrap()
}

pub(crate) fn watch(names: &[&str]) -> ClientEvent {
    ClientEvent::SubscribeWatchlist(Ok(symbols(names)))
}

pub(crate) fn unwatch(names: &[&str]) -> ClientEvent {
    ClientEvent::UnsubscribeWatchlist(Ok(symbols(names)))
}

pub(crate) fn bad_watch() -> ClientEvent {
    ClientEvent::SubscribeWatchlist(Err(InvalidSymbols))
}

pub(crate) fn quote_of(name: &str) -> Topic {
    Topic::Quote(Symbol::new(name).unwrap())
}

pub(crate) fn portfolio_of(name: &str) -> Topic {
    Topic::Portfolio(user(name))
}

/// A value to publish.
pub(crate) fn value(topic: Topic, text: &str) -> Publish {
    Publish {
        id: None,
        target: Target::State(topic),
        payload: Payload::new(text),
    }
}

pub(crate) fn quote(name: &str, text: &str) -> Publish {
    value(quote_of(name), text)
}

pub(crate) fn portfolio(name: &str, text: &str) -> Publish {
    value(portfolio_of(name), text)
}

pub(crate) fn market(text: &str) -> Publish {
    value(Topic::Market, text)
}

/// A trade to publish.
pub(crate) fn trade(name: &str, text: &str) -> Publish {
    let target = Target::Log {
        kind: LogKind::TradeExecuted,
        user: user(name),
    };
    Publish {
        id: None,
        target,
        payload: Payload::new(text),
    }
}

pub(crate) fn failed_trade(name: &str, text: &str) -> Publish {
    let target = Target::Log {
        kind: LogKind::TradeFailed,
        user: user(name),
    };
    Publish {
        id: None,
        target,
        payload: Payload::new(text),
    }
}

/// An idempotency key.
pub(crate) fn key(id: &str) -> PublishId {
    PublishId::new(id).unwrap()
}

/// The same item under an idempotency key.
pub(crate) fn keyed(item: Publish, id: &str) -> Publish {
    Publish {
        id: Some(key(id)),
        ..item
    }
}

/// The id of a log event of the test epoch.
pub(crate) fn event(ms: u64, seq: u64) -> EventId {
    EventId {
        epoch: EPOCH,
        ms,
        seq,
    }
}

/// A log event as the bus brings it.
pub(crate) fn entry(name: &str, id: EventId, text: &str) -> LogEntry {
    LogEntry {
        id,
        kind: LogKind::TradeExecuted,
        user: user(name),
        payload: Payload::new(text),
    }
}

/// A value as the bus brings it.
pub(crate) fn versioned(topic: Topic, (epoch, counter): (u64, u64), text: &str) -> StateValue {
    let version = Version {
        epoch: Epoch::new(epoch),
        counter,
    };
    StateValue {
        topic,
        version,
        payload: Payload::new(text),
    }
}
