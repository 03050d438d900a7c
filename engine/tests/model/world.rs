//! What did happen: the engine, a bus behind three slow channels, and the transition at hand turned
//! into inputs. The clients' side is in `clients.rs`.

use std::collections::{BTreeMap, VecDeque};

use tradewire_engine::bus::{BusLimits, BusRequest, EmbeddedBus};
use tradewire_engine::effect::{Note, PublishOutcome};
use tradewire_engine::event::{Publish, Topic};
use tradewire_engine::ids::{ConnId, RequestId};
use tradewire_engine::input::{BusOutcome, SessionVerdict};
use tradewire_engine::limits::Limits;
use tradewire_engine::time::Timestamp;
use tradewire_engine::{Config, Delivery, Effect, Effects, Engine, Input};

use crate::common::{make, words};
use crate::outboxes::Clients;
use crate::reference::Reference;
use crate::transition::{Channel, Emitted, Item, To, Transition, Verdict};

pub(crate) const USERS: [&str; 4] = ["ann", "bob", "cyd", "dan"];
pub(crate) const SYMBOLS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

/// One run.
pub(crate) struct World {
    engine: Engine,
    pub(crate) now: Timestamp,
    bus: EmbeddedBus,
    answers: VecDeque<Input>,
    log: VecDeque<Input>,
    state: VecDeque<Input>,
    look_ups: Vec<RequestId>,
    pub(crate) clients: Clients,
    pub(crate) reference: Reference,
    published: u64,
    numbered: u64,
    /// What happened, in words.
    pub(crate) story: Vec<String>,
    /// How often each kind of effect was seen.
    pub(crate) kinds: BTreeMap<&'static str, u64>,
    /// How many inputs the engine was given.
    pub(crate) inputs: u64,
}

/// Small enough that every bound is reached.
fn limits() -> Limits {
    let seconds = core::time::Duration::from_secs;
    Limits {
        connections_per_user_max: 3,
        connects_per_user_minute_max: 8,
        connections_max: 15,
        handshakes_max: 3,
        admissions_pending_max: 4,
        symbols_per_connection_max: 4,
        events_per_second_max: 10,
        events_burst_max: 20,
        watchlist_calls_max: 3,
        outbox_bytes_max: 2_400,
        outbox_packets_max: 8,
        congested_log_events_max: 10,
        congested_log_bytes_max: 1_500,
        outbox_total_bytes_max: 12_000,
        history_max: seconds(60),
        ..Limits::default()
    }
}

impl World {
    pub(crate) fn new(delivery: Delivery) -> Self {
        let config = Config {
            limits: limits(),
            delivery,
            bus: tradewire_engine::BusKind::Embedded,
            seed: 7,
            instance: 1,
        };
        Self {
            reference: Reference::new(limits(), delivery),
            engine: Engine::new(config).unwrap(),
            now: Timestamp::ZERO,
            bus: EmbeddedBus::new(BusLimits::default(), make::EPOCH, 7),
            answers: VecDeque::new(),
            log: VecDeque::new(),
            state: VecDeque::new(),
            look_ups: Vec::new(),
            clients: Clients::default(),
            published: 0,
            numbered: 0,
            story: Vec::new(),
            kinds: BTreeMap::new(),
            inputs: 0,
        }
    }

    pub(crate) fn apply(&mut self, transition: &Transition) -> Result<(), String> {
        match transition {
            Transition::Open => self.open().map(|_| ()),
            Transition::Connect { pick, hello } => match self.clients.pick_transport(*pick) {
                Some(conn) => self.connect(conn, hello),
                None => Ok(()),
            },
            Transition::Verdict { pick, verdict } => self.answer_look_up(*pick, verdict),
            Transition::Enter { pick } => match self.clients.pick_transport(*pick) {
                Some(conn) => self.input(Input::Connected { conn }),
                None => Ok(()),
            },
            Transition::Arrive { hello } => {
                let conn = self.open()?;
                let before = self.look_ups.len();
                self.connect(conn, hello)?;
                if self.look_ups.len() > before {
                    let request = self.look_ups.remove(before);
                    let verdict = SessionVerdict::Trusted;
                    self.input(Input::SessionLookedUp { request, verdict })?;
                }
                self.input(Input::Connected { conn })
            }
            Transition::Emit { pick, call, ack } => self.emit(*pick, call, ack.then_some(7)),
            Transition::Flood { pick, times } => {
                (0..*times).try_for_each(|_| self.emit(*pick, &Emitted::Unknown, None))
            }
            Transition::Publish { items } => self.publish(items),
            Transition::BusSays { channel, count } => {
                (0..*count).try_for_each(|_| self.bus_says(*channel).map(|_| ()))
            }
            Transition::Read { pick, packets } => match self.clients.pick_transport(*pick) {
                Some(conn) => self.read(conn, usize::from(*packets)),
                None => Ok(()),
            },
            Transition::Look { pick: None } => {
                let pending = self.clients.all_pending();
                self.input(Input::OutboxesMeasured { pending })
            }
            Transition::Look { pick: Some(pick) } => match self.clients.pick_transport(*pick) {
                Some(conn) => self.measure(conn),
                None => Ok(()),
            },
            Transition::Pass { ms } => self.pass(u64::from(*ms)),
            Transition::Oversleep { ms } => {
                self.hear_answers()?;
                self.now = Timestamp::from_ms(self.now.as_ms() + u64::from(*ms));
                self.input(Input::Woke)
            }
            Transition::Leave { pick } => match self.clients.pick_transport(*pick) {
                Some(conn) => self.input(Input::Disconnected { conn }),
                None => Ok(()),
            },
            Transition::Vanish { pick } => match self.clients.pick_transport(*pick) {
                Some(conn) => self.input(Input::Closed { conn }),
                None => Ok(()),
            },
            Transition::Ghost { pick, what } => self.ghost(*pick, *what),
            Transition::Checkpoint => {
                let bytes = self
                    .engine
                    .checkpoint()
                    .map_err(|error| error.to_string())?;
                let restored = Engine::restore(&bytes).map_err(|error| error.to_string())?;
                ensure!(
                    restored == self.engine,
                    "the engine changed by being written down"
                );
                self.engine = restored;
                Ok(())
            }
            Transition::Settle => self.settle(),
            Transition::Drain => self.input(Input::DrainStarted {
                wall: words::wall(self.now),
            }),
            Transition::Hurry => self.input(Input::DrainHurried),
        }
    }

    /// Gives the engine one fact and whatever the driver must answer at once.
    pub(crate) fn input(&mut self, input: Input) -> Result<(), String> {
        // What has fallen due is done apart, so that the reference sees each cause alone.
        if self
            .engine
            .next_deadline()
            .is_some_and(|(at, _)| at <= self.now)
        {
            self.step(Input::Woke)?;
        }
        self.step(input)?;
        while let Some(measured) = self.clients.next_measurement() {
            self.step(measured)?;
        }
        self.reference.rested(&self.engine, &self.clients)
    }

    fn step(&mut self, input: Input) -> Result<(), String> {
        self.inputs += 1;
        self.story
            .push(format!("{}  {}", self.now, words::input(&input)));
        self.reference.expect(self.now, &input)?;
        let mut effects = Effects::new();
        self.engine.handle(self.now, input, &mut effects);
        for effect in effects.list() {
            self.story
                .push(format!("    {}", words::effect(effect, &effects)));
            *self.kinds.entry(kind(effect)).or_default() += 1;
            self.reference.see(effect, &effects, &self.clients)?;
            self.clients.see(effect, &effects);
            match effect {
                Effect::Bus(request) => self.ask_bus(request),
                Effect::LookUpSession { request, .. } => self.look_ups.push(*request),
                _ => {}
            }
        }
        self.reference.done()?;
        self.engine.check()
    }

    fn ask_bus(&mut self, request: &BusRequest) {
        let mut said = VecDeque::new();
        self.bus.handle(self.now, request.clone(), &mut said);
        for input in said {
            match &input {
                Input::LogArrived { .. } => self.log.push_back(input),
                Input::StateArrived { values, .. } => {
                    self.reference.bus_took(values);
                    self.state.push_back(input);
                }
                _ => self.answers.push_back(input),
            }
        }
    }

    /// Lets the next thing on a channel through, if there is one.
    fn bus_says(&mut self, channel: Channel) -> Result<bool, String> {
        let queue = match channel {
            Channel::Answers => &mut self.answers,
            Channel::Log => &mut self.log,
            Channel::State => &mut self.state,
        };
        match queue.pop_front() {
            Some(input) => self.input(input).map(|()| true),
            None => Ok(false),
        }
    }

    fn open(&mut self) -> Result<ConnId, String> {
        let conn = self.clients.next_conn();
        self.input(Input::HandshakeStarted { conn }).map(|()| conn)
    }

    fn answer_look_up(&mut self, pick: u8, verdict: &Verdict) -> Result<(), String> {
        if self.look_ups.is_empty() {
            return Ok(());
        }
        let request = self
            .look_ups
            .remove(usize::from(pick) % self.look_ups.len());
        let verdict = match verdict {
            Verdict::Found(user) => {
                let user = make::user(USERS[usize::from(*user) % USERS.len()]);
                SessionVerdict::Found { user }
            }
            Verdict::Trusted => SessionVerdict::Trusted,
            Verdict::Unavailable => SessionVerdict::Unavailable,
            Verdict::Unknown => SessionVerdict::Unknown,
        };
        self.input(Input::SessionLookedUp { request, verdict })
    }

    fn publish(&mut self, items: &[Item]) -> Result<(), String> {
        self.published += 1;
        let items = items.iter().map(|item| self.item(item)).collect();
        let (request, wall) = (RequestId::new(self.published), words::wall(self.now));
        self.input(Input::Published {
            request,
            items,
            wall,
        })
    }

    /// Every payload is told from all others by its number.
    fn item(&mut self, item: &Item) -> Publish {
        self.numbered += 1;
        let text = format!(
            "{{\"n\":{},\"pad\":\"{:2$}\"}}",
            self.numbered,
            "",
            usize::from(item.pad)
        );
        let user = |pick: &u8| USERS[usize::from(*pick) % USERS.len()];
        let made = match &item.to {
            To::Market => make::value(Topic::Market, &text),
            To::Portfolio(pick) => make::portfolio(user(pick), &text),
            To::Quote(pick) => make::quote(SYMBOLS[usize::from(*pick) % SYMBOLS.len()], &text),
            To::Trade(pick) => make::trade(user(pick), &text),
        };
        match item.id {
            Some(id) => make::keyed(made, &format!("key-{id}")),
            None => made,
        }
    }

    fn pass(&mut self, ms: u64) -> Result<(), String> {
        for conn in self.clients.closing() {
            self.input(Input::Closed { conn })?;
        }
        let until = Timestamp::from_ms(self.now.as_ms() + ms);
        while let Some((at, _)) = self.engine.next_deadline()
            && at <= until
        {
            if self.hear_answers()? {
                continue;
            }
            self.now = self.now.max(at);
            self.input(Input::Woke)?;
            let next = self.engine.next_deadline();
            ensure!(
                next.is_none_or(|(next, _)| next > self.now),
                "{next:?} is still due after waking at {}",
                self.now
            );
        }
        self.now = until;
        Ok(())
    }

    /// The bus within the node never answers later than it may: before anything falls due.
    fn hear_answers(&mut self) -> Result<bool, String> {
        let mut heard = false;
        while self.bus_says(Channel::Answers)? {
            heard = true;
        }
        Ok(heard)
    }

    /// Something about a connection or a request that is gone must not change anything.
    fn ghost(&mut self, pick: u8, what: u8) -> Result<(), String> {
        let Some(conn) = self.clients.pick_gone(pick) else {
            return Ok(());
        };
        let request = RequestId::new(1 << 40);
        let input = match what % 8 {
            0 => Input::Closed { conn },
            1 => Input::Connected { conn },
            2 => Input::Disconnected { conn },
            3 => Input::Received {
                conn,
                event: make::watch(&["A"]),
                ack: Some(1),
            },
            4 => Input::OutboxMeasured {
                conn,
                pending: make::pending(5_000, 9),
            },
            5 => Input::SessionLookedUp {
                request,
                verdict: SessionVerdict::Trusted,
            },
            6 => Input::Fetched {
                request,
                values: Some(vec![]),
            },
            _ => Input::Appended {
                request,
                outcome: BusOutcome::Failed,
            },
        };
        self.input(Input::Woke)?;
        let before = self.engine.clone();
        self.input(input)?;
        ensure!(self.engine == before, "a ghost of {conn} changed something");
        Ok(())
    }

    /// Faults stop, everyone reads, and a few seconds pass: then everyone must be up to date.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..6 {
            let mut busy = true;
            while busy {
                busy = false;
                for channel in [Channel::Answers, Channel::State, Channel::Log] {
                    busy |= self.bus_says(channel)?;
                }
                for conn in self.clients.transports() {
                    busy |= self.clients.has_unread(conn);
                    self.read(conn, usize::MAX)?;
                }
            }
            self.pass(1_000)?;
        }
        self.reference.settled(&self.clients)
    }
}

/// What an effect counts as when it is asked what a run has reached.
fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::AnswerPublish { outcome, .. } => match outcome {
            PublishOutcome::Accepted { .. } => "accepted",
            PublishOutcome::Draining => "draining answered",
            PublishOutcome::Unavailable { .. } => "unavailable",
        },
        Effect::Disconnect { .. } => "disconnect",
        Effect::Close { reason, .. } => reason.name(),
        Effect::Drained => "drained",
        Effect::MeasureAll => "all measured",
        Effect::Note(Note::Congested { .. }) => "congested",
        Effect::Note(Note::Conflated { .. }) => "conflated",
        Effect::Note(Note::RateLimited { .. }) => "rate limited",
        Effect::Note(Note::RequestTimedOut { .. }) => "timed out",
        Effect::Note(Note::Resumed {
            recovered,
            replayed,
            ..
        }) => match (recovered, replayed) {
            (false, _) => "unrecovered",
            (true, 0..8) => "recovered",
            (true, _) => "recovered over the outbox",
        },
        Effect::Note(Note::StaleState { .. }) => "stale",
        Effect::Note(Note::Uncongested { .. }) => "uncongested",
        Effect::Refuse { reason, .. } => reason.name(),
        Effect::RefuseHandshake { reason, .. } => reason.name(),
        Effect::Acknowledge { .. }
        | Effect::Admit { .. }
        | Effect::AllowHandshake { .. }
        | Effect::Bus(_)
        | Effect::CheckSessions { .. }
        | Effect::Deliver { .. }
        | Effect::LookUpSession { .. }
        | Effect::Measure { .. }
        | Effect::Note(_)
        | Effect::Release { .. }
        | Effect::Send { .. }
        | Effect::Watch { .. } => "other",
    }
}
