//! One connection's life, as data: an enum of stages, each holding only what it needs.
//!
//! Handshaking → looking up → claiming → admitted → leaving. What moves a connection on is in the modules named
//! for it; here is only what it is.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bus::Slot;
use crate::ids::{ConnId, RequestId, SessionId, SocketId, UserId};
use crate::input::AckId;
use crate::outbox::Outbox;
use crate::parse::{Auth, ClientEvent, InvalidSubscriptions, LastEventId, Subscriptions};
use crate::rate::Bucket;
use crate::reason::Call;
use crate::sessions::Watched;
use crate::time::Timestamp;

/// A transport session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    /// Until when it must be admitted; a refused CONNECT does not move it.
    pub(crate) handshake_until: Timestamp,
    /// How many CONNECTs it sent.
    pub(crate) connects: u32,
    pub(crate) stage: Stage,
}

/// CONNECTs that one transport may send: a stock client sends one. Over it: closed.
pub(crate) const CONNECTS_MAX: u32 = 10;

/// How far a connection has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// No CONNECT yet, or the last one was refused.
    Handshaking,
    /// CONNECT waits for its session.
    LookingUp(Box<LookUp>),
    /// CONNECT waits for a connection slot.
    Claiming(Box<Claiming>),
    /// CONNECT was answered with yes.
    Admitted(Box<Member>),
    /// The transport is being closed; nothing more is said to it.
    Leaving,
}

/// A CONNECT that waits for its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LookUp {
    pub(crate) request: RequestId,
    pub(crate) until: Timestamp,
    pub(crate) socket: SocketId,
    pub(crate) session: SessionId,
    pub(crate) auth: Auth,
}

/// A CONNECT that waits for a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claiming {
    pub(crate) request: RequestId,
    pub(crate) until: Timestamp,
    pub(crate) entrant: Entrant,
}

/// A client whose user is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entrant {
    pub(crate) user: UserId,
    pub(crate) socket: SocketId,
    pub(crate) session: SessionId,
    /// Whether its session was looked up, and is looked after.
    pub(crate) watched: bool,
    pub(crate) auth: Auth,
}

impl Entrant {
    pub(crate) fn slot(&self) -> Slot {
        Slot::new(self.socket.clone(), &self.session)
    }
}

/// A client that is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Its user's number.
    pub(crate) user: u32,
    pub(crate) socket: SocketId,
    pub(crate) session: SessionId,
    pub(crate) admitted_at: Timestamp,
    /// Set if its session is looked after.
    pub(crate) watched: Option<Watched>,
    pub(crate) life: Life,
    pub(crate) portfolio: bool,
    pub(crate) trades: bool,
    /// Symbols held, by symbol number, each with this connection's place in the symbol's list.
    pub(crate) watches: Vec<Watch>,
    /// Which calls were made on this connection: the first of each is always admitted.
    pub(crate) called: [bool; 3],
    pub(crate) events: Bucket,
    /// Set while a call waits for the bus; what the client sends after it waits behind it.
    pub(crate) waiting: Option<Box<Waiting>>,
    pub(crate) outbox: Outbox,
}

/// A call that waits for the bus to count it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) request: RequestId,
    pub(crate) until: Timestamp,
    pub(crate) call: Call,
    pub(crate) event: ClientEvent,
    pub(crate) ack: Option<AckId>,
    pub(crate) behind: VecDeque<(ClientEvent, Option<AckId>)>,
}

/// Events that may wait behind a call. Over it: closed as a flood.
pub(crate) const WAITING_MAX: usize = 32;

/// Whether a member can be sent events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    /// Its CONNECT answer is on the way; what it asked for in the handshake waits.
    Entering(Box<Wishes>),
    /// It can be sent events.
    Live {
        /// Its place in the list of all live members.
        place: u32,
        /// When a drain will close it.
        drains_at: Option<Timestamp>,
    },
}

/// What a handshake asked for beyond being admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wishes {
    pub(crate) last_event: LastEventId,
    pub(crate) subscriptions: Option<Result<Subscriptions, InvalidSubscriptions>>,
}

/// One symbol that a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    pub(crate) symbol: u32,
    pub(crate) place: u32,
}

impl Connection {
    pub(crate) fn member(&self) -> Option<&Member> {
        match &self.stage {
            Stage::Admitted(member) => Some(member),
            Stage::Handshaking | Stage::LookingUp(_) | Stage::Claiming(_) | Stage::Leaving => None,
        }
    }

    pub(crate) fn member_mut(&mut self) -> Option<&mut Member> {
        match &mut self.stage {
            Stage::Admitted(member) => Some(member),
            Stage::Handshaking | Stage::LookingUp(_) | Stage::Claiming(_) | Stage::Leaving => None,
        }
    }
}

impl Member {
    pub(crate) fn slot(&self) -> Slot {
        Slot::new(self.socket.clone(), &self.session)
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.life, Life::Live { .. })
    }
}
