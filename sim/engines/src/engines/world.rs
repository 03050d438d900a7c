//! The queue of events and the order of a run: faults, then quiet, in which what was promised must come
//! about.

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tradewire_engine::Effects;

use super::agenda::Agenda;
use super::bus::Bus;
use super::faults::Trouble;
use super::names::Names;
use super::node::Life;
use super::plan::Plan;
use super::publishers::Batches;
use super::script::{Act, Script};
use super::story::Story;
use super::strays::Stray;
use super::tabs::TabState;
use super::wires::Wire;
use super::{Outcome, millis};
use crate::oracle::{Batch, Conn, Node, Observation, Oracle, Situation, Tab, Verdict};

/// When, after the last fault, what must have come about is judged, in milliseconds.
const QUIET_MS: [u64; 4] = [5_000, 16_000, 45_000, 75_000];

/// Something that will happen. Those that name a life or an attempt are void when that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Act,
    AnswerArrives(Batch),
    Beat(usize, Node, u32),
    BusTakes(usize, Node),
    CallArrives(Conn),
    ClientSeesEnd(Conn),
    CloseForced(Conn),
    ConnectArrives(Conn),
    ConnectTimeout(Conn),
    Dial(usize, u32),
    Flush(Conn),
    HandshakeAnswered(Conn),
    HandshakeArrives(Conn),
    Hears(usize, Node),
    Local(usize, Node),
    LookUps(usize, Node),
    NodeExits(usize, Node),
    NodeStarts(usize),
    NoticeConnected(Conn),
    PingTimeout(Conn, u32),
    PublishArrives(Batch),
    PushHeard(usize, Node),
    Quiet(usize),
    ReadLog(usize, Node),
    Reconnect(usize, Node, u32),
    Second,
    ServerSeesEnd(Conn),
    SetUp(usize, Node, u32),
    Stray(u32),
    TroubleEnds(u32),
    Unstall(Conn, u32),
}

/// A place in the cluster and the node that lives there now.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: u32,
    starts_at: u64,
    /// Decides what nodes here draw.
    pub(super) chance: StdRng,
    pub(super) life: Option<Box<Life>>,
    /// It will be started again.
    pub(super) returns: bool,
}

/// One run.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) now: u64,
    agenda: Agenda,
    pub(super) plan: Plan,
    /// What is still to be done from outside.
    pub(super) acts: std::vec::IntoIter<Act>,
    pub(super) names: Names,
    pub(super) bus: Bus,
    pub(super) places: Vec<Place>,
    pub(super) lives: u32,
    /// When the first node wants to be woken, and which.
    woken: Option<(u64, usize)>,
    pub(super) wires: Vec<Wire>,
    pub(super) tabs: Vec<TabState>,
    pub(super) tab_numbers: u32,
    pub(super) batches: Batches,
    pub(super) strays: Vec<Option<Stray>>,
    pub(super) trouble: Trouble,
    pub(super) sessions: Vec<bool>,
    pub(super) effects: Effects,
    pub(super) inputs: u64,
    pub(super) oracle: Oracle,
    pub(super) story: Story<'a>,
    /// Faults and publishes come until then.
    pub(super) busy_until: u64,
}

impl<'a> World<'a> {
    pub(super) fn new(script: Script, story: Story<'a>) -> Self {
        let Script {
            plan,
            places,
            tabs,
            acts,
            ..
        } = script;
        let epochs = generator(plan.seed, b'e', 0).next_u64();
        let places = places.into_iter().map(|seat| Place {
            name: seat.place,
            starts_at: seat.starts_at,
            chance: generator(plan.seed, b'p', seat.place),
            life: None,
            returns: false,
        });
        let places = places.collect();
        let tabs = tabs.into_iter().enumerate().map(|(number, client)| {
            let chance = generator(plan.seed, b't', client.tab);
            TabState::new(
                Tab(u32::try_from(number).unwrap_or(u32::MAX)),
                client,
                chance,
            )
        });
        let tabs: Vec<TabState> = tabs.collect();
        Self {
            now: 0,
            agenda: Agenda::new(),
            names: Names::new(plan.users, plan.symbols),
            bus: Bus::new(plan.limits.clone(), plan.users, plan.log_max, epochs),
            places,
            lives: 0,
            woken: None,
            wires: Vec::new(),
            tab_numbers: u32::try_from(tabs.len()).unwrap_or(u32::MAX),
            tabs,
            batches: Batches::default(),
            strays: Vec::new(),
            trouble: Trouble::default(),
            sessions: vec![true; plan.users as usize],
            effects: Effects::new(),
            inputs: 0,
            oracle: Oracle::new(plan.promises()),
            busy_until: plan.lasts_ms,
            plan,
            acts: acts.into_iter(),
            story,
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        if self.story.is_told() {
            let plan = serde_json::to_string(&self.plan).unwrap_or_default();
            self.story.tell(0, format_args!("plan {plan}"));
        }
        let verdict = self.live();
        let words = match &verdict {
            Ok(()) => format!("every promise was kept; {} inputs", self.inputs),
            Err(violation) => format!("VIOLATED {violation}"),
        };
        self.story.tell(self.now, format_args!("{words}"));
        Outcome {
            verdict,
            situations: self.oracle.situations().clone(),
            inputs: self.inputs,
            simulated_ms: self.now,
        }
    }

    fn live(&mut self) -> Verdict {
        for place in 0..self.places.len() {
            self.at(self.places[place].starts_at, Event::NodeStarts(place));
        }
        for tab in 0..self.tabs.len() {
            self.at(self.tabs[tab].dials_at, Event::Dial(tab, 0));
        }
        self.plan_act();
        self.at(1_000, Event::Second);
        for (turn, ms) in QUIET_MS.into_iter().enumerate() {
            self.at(self.busy_until + ms, Event::Quiet(turn));
        }
        loop {
            let woken = self.woken;
            // What has come by then is told first, so that an answer that is there is not late.
            let until = woken.map_or(u64::MAX, |(at, _)| at.max(self.now));
            match (self.agenda.take(until), woken) {
                (Some((at, event)), _) => {
                    self.now = at;
                    self.happen(event)?;
                    if event == Event::Quiet(QUIET_MS.len() - 1) {
                        break;
                    }
                }
                (None, Some((at, place))) => {
                    self.now = self.now.max(at);
                    self.wake(place)?;
                }
                (None, None) => break,
            }
        }
        self.everyone_is_in()?;
        self.oracle.finish()
    }

    /// Finds out anew who wants to be woken first; to be called when a node's wish changes.
    pub(super) fn plan_waking(&mut self) {
        let lives = self.places.iter().enumerate();
        self.woken = lives
            .filter_map(|(place, at)| Some((at.life.as_ref()?.wake?, place)))
            .min();
    }

    /// Plans what the script has next.
    pub(super) fn plan_act(&mut self) {
        if let Some(next) = self.acts.as_slice().first() {
            self.at(next.at, Event::Act);
        }
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.agenda.plan(at.max(self.now), event);
    }

    pub(super) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now + ms, event);
    }

    pub(super) fn see(&mut self, observation: &Observation) -> Verdict {
        if self.story.is_told() {
            self.story.seen(self.now, observation);
        }
        self.oracle.observe(self.now, observation)
    }

    pub(super) fn reached(&mut self, situation: Situation) {
        self.oracle.reached(situation);
    }

    /// Whether faults still come.
    pub(super) fn is_busy(&self) -> bool {
        self.now < self.busy_until
    }

    pub(super) fn place_named(&self, name: u32) -> Option<usize> {
        self.places.iter().position(|place| place.name == name)
    }

    pub(super) fn tab_named(&self, name: u32) -> Option<usize> {
        self.tabs.iter().position(|tab| tab.name == name)
    }

    /// Whether a client has a whim, which so many in a hundred times it has.
    pub(super) fn whim(&mut self, tab: usize, percent: u32) -> bool {
        let drawn = self.tabs[tab].chance.random_range(0..100);
        self.plan.whims && drawn < percent
    }

    fn happen(&mut self, event: Event) -> Verdict {
        match event {
            Event::Act => self.act(),
            Event::AnswerArrives(batch) => self.answer_arrives(batch),
            Event::Beat(place, node, contact) => self.beat(place, node, contact),
            Event::BusTakes(place, node) => self.bus_takes(place, node),
            Event::CallArrives(conn) => self.call_arrives(conn),
            Event::ClientSeesEnd(conn) => self.client_sees_end(conn),
            Event::CloseForced(conn) => self.close_now(conn),
            Event::ConnectArrives(conn) => self.connect_arrives(conn),
            Event::ConnectTimeout(conn) => self.connect_timeout(conn),
            Event::Dial(tab, attempt) => self.dial(tab, attempt),
            Event::Flush(conn) => self.flush(conn),
            Event::HandshakeAnswered(conn) => self.handshake_answered(conn),
            Event::HandshakeArrives(conn) => self.handshake_arrives(conn),
            Event::Hears(place, node) => self.hears(place, node),
            Event::Local(place, node) => self.local(place, node),
            Event::LookUps(place, node) => self.look_ups(place, node),
            Event::NodeExits(place, node) => self.node_exits(place, node),
            Event::NodeStarts(place) => self.node_starts(place),
            Event::NoticeConnected(conn) => self.notice_connected(conn),
            Event::PingTimeout(conn, stall) => self.ping_timeout(conn, stall),
            Event::PublishArrives(batch) => self.publish_arrives(batch),
            Event::PushHeard(place, node) => self.push_heard(place, node),
            Event::Quiet(turn) => self.quiet(turn),
            Event::ReadLog(place, node) => self.read_log(place, node),
            Event::Reconnect(place, node, contact) => self.reconnect(place, node, contact),
            Event::Second => self.second(),
            Event::ServerSeesEnd(conn) => self.server_sees_end(conn),
            Event::SetUp(place, node, contact) => self.set_up(place, node, contact),
            Event::Stray(stray) => self.stray(stray),
            Event::TroubleEnds(trouble) => self.trouble_ends(trouble),
            Event::Unstall(conn, stall) => self.unstall(conn, stall),
        }
    }

    fn second(&mut self) -> Verdict {
        for place in 0..self.places.len() {
            if let Some(life) = &self.places[place].life {
                let stats = life.engine.stats();
                let memory = Observation::Memory {
                    node: life.node,
                    history_bytes: stats.history_bytes,
                    pending_bytes: stats.pending_bytes,
                };
                self.oracle.observe(self.now, &memory)?;
            }
        }
        self.after(1_000, Event::Second);
        Ok(())
    }

    fn quiet(&mut self, turn: usize) -> Verdict {
        self.see(&Observation::Quiet {
            for_ms: QUIET_MS[turn],
        })
    }

    /// Nobody who should be connected is not.
    fn everyone_is_in(&self) -> Verdict {
        let limits = &self.plan.limits;
        // Where there is not room for all, or not so often, some wait for long.
        if (limits.connections_max as usize) < 2 * self.tabs.len()
            || limits.connects_per_user_minute_max < 60
        {
            return Ok(());
        }
        let waited = millis(self.plan.limits.session_lookup_max) + 15_000;
        for tab in &self.tabs {
            if let Some(since) = tab.out_since
                && since + waited < self.now
            {
                return Err(crate::oracle::Violation {
                    guarantee: crate::oracle::Guarantee::Liveness,
                    at: self.now,
                    facts: format!(
                        "{} of {} has tried to connect since {since} ms",
                        tab.tab, tab.user
                    ),
                });
            }
        }
        Ok(())
    }
}

/// The generator of one place or one tab: that another is not there does not move it.
fn generator(seed: u64, of: u8, name: u32) -> StdRng {
    StdRng::seed_from_u64(seed ^ (u64::from(of) << 56) ^ (u64::from(name) << 24))
}
