//! An engine in a given situation, with a driver that answers at once: what the benchmarks and the
//! test of allocations share. It decides nothing, and is built before anything is measured.

use core::time::Duration;

use tradewire_engine::bus::BusRequest;
use tradewire_engine::event::{
    LogEntry, LogKind, Payload, Publish, StateValue, Target, Topic, Version,
};
use tradewire_engine::ids::{
    ConnId, Epoch, EventId, IdError, RequestId, SessionId, SocketId, Symbol, UserId,
};
use tradewire_engine::input::{BusOutcome, Pending, SessionVerdict};
use tradewire_engine::limits::{Limits, LimitsError};
use tradewire_engine::parse::{Auth, ClientEvent, LastEventId, UserClaim};
use tradewire_engine::time::{Timestamp, WallTime};
use tradewire_engine::{BusKind, Config, Delivery, Effect, Effects, Engine, Input};

/// The only life of the bus's data here.
const EPOCH: Epoch = Epoch::new(0xe);

/// Why a situation could not be made.
#[derive(Debug)]
pub enum StageError {
    /// The limits contradict each other.
    Limits(LimitsError),
    /// A made-up name is none.
    Name(IdError),
}

impl From<LimitsError> for StageError {
    fn from(error: LimitsError) -> Self {
        Self::Limits(error)
    }
}

impl From<IdError> for StageError {
    fn from(error: IdError) -> Self {
        Self::Name(error)
    }
}

/// A client, by the names that it goes by.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its connection.
    pub conn: ConnId,
    /// Its user.
    pub user: UserId,
    socket: SocketId,
    session: SessionId,
}

impl Client {
    /// The client in `slot`, as the first connection of user `user`.
    ///
    /// # Errors
    /// None: the names are well formed.
    pub fn new(slot: u32, user: u32) -> Result<Self, StageError> {
        Ok(Self {
            conn: ConnId::new(slot, 0),
            user: UserId::new(&format!("user-{user:07}"))?,
            socket: SocketId::new(&format!("socket-{slot:013}"))?,
            session: SessionId::new(&format!("session-{slot:024}"))?,
        })
    }

    /// The inputs by which it comes in; its session is looked up between the last two.
    #[must_use]
    pub fn comes(&self, last_event_id: LastEventId) -> [Input; 3] {
        let conn = self.conn;
        let auth = Auth {
            session: Some(self.session.clone()),
            user: UserClaim::Claimed(self.user.clone()),
            last_event_id,
            ..Auth::default()
        };
        [
            Input::HandshakeStarted { conn },
            Input::ConnectRequested {
                conn,
                socket: self.socket.clone(),
                auth,
                cookie: None,
            },
            Input::Connected { conn },
        ]
    }

    /// The inputs by which it goes.
    #[must_use]
    pub fn goes(&self) -> [Input; 2] {
        let conn = self.conn;
        [Input::Disconnected { conn }, Input::Closed { conn }]
    }

    /// An event that it sends.
    #[must_use]
    pub fn sends(&self, event: ClientEvent) -> Input {
        Input::Received {
            conn: self.conn,
            event,
            ack: None,
        }
    }

    /// The driver finds that its outbox is full.
    #[must_use]
    pub fn is_full(&self) -> Input {
        self.measured(Limits::default().outbox_packets_max)
    }

    /// The driver finds that everything is written.
    #[must_use]
    pub fn is_empty(&self) -> Input {
        self.measured(0)
    }

    fn measured(&self, packets: u32) -> Input {
        // In packets alone, so that all together are never too much.
        let pending = Pending { bytes: 0, packets };
        Input::OutboxMeasured {
            conn: self.conn,
            pending,
        }
    }
}

/// `subscribe:watchlist` of one symbol.
#[must_use]
pub fn watch(symbol: &Symbol) -> ClientEvent {
    ClientEvent::SubscribeWatchlist(Ok(vec![symbol.clone()]))
}

/// `unsubscribe:watchlist` of one symbol.
#[must_use]
pub fn unwatch(symbol: &Symbol) -> ClientEvent {
    ClientEvent::UnsubscribeWatchlist(Ok(vec![symbol.clone()]))
}

/// A payload as large as a quote.
#[must_use]
pub fn payload() -> Payload {
    Payload::new(
        r#"{"symbol":"AAPL","price":175.5,"change":2.5,"changePercent":1.45,"volume":1000000}"#,
    )
}

/// An engine, the buffer of its effects, and a driver that answers whatever is asked at once.
pub struct Stage {
    engine: Engine,
    effects: Effects,
    now: Timestamp,
    answers: Vec<Input>,
    version: u64,
}

impl Stage {
    /// A node alone, which no crowd is too large for.
    ///
    /// # Errors
    /// None: the limits hold together.
    pub fn new() -> Result<Self, StageError> {
        let limits = Limits {
            connections_max: u32::MAX,
            admissions_pending_max: u32::MAX,
            // Time passes faster than it would.
            history_max: Duration::from_secs(1 << 30),
            ..Limits::default()
        };
        let config = Config {
            limits,
            delivery: Delivery::All,
            bus: BusKind::Embedded,
            seed: 7,
            instance: 1,
        };
        Ok(Self {
            engine: Engine::new(config)?,
            effects: Effects::new(),
            now: Timestamp::ZERO,
            answers: Vec::new(),
            version: 0,
        })
    }

    /// With so many clients that are in, each a user of its own.
    ///
    /// # Errors
    /// None: the names are well formed.
    pub fn with_crowd(connections: u32) -> Result<(Self, Vec<Client>), StageError> {
        let mut stage = Self::new()?;
        let clients = (0..connections).map(|slot| Client::new(slot, slot));
        let clients: Vec<Client> = clients.collect::<Result<_, _>>()?;
        for client in &clients {
            stage.enter(client);
        }
        Ok((stage, clients))
    }

    /// Lets a client in.
    pub fn enter(&mut self, client: &Client) {
        for input in client.comes(LastEventId::Absent) {
            self.give(input);
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        self.now = Timestamp::from_ms(self.now.as_ms() + ms);
    }

    /// The engine itself.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Gives one input, and then what the driver answers to its effects; tells how many connections
    /// were handed something.
    pub fn give(&mut self, input: Input) -> usize {
        let mut recipients = self.step(input);
        while let Some(answer) = self.answers.pop() {
            recipients += self.step(answer);
        }
        recipients
    }

    fn step(&mut self, input: Input) -> usize {
        self.effects.clear();
        self.engine.handle(self.now, input, &mut self.effects);
        let mut recipients = 0;
        for effect in self.effects.list() {
            if let Effect::Deliver {
                recipients: range, ..
            } = effect
            {
                recipients += range.len();
            }
            self.answers.extend(answer(effect));
        }
        recipients
    }

    /// The next value of a topic, as the bus brings it.
    pub fn value(&mut self, topic: &Topic, payload: &Payload) -> Input {
        self.version += 1;
        let value = StateValue {
            topic: topic.clone(),
            version: Version {
                epoch: EPOCH,
                counter: self.version,
            },
            payload: payload.clone(),
        };
        Input::StateArrived {
            values: vec![value],
            once: false,
        }
    }

    /// The next log event of a user, as the bus brings it, and its id.
    pub fn trade(&mut self, user: &UserId, payload: &Payload) -> (EventId, Input) {
        self.version += 1;
        let id = EventId {
            epoch: EPOCH,
            ms: self.version,
            seq: 0,
        };
        let entry = LogEntry {
            id,
            kind: LogKind::TradeExecuted,
            user: user.clone(),
            payload: payload.clone(),
        };
        let entries = vec![entry];
        (id, Input::LogArrived { entries })
    }
}

/// A value of a topic on its way in, as a publisher hands it to the driver.
#[must_use]
pub fn published(request: u64, topic: &Topic, payload: &Payload) -> Input {
    let item = Publish {
        id: None,
        target: Target::State(topic.clone()),
        payload: payload.clone(),
    };
    Input::Published {
        request: RequestId::new(request),
        items: vec![item],
        wall: WallTime::from_unix_ms(1_700_000_000_000),
    }
}

/// What the driver answers at once: all is written, every session is good, and the bus takes all and
/// has nothing.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the rest asks nothing, or nothing that a benchmark waits for"
)]
fn answer(effect: &Effect) -> Option<Input> {
    match effect {
        Effect::Measure { conn } => Some(Input::OutboxMeasured {
            conn: *conn,
            pending: Pending::default(),
        }),
        Effect::MeasureAll => Some(Input::OutboxesMeasured {
            pending: Vec::new(),
        }),
        Effect::LookUpSession { request, .. } => Some(Input::SessionLookedUp {
            request: *request,
            verdict: SessionVerdict::Trusted,
        }),
        Effect::Bus(BusRequest::Fetch { request, .. }) => Some(Input::Fetched {
            request: *request,
            values: Some(Vec::new()),
        }),
        Effect::Bus(BusRequest::Share { request, .. }) => Some(Input::Shared {
            request: *request,
            outcome: BusOutcome::Done,
        }),
        _ => None,
    }
}
