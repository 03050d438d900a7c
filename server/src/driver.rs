//! The driver: the one task that owns the engine. It turns what happens into inputs and does what
//! the effects say; it decides nothing.

#[cfg(test)]
mod cost;
#[cfg(test)]
mod order;
#[cfg(test)]
mod rig;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, pending, ready};
use socketioxide_core::Sid;
use socketioxide_core::packet::Packet;
use tokio::sync::{mpsc, oneshot, watch};
use tradewire_engine::effect::PublishOutcome;
use tradewire_engine::ids::{ConnId, RequestId, SocketId};
use tradewire_engine::reason::{Refusal, Unavailable};
use tradewire_engine::time::Timestamp;
use tradewire_engine::{Effects, Engine, Input};

use crate::bus::Bus;
use crate::clock::Clock;
use crate::gate::{Gate, PollingSessions};
use crate::gateway::Sender;
use crate::inbox::{Admitted, Command, Outlets, PublishCommand, Report};
use crate::link::{Link, Notice, Notices, Presence};
use crate::metrics::Metrics;
use crate::recorder::Recorder;
use crate::rounds::Rounds;
use crate::run::Shutdown;
use crate::sessions::Sessions;

/// How much of each queue is handled before the others get their turn.
const TURN: usize = 256;

/// A connection's seat: what the driver knows of it beyond the engine.
pub(crate) struct Seat {
    pub(crate) link: Arc<Link>,
    /// The socket's id, once it sent CONNECT.
    pub(crate) sid: Option<Sid>,
    /// How many of its CONNECTs were let in.
    pub(crate) connects: u32,
    /// How many of them were answered, where the session polls.
    pub(crate) answered: u32,
    /// Packets that must not go before an answer that is on its way, with what each counts for.
    pub(crate) early: Vec<(Packet, u64)>,
    /// Its turn to write what is in its queue will come.
    pub(crate) waits: bool,
    pub(crate) handshake: Option<oneshot::Sender<Result<Admitted, Unavailable>>>,
    pub(crate) connect: Option<oneshot::Sender<Result<(), Refusal>>>,
}

/// Seats by slot, each with the number of connections that used it before.
#[derive(Default)]
pub(crate) struct Seats {
    seats: Vec<(u32, Option<Seat>)>,
    free: Vec<u32>,
}

impl Seats {
    /// Makes a seat for a new connection.
    fn take(&mut self, make: impl FnOnce(ConnId) -> Seat) -> ConnId {
        if let Some(slot) = self.free.pop()
            && let Some((generation, place)) = self.seats.get_mut(slot as usize)
        {
            let conn = ConnId::new(slot, *generation);
            *place = Some(make(conn));
            return conn;
        }
        let slot = u32::try_from(self.seats.len()).unwrap_or(u32::MAX);
        let conn = ConnId::new(slot, 0);
        self.seats.push((0, Some(make(conn))));
        conn
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Seat> {
        let (generation, seat) = self.seats.get(conn.slot() as usize)?;
        seat.as_ref().filter(|_| *generation == conn.generation())
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Seat> {
        let (generation, seat) = self.seats.get_mut(conn.slot() as usize)?;
        seat.as_mut().filter(|_| *generation == conn.generation())
    }

    /// Frees a seat; the slot's next user is told apart from this one.
    pub(crate) fn release(&mut self, conn: ConnId) -> Option<Seat> {
        self.get(conn)?;
        let (generation, seat) = self.seats.get_mut(conn.slot() as usize)?;
        *generation = generation.wrapping_add(1);
        self.free.push(conn.slot());
        seat.take()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter_map(|(_, seat)| seat.as_ref())
    }
}

/// The driver's parts.
pub(crate) struct Driver<C> {
    pub(crate) engine: Engine,
    pub(crate) clock: C,
    pub(crate) bus: Box<dyn Bus>,
    pub(crate) sessions: Box<dyn Sessions>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) gate: Gate,
    pub(crate) polling: Arc<PollingSessions>,
    /// Packets that may wait for one connection.
    pub(crate) packets_max: usize,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) seats: Seats,
    pub(crate) rounds: Rounds,
    pub(crate) publishes: BTreeMap<RequestId, oneshot::Sender<PublishOutcome>>,
    /// Measurements and failures, which the engine is given before anything else.
    pub(crate) measured: VecDeque<Input>,
    /// Answers that were there at once.
    pub(crate) answers: VecDeque<Input>,
    pub(crate) drained: bool,
    /// Whether it writes to connections itself. With one thread for all there is nothing to share with others, and
    /// a write costs less than to wake a task that writes; with several, they write side by side.
    writes: bool,
    recorder: Option<Recorder<C>>,
    effects: Effects,
    last_publish: u64,
    draining_since: Option<Timestamp>,
    notices: Notices,
}

/// What a driver is made of.
pub(crate) struct Parts<C> {
    pub(crate) engine: Engine,
    pub(crate) clock: C,
    pub(crate) bus: Box<dyn Bus>,
    pub(crate) sessions: Box<dyn Sessions>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) gate: Gate,
    pub(crate) polling: Arc<PollingSessions>,
    pub(crate) packets_max: usize,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) notices: Notices,
    pub(crate) recorder: Option<Recorder<C>>,
}

impl<C: Clock> Driver<C> {
    pub(crate) fn new(parts: Parts<C>) -> Self {
        let Parts {
            engine,
            clock,
            bus,
            sessions,
            sender,
            gate,
            polling,
            packets_max,
            metrics,
            notices,
            recorder,
        } = parts;
        Self {
            engine,
            clock,
            bus,
            sessions,
            sender,
            gate,
            polling,
            packets_max,
            metrics,
            seats: Seats::default(),
            rounds: Rounds::default(),
            publishes: BTreeMap::new(),
            measured: VecDeque::new(),
            answers: VecDeque::new(),
            drained: false,
            writes: tokio::runtime::Handle::current().metrics().num_workers() == 1,
            recorder,
            effects: Effects::new(),
            last_publish: 0,
            draining_since: None,
            notices,
        }
    }

    /// Runs until a drain is over, and tells how much of its time is left.
    pub(crate) async fn run(
        mut self,
        mut outlets: Outlets,
        mut notices: mpsc::UnboundedReceiver<Notice>,
        mut shutdown: watch::Receiver<Shutdown>,
    ) -> Duration {
        let mut batch = Batch::default();
        let mut asked = true;
        while !self.drained {
            self.wake_slice();
            if self.rounds.is_full() {
                tokio::task::yield_now().await;
                self.rounds.begin_slice();
                if self.rounds.is_behind() {
                    continue;
                }
            }
            let wake = match self.engine.next_deadline() {
                Some((at, _)) => Either::Left(tokio::time::sleep_until(self.clock.instant(at))),
                None => Either::Right(pending()),
            };
            let flush = match self.recorder.as_ref().and_then(Recorder::flush_at) {
                Some(at) => Either::Left(tokio::time::sleep_until(self.clock.instant(at))),
                None => Either::Right(pending()),
            };
            // Biased, so that nothing is left to chance; every queue gets its turn below.
            tokio::select! {
                biased;
                changed = shutdown.changed(), if asked => match changed {
                    Ok(()) => self.shut_down(*shutdown.borrow_and_update()),
                    Err(_) => {
                        // Whoever could ask for a shutdown is gone.
                        asked = false;
                        self.shut_down(Shutdown::Now);
                    }
                },
                _ = notices.recv_many(&mut batch.notices, TURN) => {}
                _ = outlets.arrivals.recv_many(&mut batch.arrivals, TURN) => {}
                _ = outlets.commands.recv_many(&mut batch.commands, TURN) => {}
                _ = outlets.publishes.recv_many(&mut batch.publishes, TURN) => {}
                () = wake => self.handle(Input::Woke),
                () = flush => {}
                () = ready(()), if !self.rounds.is_empty() => {}
            }
            batch.fill(&mut outlets, &mut notices);
            self.handle_batch(&mut batch);
            // However busy the other queues are. Answers that wait come first: they are not late.
            if outlets.arrivals.is_empty()
                && let Some((at, _)) = self.engine.next_deadline()
                && at <= self.clock.now()
            {
                self.handle(Input::Woke);
            }
            self.flush_recording();
        }
        while !self.rounds.is_empty() {
            self.rounds.begin_slice();
            self.wake_slice();
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.finish(self.clock.now());
        }
        let deadline = self.engine.config().limits.drain_deadline;
        let begun = self.draining_since.unwrap_or_default();
        deadline.saturating_sub(self.clock.now().since(begun))
    }

    /// Writes what waits for the next connections, or has them write it.
    fn wake_slice(&mut self) {
        while let Some(conn) = self.rounds.next() {
            if let Some(seat) = self.seats.get_mut(conn) {
                seat.waits = false;
                match self.writes {
                    true => seat.link.queue().write(),
                    false => seat.link.queue().wake(),
                }
            }
        }
    }

    /// However busy the queues are, what was recorded is written soon.
    fn flush_recording(&mut self) {
        if let Some(recorder) = &mut self.recorder
            && let Some(at) = recorder.flush_at()
        {
            let now = self.clock.now();
            if at <= now {
                recorder.flush(now);
            }
        }
    }

    fn handle_batch(&mut self, batch: &mut Batch) {
        for notice in batch.notices.drain(..) {
            self.notice(notice);
        }
        for input in batch.arrivals.drain(..) {
            self.handle(input);
        }
        for command in batch.commands.drain(..) {
            self.command(command);
        }
        for publish in batch.publishes.drain(..) {
            self.publish(publish);
        }
    }

    fn shut_down(&mut self, shutdown: Shutdown) {
        match shutdown {
            Shutdown::No => {}
            Shutdown::Drain => self.start_drain(),
            Shutdown::Now => {
                self.start_drain();
                self.handle(Input::DrainHurried);
            }
        }
    }

    fn start_drain(&mut self) {
        if self.draining_since.is_none() {
            self.draining_since = Some(self.clock.now());
            let wall = self.clock.wall();
            self.handle(Input::DrainStarted { wall });
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Closed(conn) => self.handle(Input::Closed { conn }),
            Notice::Connected(conn) => {
                if let Some(seat) = self.seats.get_mut(conn) {
                    seat.connects += 1;
                }
                self.handle(Input::Connected { conn });
            }
            Notice::Answered(conn) => self.answered(conn),
            Notice::Disconnected(conn) => self.handle(Input::Disconnected { conn }),
            Notice::Failed(conn, fault) => self.handle(Input::TransportFailed { conn, fault }),
            Notice::Room(conn) => {
                if let Some(pending) = self.seats.get(conn).and_then(|seat| seat.link.room()) {
                    self.handle(Input::OutboxMeasured { conn, pending });
                }
            }
        }
    }

    /// A polling session's CONNECT answer is on its way: hands over what had to wait for it.
    fn answered(&mut self, conn: ConnId) {
        let Some(seat) = self.seats.get_mut(conn) else {
            return;
        };
        seat.answered += 1;
        let Some(sid) = seat.sid.filter(|_| seat.answered >= seat.connects) else {
            return;
        };
        let mut is_full = false;
        for (packet, bytes) in std::mem::take(&mut seat.early) {
            if self.sender.send(sid, packet).is_err() {
                seat.link.take_back(bytes);
                is_full = true;
            }
        }
        if is_full {
            let ended = self.end_full(conn);
            self.handle(ended);
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Connect {
                conn,
                sid,
                auth,
                cookie,
                reply,
            } => {
                let Some(seat) = self.seats.get_mut(conn) else {
                    return;
                };
                let Ok(socket) = SocketId::new(sid.as_str()) else {
                    return;
                };
                seat.sid = Some(sid);
                seat.connect = Some(reply);
                self.handle(Input::ConnectRequested {
                    conn,
                    socket,
                    auth,
                    cookie,
                });
            }
            Command::Handshake { reply } => {
                let notices = self.notices.clone();
                let conn = self.seats.take(|conn| Seat {
                    link: Arc::new(Link::new(conn, notices)),
                    sid: None,
                    connects: 0,
                    answered: 0,
                    early: Vec::new(),
                    waits: false,
                    handshake: Some(reply),
                    connect: None,
                });
                self.handle(Input::HandshakeStarted { conn });
            }
            Command::Received { conn, event, ack } => {
                self.handle(Input::Received { conn, event, ack });
            }
            Command::Report { reply } => {
                let report = Report {
                    stats: self.engine.stats(),
                    draining: self.draining_since.is_some(),
                };
                // Whoever asked may have given up.
                let _ = reply.send(report);
            }
        }
    }

    fn publish(&mut self, command: PublishCommand) {
        let PublishCommand { items, wall, reply } = command;
        self.last_publish += 1;
        let request = RequestId::new(self.last_publish);
        self.publishes.insert(request, reply);
        self.handle(Input::Published {
            request,
            items,
            wall,
        });
    }

    /// Gives the engine an input and does what it says, and so on with what that answers at once.
    fn handle(&mut self, input: Input) {
        // One time for all: what follows from an input happens with it. An answer that is there
        // already must not be late because the fan-out before it took long.
        let now = self.clock.now();
        let mut next = Some(input);
        while let Some(input) = next {
            let mut effects = std::mem::take(&mut self.effects);
            effects.clear();
            self.metrics.inputs.inc();
            if let Some(recorder) = &mut self.recorder {
                recorder.input(now, &input, &self.engine);
            }
            self.engine.handle(now, input, &mut effects);
            if let Some(recorder) = &mut self.recorder {
                recorder.effects(now, &effects);
            }
            for effect in effects.list() {
                self.perform(now, effect, &effects);
            }
            self.effects = effects;
            next = self
                .measured
                .pop_front()
                .or_else(|| self.answers.pop_front());
        }
    }

    /// A session that may begin, for the gate.
    pub(crate) fn admitted(&self, conn: ConnId) -> Option<Admitted> {
        let link = Arc::clone(&self.seats.get(conn)?.link);
        Some(Admitted {
            presence: Presence(Arc::clone(&link)),
            link,
        })
    }
}

/// What has come in and is handled in one turn.
#[derive(Default)]
struct Batch {
    notices: Vec<Notice>,
    arrivals: Vec<Input>,
    commands: Vec<Command>,
    publishes: Vec<PublishCommand>,
}

impl Batch {
    /// Adds what waits in the other queues, so that a busy one does not keep them waiting.
    fn fill(&mut self, outlets: &mut Outlets, notices: &mut mpsc::UnboundedReceiver<Notice>) {
        while self.arrivals.len() < TURN
            && let Ok(input) = outlets.arrivals.try_recv()
        {
            self.arrivals.push(input);
        }
        while self.commands.len() < TURN
            && let Ok(command) = outlets.commands.try_recv()
        {
            self.commands.push(command);
        }
        while self.publishes.len() < TURN
            && let Ok(publish) = outlets.publishes.try_recv()
        {
            self.publishes.push(publish);
        }
        // Last to be looked for and first to be handled: that a client is in is known before what it published.
        while let Ok(notice) = notices.try_recv() {
            self.notices.push(notice);
        }
    }
}
