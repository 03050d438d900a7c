//! Messages of Socket.IO emitters: taken in by one node at a time, the one that holds the lease.
//!
//! A node trusts its lease only for as long as the bus cannot have given it to another, counted from
//! when it asked; so a message that two nodes hear is taken in by one of them at most.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bus::BusRequest;
use crate::deadlines::Due;
use crate::effect::{Effect, Effects, Note};
use crate::engine::Engine;
use crate::event::Publish;
use crate::ids::RequestId;
use crate::publishing::Publisher;
use crate::time::{Timestamp, WallTime};

/// How long the bus keeps the lease.
pub const INTAKE_LEASE: Duration = Duration::from_secs(5);

/// How often every node asks for it.
const ASK_EVERY: Duration = Duration::from_millis(1_500);

/// How this node stands to the lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intake {
    /// Until when the lease is this node's.
    held_until: Option<Timestamp>,
    /// The question on its way, and when it was asked.
    asked: Option<(RequestId, Timestamp)>,
    /// When to ask next.
    pub(crate) ask_at: Option<Timestamp>,
}

impl Engine {
    pub(crate) fn start_intake(&mut self, effects: &mut Effects) {
        if self.asks_others() && self.drain.is_none() {
            self.ask_for_intake(effects);
        }
    }

    /// Asks for the lease, or to keep it. A question without an answer is asked again.
    pub(crate) fn ask_for_intake(&mut self, effects: &mut Effects) {
        let request = self.next_request();
        self.intake.asked = Some((request, self.now));
        let at = self.now + ASK_EVERY;
        self.intake.ask_at = Some(at);
        self.deadlines.set(at, Due::Lead);
        effects.push(Effect::Bus(BusRequest::Lead { request }));
    }

    pub(crate) fn led(&mut self, request: RequestId, held: Option<bool>, effects: &mut Effects) {
        let Some((_, asked_at)) = self.intake.asked.take_if(|(asked, _)| *asked == request) else {
            return;
        };
        let before = self.intake.held_until.is_some();
        match held {
            Some(true) => self.intake.held_until = Some(asked_at + INTAKE_LEASE),
            Some(false) => self.intake.held_until = None,
            None => return,
        }
        let on = self.intake.held_until.is_some();
        if on != before {
            effects.note(Note::Intake { on });
            effects.push(Effect::Bus(BusRequest::Listen { on }));
        }
    }

    pub(crate) fn emitted(&mut self, items: Vec<Publish>, wall: WallTime, effects: &mut Effects) {
        let held = self.intake.held_until.is_some_and(|until| self.now < until);
        if !held || self.drain.is_some() {
            let items = u32::try_from(items.len()).unwrap_or(u32::MAX);
            effects.note(Note::EmittedLost { items });
            return;
        }
        let publisher = Publisher::Emitter(self.next_request());
        self.publish(publisher, items, wall, effects);
    }

    /// The bus is lost, or this node leaves: another may have the lease when it ends.
    pub(crate) fn stop_intake(&mut self, effects: &mut Effects) {
        if let Some(at) = self.intake.ask_at {
            self.deadlines.unset(at, Due::Lead);
        }
        let intake = core::mem::take(&mut self.intake);
        if intake.held_until.is_some() {
            effects.note(Note::Intake { on: false });
            effects.push(Effect::Bus(BusRequest::Listen { on: false }));
        }
    }
}
