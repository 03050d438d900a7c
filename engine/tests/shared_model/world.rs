//! What did happen: the engine, the bus behind three slow ways, and the transition at hand turned into
//! inputs.

use std::collections::VecDeque;

use tradewire_engine::bus::{BusRequest, LogPublish, Slot, StatePublish};
use tradewire_engine::event::{Publish, Target, Topic};
use tradewire_engine::ids::{ConnId, RequestId};
use tradewire_engine::input::SessionVerdict;
use tradewire_engine::limits::Limits;
use tradewire_engine::parse::{Auth, ClientEvent, LastEventId, Subscriptions, UserClaim};
use tradewire_engine::time::Timestamp;
use tradewire_engine::{BusKind, Config, Contact, Delivery, Effect, Effects, Engine, Input};

use crate::cluster::Cluster;
use crate::common::{make, words};
use crate::oracle::Oracle;
use crate::outboxes::{Clients, pick_from};
use crate::transition::{Channel, Emitted, Hello, Item, Last, To, Transition};

const USERS: [&str; 3] = ["ann", "bob", "cyd"];
const SYMBOLS: [&str; 4] = ["A", "B", "C", "D"];

/// One run.
pub(crate) struct World {
    engine: Engine,
    now: Timestamp,
    cluster: Cluster,
    linked: bool,
    deaf: bool,
    sessions_there: bool,
    look_ups: VecDeque<RequestId>,
    clients: Clients,
    pub(crate) oracle: Oracle,
    published: Vec<Vec<Publish>>,
    requests: u64,
    numbered: u64,
    pub(crate) story: Vec<String>,
    pub(crate) inputs: u64,
}

/// Small enough that every bound is reached.
fn limits() -> Limits {
    Limits {
        connections_per_user_max: 3,
        connections_max: 12,
        symbols_per_connection_max: 3,
        portfolio_calls_max: 2,
        watchlist_calls_max: 4,
        outbox_bytes_max: 2_000,
        outbox_packets_max: 8,
        congested_log_events_max: 3,
        congested_log_bytes_max: 1_500,
        history_max: core::time::Duration::from_secs(60),
        ..Limits::default()
    }
}

impl World {
    pub(crate) fn new(delivery: Delivery) -> Self {
        let config = Config {
            limits: limits(),
            delivery,
            bus: BusKind::Shared,
            seed: 7,
            instance: 1,
        };
        Self {
            engine: Engine::new(config).unwrap(),
            now: Timestamp::ZERO,
            cluster: Cluster::new(limits()),
            linked: false,
            deaf: false,
            sessions_there: true,
            look_ups: VecDeque::new(),
            clients: Clients::default(),
            oracle: Oracle::new(limits(), delivery),
            published: Vec::new(),
            requests: 0,
            numbered: 0,
            story: Vec::new(),
            inputs: 0,
        }
    }

    pub(crate) fn apply(&mut self, transition: &Transition) -> Result<(), String> {
        match transition {
            Transition::Arrive { hello } => self.arrive(hello),
            Transition::Enter { pick } => match self.clients.pick_transport(*pick) {
                Some(conn) => self.input(Input::Connected { conn }),
                None => Ok(()),
            },
            Transition::Emit { pick, call } => self.emit(*pick, call),
            Transition::Publish { items } => {
                let items = self.items(items);
                self.publish(items)
            }
            Transition::Republish { pick } => {
                let back = usize::from(*pick) % self.published.len().max(1);
                match self.published.get(back).cloned() {
                    Some(items) => self.publish(items),
                    None => Ok(()),
                }
            }
            Transition::Emitter { item } => {
                let items = self.items(core::slice::from_ref(item));
                let wall = words::wall(self.now);
                self.input(Input::Emitted { items, wall })
            }
            Transition::Elsewhere { items } => {
                self.publish_elsewhere(items);
                Ok(())
            }
            Transition::ConnectElsewhere { user } => {
                self.numbered += 1;
                let name = USERS[usize::from(*user) % USERS.len()];
                let socket = format!("elsewhere-{}", self.numbered);
                let socket = tradewire_engine::ids::SocketId::new(&socket).unwrap();
                let slot = Slot::new(socket, &make::session("s-elsewhere"));
                self.cluster.claim(self.now, make::user(name), slot, None);
                Ok(())
            }
            Transition::LeaveElsewhere => {
                self.each_elsewhere(|_, _| false);
                Ok(())
            }
            Transition::BusSays { channel, count } => {
                (0..*count).try_for_each(|_| self.bus_says(*channel).map(|_| ()))
            }
            Transition::AnswerLost => {
                self.cluster.answers.pop_front();
                Ok(())
            }
            Transition::Deaf(deaf) => {
                self.deaf = *deaf;
                Ok(())
            }
            Transition::Refusing(refusing) => {
                self.cluster.refusing = *refusing;
                Ok(())
            }
            Transition::Cut => self.cut(),
            Transition::Reach => self.reach(),
            Transition::StateMissed => {
                if !self.linked {
                    return Ok(());
                }
                self.cluster.messages.clear();
                self.input(Input::StateMissed)
            }
            Transition::DataLost => {
                self.cluster.lose_data();
                Ok(())
            }
            Transition::Trimmed => {
                self.cluster.trim();
                Ok(())
            }
            Transition::SessionsGone { seconds } => {
                self.sessions_there = false;
                for _ in 0..*seconds {
                    self.pass(1_000)?;
                    while self.bus_says(Channel::Answers)? {}
                }
                self.sessions_there = true;
                Ok(())
            }
            Transition::Read { pick, packets } => match self.clients.pick_transport(*pick) {
                Some(conn) => self.read(conn, usize::from(*packets)),
                None => Ok(()),
            },
            Transition::Pass { ms } => self.pass(u64::from(*ms)),
            Transition::Oversleep { ms } => {
                self.now = Timestamp::from_ms(self.now.as_ms() + u64::from(*ms));
                self.input(Input::Woke)
            }
            Transition::Vanish { pick } => match self.clients.pick_transport(*pick) {
                Some(conn) => self.input(Input::Closed { conn }),
                None => Ok(()),
            },
            Transition::Checkpoint => {
                let bytes = self.engine.checkpoint().unwrap();
                let restored = Engine::restore(&bytes).map_err(|error| error.to_string())?;
                ensure!(
                    restored == self.engine,
                    "the engine changed by being written down"
                );
                self.engine = restored;
                Ok(())
            }
            Transition::Settle => self.settle(),
        }
    }

    /// Gives the engine one fact and whatever the driver must answer at once.
    fn input(&mut self, input: Input) -> Result<(), String> {
        // What has fallen due is done apart, so that each cause is seen alone.
        let due = self.engine.next_deadline();
        if due.is_some_and(|(at, _)| at <= self.now) {
            self.step(Input::Woke)?;
        }
        self.step(input)?;
        while let Some(measured) = self.clients.next_measurement() {
            self.step(measured)?;
        }
        self.oracle.rested(&self.engine, &self.cluster)
    }

    fn step(&mut self, input: Input) -> Result<(), String> {
        self.inputs += 1;
        let words = words::input(&input);
        self.story.push(format!("{}  {words}", self.now));
        self.oracle.told(self.now, &input, &self.engine);
        let before = self.engine.stats().contact;
        let mut effects = Effects::new();
        self.engine.handle(self.now, input, &mut effects);
        let after = self.engine.stats().contact;
        for effect in effects.list() {
            let words = words::effect(effect, &effects);
            self.story.push(format!("    {words}"));
            self.oracle.see(effect, &effects, &self.cluster)?;
            self.clients.see(effect, &effects);
            match effect {
                Effect::Bus(request) => {
                    ensure!(
                        before == Contact::Reached
                            || after == Contact::Reached
                            || matches!(request, BusRequest::Probe),
                        "a bus that is away is asked"
                    );
                    self.ask(request);
                }
                Effect::CheckSessions { request, sessions } => {
                    let present = Some(vec![self.sessions_there; sessions.len()]);
                    let request = *request;
                    let answer = Input::SessionsChecked { request, present };
                    self.cluster.answers.push_back(answer);
                }
                Effect::LookUpSession { request, .. } => self.look_ups.push_back(*request),
                _ => {}
            }
        }
        self.engine.check()
    }

    fn ask(&mut self, request: &BusRequest) {
        if !self.linked {
            self.cluster.answers.extend(Cluster::failed(request));
        } else if !self.deaf {
            self.cluster.ask(self.now, request.clone());
        }
    }

    fn bus_says(&mut self, channel: Channel) -> Result<bool, String> {
        let queue = match channel {
            Channel::Answers => &mut self.cluster.answers,
            // The log is read on while there is contact.
            Channel::Log if !self.linked => return Ok(false),
            Channel::Log => &mut self.cluster.entries,
            Channel::State => &mut self.cluster.messages,
        };
        match queue.pop_front() {
            Some(input) => self.input(input).map(|()| true),
            None => Ok(false),
        }
    }

    /// The contact ends: what was asked is failed.
    fn cut(&mut self) -> Result<(), String> {
        if !core::mem::replace(&mut self.linked, false) {
            return Ok(());
        }
        self.cluster.cut();
        self.input(Input::BusLost)
    }

    /// The contact is made: first values are heard, then the log is read to its end.
    fn reach(&mut self) -> Result<(), String> {
        if core::mem::replace(&mut self.linked, true) {
            return Ok(());
        }
        self.cluster.cut();
        self.cluster.heard = true;
        self.deaf = false;
        if self.engine.stats().contact == Contact::Never {
            self.cluster.entries.clear();
            for entries in self.cluster.log.clone().chunks(32) {
                let entries = entries.to_vec();
                self.input(Input::LogLoaded { entries })?;
            }
        }
        while self.bus_says(Channel::Log)? {}
        self.input(Input::BusReached)
    }

    fn arrive(&mut self, hello: &Hello) -> Result<(), String> {
        let conn = self.clients.next_conn();
        self.input(Input::HandshakeStarted { conn })?;
        let auth = self.auth(hello);
        let before = self.look_ups.len();
        self.input(Input::ConnectRequested {
            conn,
            socket: make::socket(conn),
            auth,
            cookie: None,
        })?;
        if self.look_ups.len() > before {
            let request = self.look_ups.pop_back().unwrap();
            let user = make::user(USERS[usize::from(hello.user) % USERS.len()]);
            let verdict = if hello.found {
                SessionVerdict::Found { user }
            } else {
                SessionVerdict::Trusted
            };
            self.input(Input::SessionLookedUp { request, verdict })?;
        }
        if hello.enters {
            while self.bus_says(Channel::Answers)? {}
            self.input(Input::Connected { conn })?;
        }
        Ok(())
    }

    fn auth(&self, hello: &Hello) -> Auth {
        let name = USERS[usize::from(hello.user) % USERS.len()];
        let user = make::user(name);
        let read = self.oracle.arrivals.iter().rev();
        let mine = read.clone().filter(|(of, _)| *of == user);
        let last_event_id = match &hello.last {
            Last::Absent => LastEventId::Absent,
            Last::Read(back) => {
                LastEventId::Given(mine.map(|(_, id)| *id).nth(usize::from(*back) % 24))
            }
            Last::Newest => {
                let log = self.cluster.log.iter().rev();
                let newest = log.clone().find(|entry| entry.user == user);
                LastEventId::Given(newest.map(|entry| entry.id))
            }
            Last::Known(back) => {
                LastEventId::Given(read.map(|(_, id)| *id).nth(usize::from(*back) % 24))
            }
            Last::Forged => LastEventId::Given(Some(make::event(u64::MAX, 0))),
        };
        let members = self.oracle.members(&user);
        let replaces = hello.replaces.and_then(|pick| pick_from(&members, pick));
        let restore = hello.restore.as_ref();
        Auth {
            session: Some(make::session(&format!("s-{name}"))),
            user: UserClaim::Claimed(user),
            last_event_id,
            subscriptions: restore.map(|(portfolio, trades, list)| {
                Ok(Subscriptions {
                    portfolio: *portfolio,
                    trades: *trades,
                    watchlist: names(list),
                })
            }),
            replaces: replaces.map(make::socket),
        }
    }

    fn emit(&mut self, pick: u8, call: &Emitted) -> Result<(), String> {
        let Some(conn) = self.clients.pick_transport(pick) else {
            return Ok(());
        };
        let event = match call {
            Emitted::Portfolio => ClientEvent::SubscribePortfolio,
            Emitted::Trades => ClientEvent::SubscribeTrades,
            Emitted::Watch(symbols) => ClientEvent::SubscribeWatchlist(Ok(names(symbols))),
            Emitted::Unwatch(symbols) => ClientEvent::UnsubscribeWatchlist(Ok(names(symbols))),
        };
        let ack = None;
        self.input(Input::Received { conn, event, ack })
    }

    fn publish(&mut self, items: Vec<Publish>) -> Result<(), String> {
        self.requests += 1;
        let (request, wall) = (RequestId::new(self.requests), words::wall(self.now));
        if items.iter().all(|item| item.id.is_some()) {
            self.published.push(items.clone());
        }
        self.input(Input::Published {
            request,
            items,
            wall,
        })
    }

    fn publish_elsewhere(&mut self, items: &[Item]) {
        let items = self.items(items);
        let (mut entries, mut values) = (Vec::new(), Vec::new());
        for Publish {
            target, payload, ..
        } in items
        {
            self.numbered += 1;
            let id = make::key(&format!("elsewhere-{}", self.numbered));
            match target {
                Target::State(topic) => values.push(StatePublish {
                    id: None,
                    lasting: false,
                    topic,
                    payload,
                }),
                Target::Log { kind, user } => entries.push(LogPublish {
                    id,
                    lasting: true,
                    kind,
                    user,
                    payload,
                }),
            }
        }
        self.cluster.append(entries);
        self.cluster.share(values, false);
    }

    /// Every payload is told from all others by its number.
    fn items(&mut self, items: &[Item]) -> Vec<Publish> {
        let user = |pick: &u8| USERS[usize::from(*pick) % USERS.len()];
        let each = items.iter().map(|item| {
            self.numbered += 1;
            let text = format!("{{\"n\":{}}}", self.numbered);
            let made = match &item.to {
                To::Market => make::value(Topic::Market, &text),
                To::Portfolio(pick) => make::portfolio(user(pick), &text),
                To::Quote(pick) => make::quote(SYMBOLS[usize::from(*pick) % SYMBOLS.len()], &text),
                To::Trade(pick) => make::trade(user(pick), &text),
            };
            if item.keyed {
                make::keyed(made, &format!("key-{}", self.numbered))
            } else {
                made
            }
        });
        each.collect()
    }

    /// Other nodes' slots that `keep` does not want are given back; the rest are renewed.
    fn each_elsewhere(&mut self, keep: impl Fn(usize, &Slot) -> bool) {
        let now = self.now;
        for slots in self.cluster.slots.values_mut() {
            let mut place = 0;
            slots.retain_mut(|(slot, _, at)| {
                place += 1;
                let elsewhere = slot.socket.as_str().starts_with("elsewhere");
                if elsewhere {
                    *at = now;
                }
                !elsewhere || keep(place, slot)
            });
        }
    }

    fn read(&mut self, conn: ConnId, packets: usize) -> Result<(), String> {
        self.clients.take(conn, packets);
        match self.clients.next_measurement() {
            Some(measured) => self.input(measured),
            None => Ok(()),
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
            self.now = self.now.max(at);
            self.each_elsewhere(|_, _| true);
            self.input(Input::Woke)?;
            let next = self.engine.next_deadline();
            ensure!(
                next.is_none_or(|(next, _)| next > self.now),
                "{next:?} is still due after waking at {}",
                self.now
            );
        }
        self.now = until;
        self.each_elsewhere(|_, _| true);
        Ok(())
    }

    /// Faults stop, everyone reads, and time passes: then everyone must be up to date, and nothing owed.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        self.story.push("-- settle".into());
        (self.deaf, self.cluster.refusing, self.sessions_there) = (false, false, true);
        if self.engine.stats().contact != Contact::Reached {
            self.cut()?;
        }
        self.reach()?;
        let max = limits().connections_per_user_max as usize;
        for _ in 0..200 {
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
            // A request that was lost before loses the contact once more.
            if self.engine.stats().contact != Contact::Reached {
                self.cut()?;
                self.reach()?;
            }
            self.pass(250)?;
            self.each_elsewhere(|place, _| place <= max);
            self.cluster.expire(self.now);
        }
        while self.bus_says(Channel::Answers)? {}
        self.oracle.settled(&self.engine, &self.cluster)
    }
}

fn names(picks: &[u8]) -> Vec<tradewire_engine::ids::Symbol> {
    let names: Vec<&str> = picks
        .iter()
        .map(|pick| SYMBOLS[usize::from(*pick) % SYMBOLS.len()])
        .collect();
    make::symbols(&names)
}
