//! The bus as Redis and the server's scripts make it: order, epochs, leases, windows and the log.
//!
//! It has a clock of its own, which can be set. It is asked by one request at a time, in the order in
//! which they reach it, and tells what it took; who hears of it, and when, is not its concern.

mod ids;
mod slots;

use std::collections::VecDeque;

use tradewire_engine::INTAKE_LEASE;
use tradewire_engine::bus::{ARRIVALS_MAX, BusRequest, LogPublish, Slot, StatePublish};
use tradewire_engine::event::{LogEntry, Payload, StateValue, Version};
use tradewire_engine::ids::{Epoch, EventId};
use tradewire_engine::input::{BusOutcome, ChargeVerdict, Input};
use tradewire_engine::limits::Limits;

use super::names::{item_of, topic_of, user_of};
use crate::oracle::{Call, Item};

/// How long the id of a publish is remembered, and one that only its node may give again.
const ID_LIFE_MS: u64 = 600_000;
const OWN_ID_LIFE_MS: u64 = 60_000;

/// Wall time at the beginning of a run, in milliseconds since 1970.
pub(super) const WALL_MS: u64 = 1_800_000_000_000;

/// What the bus has done that others hear of.
#[derive(Debug)]
pub(super) enum News {
    Logged(Item, EventId),
    Took(Item),
    Told {
        values: Vec<StateValue>,
        once: bool,
    },
    /// A slot was taken again whose lease had ended.
    LeaseRetaken,
    /// A slot was taken over from another connection.
    Replaced,
    /// Another node has the emitter lease.
    LeaseMoved,
}

/// An entry of the log, with its running number.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) entry: LogEntry,
    pub(super) number: u64,
    /// Redis' time when it was appended.
    pub(super) ms: u64,
}

#[derive(Debug, Default)]
struct User {
    slots: Vec<slots::Held>,
    replaced: Vec<(Slot, u64)>,
    connects: VecDeque<u64>,
    calls: [VecDeque<u64>; 3],
}

/// The bus.
#[derive(Debug)]
pub(super) struct Bus {
    limits: Limits,
    /// Its own time less the simulation's.
    offset_ms: i64,
    epochs: u64,
    pub(super) state_epoch: Epoch,
    pub(super) log_epoch: Epoch,
    counter: u64,
    values: Vec<Option<(u64, Payload)>>,
    ids: ids::Ids,
    /// All entries of all lives; those before `log_begin` are gone.
    pub(super) log: Vec<Entry>,
    pub(super) log_begin: usize,
    pub(super) log_count: u64,
    log_max: usize,
    last: (u64, u64),
    users: Vec<User>,
    lease: Option<(u64, u64)>,
    last_leader: Option<u64>,
    pub(super) news: Vec<News>,
}

impl Bus {
    pub(super) fn new(limits: Limits, users: u32, log_max: usize, seed: u64) -> Self {
        let mut bus = Self {
            limits,
            offset_ms: 0,
            epochs: seed,
            state_epoch: Epoch::new(0),
            log_epoch: Epoch::new(0),
            counter: 0,
            values: Vec::new(),
            ids: ids::Ids::default(),
            log: Vec::new(),
            log_begin: 0,
            log_count: 0,
            log_max,
            last: (0, 0),
            users: (0..users).map(|_| User::default()).collect(),
            lease: None,
            last_leader: None,
            news: Vec::new(),
        };
        bus.begin_life();
        bus
    }

    fn next_epoch(&mut self) -> Epoch {
        self.epochs = self.epochs.wrapping_add(0x9e37_79b9_7f4a_7c15);
        Epoch::new(self.epochs ^ (self.epochs >> 31))
    }

    fn begin_life(&mut self) {
        self.state_epoch = self.next_epoch();
        self.log_epoch = self.next_epoch();
    }

    /// Everything that it kept is gone; whoever asks next begins another life.
    pub(super) fn lose_data(&mut self) {
        self.begin_life();
        self.counter = 0;
        self.values.clear();
        self.ids.clear();
        self.log_begin = self.log.len();
        self.log_count = 0;
        self.last = (0, 0);
        self.users
            .iter_mut()
            .for_each(|user| *user = User::default());
        self.lease = None;
    }

    pub(super) fn set_clock(&mut self, offset_ms: i64) {
        self.offset_ms = offset_ms;
    }

    /// Its own time in milliseconds.
    pub(super) fn clock(&self, now: u64) -> u64 {
        (WALL_MS + now).saturating_add_signed(self.offset_ms)
    }

    /// Forgets all but the newest entries of the log.
    pub(super) fn trim(&mut self, keep: usize) {
        self.log_begin = self.log_begin.max(self.log.len().saturating_sub(keep));
    }

    /// Does what is asked, and answers; `instance` is who asks.
    pub(super) fn take(&mut self, now: u64, instance: u64, request: BusRequest) -> Option<Input> {
        let clock = self.clock(now);
        match request {
            BusRequest::Append {
                request, entries, ..
            } => {
                for entry in entries {
                    self.append(clock, entry);
                }
                let outcome = BusOutcome::Done;
                Some(Input::Appended { request, outcome })
            }
            BusRequest::Charge {
                request,
                user,
                call,
                admitted,
            } => {
                let verdict = self.charge(clock, user_of(&user).0, call, admitted);
                Some(Input::Charged { request, verdict })
            }
            BusRequest::Claim {
                request,
                user,
                slot,
                replaces,
            } => {
                let verdict = self.claim(clock, user_of(&user).index(), slot, replaces);
                Some(Input::Claimed { request, verdict })
            }
            BusRequest::Fetch { request, topics } => {
                let values = topics.into_iter().filter_map(|topic| {
                    let value = self.values.get(topic_of(&topic).index())?.as_ref()?;
                    let version = Version {
                        epoch: self.state_epoch,
                        counter: value.0,
                    };
                    Some(StateValue {
                        topic,
                        version,
                        payload: value.1.clone(),
                    })
                });
                let values = Some(values.collect());
                Some(Input::Fetched { request, values })
            }
            BusRequest::Lead { request } => {
                let held = Some(self.lead(clock, instance));
                Some(Input::Led { request, held })
            }
            BusRequest::Listen { .. } => None,
            BusRequest::Probe => Some(Input::BusReached),
            BusRequest::Release { user, slot } => {
                let slots = &mut self.users[user_of(&user).index()].slots;
                slots.retain(|held| held.slot != slot);
                None
            }
            BusRequest::Renew { users } => {
                let lost = users
                    .into_iter()
                    .flat_map(|renewal| self.renew(clock, renewal));
                let slots: Vec<_> = lost.collect();
                (!slots.is_empty()).then_some(Input::SlotsLost { slots })
            }
            BusRequest::Share {
                request,
                values,
                once,
            } => {
                self.share(clock, values, once);
                let outcome = BusOutcome::Done;
                Some(Input::Shared { request, outcome })
            }
        }
    }

    fn append(&mut self, clock: u64, publish: LogPublish) {
        let LogPublish {
            id,
            lasting: _,
            kind,
            user,
            payload,
        } = publish;
        if !self.ids.take(clock, &id, ID_LIFE_MS) {
            return;
        }
        // As XADD does: a clock that stands still or goes back only counts the second part up.
        self.last = if clock > self.last.0 {
            (clock, 0)
        } else {
            (self.last.0, self.last.1 + 1)
        };
        let id = EventId {
            epoch: self.log_epoch,
            ms: self.last.0,
            seq: self.last.1,
        };
        self.news.push(News::Logged(item_of(&payload), id));
        self.log_count += 1;
        self.log.push(Entry {
            entry: LogEntry {
                id,
                kind,
                user,
                payload,
            },
            number: self.log_count,
            ms: clock,
        });
        self.trim(self.log_max);
    }

    fn share(&mut self, clock: u64, values: Vec<StatePublish>, once: bool) {
        // At least the time, since a clock that was lost would give versions a second time.
        self.counter = (self.counter + 1).max(clock * 1000);
        let mut told = Vec::with_capacity(values.len());
        for StatePublish {
            id,
            lasting,
            topic,
            payload,
        } in values
        {
            let life = if lasting { ID_LIFE_MS } else { OWN_ID_LIFE_MS };
            if id.is_some_and(|id| !self.ids.take(clock, &id, life)) {
                continue;
            }
            let version = Version {
                epoch: self.state_epoch,
                counter: self.counter,
            };
            self.counter += 1;
            let place = topic_of(&topic).index();
            if self.values.len() <= place {
                self.values.resize(place + 1, None);
            }
            self.values[place] = Some((version.counter, payload.clone()));
            self.news.push(News::Took(item_of(&payload)));
            told.push(StateValue {
                topic,
                version,
                payload,
            });
        }
        while !told.is_empty() {
            let rest = told.split_off(told.len().min(ARRIVALS_MAX));
            let values = core::mem::replace(&mut told, rest);
            self.news.push(News::Told { values, once });
        }
    }

    fn charge(
        &mut self,
        clock: u64,
        user: u32,
        call: tradewire_engine::reason::Call,
        admitted: bool,
    ) -> ChargeVerdict {
        use tradewire_engine::reason::Call as EngineCall;
        let limit = self.limits.calls_max(call) as usize;
        let window = super::millis(self.limits.calls_window);
        let call = match call {
            EngineCall::Portfolio => Call::Portfolio,
            EngineCall::Trades => Call::Trades,
            EngineCall::Watchlist => Call::Watchlist,
        };
        let calls = &mut self.users[user as usize].calls[call.index()];
        let oldest = limit.checked_sub(1).and_then(|at| calls.get(at)).copied();
        let full = oldest.filter(|oldest| clock.abs_diff(*oldest) < window);
        if let Some(oldest) = full.filter(|_| !admitted) {
            let wait = core::time::Duration::from_millis((oldest + window).saturating_sub(clock));
            return ChargeVerdict::Refused { wait };
        }
        calls.push_front(clock);
        calls.truncate(limit);
        ChargeVerdict::Admitted
    }

    fn lead(&mut self, clock: u64, instance: u64) -> bool {
        let life = super::millis(INTAKE_LEASE);
        if let Some((holder, until)) = self.lease
            && holder != instance
            && until > clock
            && until <= clock + life
        {
            return false;
        }
        if self.last_leader.is_some_and(|last| last != instance) {
            self.news.push(News::LeaseMoved);
        }
        self.last_leader = Some(instance);
        self.lease = Some((instance, clock + life));
        true
    }
}
