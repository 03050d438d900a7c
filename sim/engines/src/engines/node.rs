//! A node: an engine and what the driver does with its effects.

use std::collections::VecDeque;

use rand::RngExt as _;
use tradewire_engine::effect::{Message, Note, PublishOutcome};
use tradewire_engine::ids::{ConnId, RequestId};
use tradewire_engine::input::{Pending, SessionVerdict, SlotLoss};
use tradewire_engine::reason::{CloseReason, Refusal};
use tradewire_engine::time::{Timestamp, WallTime};
use tradewire_engine::{BusKind, Config, Effect, Engine, Input};

use super::bus::WALL_MS;
use super::contact::Contact;
use super::names::{item_of, topic_of, user_of_session};
use super::wires::Frame;
use super::world::{Event, World};
use crate::oracle::{Answer, Batch, Conn, Node, Observation, Refused, Situation, User, Verdict};

/// What a packet has on the wire beside its payload.
const FRAME_BYTES: u32 = 60;

/// What an answer or another control message has.
const CONTROL_BYTES: u32 = 120;

/// One life of a node.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) node: Node,
    pub(super) engine: Engine,
    pub(super) instance: u64,
    started_at: u64,
    /// How fast its clock runs, in thousandths.
    speed: u64,
    /// When it wants to be woken, in simulated time.
    pub(super) wake: Option<u64>,
    /// By slot: how many used it before, and who does now.
    seats: Vec<(u32, Option<Conn>)>,
    free: Vec<u32>,
    pub(super) contact: Contact,
    /// Look-ups that wait for contact: which, whose, until when.
    pub(super) look_ups: Vec<(RequestId, User, u64)>,
    /// Measurements and failures, told before anything else.
    measured: VecDeque<Input>,
    /// Answers that are there at once.
    answers: VecDeque<Input>,
    publishes: Vec<(RequestId, Batch)>,
    last_publish: u64,
    pub(super) draining: bool,
    drained: bool,
}

impl Life {
    fn time(&self, now: u64) -> Timestamp {
        Timestamp::from_ms((now - self.started_at) * self.speed / 1000)
    }

    fn plan_wake(&mut self) {
        self.wake = self
            .engine
            .next_deadline()
            .map(|(at, _)| self.started_at + (at.as_ms() * 1000).div_ceil(self.speed));
    }

    /// Makes a seat for a connection.
    fn seat(&mut self, conn: Conn) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.seats.push((0, None));
            u32::try_from(self.seats.len() - 1).unwrap_or(u32::MAX)
        });
        let seat = &mut self.seats[slot as usize];
        seat.1 = Some(conn);
        ConnId::new(slot, seat.0)
    }

    fn seated(&self, id: ConnId) -> Option<Conn> {
        let (generation, conn) = self.seats.get(id.slot() as usize)?;
        conn.filter(|_| *generation == id.generation())
    }

    fn release(&mut self, id: ConnId) {
        if let Some((generation, conn)) = self.seats.get_mut(id.slot() as usize)
            && *generation == id.generation()
        {
            *conn = None;
            *generation += 1;
            self.free.push(id.slot());
        }
    }
}

impl World<'_> {
    pub(super) fn node_starts(&mut self, place: usize) -> Verdict {
        if self.places[place].life.is_some() {
            // The one before has not left yet.
            self.after(500, Event::NodeStarts(place));
            return Ok(());
        }
        self.places[place].returns = false;
        let node = Node(self.lives);
        self.lives += 1;
        let chance = &mut self.places[place].chance;
        let instance = chance.random();
        let config = Config {
            limits: self.plan.limits.clone(),
            delivery: self.plan.delivery,
            bus: BusKind::Shared,
            seed: chance.random(),
            instance,
        };
        let engine = match Engine::new(config) {
            Ok(engine) => engine,
            Err(error) => unreachable!("limits of the simulation: {error}"),
        };
        let skew = self.plan.skew_permille;
        let speed = chance.random_range(1000 - skew..=1000 + skew);
        self.places[place].life = Some(Box::new(Life {
            node,
            engine,
            instance,
            started_at: self.now,
            speed,
            wake: None,
            seats: Vec::new(),
            free: Vec::new(),
            contact: Contact::default(),
            look_ups: Vec::new(),
            measured: VecDeque::new(),
            answers: VecDeque::new(),
            publishes: Vec::new(),
            last_publish: 0,
            draining: false,
            drained: false,
        }));
        self.story.starts(self.places[place].name, node);
        self.see(&Observation::NodeStarted(node))?;
        self.tell_fault(place)?;
        self.at(self.now, Event::Reconnect(place, node, 0));
        Ok(())
    }

    /// The node that lives there, if it is this one.
    pub(super) fn life(&mut self, place: usize, node: Node) -> Option<&mut Life> {
        self.places[place]
            .life
            .as_deref_mut()
            .filter(|life| life.node == node)
    }

    pub(super) fn wall(&self) -> WallTime {
        WallTime::from_unix_ms(WALL_MS + self.now)
    }

    pub(super) fn wake(&mut self, place: usize) -> Verdict {
        self.input(place, Input::Woke)
    }

    /// Gives an engine a fact, does what it says, and so on with what that answers at once.
    pub(super) fn input(&mut self, place: usize, input: Input) -> Verdict {
        let Some(mut life) = self.places[place].life.take() else {
            return Ok(());
        };
        if life.drained {
            self.places[place].life = Some(life);
            return Ok(());
        }
        let mut effects = core::mem::take(&mut self.effects);
        let now = life.time(self.now);
        let mut next = Some(input);
        let mut verdict = Ok(());
        while let Some(input) = next
            && verdict.is_ok()
        {
            if self.story.tells_frames() {
                let seated = |id| life.seated(id);
                self.story.input(self.now, life.node, &input, &seated);
            }
            effects.clear();
            self.inputs += 1;
            life.engine.handle(now, input, &mut effects);
            let (list, recipients) = effects.drain();
            for effect in list {
                if self.story.tells_frames() {
                    let to = if let Effect::Deliver { recipients: to, .. } = &effect {
                        let to = to.start as usize..to.end as usize;
                        recipients.get(to).unwrap_or_default()
                    } else {
                        &[]
                    };
                    let seated = |id| life.seated(id);
                    let decision = (&effect, to);
                    self.story.effect(self.now, life.node, decision, &seated);
                }
                verdict = self.perform(place, &mut life, effect, recipients);
                if verdict.is_err() {
                    break;
                }
            }
            next = life
                .measured
                .pop_front()
                .or_else(|| life.answers.pop_front());
        }
        life.plan_wake();
        if life.drained {
            life.wake = None;
        }
        self.effects = effects;
        self.places[place].life = Some(life);
        self.plan_waking();
        verdict
    }

    fn perform(
        &mut self,
        place: usize,
        life: &mut Life,
        effect: Effect,
        all_recipients: &[ConnId],
    ) -> Verdict {
        match effect {
            Effect::Acknowledge { conn, .. } => {
                self.send(life, conn, Frame::Acknowledgement, CONTROL_BYTES)?
            }
            Effect::Admit { conn } => {
                if let Some(conn) = life.seated(conn) {
                    self.see(&Observation::Admitted(conn))?;
                    self.wires[conn.index()].is_admitted = true;
                    self.hand(conn, Frame::Welcome, CONTROL_BYTES);
                    let tab = self.wires[conn.index()].tab;
                    let ms = self.tabs[tab].chance.random_range(0..3);
                    self.after(ms, Event::NoticeConnected(conn));
                }
            }
            Effect::AllowHandshake { conn } => {
                if let Some(conn) = life.seated(conn) {
                    let ms = self.wires[conn.index()].latency;
                    self.after(ms, Event::HandshakeAnswered(conn));
                }
            }
            Effect::AnswerPublish { request, outcome } => self.answer(life, request, &outcome)?,
            Effect::Bus(request) => self.ask(place, life, request),
            Effect::CheckSessions { request, sessions } => {
                let present = sessions
                    .iter()
                    .map(|session| self.sessions[user_of_session(session).index()]);
                let present: Vec<bool> = present.collect();
                self.check_sessions(place, life, request, present);
            }
            Effect::Close {
                conn,
                reason,
                flush,
            } => {
                if let Some(conn) = life.seated(conn) {
                    self.closing(conn, reason, super::millis(flush))?;
                }
            }
            Effect::Deliver {
                message,
                recipients,
            } => {
                let (frame, bytes) = match message {
                    Message::Log { id, payload, .. } => (
                        Frame::Trade {
                            id,
                            item: item_of(&payload),
                        },
                        payload.bytes(),
                    ),
                    Message::State { topic, payload } => (
                        Frame::Value {
                            topic: topic_of(&topic),
                            item: item_of(&payload),
                        },
                        payload.bytes(),
                    ),
                };
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX) + FRAME_BYTES;
                let recipients = recipients.start as usize..recipients.end as usize;
                for conn in &all_recipients[recipients] {
                    self.send(life, *conn, frame.clone(), bytes)?;
                }
            }
            Effect::Disconnect { conn } => self.send(life, conn, Frame::Goodbye, 2)?,
            Effect::Drained => {
                life.drained = true;
                // What was asked of the bus is still taken there, for half a second at most.
                let ms = self.places[place].chance.random_range(0..=500);
                self.after(ms, Event::NodeExits(place, life.node));
            }
            Effect::LookUpSession { request, session } => {
                let user = user_of_session(&session);
                if self.plan.sessions {
                    let until = self.now + super::millis(self.plan.limits.session_lookup_max);
                    life.look_ups.push((request, user, until));
                    self.after(2 * self.plan.bus_ms, Event::LookUps(place, life.node));
                } else {
                    let verdict = SessionVerdict::Trusted;
                    life.answers
                        .push_back(Input::SessionLookedUp { request, verdict });
                }
            }
            Effect::Measure { conn } => {
                if let Some(at) = life.seated(conn) {
                    let pending = self.wires[at.index()].pending;
                    life.measured
                        .push_back(Input::OutboxMeasured { conn, pending });
                }
            }
            Effect::MeasureAll => {
                let seats = life.seats.iter().filter_map(|(_, conn)| *conn);
                let wires = seats.map(|conn| &self.wires[conn.index()]);
                let pending = wires.map(|wire| (wire.id, wire.pending));
                let mut pending: Vec<_> = pending
                    .filter(|(_, pending)| *pending != Pending::default())
                    .collect();
                pending.sort_unstable_by_key(|(conn, _)| *conn);
                life.measured.push_back(Input::OutboxesMeasured { pending });
            }
            Effect::Note(note) => self.noted(life, &note)?,
            Effect::Refuse { conn, reason } => {
                let why = match reason {
                    Refusal::TooManyConnections { .. } => Refused::TooMany,
                    Refusal::UnknownSession => Refused::UnknownSession,
                    Refusal::MalformedUser
                    | Refusal::NoSession
                    | Refusal::NoUser
                    | Refusal::UserMismatch => Refused::Other,
                };
                if let Some(conn) = life.seated(conn) {
                    self.see(&Observation::Refused { conn, why })?;
                    self.hand(conn, Frame::Refusal, CONTROL_BYTES);
                }
            }
            Effect::RefuseHandshake { conn, .. } => {
                if let Some(conn) = life.seated(conn) {
                    self.reached(Situation::AdmissionRefusedBelow);
                    self.end_below(conn);
                }
            }
            Effect::Release { conn } => life.release(conn),
            Effect::Send { conn, control } => {
                self.send(life, conn, Frame::Control(Box::new(control)), CONTROL_BYTES)?;
            }
            Effect::Watch { conn, at_most } => {
                if let Some(at) = life.seated(conn) {
                    self.wires[at.index()].watching = Some(at_most);
                    self.after(0, Event::Flush(at));
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, life: &Life, id: ConnId, frame: Frame, bytes: u32) -> Verdict {
        let Some(conn) = life.seated(id) else {
            return Ok(());
        };
        if self.wires[conn.index()].is_closing || !self.wires[conn.index()].is_admitted {
            return self.see(&Observation::Stray(conn));
        }
        self.hand(conn, frame, bytes);
        let wire = &self.wires[conn.index()];
        if wire.event_bytes > self.plan.limits.outbox_bytes_max {
            let bytes = wire.event_bytes;
            self.oracle
                .observe(self.now, &Observation::Pending { conn, bytes })?;
        }
        Ok(())
    }

    /// Begins a connection at a node.
    pub(super) fn handshake_arrives(&mut self, conn: Conn) -> Verdict {
        let wire = &self.wires[conn.index()];
        let (place, node) = (wire.place, wire.node);
        let Some(life) = self.life(place, node) else {
            self.end_below(conn);
            return Ok(());
        };
        let id = life.seat(conn);
        let wire = &mut self.wires[conn.index()];
        wire.id = id;
        wire.is_seated = true;
        self.input(place, Input::HandshakeStarted { conn: id })
    }

    /// A publisher's batch.
    pub(super) fn published(
        &mut self,
        place: usize,
        batch: Batch,
        items: Vec<tradewire_engine::event::Publish>,
    ) -> Verdict {
        let wall = self.wall();
        let Some(life) = self.places[place].life.as_deref_mut() else {
            return Ok(());
        };
        life.last_publish += 1;
        let request = RequestId::new(life.last_publish);
        life.publishes.push((request, batch));
        self.input(
            place,
            Input::Published {
                request,
                items,
                wall,
            },
        )
    }

    fn answer(&mut self, life: &mut Life, request: RequestId, outcome: &PublishOutcome) -> Verdict {
        let Some(at) = life
            .publishes
            .iter()
            .position(|(asked, _)| *asked == request)
        else {
            return Ok(());
        };
        let (_, batch) = life.publishes.swap_remove(at);
        let (answer, ids) = match outcome {
            PublishOutcome::Accepted { ids, degraded } => (
                Answer::Accepted {
                    degraded: *degraded,
                },
                ids.as_slice(),
            ),
            PublishOutcome::Draining => (Answer::Draining, &[][..]),
            PublishOutcome::Unavailable { ids } => (Answer::Unavailable, ids.as_slice()),
        };
        let node = life.node;
        self.see(&Observation::Answered {
            batch,
            node,
            answer,
        })?;
        self.batches.answered(batch, answer, ids);
        if matches!(answer, Answer::Accepted { .. }) {
            return self.answer_arrives(batch);
        }
        self.after(10, Event::AnswerArrives(batch));
        Ok(())
    }

    fn noted(&mut self, life: &Life, note: &Note) -> Verdict {
        let node = life.node;
        match note {
            Note::BusLost => self.see(&Observation::Contact {
                node,
                reached: false,
            })?,
            Note::BusReached { .. } => self.see(&Observation::Contact {
                node,
                reached: true,
            })?,
            Note::Closing { conn, reason, .. } => match reason {
                CloseReason::SlowLog | CloseReason::SlowTime | CloseReason::SlowTotal => {
                    let total = *reason == CloseReason::SlowTotal;
                    self.reached(if total {
                        Situation::TotalBound
                    } else {
                        Situation::CongestedClosed
                    });
                    if let Some(conn) = life.seated(*conn) {
                        self.see(&Observation::Unfit(conn))?;
                    }
                }
                CloseReason::ConnectRate => self.reached(Situation::AdmissionRefusedBelow),
                CloseReason::BufferFull
                | CloseReason::Draining
                | CloseReason::Flood
                | CloseReason::HandshakeTimeout
                | CloseReason::HandshakesFull
                | CloseReason::Left
                | CloseReason::Overloaded
                | CloseReason::Replaced
                | CloseReason::SessionExpired
                | CloseReason::SessionStore
                | CloseReason::Stalled
                | CloseReason::TooManyConnections
                | CloseReason::Unread => {}
            },
            Note::Conflated { .. } => self.reached(Situation::Conflated),
            Note::Congested { conn, .. } => {
                self.reached(Situation::Congested);
                if let Some(conn) = life.seated(*conn) {
                    self.see(&Observation::Unfit(conn))?;
                }
            }
            Note::Draining { .. } => {
                if life.engine.stats().congested > 0 {
                    self.reached(Situation::ShutdownFull);
                }
            }
            Note::EmittedLost { .. } => self.reached(Situation::EmitterLost),
            Note::HandedOver { values } if *values > 0 => self.reached(Situation::HandedOver),
            Note::SlotLost {
                loss: SlotLoss::Replaced,
                ..
            } => self.reached(Situation::ReplacedAcross),
            Note::Admitted { .. }
            | Note::Disconnected { .. }
            | Note::HandedOver { .. }
            | Note::HandshakeRefused { .. }
            | Note::Held { .. }
            | Note::IdleUserForgotten
            | Note::Intake { .. }
            | Note::LogGap { .. }
            | Note::RateLimited { .. }
            | Note::Refused { .. }
            | Note::RequestTimedOut { .. }
            | Note::Resumed { .. }
            | Note::SessionGone { .. }
            | Note::SlotLost { .. }
            | Note::StaleState { .. }
            | Note::Uncongested { .. } => {}
        }
        Ok(())
    }

    /// A signal asks a node to leave.
    pub(super) fn drain(&mut self, place: usize, hurried: bool) -> Verdict {
        let wall = self.wall();
        let Some(life) = self.places[place].life.as_deref_mut() else {
            return Ok(());
        };
        let (node, before) = (life.node, core::mem::replace(&mut life.draining, true));
        self.see(&Observation::NodeDraining { node, hurried })?;
        if !before {
            self.input(place, Input::DrainStarted { wall })?;
        }
        if hurried {
            self.input(place, Input::DrainHurried)?;
        }
        Ok(())
    }

    pub(super) fn node_exits(&mut self, place: usize, node: Node) -> Verdict {
        if self.life(place, node).is_none() {
            return Ok(());
        }
        let begun = self.oracle.facts().nodes[node.index()]
            .draining
            .unwrap_or(self.now);
        if self.now >= begun + super::millis(self.plan.limits.drain_deadline) {
            self.reached(Situation::DrainDeadline);
        }
        self.see(&Observation::NodeExited(node))?;
        self.bury(place)
    }

    /// The process is gone, and all of its connections with it.
    pub(super) fn bury(&mut self, place: usize) -> Verdict {
        let Some(mut life) = self.places[place].life.take() else {
            return Ok(());
        };
        self.plan_waking();
        self.orphan(place, &mut life);
        for conn in life.seats.iter().filter_map(|(_, conn)| *conn) {
            self.cut_off(conn);
        }
        for (_, batch) in life.publishes {
            self.batches.abandoned(batch);
            self.after(1_000, Event::AnswerArrives(batch));
        }
        Ok(())
    }
}
