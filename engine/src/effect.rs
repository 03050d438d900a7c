//! What to do: everything that the engine orders, in the order in which it is to be done.
//!
//! Effects carry data only. A delivery shares one payload and names its recipients as a range of a
//! buffer that the caller owns and reuses, so that fan-out allocates nothing per recipient.

use alloc::vec::{self, Vec};
use core::ops::Range;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bus::BusRequest;
use crate::event::{LogKind, Payload, Topic};
use crate::ids::{ConnId, EventId, PublishId, RequestId, SessionId, Symbol, UserId};
use crate::input::{AckId, GapCause, Pending, SlotLoss};
use crate::reason::{Call, ClientError, CloseReason, Refusal, Unavailable};
use crate::time::WallTime;

/// An order to the driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Answer an event's acknowledgement.
    Acknowledge {
        /// To whom.
        conn: ConnId,
        /// Which acknowledgement.
        ack: AckId,
        /// What to say.
        answer: Control,
    },
    /// Answer CONNECT with yes.
    Admit {
        /// Whom.
        conn: ConnId,
    },
    /// Let a handshake go on.
    AllowHandshake {
        /// Which one.
        conn: ConnId,
    },
    /// Answer a publish.
    AnswerPublish {
        /// Which one.
        request: RequestId,
        /// What came of it.
        outcome: PublishOutcome,
    },
    /// Ask the bus.
    Bus(BusRequest),
    /// Ask the session store which of these exist, and answer with
    /// [`crate::input::Input::SessionsChecked`].
    CheckSessions {
        /// The request's name.
        request: RequestId,
        /// Which sessions; some may be named more than once.
        sessions: Vec<SessionId>,
    },
    /// End the transport without a Socket.IO DISCONNECT, once what was handed over is written, and
    /// after `flush` at the latest.
    Close {
        /// Whose.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
        /// How long to wait for what is pending; zero closes at once.
        flush: Duration,
    },
    /// Send an event to recipients.
    Deliver {
        /// What.
        message: Message,
        /// To whom: a range of [`Effects::recipients`].
        recipients: Range<u32>,
    },
    /// Send a Socket.IO DISCONNECT behind what was sent before: a stock client does not come back by
    /// itself.
    Disconnect {
        /// To whom.
        conn: ConnId,
    },
    /// Every client is gone, or the deadline came: the process may exit.
    Drained,
    /// Look a session up and answer with [`crate::input::Input::SessionLookedUp`].
    LookUpSession {
        /// The request's name.
        request: RequestId,
        /// Which session.
        session: SessionId,
    },
    /// Answer with [`crate::input::Input::OutboxMeasured`] before any other input.
    Measure {
        /// Whose outbox.
        conn: ConnId,
    },
    /// Answer with [`crate::input::Input::OutboxesMeasured`] before any other input.
    MeasureAll,
    /// Something that an operator may want to know; changes nothing.
    Note(Note),
    /// Answer CONNECT with CONNECT_ERROR.
    Refuse {
        /// Whom.
        conn: ConnId,
        /// Why.
        reason: Refusal,
    },
    /// Answer a handshake with HTTP 503.
    RefuseHandshake {
        /// Which one.
        conn: ConnId,
        /// Why.
        reason: Unavailable,
    },
    /// Nothing more will be said of this connection: its slot may be used again.
    Release {
        /// Which one.
        conn: ConnId,
    },
    /// Send a control message to one connection.
    Send {
        /// To whom.
        conn: ConnId,
        /// What to say.
        control: Control,
    },
    /// Answer with [`crate::input::Input::OutboxMeasured`] as soon as the outbox is at most this full.
    Watch {
        /// Whose outbox.
        conn: ConnId,
        /// Both must hold.
        at_most: Pending,
    },
}

/// An event on its way to clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// One of which every one counts.
    Log {
        /// Its place in the log, delivered as `eventId`.
        id: EventId,
        /// Which event.
        kind: LogKind,
        /// What it says.
        payload: Payload,
    },
    /// A value of a topic.
    State {
        /// Which topic.
        topic: Topic,
        /// What it says.
        payload: Payload,
    },
}

impl Message {
    /// What it says.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        match self {
            Self::Log { payload, .. } | Self::State { payload, .. } => payload,
        }
    }
}

/// What one connection is told about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// `error`, or a negative acknowledgement.
    Error(ClientError),
    /// `resume`: what became of the `lastEventId` given.
    Resumed {
        /// Whether every later event was sent.
        recovered: bool,
        /// How many were sent again.
        replayed: u64,
        /// From where the client goes on.
        last: Option<EventId>,
    },
    /// `server:shutdown`.
    Shutdown {
        /// When the drain began.
        wall: WallTime,
        /// When this connection will be closed, in milliseconds from now.
        reconnect_in_ms: u64,
    },
    /// `subscription:confirmed`.
    Subscribed {
        /// To what.
        call: Call,
        /// The symbols, for a watchlist.
        symbols: Vec<Symbol>,
    },
    /// `unsubscription:confirmed`, for a watchlist.
    Unsubscribed {
        /// The symbols.
        symbols: Vec<Symbol>,
    },
}

/// What came of a publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublishOutcome {
    /// Delivered as its kind promises; the ids are those given or assigned, one an item.
    Accepted {
        /// Idempotency keys in the batch's order.
        ids: Vec<PublishId>,
        /// Values were delivered to this node's clients only; the bus gets the newest when it is back.
        degraded: bool,
    },
    /// Not taken: this node is leaving.
    Draining,
    /// Not known to be taken: to be retried whole with these ids.
    Unavailable {
        /// Idempotency keys in the batch's order.
        ids: Vec<PublishId>,
    },
}

/// What was decided, for logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// A client is in.
    Admitted {
        /// Which connection.
        conn: ConnId,
        /// Whose.
        user: UserId,
    },
    /// The bus cannot be used: this node goes on by itself.
    BusLost,
    /// The bus can be used.
    BusReached {
        /// For how long it could not.
        away: Duration,
    },
    /// A transport is being closed.
    Closing {
        /// Which connection.
        conn: ConnId,
        /// Whose, if it was admitted.
        user: Option<UserId>,
        /// Why.
        reason: CloseReason,
    },
    /// An outbox is over its bound.
    Congested {
        /// Whose.
        conn: ConnId,
        /// How much is pending.
        pending: Pending,
    },
    /// A value was replaced by a newer one before a congested connection got it.
    Conflated {
        /// Whose outbox.
        conn: ConnId,
        /// Which topic.
        topic: Topic,
    },
    /// A client that was in is gone, and not because the server closed it.
    Disconnected {
        /// Which connection.
        conn: ConnId,
        /// Whose.
        user: UserId,
    },
    /// Messages of an emitter were dropped: the lease or the bus was lost meanwhile.
    EmittedLost {
        /// How many items.
        items: u32,
    },
    /// The node is leaving.
    Draining {
        /// How many clients were told.
        told: u32,
    },
    /// Values that were held were taken by the bus.
    HandedOver {
        /// How many.
        values: u32,
    },
    /// A handshake was turned away.
    HandshakeRefused {
        /// Why.
        reason: Unavailable,
    },
    /// A value was delivered to this node's clients and is held for the bus.
    Held {
        /// Of which topic.
        topic: Topic,
    },
    /// Too many users without a connection: the one whose rate windows are empty soonest was forgotten.
    IdleUserForgotten,
    /// This node began or ceased to take in emitter messages.
    Intake {
        /// It began.
        on: bool,
    },
    /// Log events are missing; whom it concerns was told.
    LogGap {
        /// Why.
        cause: GapCause,
        /// How many clients were told.
        told: u32,
    },
    /// A call was over its limit.
    RateLimited {
        /// Which connection.
        conn: ConnId,
        /// Whose.
        user: UserId,
        /// Which call.
        call: Call,
    },
    /// A CONNECT was turned away.
    Refused {
        /// Which connection.
        conn: ConnId,
        /// Why.
        reason: Refusal,
    },
    /// No answer came in time.
    RequestTimedOut {
        /// Which request.
        request: RequestId,
        /// Of whom it was asked.
        asked: Asked,
    },
    /// A resume was answered.
    Resumed {
        /// Which connection.
        conn: ConnId,
        /// Whether every later event was sent.
        recovered: bool,
        /// How many were sent again.
        replayed: u64,
    },
    /// A member's session is gone.
    SessionGone {
        /// Which connection.
        conn: ConnId,
        /// Whose.
        user: UserId,
    },
    /// A connection may not keep its slot.
    SlotLost {
        /// Which connection.
        conn: ConnId,
        /// Whose.
        user: UserId,
        /// Why.
        loss: SlotLoss,
    },
    /// A value older than what is held was dropped.
    StaleState {
        /// Which topic.
        topic: Topic,
    },
    /// The outbox is under its bound again, and nothing is owed.
    Uncongested {
        /// Whose.
        conn: ConnId,
    },
}

/// Who owes an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Asked {
    /// The bus.
    Bus,
    /// The session store.
    Sessions,
}

/// The buffer into which the engine writes; the caller owns and reuses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    list: Vec<Effect>,
    recipients: Vec<ConnId>,
}

impl Effects {
    /// Makes an empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.recipients.clear();
    }

    /// The orders, in order.
    #[must_use]
    pub fn list(&self) -> &[Effect] {
        &self.list
    }

    /// The connections named by a delivery's range.
    #[must_use]
    pub fn recipients(&self, range: &Range<u32>) -> &[ConnId] {
        self.recipients
            .get(range.start as usize..range.end as usize)
            .unwrap_or(&[])
    }

    /// Takes the orders out, in order, beside all the connections that their ranges name.
    pub fn drain(&mut self) -> (vec::Drain<'_, Effect>, &[ConnId]) {
        (self.list.drain(..), &self.recipients)
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.list.push(Effect::Note(note));
    }

    /// Where the next delivery's recipients begin.
    pub(crate) fn recipients_begin(&self) -> u32 {
        u32::try_from(self.recipients.len()).unwrap_or(u32::MAX)
    }

    /// Everyone whom a delivery of this input named so far.
    pub(crate) fn all_recipients(&self) -> impl Iterator<Item = ConnId> {
        self.recipients.iter().copied()
    }

    pub(crate) fn recipient(&mut self, conn: ConnId) {
        self.recipients.push(conn);
    }

    /// Orders `message` for the recipients named since `begin`, if there are any.
    pub(crate) fn deliver_since(&mut self, begin: u32, message: Message) {
        let end = self.recipients_begin();
        if end > begin {
            self.list.push(Effect::Deliver {
                message,
                recipients: begin..end,
            });
        }
    }
}
