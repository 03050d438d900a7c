//! Whether the bus can be used, and what follows when that changes.
//!
//! While it cannot, this node goes on by itself: values go to its own clients and are held for the bus
//! ([`crate::held`]), log events are refused, connections and calls are limited as far as this node
//! knows. A bus that leaves a request unanswered for [`Limits::bus_request_max`] cannot be used until
//! it answers a probe; nothing is asked of it in between.
//!
//! [`Limits::bus_request_max`]: crate::limits::Limits::bus_request_max

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bus::{BusRequest, FETCH_MAX};
use crate::deadlines::Due;
use crate::effect::{Asked, Effect, Effects, Note};
use crate::engine::{BusKind, Engine, Fetch};
use crate::event::Topic;
use crate::ids::RequestId;
use crate::time::Timestamp;

/// How this node and the bus stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contact {
    /// It was not reached since the start.
    #[default]
    Never,
    /// It can be used.
    Reached,
    /// It was reached before and cannot be used now.
    Lost,
}

/// The contact, and the questions that wait for it or are being gathered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) contact: Contact,
    /// When the contact was lost last.
    lost_at: Timestamp,
    /// When the bus is probed.
    pub(crate) probe_at: Option<Timestamp>,
    /// Topics to ask for anew, since their values may have been missed.
    pub(crate) refresh: VecDeque<Topic>,
    /// The question of the refresh that is not answered.
    pub(crate) refreshing: Option<RequestId>,
    /// The last request before the refresh: an answer to it or to an earlier one may be older than
    /// what was missed.
    refreshed: RequestId,
    /// Topics to ask for at the end of this input.
    pub(crate) gathered: Option<(RequestId, Vec<Topic>)>,
}

impl Link {
    pub(crate) fn new(kind: BusKind) -> Self {
        let contact = match kind {
            BusKind::Embedded => Contact::Reached,
            BusKind::Shared => Contact::Never,
        };
        Self {
            contact,
            lost_at: Timestamp::ZERO,
            probe_at: None,
            refresh: VecDeque::new(),
            refreshing: None,
            refreshed: RequestId::new(0),
            gathered: None,
        }
    }
}

impl Engine {
    pub(crate) fn is_reached(&self) -> bool {
        self.link.contact == Contact::Reached
    }

    /// Whether this node has yet to join the others.
    pub(crate) fn was_never_reached(&self) -> bool {
        self.config.bus == BusKind::Shared && self.link.contact == Contact::Never
    }

    /// Whether what is counted per user must be asked of the bus.
    pub(crate) fn asks_others(&self) -> bool {
        self.config.bus == BusKind::Shared && self.is_reached()
    }

    pub(crate) fn bus_lost(&mut self, effects: &mut Effects) {
        if !self.is_reached() {
            return;
        }
        self.link.contact = Contact::Lost;
        self.link.lost_at = self.now;
        effects.note(Note::BusLost);
        self.forget_fetches();
        self.stop_handing_over();
        self.fail_publishes(effects);
        self.stop_rounds();
        self.decide_claims(effects);
        self.decide_charges(effects);
        self.forget_misses();
        self.stop_intake(effects);
    }

    /// The bus left a request unanswered: it is not used until it answers a probe.
    pub(crate) fn bus_too_slow(&mut self, request: RequestId, effects: &mut Effects) {
        let asked = Asked::Bus;
        effects.note(Note::RequestTimedOut { request, asked });
        if self.is_reached() {
            self.bus_lost(effects);
            let at = self.now + self.config.limits.bus_request_max;
            self.link.probe_at = Some(at);
            self.deadlines.set(at, Due::Probe);
        }
    }

    pub(crate) fn probe(&mut self, effects: &mut Effects) {
        effects.push(Effect::Bus(BusRequest::Probe));
        // One that gets lost is followed by the next.
        let at = self.now + self.config.limits.bus_request_max;
        self.link.probe_at = Some(at);
        self.deadlines.set(at, Due::Probe);
    }

    pub(crate) fn bus_reached(&mut self, effects: &mut Effects) {
        if let Some(at) = self.link.probe_at.take() {
            self.deadlines.unset(at, Due::Probe);
        }
        let before = core::mem::replace(&mut self.link.contact, Contact::Reached);
        match before {
            Contact::Never => {
                let away = self.now.since(Timestamp::ZERO);
                effects.note(Note::BusReached { away });
                // The log is here as far as it goes, so that those whose event it has go on behind that. Of
                // the rest it is not known what was logged since they came.
                let resumed = self.resume_awaiting(effects);
                self.tell_gap(&resumed, effects);
            }
            Contact::Lost => {
                let away = self.now.since(self.link.lost_at);
                effects.note(Note::BusReached { away });
                self.release_all(effects);
            }
            Contact::Reached => {}
        }
        if before != Contact::Reached {
            // Nothing is left of an earlier contact, and an older dump may have been loaded since.
            self.retired_epochs.clear();
            // The log is read as far as it goes.
            for member in self.crowd.members_mut() {
                member.outbox.handled = None;
            }
        }
        self.refresh(effects);
        self.hand_over(effects);
        if before != Contact::Reached {
            self.hurry_renewals();
            self.start_rounds();
            self.start_intake(effects);
        }
    }

    /// Asks for every topic in which someone is interested: its value may have passed by unseen.
    pub(crate) fn refresh(&mut self, effects: &mut Effects) {
        let mut topics = VecDeque::new();
        topics.push_back(Topic::Market);
        for (_, user) in self.users.iter() {
            if user.idle_until.is_none() {
                topics.push_back(Topic::Portfolio(user.id.clone()));
            }
        }
        for (_, entry) in self.symbols.iter() {
            topics.push_back(Topic::Quote(entry.symbol.clone()));
        }
        topics.retain(|topic| {
            let Some(state) = self.topic_mut(topic) else {
                return false;
            };
            if state.fetch == Fetch::Never && state.value.is_none() {
                return false;
            }
            if state.fetch == Fetch::Answered || state.fetch == Fetch::Never {
                state.fetch = Fetch::Wanted;
            }
            state.missed = true;
            true
        });
        self.link.refresh = topics;
        self.link.refreshed = RequestId::new(self.last_request);
        self.pump_refresh(effects);
    }

    /// Whether a request was made before values were missed last.
    pub(crate) fn is_before_refresh(&self, request: RequestId) -> bool {
        request <= self.link.refreshed
    }

    /// Asks for the next topics of a refresh, one question at a time.
    pub(crate) fn pump_refresh(&mut self, effects: &mut Effects) {
        if !self.is_reached() || self.link.refreshing.is_some() {
            return;
        }
        let mut topics = Vec::new();
        let request = self.next_request();
        while topics.len() < FETCH_MAX
            && let Some(topic) = self.link.refresh.pop_front()
        {
            // Its value here is newer than the bus's, and is asked for once the bus has it.
            if self.held.get(&topic).is_some() {
                continue;
            }
            if let Some(state) = self.topic_mut(&topic)
                && state.fetch == Fetch::Wanted
            {
                state.fetch = Fetch::Asked(request);
                topics.push(topic);
            }
        }
        if !topics.is_empty() {
            self.link.refreshing = Some(request);
            self.ask(request, topics, effects);
        }
    }

    /// Asks the bus for a topic's current value, together with what else this input asks for.
    pub(crate) fn fetch(&mut self, topic: Topic, effects: &mut Effects) {
        let reached = self.is_reached();
        if !reached {
            if let Some(state) = self.topic_mut(&topic) {
                state.fetch = Fetch::Wanted;
            }
            return;
        }
        let request = match &self.link.gathered {
            Some((request, _)) => *request,
            None => self.next_request(),
        };
        if let Some(state) = self.topic_mut(&topic) {
            state.fetch = Fetch::Asked(request);
        }
        let (_, topics) = self
            .link
            .gathered
            .get_or_insert_with(|| (request, Vec::new()));
        topics.push(topic);
        if topics.len() >= FETCH_MAX {
            self.ask_gathered(effects);
        }
    }

    pub(crate) fn ask_gathered(&mut self, effects: &mut Effects) {
        if let Some((request, topics)) = self.link.gathered.take() {
            self.ask(request, topics, effects);
        }
    }

    fn ask(&mut self, request: RequestId, topics: Vec<Topic>, effects: &mut Effects) {
        let at = self.now + self.config.limits.bus_request_max;
        self.deadlines.set(at, Due::Fetch(request));
        self.fetches.insert(request, (at, topics.clone()));
        effects.push(Effect::Bus(BusRequest::Fetch { request, topics }));
    }

    /// Gives up on every question for values: they are asked again when the bus is back.
    fn forget_fetches(&mut self) {
        self.link.refresh.clear();
        self.link.refreshing = None;
        let fetches = core::mem::take(&mut self.fetches);
        for (request, (at, topics)) in fetches {
            self.deadlines.unset(at, Due::Fetch(request));
            for topic in topics {
                let Some(state) = self.topic_mut(&topic) else {
                    continue;
                };
                if state.fetch == Fetch::Asked(request) {
                    state.fetch = Fetch::Wanted;
                }
            }
        }
    }
}
