//! What happened: everything that the engine is told, as facts in the past tense.
//!
//! Inputs carry data only, so that they can be recorded and replayed. An input about a connection or
//! a request that is gone is a normal race and changes nothing.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bus::Slot;
use crate::event::{LogEntry, Publish, StateValue};
use crate::ids::{ConnId, RequestId, SessionId, SocketId, UserId};
use crate::parse::{Auth, ClientEvent};
use crate::time::WallTime;

/// A fact for the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The bus answered that it has appended, or that it could not.
    Appended {
        /// Which request.
        request: RequestId,
        /// What came of it.
        outcome: BusOutcome,
    },
    /// Contact with the bus was lost, or it is too slow to be of use.
    BusLost,
    /// The bus can be used, and what it tells arrives from here on; what it told before may have been
    /// missed.
    BusReached,
    /// The bus answered a charge.
    Charged {
        /// Which request.
        request: RequestId,
        /// What it said.
        verdict: ChargeVerdict,
    },
    /// The bus answered a claim.
    Claimed {
        /// Which request.
        request: RequestId,
        /// What it said.
        verdict: ClaimVerdict,
    },
    /// The transport is gone and nothing names this connection any more.
    Closed {
        /// Whose transport.
        conn: ConnId,
    },
    /// The CONNECT answer was sent: from here on the client can be sent events.
    Connected {
        /// Which connection.
        conn: ConnId,
    },
    /// A client sent CONNECT.
    ConnectRequested {
        /// Which connection.
        conn: ConnId,
        /// The socket id that the client will know it by.
        socket: SocketId,
        /// What the client says of itself.
        auth: Auth,
        /// The session id of a cookie with a good signature.
        cookie: Option<SessionId>,
    },
    /// The client left the namespace, or its transport ended.
    Disconnected {
        /// Which connection.
        conn: ConnId,
    },
    /// A second signal asked for the drain to end.
    DrainHurried,
    /// A signal asked this node to leave.
    DrainStarted {
        /// When, for the clients' eyes.
        wall: WallTime,
    },
    /// A message of a Socket.IO emitter was heard, whose items are well formed.
    Emitted {
        /// Its items; a client whom several of them concern gets the first.
        items: Vec<Publish>,
        /// When it came in.
        wall: WallTime,
    },
    /// The bus answered a question for current values.
    Fetched {
        /// Which request.
        request: RequestId,
        /// Those that exist; `None` when the bus could not answer.
        values: Option<Vec<StateValue>>,
    },
    /// A client asked for a transport session.
    HandshakeStarted {
        /// The id that the driver gave it.
        conn: ConnId,
    },
    /// The bus answered whether this node holds the lease for emitter messages.
    Led {
        /// Which request.
        request: RequestId,
        /// Whether it does; `None` when the bus could not answer.
        held: Option<bool>,
    },
    /// The bus delivered log events, in its order.
    LogArrived {
        /// The events.
        entries: Vec<LogEntry>,
    },
    /// Log events are missing between the last that arrived and the next.
    LogGap {
        /// Why.
        cause: GapCause,
    },
    /// The bus told of log events that came before this node listened, in its order.
    LogLoaded {
        /// The events.
        entries: Vec<LogEntry>,
    },
    /// The driver looked at one connection's outbox.
    OutboxMeasured {
        /// Which connection.
        conn: ConnId,
        /// What was handed over and not written yet.
        pending: Pending,
    },
    /// The driver looked at every outbox with something in it.
    OutboxesMeasured {
        /// Connections in the order of their ids; those not named have nothing pending.
        pending: Vec<(ConnId, Pending)>,
    },
    /// A publisher handed in a batch that is well formed.
    Published {
        /// The driver's number for it.
        request: RequestId,
        /// The batch, whole.
        items: Vec<Publish>,
        /// When it came in.
        wall: WallTime,
    },
    /// A client sent an event.
    Received {
        /// Which connection.
        conn: ConnId,
        /// Which event.
        event: ClientEvent,
        /// The acknowledgement that the client waits for, if it does.
        ack: Option<AckId>,
    },
    /// A session look-up was answered.
    SessionLookedUp {
        /// Which request.
        request: RequestId,
        /// What is known of the session.
        verdict: SessionVerdict,
    },
    /// The session store told which of the sessions asked for exist.
    SessionsChecked {
        /// Which request.
        request: RequestId,
        /// One answer for each session, in the order asked; `None` when the store could not be asked.
        present: Option<Vec<bool>>,
    },
    /// The bus answered that it has shared values, or that it could not.
    Shared {
        /// Which request.
        request: RequestId,
        /// What came of it.
        outcome: BusOutcome,
    },
    /// The bus tells that slots of this node's connections are no longer theirs.
    SlotsLost {
        /// Whose, which, and why.
        slots: Vec<(UserId, Slot, SlotLoss)>,
    },
    /// The bus delivered values of topics.
    StateArrived {
        /// The values, in the bus's order; at most [`crate::bus::ARRIVALS_MAX`].
        values: Vec<StateValue>,
        /// They are one publication: a client whom several of them concern gets the first.
        once: bool,
    },
    /// Values that the bus delivered were lost on their way here.
    StateMissed,
    /// The driver found that a transport cannot go on.
    TransportFailed {
        /// Whose.
        conn: ConnId,
        /// What it found.
        fault: TransportFault,
    },
    /// A deadline came.
    Woke,
}

/// What the bus says to a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChargeVerdict {
    /// Within the limit, and counted.
    Admitted,
    /// It could not be asked.
    Failed,
    /// Over the limit, and not counted.
    Refused {
        /// After how long the next one would be within it.
        wait: Duration,
    },
}

/// What the bus says to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimVerdict {
    /// It could not be asked.
    Failed,
    /// The user has as many connections as allowed.
    Full,
    /// The slot is the connection's.
    Granted,
    /// The user was admitted as often as allowed within a minute.
    TooOften,
}

/// Why a connection may not keep its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SlotLoss {
    /// Its user has too many connections, and this one is among the newest.
    Excess,
    /// Another connection of the same client took its place.
    Replaced,
}

/// Why log events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GapCause {
    /// The bus lost its data and began anew.
    DataLoss,
    /// The bus has forgotten what came after the last event that arrived.
    Trimmed,
}

/// Why a transport cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TransportFault {
    /// A packet found no room in the socket's buffer, which has room for all that the bounds allow.
    BufferFull,
    /// An event found no room in the driver's queue.
    Overloaded,
    /// A write waited for longer than a heartbeat may take.
    Stalled,
    /// The client goes on sending and does not take its answers.
    Unread,
}

/// A Socket.IO acknowledgement's number.
pub type AckId = i64;

/// What was handed over for one connection and is not written yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u32,
}

/// What the bus made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BusOutcome {
    /// Taken: it will be delivered as its kind promises.
    Done,
    /// Not taken, or not known to be.
    Failed,
}

/// What is known of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionVerdict {
    /// It exists and belongs to this user.
    Found {
        /// The session's user.
        user: UserId,
    },
    /// Sessions are not checked on this server: the client's word is taken.
    Trusted,
    /// The store could not be asked.
    Unavailable,
    /// It does not exist, has expired, or names no user.
    Unknown,
}
