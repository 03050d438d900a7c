//! What falls due, in order.
//!
//! Deadlines are part of the state: whoever sets one moves or removes it when its cause is gone, so
//! nothing here ever fires in vain. `Engine::check` holds them against the state that they stand for.

use alloc::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{ConnId, RequestId};
use crate::publishing::Publisher;
use crate::time::Timestamp;

/// Why the engine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeadlineKind {
    /// The bus is probed.
    BusProbe,
    /// The bus owes an answer.
    BusRequest,
    /// A connection is congested for too long.
    Congested,
    /// A drain closes one connection.
    DrainClose,
    /// A drain closes what is left.
    DrainEnd,
    /// What the bus refused is handed over again.
    HandOver,
    /// A handshake waits too long for its CONNECT.
    Handshake,
    /// A log event is too old to be kept.
    History,
    /// A user without connections is forgotten.
    IdleUser,
    /// The lease for emitter messages is asked for.
    Intake,
    /// A client waits too long for its log.
    Resume,
    /// Sessions are looked after.
    SessionCheck,
    /// The session store owes an answer.
    SessionLookUp,
    /// Connection slots are renewed.
    SlotRenewal,
}

/// One thing that falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Due {
    Charge(RequestId),
    Check(RequestId),
    CheckSessions,
    Claim(RequestId),
    Congested(ConnId),
    DrainClose(ConnId),
    DrainEnd,
    Fetch(RequestId),
    HandOver,
    Lead,
    LookUp(RequestId),
    Probe,
    Publish(Publisher),
    Renew,
    Resume(ConnId),
    Share(RequestId),
}

impl Due {
    fn kind(self) -> DeadlineKind {
        match self {
            Self::Congested(_) => DeadlineKind::Congested,
            Self::DrainClose(_) => DeadlineKind::DrainClose,
            Self::DrainEnd => DeadlineKind::DrainEnd,
            Self::Charge(_)
            | Self::Claim(_)
            | Self::Fetch(_)
            | Self::Publish(_)
            | Self::Share(_) => DeadlineKind::BusRequest,
            Self::Check(_) | Self::LookUp(_) => DeadlineKind::SessionLookUp,
            Self::CheckSessions => DeadlineKind::SessionCheck,
            Self::HandOver => DeadlineKind::HandOver,
            Self::Lead => DeadlineKind::Intake,
            Self::Probe => DeadlineKind::BusProbe,
            Self::Renew => DeadlineKind::SlotRenewal,
            Self::Resume(_) => DeadlineKind::Resume,
        }
    }
}

/// Everything that falls due, but for the history's entries, which are in order by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deadlines {
    pub(crate) due: BTreeSet<(Timestamp, Due)>,
    /// Apart from the rest, since the oldest is also closed when there are too many.
    pub(crate) handshakes: BTreeSet<(Timestamp, ConnId)>,
    /// Users without connections, by number; apart for the same reason.
    pub(crate) idle_users: BTreeSet<(Timestamp, u32)>,
}

impl Deadlines {
    pub(crate) fn set(&mut self, at: Timestamp, due: Due) {
        self.due.insert((at, due));
    }

    /// What falls due first until `now`; what waits for the bus only if the driver `woke` the engine.
    pub(crate) fn first_due(&self, now: Timestamp, woke: bool) -> Option<(Timestamp, Due)> {
        self.due
            .iter()
            .take_while(|(at, _)| *at <= now)
            .find(|(_, due)| woke || due.kind() != DeadlineKind::BusRequest)
            .copied()
    }

    pub(crate) fn unset(&mut self, at: Timestamp, due: Due) {
        self.due.remove(&(at, due));
    }

    /// The first deadline of all, and why.
    pub(crate) fn next(&self) -> Option<(Timestamp, DeadlineKind)> {
        let due = self.due.first().map(|(at, due)| (*at, due.kind()));
        let handshake = self
            .handshakes
            .first()
            .map(|(at, _)| (*at, DeadlineKind::Handshake));
        let idle_user = self
            .idle_users
            .first()
            .map(|(at, _)| (*at, DeadlineKind::IdleUser));
        [due, handshake, idle_user].into_iter().flatten().min()
    }
}
