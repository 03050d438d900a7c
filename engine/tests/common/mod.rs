//! A node without a network: the engine, the bus that it carries, and a driver that does what the
//! test says.
//!
//! Every input is followed by [`Engine::check`]. Effects come back in words, so that an expectation
//! is the exact list of them and reads as one.

#![allow(dead_code, reason = "each test crate uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a harness that is used wrongly fails the test"
)]

pub(crate) mod make;
pub(crate) mod words;

use std::collections::{BTreeMap, VecDeque};

use tradewire_engine::bus::{BusLimits, BusRequest, EmbeddedBus};
use tradewire_engine::event::{LogEntry, Publish, StateValue};
use tradewire_engine::ids::{ConnId, RequestId, SessionId};
use tradewire_engine::input::{
    AckId, BusOutcome, ChargeVerdict, ClaimVerdict, GapCause, Pending, SessionVerdict,
};
use tradewire_engine::limits::Limits;
use tradewire_engine::parse::{Auth, ClientEvent};
use tradewire_engine::time::Timestamp;
use tradewire_engine::{BusKind, Config, Delivery, Effect, Effects, Engine, Input};

/// The lines that do not begin with any of these.
pub(crate) fn without(mut lines: Vec<String>, beginnings: &[&str]) -> Vec<String> {
    lines.retain(|line| !beginnings.iter().any(|begin| line.starts_with(begin)));
    lines
}

/// The lines that begin with this.
pub(crate) fn only(mut lines: Vec<String>, begin: &str) -> Vec<String> {
    lines.retain(|line| line.starts_with(begin));
    lines
}

/// No effects.
pub(crate) const NOTHING: [&str; 0] = [];

/// One engine with everything that it talks to.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) now: Timestamp,
    bus: EmbeddedBus,
    /// Whether the bus answers by itself, at once; otherwise requests pile up in `asked`.
    pub(crate) bus_answers: bool,
    pub(crate) asked: VecDeque<BusRequest>,
    /// What a measurement finds; whoever is not named has nothing pending.
    pub(crate) pending: BTreeMap<ConnId, Pending>,
    /// Session look-ups that are not answered.
    pub(crate) look_ups: VecDeque<RequestId>,
    publishes: u64,
    /// Every input and effect so far, as a story.
    pub(crate) story: Vec<String>,
    /// Whether the story leaves out what goes to and from a bus that answers by itself.
    pub(crate) bus_untold: bool,
    /// Every input so far.
    pub(crate) inputs: Vec<(Timestamp, Input)>,
    /// Every effect so far, in words.
    pub(crate) done: Vec<String>,
}

impl Node {
    /// A node with the contract's limits.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A node with some limits changed.
    pub(crate) fn with(change: impl FnOnce(&mut Limits)) -> Self {
        Self::configured(Delivery::All, change)
    }

    /// A node on a bus that is shared with others and was not reached yet; the test speaks for it.
    pub(crate) fn shared(change: impl FnOnce(&mut Limits)) -> Self {
        let mut node = Self::of_kind(BusKind::Shared, Delivery::All, change);
        node.bus_answers = false;
        node
    }

    /// As [`Self::shared`], and the bus was reached at the start; the lease is another's.
    pub(crate) fn in_contact(change: impl FnOnce(&mut Limits)) -> Self {
        let mut node = Self::shared(change);
        node.reached();
        node.led(2, Some(false));
        node.asked.clear();
        node
    }

    pub(crate) fn configured(delivery: Delivery, change: impl FnOnce(&mut Limits)) -> Self {
        Self::of_kind(BusKind::Embedded, delivery, change)
    }

    pub(crate) fn of_kind(
        bus: BusKind,
        delivery: Delivery,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let config = Config {
            limits,
            delivery,
            bus,
            seed: 7,
            instance: 1,
        };
        Self {
            engine: Engine::new(config).expect("the test's limits hold together"),
            now: Timestamp::ZERO,
            bus: EmbeddedBus::new(BusLimits::default(), make::EPOCH, 7),
            bus_answers: true,
            asked: VecDeque::new(),
            pending: BTreeMap::new(),
            look_ups: VecDeque::new(),
            publishes: 0,
            story: Vec::new(),
            bus_untold: false,
            inputs: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Gives the engine one input, then what its measurements and its bus answer; returns the
    /// effects of all of them.
    pub(crate) fn input(&mut self, input: Input) -> Vec<String> {
        let mut lines = Vec::new();
        let (mut measured, mut answers) = (VecDeque::new(), VecDeque::new());
        let mut next = Some(input);
        let mut told = true;
        for _ in 0..100_000 {
            let Some(input) = next else { return lines };
            let effects = self.step(input, told);
            for effect in effects.list() {
                let words = words::effect(effect, &effects);
                if !(self.bus_untold && self.bus_answers && matches!(effect, Effect::Bus(_))) {
                    self.tell_effect(effect, &words);
                }
                lines.push(words);
                match effect {
                    Effect::Measure { conn } => {
                        let pending = self.pending.get(conn).copied().unwrap_or_default();
                        measured.push_back(Input::OutboxMeasured {
                            conn: *conn,
                            pending,
                        });
                    }
                    Effect::MeasureAll => {
                        let pending = self.pending.iter().map(|(conn, pending)| (*conn, *pending));
                        measured.push_back(Input::OutboxesMeasured {
                            pending: pending.collect(),
                        });
                    }
                    Effect::Bus(request) if self.bus_answers => {
                        self.bus.handle(self.now, request.clone(), &mut answers);
                    }
                    Effect::Bus(request) => self.asked.push_back(request.clone()),
                    Effect::LookUpSession { request, .. } => self.look_ups.push_back(*request),
                    Effect::Close { conn, .. } | Effect::Release { conn } => {
                        self.pending.remove(conn);
                    }
                    _ => {}
                }
            }
            told = !measured.is_empty() || !self.bus_untold;
            next = measured.pop_front().or_else(|| answers.pop_front());
        }
        panic!("the engine never comes to rest");
    }

    fn tell_effect(&mut self, effect: &Effect, words: &str) {
        let mark = if matches!(effect, Effect::Note(_)) {
            "·"
        } else {
            "→"
        };
        let told = words.strip_prefix("note ").unwrap_or(words);
        self.story.push(format!("          {mark} {told}"));
    }

    /// Begins the story anew, with everything so far in one line.
    pub(crate) fn given(&mut self, what: &str) {
        self.story.clear();
        self.story.push(format!("   given  {what}"));
    }

    fn step(&mut self, input: Input, told: bool) -> Effects {
        let woken_for = matches!(input, Input::Woke)
            .then(|| self.engine.next_deadline())
            .flatten();
        let why = woken_for
            .filter(|(at, _)| *at <= self.now)
            .map(|(_, kind)| format!(" for {kind:?}"));
        if told {
            let (now, words) = (self.now.to_string(), words::input(&input));
            let why = why.unwrap_or_default();
            self.story.push(format!("{now:>8}  {words}{why}"));
        }
        self.inputs.push((self.now, input.clone()));
        let mut effects = Effects::new();
        self.engine.handle(self.now, input, &mut effects);
        if let Err(contradiction) = self.engine.check() {
            panic!("{contradiction} after:\n{}", self.story.join("\n"));
        }
        self.done.extend(
            effects
                .list()
                .iter()
                .map(|effect| words::effect(effect, &effects)),
        );
        effects
    }

    /// Moves the time without waking the engine, as a driver that is late does.
    pub(crate) fn jump(&mut self, ms: u64) {
        self.now = Timestamp::from_ms(ms);
    }

    /// Moves the time and wakes the engine whenever it wanted to be.
    pub(crate) fn sleep_until(&mut self, ms: u64) -> Vec<String> {
        let until = Timestamp::from_ms(ms);
        let mut lines = Vec::new();
        while let Some((at, _)) = self.engine.next_deadline()
            && at <= until
        {
            self.now = self.now.max(at);
            lines.extend(self.input(Input::Woke));
            let next = self.engine.next_deadline();
            assert!(
                next.is_none_or(|(next, _)| next > self.now),
                "{next:?} at {}",
                self.now
            );
        }
        self.now = until;
        lines
    }

    /// When the engine wants to be woken, in milliseconds, and why.
    pub(crate) fn deadline(&self) -> Option<(u64, String)> {
        self.engine
            .next_deadline()
            .map(|(at, kind)| (at.as_ms(), format!("{kind:?}")))
    }

    pub(crate) fn digest(&self) -> u64 {
        self.engine.digest().unwrap()
    }

    // From here on: inputs by their names.

    pub(crate) fn handshake(&mut self, conn: ConnId) -> Vec<String> {
        self.input(Input::HandshakeStarted { conn })
    }

    pub(crate) fn connect(&mut self, conn: ConnId, auth: Auth) -> Vec<String> {
        self.connect_with(conn, auth, None)
    }

    pub(crate) fn connect_with(
        &mut self,
        conn: ConnId,
        auth: Auth,
        cookie: Option<SessionId>,
    ) -> Vec<String> {
        self.input(Input::ConnectRequested {
            conn,
            socket: make::socket(conn),
            auth,
            cookie,
        })
    }

    /// Answers the session look-up that waits longest.
    pub(crate) fn session(&mut self, verdict: SessionVerdict) -> Vec<String> {
        let request = self
            .look_ups
            .pop_front()
            .expect("a session is being looked up");
        self.input(Input::SessionLookedUp { request, verdict })
    }

    /// From handshake to the session's verdict, which is returned.
    pub(crate) fn knock(&mut self, conn: ConnId, auth: Auth) -> Vec<String> {
        self.handshake(conn);
        self.connect(conn, auth);
        self.session(SessionVerdict::Trusted)
    }

    pub(crate) fn connected(&mut self, conn: ConnId) -> Vec<String> {
        self.input(Input::Connected { conn })
    }

    /// From handshake to being sent events; what that brought is returned.
    pub(crate) fn join(&mut self, conn: ConnId, auth: Auth) -> Vec<String> {
        let verdict = self.knock(conn, auth);
        assert!(verdict.contains(&format!("admit {conn}")), "{verdict:?}");
        self.connected(conn)
    }

    /// As [`Self::join`], for several plain connections of one user.
    pub(crate) fn join_all(&mut self, slots: core::ops::Range<u32>, name: &str) {
        for slot in slots {
            self.join(make::c(slot), make::hello(name));
        }
    }

    pub(crate) fn emit(&mut self, conn: ConnId, event: ClientEvent) -> Vec<String> {
        self.input(Input::Received {
            conn,
            event,
            ack: None,
        })
    }

    pub(crate) fn emit_acked(
        &mut self,
        conn: ConnId,
        event: ClientEvent,
        ack: AckId,
    ) -> Vec<String> {
        self.input(Input::Received {
            conn,
            event,
            ack: Some(ack),
        })
    }

    pub(crate) fn publish(&mut self, items: Vec<Publish>) -> Vec<String> {
        self.publishes += 1;
        let (request, wall) = (RequestId::new(self.publishes), words::wall(self.now));
        self.input(Input::Published {
            request,
            items,
            wall,
        })
    }

    /// As [`Self::publish`] with one item; returns only what was delivered.
    pub(crate) fn delivers(&mut self, item: Publish) -> Vec<String> {
        let mut lines = self.publish(vec![item]);
        lines.retain(|line| line.starts_with("deliver "));
        lines
    }

    pub(crate) fn arrives(&mut self, value: StateValue) -> Vec<String> {
        self.input(Input::StateArrived {
            values: vec![value],
            once: false,
        })
    }

    pub(crate) fn fetched(&mut self, request: u64, values: Vec<StateValue>) -> Vec<String> {
        let values = Some(values);
        self.input(Input::Fetched {
            request: RequestId::new(request),
            values,
        })
    }

    pub(crate) fn measured(&mut self, conn: ConnId, bytes: u64, packets: u32) -> Vec<String> {
        let pending = make::pending(bytes, packets);
        self.pending.insert(conn, pending);
        self.input(Input::OutboxMeasured { conn, pending })
    }

    /// The transport ends without a word, and its slot is free again.
    pub(crate) fn gone(&mut self, conn: ConnId) -> Vec<String> {
        self.input(Input::Closed { conn })
    }

    pub(crate) fn drain(&mut self) -> Vec<String> {
        self.input(Input::DrainStarted {
            wall: words::wall(self.now),
        })
    }

    // From here on: what a bus says for which the test speaks.

    pub(crate) fn reached(&mut self) -> Vec<String> {
        self.input(Input::BusReached)
    }

    pub(crate) fn lost(&mut self) -> Vec<String> {
        self.input(Input::BusLost)
    }

    pub(crate) fn appended(&mut self, request: u64, outcome: BusOutcome) -> Vec<String> {
        let request = RequestId::new(request);
        self.input(Input::Appended { request, outcome })
    }

    pub(crate) fn took(&mut self, request: u64, outcome: BusOutcome) -> Vec<String> {
        let request = RequestId::new(request);
        self.input(Input::Shared { request, outcome })
    }

    pub(crate) fn charged(&mut self, request: u64, verdict: ChargeVerdict) -> Vec<String> {
        let request = RequestId::new(request);
        self.input(Input::Charged { request, verdict })
    }

    pub(crate) fn claimed(&mut self, request: u64, verdict: ClaimVerdict) -> Vec<String> {
        let request = RequestId::new(request);
        self.input(Input::Claimed { request, verdict })
    }

    pub(crate) fn led(&mut self, request: u64, held: Option<bool>) -> Vec<String> {
        let request = RequestId::new(request);
        self.input(Input::Led { request, held })
    }

    pub(crate) fn logged(&mut self, entries: Vec<LogEntry>) -> Vec<String> {
        self.input(Input::LogArrived { entries })
    }

    pub(crate) fn log_gap(&mut self, cause: GapCause) -> Vec<String> {
        self.input(Input::LogGap { cause })
    }

    /// As [`Self::join`], on a bus that grants the slot and knows no market; returns what entering
    /// brought.
    pub(crate) fn join_granted(&mut self, conn: ConnId, auth: Auth) -> Vec<String> {
        self.knock(conn, auth);
        self.grant();
        let lines = self.connected(conn);
        self.answer_fetches();
        lines
    }

    /// The number of the last request that was asked in words that begin with this.
    pub(crate) fn last_asked(&self, begin: &str) -> u64 {
        let lines = self.done.iter().rev();
        let mut numbers = lines.filter_map(|line| line.strip_prefix(begin)?.strip_prefix(" r"));
        let number = numbers.next().expect("it was asked");
        let end = number.find(|letter: char| !letter.is_ascii_digit());
        number[..end.unwrap_or(number.len())].parse().unwrap()
    }

    /// Grants the claim that was made last.
    pub(crate) fn grant(&mut self) -> Vec<String> {
        self.claimed(self.last_asked("bus claim"), ClaimVerdict::Granted)
    }

    /// Answers every question for values with none; empties `asked`.
    pub(crate) fn answer_fetches(&mut self) {
        while let Some(asked) = self.asked.pop_front() {
            if let BusRequest::Fetch { request, .. } = asked {
                self.fetched(request.number(), vec![]);
            }
        }
    }
}
