//! The shared bus, as simply as possible: what it knows, and what it says to the node.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tradewire_engine::Input;
use tradewire_engine::bus::{ARRIVALS_MAX, BusRequest, LogPublish, Slot, StatePublish};
use tradewire_engine::event::{LogEntry, StateValue, Topic, Version};
use tradewire_engine::ids::{Epoch, EventId, PublishId, UserId};
use tradewire_engine::input::{BusOutcome, ChargeVerdict, ClaimVerdict, GapCause, SlotLoss};
use tradewire_engine::limits::Limits;
use tradewire_engine::reason::Call;
use tradewire_engine::time::Timestamp;

/// What the bus knows.
pub(crate) struct Cluster {
    limits: Limits,
    epoch: u64,
    counter: u64,
    values: BTreeMap<Topic, StateValue>,
    ids: BTreeSet<PublishId>,
    /// The log of this life.
    pub(crate) log: Vec<LogEntry>,
    seq: u64,
    /// Slots by user, each with when it was taken, in all and when it was renewed last.
    pub(crate) slots: BTreeMap<UserId, Vec<(Slot, u64, Timestamp)>>,
    replaced: BTreeSet<Slot>,
    claims: u64,
    calls: BTreeMap<(UserId, Call), Vec<Timestamp>>,
    /// The order in which values were taken, over all lives, by payload.
    pub(crate) taken: BTreeMap<String, Vec<u64>>,
    pub(crate) took: u64,
    /// Payloads of log events that were ever taken.
    pub(crate) logged: BTreeSet<String>,
    pub(crate) refusing: bool,
    /// What is on its way to the node.
    pub(crate) answers: VecDeque<Input>,
    pub(crate) entries: VecDeque<Input>,
    pub(crate) messages: VecDeque<Input>,
    /// Whether the node hears values.
    pub(crate) heard: bool,
}

impl Cluster {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            epoch: 1,
            counter: 0,
            values: BTreeMap::new(),
            ids: BTreeSet::new(),
            log: Vec::new(),
            seq: 0,
            slots: BTreeMap::new(),
            replaced: BTreeSet::new(),
            claims: 0,
            calls: BTreeMap::new(),
            taken: BTreeMap::new(),
            took: 0,
            logged: BTreeSet::new(),
            refusing: false,
            answers: VecDeque::new(),
            entries: VecDeque::new(),
            messages: VecDeque::new(),
            heard: false,
        }
    }

    /// The current value of each topic.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (&Topic, &str)> {
        self.values
            .iter()
            .map(|(topic, value)| (topic, value.payload.text()))
    }

    /// The answer of a driver that cannot ask.
    pub(crate) fn failed(request: &BusRequest) -> Option<Input> {
        match request.clone() {
            BusRequest::Append { request, .. } => Some(Input::Appended {
                request,
                outcome: BusOutcome::Failed,
            }),
            BusRequest::Charge { request, .. } => Some(Input::Charged {
                request,
                verdict: ChargeVerdict::Failed,
            }),
            BusRequest::Claim { request, .. } => Some(Input::Claimed {
                request,
                verdict: ClaimVerdict::Failed,
            }),
            BusRequest::Fetch { request, .. } => Some(Input::Fetched {
                request,
                values: None,
            }),
            BusRequest::Lead { request } => Some(Input::Led {
                request,
                held: None,
            }),
            BusRequest::Share { request, .. } => Some(Input::Shared {
                request,
                outcome: BusOutcome::Failed,
            }),
            BusRequest::Listen { .. }
            | BusRequest::Probe
            | BusRequest::Release { .. }
            | BusRequest::Renew { .. } => None,
        }
    }

    /// Does what it is asked; the answers are on their way.
    pub(crate) fn ask(&mut self, now: Timestamp, request: BusRequest) {
        if self.refusing
            && let Some(failed) = Self::failed(&request)
            && !matches!(failed, Input::Fetched { .. } | Input::Led { .. })
        {
            self.answers.push_back(failed);
            return;
        }
        let answer = match request {
            BusRequest::Append {
                request, entries, ..
            } => {
                self.append(entries);
                let outcome = BusOutcome::Done;
                Some(Input::Appended { request, outcome })
            }
            BusRequest::Charge {
                request,
                user,
                call,
                admitted,
            } => {
                let verdict = self.charge(now, user, call, admitted);
                Some(Input::Charged { request, verdict })
            }
            BusRequest::Claim {
                request,
                user,
                slot,
                replaces,
            } => {
                let verdict = self.claim(now, user, slot, replaces);
                Some(Input::Claimed { request, verdict })
            }
            BusRequest::Fetch { request, topics } => {
                let values = topics.iter().filter_map(|topic| self.values.get(topic));
                let values = Some(values.cloned().collect());
                Some(Input::Fetched { request, values })
            }
            BusRequest::Lead { request } => {
                let held = Some(request.number() % 3 > 0);
                Some(Input::Led { request, held })
            }
            BusRequest::Listen { .. } => None,
            BusRequest::Probe => Some(Input::BusReached),
            BusRequest::Release { user, slot } => {
                let slots = self.slots.entry(user).or_default();
                slots.retain(|(held, ..)| *held != slot);
                None
            }
            BusRequest::Renew { users } => {
                let lost: Vec<_> = users
                    .into_iter()
                    .flat_map(|renewal| self.renew(now, renewal.user, renewal.slots))
                    .collect();
                (!lost.is_empty()).then_some(Input::SlotsLost { slots: lost })
            }
            BusRequest::Share {
                request,
                values,
                once,
            } => {
                self.share(values, once);
                let outcome = BusOutcome::Done;
                Some(Input::Shared { request, outcome })
            }
        };
        self.answers.extend(answer);
    }

    pub(crate) fn append(&mut self, entries: Vec<LogPublish>) {
        for LogPublish {
            id,
            lasting: _,
            kind,
            user,
            payload,
        } in entries
        {
            if !self.ids.insert(id) {
                continue;
            }
            self.seq += 1;
            let id = EventId {
                epoch: Epoch::new(self.epoch),
                ms: self.seq / 2,
                seq: self.seq % 2,
            };
            self.logged.insert(payload.text().into());
            let entry = LogEntry {
                id,
                kind,
                user,
                payload,
            };
            self.log.push(entry.clone());
            let entries = vec![entry];
            self.entries.push_back(Input::LogArrived { entries });
        }
    }

    pub(crate) fn share(&mut self, values: Vec<StatePublish>, once: bool) {
        let mut accepted = Vec::new();
        for StatePublish {
            id, topic, payload, ..
        } in values
        {
            if id.is_some_and(|id| !self.ids.insert(id)) {
                continue;
            }
            self.counter += 1;
            self.took += 1;
            let taken = self.taken.entry(payload.text().into()).or_default();
            taken.push(self.took);
            let version = Version {
                epoch: Epoch::new(self.epoch),
                counter: self.counter,
            };
            let value = StateValue {
                topic: topic.clone(),
                version,
                payload,
            };
            self.values.insert(topic, value.clone());
            accepted.push(value);
        }
        if self.heard {
            for values in accepted.chunks(ARRIVALS_MAX) {
                let values = values.to_vec();
                self.messages
                    .push_back(Input::StateArrived { values, once });
            }
        }
    }

    fn charge(
        &mut self,
        now: Timestamp,
        user: UserId,
        call: Call,
        admitted: bool,
    ) -> ChargeVerdict {
        let (limit, window) = (
            self.limits.calls_max(call) as usize,
            self.limits.calls_window,
        );
        let calls = self.calls.entry((user, call)).or_default();
        calls.retain(|at| now.since(*at) < window);
        if !admitted && calls.len() >= limit {
            let wait = window;
            return ChargeVerdict::Refused { wait };
        }
        calls.push(now);
        ChargeVerdict::Admitted
    }

    pub(crate) fn claim(
        &mut self,
        now: Timestamp,
        user: UserId,
        slot: Slot,
        replaces: Option<Slot>,
    ) -> ClaimVerdict {
        self.expire(now);
        self.claims += 1;
        let (turn, max) = (self.claims, self.limits.connections_per_user_max as usize);
        let slots = self.slots.entry(user).or_default();
        let before = slots.len();
        slots.retain(|(held, ..)| Some(held) != replaces.as_ref());
        if slots.len() < before {
            self.replaced.extend(replaces);
        } else if slots.len() >= max {
            return ClaimVerdict::Full;
        }
        slots.push((slot, turn, now));
        ClaimVerdict::Granted
    }

    fn renew(
        &mut self,
        now: Timestamp,
        user: UserId,
        renewed: Vec<(Slot, core::time::Duration)>,
    ) -> Vec<(UserId, Slot, SlotLoss)> {
        self.expire(now);
        let mut lost = Vec::new();
        for (slot, _) in &renewed {
            if self.replaced.contains(slot) {
                lost.push((user.clone(), slot.clone(), SlotLoss::Replaced));
                continue;
            }
            let slots = self.slots.entry(user.clone()).or_default();
            if let Some((.., at)) = slots.iter_mut().find(|(held, ..)| held == slot) {
                *at = now;
            } else {
                self.claims += 1;
                slots.push((slot.clone(), self.claims, now));
            }
        }
        let slots = self.slots.entry(user.clone()).or_default();
        slots.sort_by_key(|(_, turn, _)| *turn);
        let max = self.limits.connections_per_user_max as usize;
        for (slot, ..) in slots.iter().skip(max) {
            if renewed.iter().any(|(mine, _)| mine == slot) {
                lost.push((user.clone(), slot.clone(), SlotLoss::Excess));
            }
        }
        lost
    }

    pub(crate) fn expire(&mut self, now: Timestamp) {
        let lease = self.limits.slot_lease;
        for slots in self.slots.values_mut() {
            slots.retain(|(.., at)| now.since(*at) < lease);
        }
    }

    /// The contact ends: what was not heard yet is failed, and values pass by unheard.
    pub(crate) fn cut(&mut self) {
        self.heard = false;
        self.answers.clear();
        self.messages.clear();
    }

    /// Everything is forgotten, and what was not read is lost.
    pub(crate) fn lose_data(&mut self) {
        self.epoch += 1;
        (self.counter, self.seq) = (0, 0);
        self.values.clear();
        self.ids.clear();
        self.log.clear();
        self.slots.clear();
        self.replaced.clear();
        self.calls.clear();
        self.entries.clear();
        let cause = GapCause::DataLoss;
        self.entries.push_back(Input::LogGap { cause });
        // A value of a life that the node has seen nothing of cannot be told from one of a new life.
        self.messages.clear();
        if self.heard {
            self.messages.push_back(Input::StateMissed);
        }
    }

    /// What was logged and not read is forgotten.
    pub(crate) fn trim(&mut self) {
        let gaps = |input: &Input| matches!(input, Input::LogGap { .. });
        if self.entries.is_empty() || self.entries.iter().any(gaps) {
            return;
        }
        self.entries.clear();
        let cause = GapCause::Trimmed;
        self.entries.push_back(Input::LogGap { cause });
    }
}
