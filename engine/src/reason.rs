//! Why something was refused, closed or told, with the contract's words for each.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::input::TransportFault;

/// Why a CONNECT gets CONNECT_ERROR: what will not pass by itself, since a stock client gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Refusal {
    /// Neither `auth.sessionID` nor a signed cookie.
    NoSession,
    /// The server takes the client's word for the user, and the client gave none.
    NoUser,
    /// `auth.userId` is too long or not text.
    MalformedUser,
    /// The session does not exist or has expired.
    UnknownSession,
    /// `auth.userId` is not the session's user.
    UserMismatch,
    /// The user has as many connections as allowed.
    TooManyConnections {
        /// How many that is.
        max: u32,
    },
}

impl Refusal {
    /// The message that the client sees.
    #[must_use]
    pub fn message(self) -> String {
        match self {
            Self::NoSession => "Authentication required: No session ID provided".into(),
            Self::NoUser => "Authentication failed: No user ID provided".into(),
            Self::MalformedUser => "Authentication failed: Invalid user ID".into(),
            Self::UnknownSession => "Authentication failed: Invalid or expired session".into(),
            Self::UserMismatch => "Authentication failed: User does not match session".into(),
            Self::TooManyConnections { max } => format!("Too many connections (max {max})"),
        }
    }

    /// A short name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSession => "no_session",
            Self::NoUser => "no_user",
            Self::MalformedUser => "malformed_user",
            Self::UnknownSession => "unknown_session",
            Self::UserMismatch => "user_mismatch",
            Self::TooManyConnections { .. } => "too_many_connections",
        }
    }
}

/// Why a handshake gets HTTP 503: it will pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Unavailable {
    /// As many clients as allowed are on their way in.
    Busy,
    /// This node is leaving.
    Draining,
    /// The node has as many connections as allowed.
    Full,
}

impl Unavailable {
    /// After how long a client or publisher should come back.
    #[must_use]
    pub fn retry_after(self) -> Duration {
        match self {
            // By then a balancer has taken the node out, or its successor listens.
            Self::Draining => Duration::from_secs(1),
            Self::Full => Duration::from_secs(5),
            // As long as an admission counts, and then some.
            Self::Busy => Duration::from_secs(2),
        }
    }

    /// A short name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Full => "full",
        }
    }
}

/// Why a transport is closed without a Socket.IO DISCONNECT: a stock client comes back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CloseReason {
    /// A packet found no room in the socket's buffer.
    BufferFull,
    /// Its user was admitted too often within a minute.
    ConnectRate,
    /// The node is leaving.
    Draining,
    /// Too many events in too short a time.
    Flood,
    /// The client left the namespace, and a transport serves one.
    Left,
    /// No CONNECT within the time allowed.
    HandshakeTimeout,
    /// Too many handshakes wait for their CONNECT, and this is the oldest.
    HandshakesFull,
    /// The node had no room for one of its events.
    Overloaded,
    /// Another connection of the same client took its place.
    Replaced,
    /// Its session is gone.
    SessionExpired,
    /// The session store did not answer in time.
    SessionStore,
    /// Congested for too long.
    SlowTime,
    /// Congested, and owed too many log events or answers.
    SlowLog,
    /// All outboxes together are too large, and this one is the largest.
    SlowTotal,
    /// It took nothing for as long as a heartbeat may take.
    Stalled,
    /// Its user had too many connections in the cluster, and this was among the newest.
    TooManyConnections,
    /// It went on sending and did not take its answers.
    Unread,
}

impl From<TransportFault> for CloseReason {
    fn from(fault: TransportFault) -> Self {
        match fault {
            TransportFault::BufferFull => Self::BufferFull,
            TransportFault::Overloaded => Self::Overloaded,
            TransportFault::Stalled => Self::Stalled,
            TransportFault::Unread => Self::Unread,
        }
    }
}

impl CloseReason {
    /// A short name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::ConnectRate => "connect_rate",
            Self::Draining => "draining",
            Self::Flood => "flood",
            Self::Left => "left",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakesFull => "handshakes_full",
            Self::Overloaded => "overloaded",
            Self::Replaced => "replaced",
            Self::SessionExpired => "session_expired",
            Self::SessionStore => "session_store",
            Self::SlowTime => "slow_time",
            Self::SlowLog => "slow_log",
            Self::SlowTotal => "slow_total",
            Self::Stalled => "stalled",
            Self::TooManyConnections => "too_many_connections",
            Self::Unread => "unread",
        }
    }
}

/// The calls whose number is limited per user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Call {
    /// `subscribe:portfolio`
    Portfolio,
    /// `subscribe:trades`
    Trades,
    /// `subscribe:watchlist`
    Watchlist,
}

impl Call {
    /// Its place among the calls, counted from 0.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Portfolio => 0,
            Self::Trades => 1,
            Self::Watchlist => 2,
        }
    }

    /// The client's event.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Self::Portfolio => "subscribe:portfolio",
            Self::Trades => "subscribe:trades",
            Self::Watchlist => "subscribe:watchlist",
        }
    }

    /// The word that confirmations carry as `type`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Portfolio => "portfolio",
            Self::Trades => "trades",
            Self::Watchlist => "watchlist",
        }
    }
}

/// What an `error` event or a negative acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ClientError {
    /// `auth.subscriptions` could not be read, or asks for too much.
    InvalidSubscriptions,
    /// A symbol list that is missing, empty, too long, or has a bad symbol.
    InvalidSymbols,
    /// Too many calls of one kind.
    RateLimited {
        /// Which kind.
        call: Call,
        /// After how many milliseconds the next one will be admitted.
        retry_after_ms: u64,
    },
    /// The client's session is gone; it is disconnected next.
    SessionExpired,
    /// The user has more connections than allowed, and this one is disconnected next.
    TooManyConnections {
        /// How many are allowed.
        max: u32,
    },
    /// Too many events in too short a time; the transport is closed next.
    TooManyEvents,
    /// No such event; told only to a client that waits for an acknowledgement.
    UnknownEvent,
}

impl ClientError {
    /// The message that the client sees.
    #[must_use]
    pub fn message(self) -> Cow<'static, str> {
        let text = match self {
            Self::InvalidSubscriptions => "Invalid subscriptions",
            Self::InvalidSymbols => "Invalid symbols array",
            Self::RateLimited {
                call: Call::Portfolio,
                ..
            } => "Rate limit exceeded for portfolio subscription",
            Self::RateLimited {
                call: Call::Trades, ..
            } => "Rate limit exceeded for trade subscription",
            Self::RateLimited {
                call: Call::Watchlist,
                ..
            } => "Rate limit exceeded for watchlist subscription",
            Self::SessionExpired => "Session expired",
            Self::TooManyConnections { max } => {
                return Cow::Owned(Refusal::TooManyConnections { max }.message());
            }
            Self::TooManyEvents => "Too many events",
            Self::UnknownEvent => "Unknown event",
        };
        Cow::Borrowed(text)
    }
}
