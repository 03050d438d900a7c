//! Socket.IO clients that behave as stock ones do.
//!
//! Written from what `socket.io-client` 4.8 does, not from what our server expects: what it would do
//! wrong, these do wrong too. A client is a task on a host that it shares with others; it is
//! told what its page or its user does through [`Command`]s and tells what it saw to the journal.

mod backoff;
mod engine;
mod packet;
mod polling;
mod session;
mod transport;
mod websocket;

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

pub(crate) use session::Session;

/// Which transports a client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportChoice {
    /// A websocket from the start, as `transports: ['websocket']`.
    Websocket,
    /// Long polling alone, as `transports: ['polling']`.
    Polling,
    /// Long polling, then a websocket: the default.
    Upgrade,
}

/// One of the events that clients emit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `subscribe:portfolio`.
    Portfolio,
    /// `subscribe:trades`.
    Trades,
    /// `subscribe:watchlist` of these symbols.
    Watch(Vec<String>),
    /// `unsubscribe:watchlist` of these symbols.
    Unwatch(Vec<String>),
}

impl Call {
    /// The event's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Portfolio => "subscribe:portfolio",
            Self::Trades => "subscribe:trades",
            Self::Watch(_) => "subscribe:watchlist",
            Self::Unwatch(_) => "unsubscribe:watchlist",
        }
    }

    /// The JSON of its argument, empty without one.
    #[must_use]
    pub fn payload(&self) -> String {
        match self {
            Self::Portfolio | Self::Trades => String::new(),
            Self::Watch(symbols) | Self::Unwatch(symbols) => json!(symbols).to_string(),
        }
    }
}

/// Who a client is, and what its page does by itself.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What it is called in the log.
    pub name: String,
    /// `auth.userId`.
    pub user: String,
    /// `auth.sessionID`.
    pub session: String,
    /// How it connects.
    pub transport: TransportChoice,
    /// Whether its `auth` carries `subscriptions`, `lastEventId` and `replaces`, so that a reconnect is
    /// seamless. Otherwise it emits what it wants on each connect.
    pub resumes: bool,
    /// What it wants from the beginning.
    pub wants: Vec<Call>,
    /// When it first connects, after it was added.
    pub after: Duration,
    /// Decides its waits and which node it goes to.
    pub seed: u64,
}

/// What the page or its user does.
#[derive(Clone, Debug)]
pub enum Command {
    /// Emits an event with an acknowledgement callback.
    Emit(Call),
    /// Reads, answers and does nothing for a while, as a frozen page.
    Stall(Duration),
    /// `socket.connect()`, after what a client does not come back from by itself.
    Connect,
    /// `socket.disconnect()`, for good.
    Stop,
    /// Finds itself on another network: its connection is gone without a word, and it knows.
    Roam,
    /// Is gone without a word, for good.
    Vanish,
}

/// Tells one client what to do.
#[derive(Clone, Debug)]
pub struct Remote(mpsc::UnboundedSender<Command>);

impl Remote {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Has the client do it, in its next tick. A client that is gone does nothing.
    pub fn tell(&self, command: Command) {
        // Whoever is gone for good has dropped the other end.
        let _ = self.0.send(command);
    }
}
