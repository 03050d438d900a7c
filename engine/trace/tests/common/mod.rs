//! A small node on its embedded bus that is recorded while it lives through something of everything.

use std::collections::VecDeque;

use tradewire_engine::bus::{BusLimits, EmbeddedBus};
use tradewire_engine::event::{LogKind, Payload, Publish, Target, Topic};
use tradewire_engine::ids::{ConnId, Epoch, RequestId, SessionId, SocketId, Symbol, UserId};
use tradewire_engine::input::{Pending, SessionVerdict};
use tradewire_engine::limits::Limits;
use tradewire_engine::parse::{Auth, ClientEvent, UserClaim};
use tradewire_engine::time::{Timestamp, WallTime};
use tradewire_engine::{BusKind, Config, Delivery, Effect, Effects, Engine, Input};
use tradewire_trace::{Build, Encoder, Header, Segment};

/// What every payload holds, to find texts by.
pub(crate) const SECRET: &str = "strictly-confidential";

/// A node and its recording.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    bus: EmbeddedBus,
    pub(crate) encoder: Encoder,
    pub(crate) now: u64,
    effects: Effects,
    masked: bool,
    requests: u64,
}

impl Node {
    pub(crate) fn new(masked: bool) -> Self {
        let config = Config {
            limits: Limits {
                outbox_packets_max: 8,
                ..Limits::default()
            },
            delivery: Delivery::All,
            bus: BusKind::Embedded,
            seed: 7,
            instance: 1,
        };
        Self {
            engine: Engine::new(config).unwrap(),
            bus: EmbeddedBus::new(BusLimits::default(), Epoch::new(0xe), 7),
            encoder: Encoder::new(masked),
            now: 0,
            effects: Effects::new(),
            masked,
            requests: 0,
        }
    }

    /// Gives the engine an input, and what follows from it at once.
    pub(crate) fn input(&mut self, input: Input) {
        let now = Timestamp::from_ms(self.now);
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.effects.clear();
            self.encoder.input(now, &input);
            self.engine.handle(now, input, &mut self.effects);
            self.encoder.effects(&self.effects);
            let mut answers = VecDeque::new();
            for effect in self.effects.list() {
                match effect {
                    Effect::Admit { conn } => answers.push_back(Input::Connected { conn: *conn }),
                    Effect::Bus(request) => self.bus.handle(now, request.clone(), &mut answers),
                    Effect::LookUpSession { request, .. } => {
                        answers.push_back(Input::SessionLookedUp {
                            request: *request,
                            verdict: SessionVerdict::Trusted,
                        });
                    }
                    Effect::Measure { conn } => answers.push_front(Input::OutboxMeasured {
                        conn: *conn,
                        pending: Pending::default(),
                    }),
                    Effect::MeasureAll => answers.push_front(Input::OutboxesMeasured {
                        pending: Vec::new(),
                    }),
                    _ => {}
                }
            }
            inputs.extend(answers);
        }
    }

    pub(crate) fn join(&mut self, slot: u32, user: &str) {
        let conn = ConnId::new(slot, 0);
        self.input(Input::HandshakeStarted { conn });
        let socket = SocketId::new(&format!("socket-{slot}")).unwrap();
        let auth = Auth {
            session: SessionId::new("s").ok(),
            user: UserClaim::Claimed(UserId::new(user).unwrap()),
            ..Auth::default()
        };
        self.input(Input::ConnectRequested {
            conn,
            socket,
            auth,
            cookie: None,
        });
        let symbols = Ok(vec![Symbol::new("AAPL").unwrap()]);
        self.input(Input::Received {
            conn,
            event: ClientEvent::SubscribeWatchlist(symbols),
            ack: Some(1),
        });
    }

    pub(crate) fn publish(&mut self, number: u64) {
        let payload = Payload::new(&format!("{{\"note\":\"{SECRET}\",\"n\":{number}}}"));
        let user = UserId::new(&format!("u{}", number % 3)).unwrap();
        let items = [
            Target::State(Topic::Quote(Symbol::new("AAPL").unwrap())),
            Target::State(Topic::Portfolio(user.clone())),
            Target::Log {
                kind: LogKind::TradeExecuted,
                user,
            },
        ];
        let items = items.map(|target| Publish {
            id: None,
            target,
            payload: payload.clone(),
        });
        self.requests += 1;
        self.input(Input::Published {
            request: RequestId::new(self.requests),
            items: items.into(),
            wall: WallTime::from_unix_ms(self.now),
        });
    }

    /// A life of many kinds of input.
    pub(crate) fn live(&mut self, rounds: u64) {
        if self.engine.slots() == 0 {
            for slot in 0..4 {
                self.join(slot, &format!("u{}", slot % 3));
            }
        }
        for round in 0..rounds {
            self.now += 37;
            self.publish(round);
            if round % 5 == 0 {
                self.input(Input::Woke);
            }
            if round % 7 == 0 {
                self.input(Input::OutboxMeasured {
                    conn: ConnId::new(1, 0),
                    pending: Pending {
                        bytes: 4_000,
                        packets: 9,
                    },
                });
            }
        }
    }

    /// The segment that begins with the engine as it is, for [`Self::close`].
    pub(crate) fn begin(&mut self) -> Segment<Vec<u8>> {
        let header = Header {
            build: Build::this(),
            node: "node0".to_owned(),
            started: WallTime::from_unix_ms(1_700_000_000_000),
            begun: WallTime::from_unix_ms(1_700_000_000_000),
            segment: 0,
            masked: self.masked,
            config: self.engine.config().clone(),
        };
        let now = Timestamp::from_ms(self.now);
        let start = self.encoder.start(&self.engine, now, 0);
        Segment::begin(Vec::new(), &header, &start).unwrap()
    }

    /// Puts what was recorded since into a block.
    pub(crate) fn flush(&mut self, segment: &mut Segment<Vec<u8>>) {
        let block = self.encoder.take_block(Vec::new());
        segment.block(&block).unwrap();
    }

    pub(crate) fn close(&mut self, mut segment: Segment<Vec<u8>>) -> Vec<u8> {
        self.flush(&mut segment);
        segment.end().unwrap();
        segment.out().clone()
    }
}

/// The recording of a whole life, with three blocks.
pub(crate) fn recording(masked: bool, rounds: u64) -> Vec<u8> {
    let mut node = Node::new(masked);
    let mut segment = node.begin();
    for _ in 0..2 {
        node.live(rounds);
        node.flush(&mut segment);
    }
    node.live(rounds);
    node.close(segment)
}
