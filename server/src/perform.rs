//! Effects into calls: one exhaustive match.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use socketioxide_core::packet::Packet;
use socketioxide_core::{Str, Value};
use tradewire_engine::Input;
use tradewire_engine::effect::{Control, Effect, Effects, Message};
use tradewire_engine::ids::ConnId;
use tradewire_engine::input::{Pending, TransportFault};
use tradewire_engine::time::Timestamp;

use crate::clock::Clock;
use crate::driver::{Driver, Seat};
use crate::queue::Frame;
use crate::{notes, wire};

/// The namespace that clients are in.
const NAMESPACE: &str = "/";

impl<C: Clock> Driver<C> {
    /// Does what one effect says.
    pub(crate) fn perform(&mut self, now: Timestamp, effect: &Effect, effects: &Effects) {
        match effect {
            Effect::Acknowledge { conn, ack, answer } => {
                let (array, ack) = (wire::acknowledgement(answer), *ack);
                let frame = Frame::new(&["43", &ack.to_string(), &array]);
                let packet = || Packet::ack(NAMESPACE, Value::Str(array.into(), None), ack);
                self.send(*conn, &frame, packet);
            }
            Effect::Admit { conn } => {
                if let Some(reply) = self
                    .seats
                    .get_mut(*conn)
                    .and_then(|seat| seat.connect.take())
                {
                    // If the middleware is gone, so is the session, and `Closed` follows.
                    let _ = reply.send(Ok(()));
                }
            }
            Effect::AllowHandshake { conn } => self.allow_handshake(*conn),
            Effect::AnswerPublish { request, outcome } => {
                if let Some(reply) = self.publishes.remove(request) {
                    // The publisher may have given up; what it published stays published.
                    let _ = reply.send(outcome.clone());
                }
            }
            Effect::Bus(request) => {
                self.bus.submit(now, request.clone(), &mut self.answers);
            }
            Effect::Close { conn, flush, .. } => self.close(*conn, *flush),
            Effect::Deliver {
                message,
                recipients,
            } => self.deliver(message, recipients, effects),
            Effect::CheckSessions { request, sessions } => {
                self.sessions
                    .check(*request, sessions.clone(), &mut self.answers);
            }
            Effect::Disconnect { conn } => {
                self.send(*conn, &Frame::new(&["41"]), || {
                    Packet::disconnect(NAMESPACE)
                });
            }
            Effect::Drained => self.drained = true,
            Effect::LookUpSession { request, session } => {
                self.sessions
                    .look_up(*request, session.clone(), &mut self.answers);
            }
            Effect::Measure { conn } => {
                if let Some(seat) = self.seats.get(*conn) {
                    let pending = seat.link.pending();
                    self.measured.push_back(Input::OutboxMeasured {
                        conn: *conn,
                        pending,
                    });
                }
            }
            Effect::MeasureAll => {
                let pending = self
                    .seats
                    .iter()
                    .map(|seat| (seat.link.conn(), seat.link.pending()));
                let mut pending: Vec<_> = pending
                    .filter(|(_, pending)| *pending != Pending::default())
                    .collect();
                pending.sort_unstable_by_key(|(conn, _)| *conn);
                self.measured.push_back(Input::OutboxesMeasured { pending });
            }
            Effect::Note(note) => {
                notes::log(note, |conn| self.seats.get(conn)?.sid);
                self.metrics.note(note);
            }
            Effect::Refuse { conn, reason } => {
                if let Some(reply) = self
                    .seats
                    .get_mut(*conn)
                    .and_then(|seat| seat.connect.take())
                {
                    let _ = reply.send(Err(*reason));
                }
            }
            Effect::RefuseHandshake { conn, reason } => {
                let seat = self.seats.get_mut(*conn);
                if let Some(reply) = seat.and_then(|seat| seat.handshake.take()) {
                    let _ = reply.send(Err(*reason));
                }
            }
            Effect::Release { conn } => {
                if let Some(sid) = self.seats.release(*conn).and_then(|seat| seat.link.sid()) {
                    self.polling.remove(sid);
                }
            }
            Effect::Send { conn, control } => self.control(*conn, control),
            Effect::Watch { conn, at_most } => {
                if let Some(seat) = self.seats.get(*conn) {
                    seat.link.watch(*at_most);
                }
            }
        }
    }

    fn allow_handshake(&mut self, conn: ConnId) {
        let Some(admitted) = self.admitted(conn) else {
            return;
        };
        let seat = self.seats.get_mut(conn);
        if let Some(reply) = seat.and_then(|seat| seat.handshake.take()) {
            // If the request is gone, its presence goes with it, and `Closed` follows.
            let _ = reply.send(Ok(admitted));
        }
    }

    fn close(&mut self, conn: ConnId, flush: Duration) {
        let Some(seat) = self.seats.get_mut(conn) else {
            return;
        };
        // A CONNECT that waits for its answer gets none: its transport ends.
        let waiting = seat.connect.take();
        let (gate, link) = (self.gate.clone(), Arc::clone(&seat.link));
        tokio::spawn(async move {
            gate.close(link, flush).await;
            drop(waiting);
        });
    }

    fn deliver(&mut self, message: &Message, recipients: &Range<u32>, effects: &Effects) {
        let array = wire::message(message);
        let frame = Frame::new(&["42", &array]);
        // Shared by those who get it through socketioxide, which are few.
        let shared = OnceCell::<Str>::new();
        let recipients = effects.recipients(recipients);
        self.metrics.delivered(message, recipients.len());
        for conn in recipients {
            let packet = || {
                let array = shared.get_or_init(|| Str::from(array.clone()));
                Packet::event(NAMESPACE, Value::Str(array.clone(), None))
            };
            self.send(*conn, &frame, packet);
        }
    }

    fn control(&mut self, conn: ConnId, control: &Control) {
        let array = wire::control(control);
        let frame = Frame::new(&["42", &array]);
        let packet = || Packet::event(NAMESPACE, Value::Str(array.into(), None));
        self.send(conn, &frame, packet);
    }

    /// Hands over a packet, past socketioxide where a websocket carries the session: as the frame that
    /// all its recipients share.
    fn send(&mut self, conn: ConnId, frame: &Frame, packet: impl FnOnce() -> Packet) {
        let Some(seat) = self.seats.get_mut(conn) else {
            return;
        };
        let Seat {
            link,
            sid: Some(sid),
            connects,
            answered,
            early,
            waits,
            ..
        } = seat
        else {
            return;
        };
        if link.is_closed() {
            return;
        }
        let bytes = frame.counts().bytes;
        let is_open = link.queue().is_open();
        let is_full = if is_open || answered < connects {
            link.pending().packets as usize >= self.packets_max || {
                link.hand(bytes);
                if is_open {
                    link.queue().push(frame.clone(), *connects);
                    self.rounds.pushed(conn, std::mem::replace(waits, true));
                } else {
                    early.push((packet(), bytes));
                }
                false
            }
        } else {
            link.hand(bytes);
            let is_full = self.sender.send(*sid, packet()).is_err();
            if is_full {
                link.take_back(bytes);
            }
            is_full
        };
        if is_full {
            let ended = self.end_full(conn);
            self.measured.push_back(ended);
        }
    }

    /// Ends a connection whose buffer is full. It has more room than the engine uses, so this does not happen.
    /// If it does, a client that comes back is better than one that misses something in silence.
    pub(crate) fn end_full(&self, conn: ConnId) -> Input {
        if let Some(seat) = self.seats.get(conn) {
            seat.link.abort();
        }
        let fault = TransportFault::BufferFull;
        Input::TransportFailed { conn, fault }
    }
}
