//! What can be seen of a cluster from outside, in words that every level of simulation can give.
//!
//! Users, symbols, tabs, connections, nodes and payloads have dense numbers, which a simulation gives
//! out as it goes. A node's number is that of one life: a restart is another node. Nothing here judges.

use core::fmt;

use serde::{Deserialize, Serialize};
use tradewire_engine::ids::EventId;

macro_rules! dense {
    ($($(#[$doc:meta])* $name:ident $letter:literal)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u32);

        impl $name {
            /// The number as an index.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }
    )*};
}

dense! {
    /// One batch of a publisher, over all its attempts.
    Batch "b"
    /// One connection of one tab: another with every attempt.
    Conn "c"
    /// What one published item says, told from all others.
    Item "i"
    /// One life of one node.
    Node "n"
    /// A symbol.
    Symbol "s"
    /// A client's tab, over all its connections.
    Tab "t"
    /// A user.
    User "u"
}

/// A stream of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// For everyone.
    Market,
    /// Of one user.
    Portfolio(User),
    /// Of one symbol.
    Quote(Symbol),
}

impl Topic {
    /// A dense number for tables.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Market => 0,
            Self::Portfolio(user) => 1 + 2 * user.index(),
            Self::Quote(symbol) => 2 + 2 * symbol.index(),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Market => f.write_str("market"),
            Self::Portfolio(user) => write!(f, "portfolio({user})"),
            Self::Quote(symbol) => write!(f, "quote({symbol})"),
        }
    }
}

/// Where an item goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// The latest counts.
    State(Topic),
    /// Every one counts.
    Trade(User),
}

/// One item of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it says.
    pub item: Item,
    /// Where it goes.
    pub target: Target,
    /// The publisher gave it an id.
    pub keyed: bool,
}

/// What a publisher was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 202.
    Accepted {
        /// Values went to this node's clients only.
        degraded: bool,
    },
    /// 503, the node leaves.
    Draining,
    /// 503, to be tried again whole with the ids given.
    Unavailable,
}

/// Calls that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `subscribe:portfolio`
    Portfolio,
    /// `subscribe:trades`
    Trades,
    /// `subscribe:watchlist`
    Watchlist,
}

impl Call {
    /// A dense number.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Portfolio => 0,
            Self::Trades => 1,
            Self::Watchlist => 2,
        }
    }
}

/// Why CONNECT was answered with CONNECT_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many connections.
    TooMany,
    /// The session is not there.
    UnknownSession,
    /// Anything else.
    Other,
}

/// Where a tab wants its log resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It gave no `lastEventId`.
    No,
    /// After this event, which it handled.
    After(EventId),
    /// After something that no server has said to it.
    Forged,
}

/// How a connection ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server sent a DISCONNECT.
    Disconnected,
    /// The tab ended it.
    Own,
    /// The transport was closed.
    Transport,
}

/// What reached a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// A confirmation of a call, or of a subscription that was restored.
    Confirmed {
        /// Which.
        call: Call,
        /// Of a watchlist.
        symbols: Vec<Symbol>,
        /// It answers the handshake, not a call.
        restored: bool,
    },
    /// An `error` that ends the connection: too many connections.
    Excess,
    /// An `error` that ends the connection: its session is gone.
    SessionExpired,
    /// Any other `error`.
    Error,
    /// A call was refused.
    RateLimited {
        /// Which.
        call: Call,
    },
    /// `resume`
    Resumed {
        /// Everything later was sent.
        recovered: bool,
        /// How many were.
        replayed: u64,
        /// From where the client goes on.
        last: Option<EventId>,
    },
    /// `server:shutdown`
    Shutdown {
        /// When it will be closed.
        reconnect_in_ms: u64,
    },
    /// A trade.
    Trade {
        /// Its place in the log.
        id: EventId,
        /// What it says.
        item: Item,
    },
    /// A confirmation.
    Unsubscribed {
        /// From which.
        symbols: Vec<Symbol>,
    },
    /// A topic's value.
    Value {
        /// Whose.
        topic: Topic,
        /// What it says.
        item: Item,
    },
}

/// Something that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A server counts a client as one of its user's connections.
    Admitted(Conn),
    /// A publisher was answered.
    Answered {
        /// Which batch.
        batch: Batch,
        /// By which node.
        node: Node,
        /// What.
        answer: Answer,
    },
    /// A client made a call.
    Called {
        /// On which connection.
        conn: Conn,
        /// Which.
        call: Call,
        /// Which symbols.
        symbols: Vec<Symbol>,
    },
    /// The bus's own clock was set.
    ClockSet,
    /// A node says that it can use the bus, or cannot.
    Contact {
        /// Which node.
        node: Node,
        /// It can.
        reached: bool,
    },
    /// The bus lost everything that it kept.
    DataLost,
    /// A client sent CONNECT.
    Dialled {
        /// The connection.
        conn: Conn,
        /// Whose.
        tab: Tab,
        /// Whose.
        user: User,
        /// To which node.
        node: Node,
        /// From where it resumes.
        resume: Resume,
        /// Whose slot it takes.
        replaces: Option<Conn>,
    },
    /// An emitter sent a message; at most one node takes it in.
    Emitted {
        /// Its items, one for each room.
        offers: Vec<Offer>,
    },
    /// A connection ended, as its client saw it.
    Ended {
        /// Which.
        conn: Conn,
        /// How.
        how: Ended,
    },
    /// A client was let in, as it saw it.
    Entered(Conn),
    /// The way between a node and the bus is disturbed, or is so no more.
    Fault {
        /// Which node.
        node: Node,
        /// It begins.
        on: bool,
    },
    /// Something reached a client.
    Got(Conn, Got),
    /// A server counts a client no more.
    Left(Conn),
    /// The bus put a trade into the log.
    Logged {
        /// What it says.
        item: Item,
        /// Its place.
        id: EventId,
    },
    /// How much a node keeps.
    Memory {
        /// Which.
        node: Node,
        /// Log events kept for resume.
        history_bytes: u64,
        /// Pending to all connections.
        pending_bytes: u64,
    },
    /// A node's process is gone without a goodbye.
    NodeCrashed(Node),
    /// A node was asked to leave.
    NodeDraining {
        /// Which.
        node: Node,
        /// It was asked for the second time.
        hurried: bool,
    },
    /// A node has left.
    NodeExited(Node),
    /// A node began.
    NodeStarted(Node),
    /// A publisher handed a batch in.
    Offered {
        /// Which.
        batch: Batch,
        /// To which node.
        node: Node,
        /// What; the same with every attempt.
        offers: Vec<Offer>,
        /// How often it was handed in before.
        attempt: u32,
    },
    /// So much is pending to a connection beyond answers to its calls.
    Pending {
        /// Which.
        conn: Conn,
        /// Bytes.
        bytes: u64,
    },
    /// Nothing was wrong nor published for so long.
    Quiet {
        /// Milliseconds.
        for_ms: u64,
    },
    /// CONNECT was refused.
    Refused {
        /// Which.
        conn: Conn,
        /// Why.
        why: Refused,
    },
    /// A user's session ended, or is there again.
    Session {
        /// Whose.
        user: User,
        /// It is there.
        there: bool,
    },
    /// A client stops reading, or is cut off or gone without a word; or goes on.
    Stalled {
        /// Which.
        conn: Conn,
        /// It stops.
        on: bool,
    },
    /// A server sent something to a connection that it had ended.
    Stray(Conn),
    /// A server closes a connection that was congested for too long.
    TooSlow(Conn),
    /// The bus took a value: it is its topic's latest.
    Took {
        /// What it says.
        item: Item,
    },
    /// A publisher learned that its batch will not be answered: its connection ended.
    Unanswered(Batch),
    /// A client reads more slowly than it is sent, or sends more than it may.
    Unfit(Conn),
}
