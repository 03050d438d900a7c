//! What lies between a node and the bus: requests, answers and pushes on their way, and contact made,
//! given up as a whole, and made again.
//!
//! What is stuck is not lost: it waits, as TCP has it, and arrives late if the contact is still there.
//! When it is given up, answers and pushes are gone, and requests may still take effect later.

use std::collections::VecDeque;

use rand::RngExt as _;
use tradewire_engine::Input;
use tradewire_engine::bus::BusRequest;
use tradewire_engine::ids::RequestId;
use tradewire_engine::input::{BusOutcome, ChargeVerdict, ClaimVerdict};

use super::bus::News;
use super::node::Life;
use super::reader::Reader;
use super::world::{Event, Place, World};
use crate::oracle::{Node, Observation, Situation, Verdict};

/// How often a node looks whether the bus answers.
const BEAT_MS: u64 = 500;

/// How long the bus may be silent before contact is given up.
const SILENT_MS: u64 = 1_000;

/// How long nothing may be heard on the channel of values.
const DEAF_MS: u64 = 5_000;

/// The first wait before another attempt, and the longest.
const BACKOFF_MS: (u64, u64) = (100, 2_000);

/// How a node and the bus stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Down,
    SettingUp,
    Up,
}

/// A question that was not answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Append(RequestId),
    Charge(RequestId),
    Claim(RequestId),
    Fetch(RequestId),
    Lead(RequestId),
    Share(RequestId),
}

impl Asked {
    fn of(request: &BusRequest) -> Option<Self> {
        match request {
            BusRequest::Append { request, .. } => Some(Self::Append(*request)),
            BusRequest::Charge { request, .. } => Some(Self::Charge(*request)),
            BusRequest::Claim { request, .. } => Some(Self::Claim(*request)),
            BusRequest::Fetch { request, .. } => Some(Self::Fetch(*request)),
            BusRequest::Lead { request } => Some(Self::Lead(*request)),
            BusRequest::Share { request, .. } => Some(Self::Share(*request)),
            BusRequest::Listen { .. }
            | BusRequest::Probe
            | BusRequest::Release { .. }
            | BusRequest::Renew { .. } => None,
        }
    }

    /// The answer of a driver that cannot ask.
    fn failed(self) -> Input {
        let outcome = BusOutcome::Failed;
        match self {
            Self::Append(request) => Input::Appended { request, outcome },
            Self::Charge(request) => Input::Charged {
                request,
                verdict: ChargeVerdict::Failed,
            },
            Self::Claim(request) => Input::Claimed {
                request,
                verdict: ClaimVerdict::Failed,
            },
            Self::Fetch(request) => Input::Fetched {
                request,
                values: None,
            },
            Self::Lead(request) => Input::Led {
                request,
                held: None,
            },
            Self::Share(request) => Input::Shared { request, outcome },
        }
    }
}

/// Contact of one node.
#[derive(Debug, Default)]
pub(super) struct Contact {
    pub(super) stage: Stage,
    /// Counts attempts, so that events of an earlier one are void.
    number: u32,
    /// Faults that hold back requests, answers, pushes.
    pub(super) stuck: [u32; 3],
    pub(super) to_bus: VecDeque<(u64, BusRequest)>,
    pub(super) answers: VecDeque<(u64, Option<Asked>, Input)>,
    pushes: VecDeque<(u64, Input)>,
    asked: VecDeque<Asked>,
    pub(super) local: VecDeque<Input>,
    /// Values are pushed to it.
    hears: bool,
    /// Emitter messages are, too.
    pub(super) listens: bool,
    pub(super) reader: Reader,
    pub(super) read_at: u64,
    silent_since: Option<u64>,
    deaf_since: Option<u64>,
    about_ms: u64,
    /// Whether the oracle was told of a fault.
    disturbed: bool,
}

impl World<'_> {
    pub(super) fn way_is_free(&self, contact: &Contact) -> bool {
        contact.stuck[0] == 0 && contact.stuck[1] == 0 && self.trouble.bus_answers()
    }

    /// Tells the oracle when the way between a node and the bus begins or ceases to be disturbed.
    pub(super) fn tell_fault(&mut self, place: usize) -> Verdict {
        let bus_disturbed = self.trouble.bus_disturbed();
        let Some(life) = self.places[place].life.as_deref_mut() else {
            return Ok(());
        };
        let disturbed = bus_disturbed || life.contact.stuck.iter().any(|stuck| *stuck > 0);
        if core::mem::replace(&mut life.contact.disturbed, disturbed) == disturbed {
            return Ok(());
        }
        let node = life.node;
        self.see(&Observation::Fault {
            node,
            on: disturbed,
        })
    }

    /// Whatever was held back goes on.
    pub(super) fn resume_ways(&mut self, place: usize) {
        if let Some(life) = &self.places[place].life {
            let node = life.node;
            self.at(self.now, Event::BusTakes(place, node));
            self.at(self.now, Event::Hears(place, node));
            self.at(self.now, Event::PushHeard(place, node));
            self.at(self.now, Event::ReadLog(place, node));
        }
    }

    pub(super) fn one_way(&mut self) -> u64 {
        self.plan.bus_ms + self.trouble.slow_ms
    }

    /// Takes a request of the engine.
    pub(super) fn ask(&mut self, place: usize, life: &mut Life, request: BusRequest) {
        if let BusRequest::Listen { on } = request {
            life.contact.listens = on;
            return;
        }
        if life.contact.stage != Stage::Up {
            if let Some(asked) = Asked::of(&request) {
                life.contact.local.push_back(asked.failed());
                self.after(1, Event::Local(place, life.node));
            }
            return;
        }
        life.contact.asked.extend(Asked::of(&request));
        let last = life.contact.to_bus.back().map_or(0, |(at, _)| *at);
        let at = last.max(self.now + self.one_way());
        life.contact.to_bus.push_back((at, request));
        self.at(at, Event::BusTakes(place, life.node));
    }

    pub(super) fn local(&mut self, place: usize, node: Node) -> Verdict {
        let Some(life) = self.life(place, node) else {
            return Ok(());
        };
        match life.contact.local.pop_front() {
            Some(input) => self.input(place, input),
            None => Ok(()),
        }
    }

    /// The bus does what has reached it.
    pub(super) fn bus_takes(&mut self, place: usize, node: Node) -> Verdict {
        let able = self.trouble.bus_answers();
        let now = self.now;
        loop {
            let Some(life) = self.life(place, node) else {
                return Ok(());
            };
            let ready = life
                .contact
                .to_bus
                .front()
                .is_some_and(|(at, _)| *at <= now);
            if !able || life.contact.stuck[0] > 0 || !ready {
                return Ok(());
            }
            let Some((_, request)) = life.contact.to_bus.pop_front() else {
                return Ok(());
            };
            let (instance, asked) = (life.instance, Asked::of(&request));
            let answer = self.bus.take(now, instance, request);
            let at = now + self.one_way();
            if let (Some(answer), Some(life)) = (answer, self.life(place, node)) {
                let last = life.contact.answers.back().map_or(0, |(at, ..)| *at);
                let at = at.max(last);
                life.contact.answers.push_back((at, asked, answer));
                self.at(at, Event::Hears(place, node));
            }
            self.spread_news()?;
        }
    }

    /// What the bus has done is on its way to everyone.
    pub(super) fn spread_news(&mut self) -> Verdict {
        let mut all = core::mem::take(&mut self.bus.news);
        for news in all.drain(..) {
            match news {
                News::Logged(item, id) => {
                    self.see(&Observation::Logged { item, id })?;
                    self.log_grew();
                }
                News::Took(item) => self.see(&Observation::Took { item })?,
                News::Told { values, once } => {
                    let input = Input::StateArrived { values, once };
                    self.push_to_all(input, |contact| contact.hears);
                }
                News::LeaseRetaken => self.reached(Situation::LeaseLost),
                News::Replaced => self.reached(Situation::ReplacedAcross),
                News::LeaseMoved => self.reached(Situation::EmitterChanged),
            }
        }
        // Kept for its memory.
        self.bus.news = all;
        Ok(())
    }

    fn log_grew(&mut self) {
        let at = self.now + self.one_way();
        for place in 0..self.places.len() {
            let Some(life) = self.places[place].life.as_deref_mut() else {
                continue;
            };
            // One read takes all there is.
            if life.contact.stage == Stage::Up && life.contact.read_at <= self.now {
                life.contact.read_at = at;
                let node = life.node;
                self.at(at, Event::ReadLog(place, node));
            }
        }
    }

    /// Pushes to every node that hears it; the last of them gets what the others have a copy of.
    pub(super) fn push_to_all(&mut self, input: Input, hears: impl Fn(&Contact) -> bool) {
        let at = self.now + self.one_way();
        let able = |place: &Place| place.life.as_ref().is_some_and(|at| hears(&at.contact));
        let Some(last) = self.places.iter().rposition(able) else {
            return;
        };
        for place in 0..last {
            if able(&self.places[place]) {
                self.push(place, at, input.clone());
            }
        }
        self.push(last, at, input);
    }

    fn push(&mut self, place: usize, at: u64, input: Input) {
        if let Some(life) = self.places[place].life.as_deref_mut() {
            let last = life.contact.pushes.back().map_or(0, |(at, _)| *at);
            let (at, node) = (at.max(last), life.node);
            life.contact.pushes.push_back((at, input));
            self.at(at, Event::PushHeard(place, node));
        }
    }

    /// The node's queue of pushes overflows: all of it is dropped and told to be.
    pub(super) fn miss_pushes(&mut self, place: usize) -> Verdict {
        let Some(life) = self.places[place].life.as_deref_mut() else {
            return Ok(());
        };
        if life.contact.stage != Stage::Up {
            return Ok(());
        }
        life.contact.pushes.clear();
        self.reached(Situation::StateMissed);
        self.input(place, Input::StateMissed)
    }

    /// Answers reach the node.
    pub(super) fn hears(&mut self, place: usize, node: Node) -> Verdict {
        let now = self.now;
        loop {
            let Some(life) = self.life(place, node) else {
                return Ok(());
            };
            let ready = life
                .contact
                .answers
                .front()
                .is_some_and(|(at, ..)| *at <= now);
            if life.contact.stuck[1] > 0 || !ready {
                return Ok(());
            }
            let Some((_, asked, input)) = life.contact.answers.pop_front() else {
                return Ok(());
            };
            if asked.is_some() {
                life.contact.asked.pop_front();
            }
            self.input(place, input)?;
        }
    }

    pub(super) fn push_heard(&mut self, place: usize, node: Node) -> Verdict {
        let now = self.now;
        loop {
            let Some(life) = self.life(place, node) else {
                return Ok(());
            };
            let ready = life
                .contact
                .pushes
                .front()
                .is_some_and(|(at, _)| *at <= now);
            if life.contact.stuck[2] > 0 || life.contact.stage != Stage::Up || !ready {
                return Ok(());
            }
            let Some((_, input)) = life.contact.pushes.pop_front() else {
                return Ok(());
            };
            self.input(place, input)?;
        }
    }

    pub(super) fn reconnect(&mut self, place: usize, node: Node, number: u32) -> Verdict {
        let Some(life) = self.places[place]
            .life
            .as_ref()
            .filter(|life| life.node == node)
        else {
            return Ok(());
        };
        if life.contact.number != number || life.contact.stage != Stage::Down {
            return Ok(());
        }
        let free = self.way_is_free(&life.contact) && life.contact.stuck[2] == 0;
        if !free || self.trouble.slow_ms >= SILENT_MS / 2 {
            self.back_off(place, node);
            return Ok(());
        }
        if let Some(life) = self.life(place, node) {
            life.contact.stage = Stage::SettingUp;
            // Before anything is read: what comes between a read and a subscription would be missed.
            life.contact.hears = true;
            life.contact.pushes.clear();
        }
        let ms = 6 * self.one_way() + 2;
        self.after(ms, Event::SetUp(place, node, number));
        Ok(())
    }

    fn back_off(&mut self, place: usize, node: Node) {
        let Some(life) = self.life(place, node) else {
            return;
        };
        let contact = &mut life.contact;
        contact.stage = Stage::Down;
        contact.hears = false;
        contact.number += 1;
        let (number, about) = (contact.number, contact.about_ms);
        contact.about_ms = (about * 2).clamp(BACKOFF_MS.0, BACKOFF_MS.1);
        let ms = self.places[place]
            .chance
            .random_range(about / 2..=about + about / 2)
            + 1;
        self.after(ms, Event::Reconnect(place, node, number));
    }

    pub(super) fn set_up(&mut self, place: usize, node: Node, number: u32) -> Verdict {
        let Some(life) = self.places[place]
            .life
            .as_ref()
            .filter(|life| life.node == node)
        else {
            return Ok(());
        };
        if life.contact.number != number || life.contact.stage != Stage::SettingUp {
            return Ok(());
        }
        if !self.way_is_free(&life.contact) || life.contact.stuck[2] > 0 {
            self.back_off(place, node);
            return Ok(());
        }
        self.catch_up(place, node)?;
        if let Some(life) = self.life(place, node) {
            let contact = &mut life.contact;
            contact.stage = Stage::Up;
            contact.listens = false;
            contact.about_ms = 0;
            contact.read_at = 0;
            (contact.silent_since, contact.deaf_since) = (None, None);
        }
        self.input(place, Input::BusReached)?;
        self.after(BEAT_MS, Event::Beat(place, node, number));
        self.resume_ways(place);
        Ok(())
    }

    /// The node looks whether the bus answers, and whether it hears itself.
    pub(super) fn beat(&mut self, place: usize, node: Node, number: u32) -> Verdict {
        let Some(life) = self.places[place]
            .life
            .as_ref()
            .filter(|life| life.node == node)
        else {
            return Ok(());
        };
        if life.contact.number != number || life.contact.stage != Stage::Up {
            return Ok(());
        }
        let (now, slow) = (self.now, self.trouble.slow_ms >= SILENT_MS / 2);
        let silent = !self.way_is_free(&life.contact) || slow;
        let deaf = life.contact.stuck[2] > 0;
        let Some(life) = self.life(place, node) else {
            return Ok(());
        };
        let contact = &mut life.contact;
        let since = |since: &mut Option<u64>, on: bool| {
            *since = on.then(|| since.unwrap_or(now));
            since.map_or(0, |since| now - since)
        };
        let silent = since(&mut contact.silent_since, silent);
        let deaf = since(&mut contact.deaf_since, deaf);
        if silent >= SILENT_MS || deaf >= DEAF_MS {
            return self.lose_contact(place, true);
        }
        self.check_epochs(place, node)?;
        self.after(BEAT_MS, Event::Beat(place, node, number));
        Ok(())
    }

    /// Contact is over: what was not answered has failed.
    pub(super) fn lose_contact(&mut self, place: usize, strays: bool) -> Verdict {
        let Some(life) = self.places[place].life.as_deref_mut() else {
            return Ok(());
        };
        if life.contact.stage == Stage::SettingUp {
            let node = life.node;
            self.back_off(place, node);
            return Ok(());
        }
        if life.contact.stage != Stage::Up {
            return Ok(());
        }
        let node = life.node;
        life.contact.answers.clear();
        life.contact.pushes.clear();
        let asked = core::mem::take(&mut life.contact.asked);
        let requests = core::mem::take(&mut life.contact.to_bus);
        if strays {
            self.leave_strays(place, requests);
        }
        // From here on nothing more is asked on this contact.
        self.back_off(place, node);
        for asked in asked {
            self.input(place, asked.failed())?;
        }
        self.input(place, Input::BusLost)
    }
}
