//! The clients' ends of their transports: outboxes that are really read.

use std::collections::{BTreeMap, VecDeque};

use tradewire_engine::effect::Control;
use tradewire_engine::ids::ConnId;
use tradewire_engine::input::Pending;
use tradewire_engine::{Effect, Effects, Input};

use crate::common::make;

/// Every transport and what is in its outbox.
#[derive(Default)]
pub(crate) struct Clients {
    transports: BTreeMap<ConnId, Transport>,
    /// Slots that are free, each with its next generation.
    free: Vec<ConnId>,
    slots: u32,
    gone: Vec<ConnId>,
    to_measure: VecDeque<Option<ConnId>>,
}

#[derive(Default)]
struct Transport {
    outbox: VecDeque<Packet>,
    watch: Option<Pending>,
    closing: bool,
}

#[derive(Clone, Copy)]
#[allow(dead_code, reason = "each model uses a part of this")]
struct Packet {
    bytes: u64,
    is_event: bool,
}

/// What a packet costs beside its payload; less than the engine's upper bound.
const OVERHEAD: u64 = 60;

#[allow(dead_code, reason = "each model uses a part of this")]
impl Clients {
    pub(crate) fn next_conn(&mut self) -> ConnId {
        let conn = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            make::c(self.slots - 1)
        });
        self.transports.insert(conn, Transport::default());
        conn
    }

    pub(crate) fn transports(&self) -> Vec<ConnId> {
        self.transports.keys().copied().collect()
    }

    /// Transports that the engine has had closed.
    pub(crate) fn closing(&self) -> Vec<ConnId> {
        let closing = self
            .transports
            .iter()
            .filter(|(_, transport)| transport.closing);
        closing.map(|(conn, _)| *conn).collect()
    }

    pub(crate) fn pick_transport(&self, pick: u8) -> Option<ConnId> {
        pick_from(&self.transports(), pick)
    }

    pub(crate) fn pick_gone(&self, pick: u8) -> Option<ConnId> {
        pick_from(&self.gone, pick)
    }

    pub(crate) fn has_unread(&self, conn: ConnId) -> bool {
        self.pending(conn).packets > 0
    }

    pub(crate) fn pending(&self, conn: ConnId) -> Pending {
        let outbox = self
            .transports
            .get(&conn)
            .map(|transport| &transport.outbox);
        sum(outbox.into_iter().flatten())
    }

    /// What is pending of events, apart from what answers the client's own calls.
    pub(crate) fn pending_events(&self, conn: ConnId) -> Pending {
        let outbox = self
            .transports
            .get(&conn)
            .map(|transport| &transport.outbox);
        sum(outbox
            .into_iter()
            .flatten()
            .filter(|packet| packet.is_event))
    }

    pub(crate) fn all_pending(&self) -> Vec<(ConnId, Pending)> {
        let each = self
            .transports
            .keys()
            .map(|conn| (*conn, self.pending(*conn)));
        each.filter(|(_, pending)| pending.packets > 0).collect()
    }

    /// A measurement that the engine asked for.
    pub(crate) fn next_measurement(&mut self) -> Option<Input> {
        match self.to_measure.pop_front()? {
            Some(conn) => Some(Input::OutboxMeasured {
                conn,
                pending: self.pending(conn),
            }),
            None => Some(Input::OutboxesMeasured {
                pending: self.all_pending(),
            }),
        }
    }

    pub(crate) fn see(&mut self, effect: &Effect, effects: &Effects) {
        match effect {
            Effect::Acknowledge { conn, answer, .. } => self.put(*conn, control(answer)),
            Effect::Send {
                conn,
                control: sent,
            } => self.put(*conn, control(sent)),
            Effect::Deliver {
                message,
                recipients,
            } => {
                let bytes = message.payload().bytes() as u64 + OVERHEAD;
                for conn in effects.recipients(recipients) {
                    self.put(
                        *conn,
                        Packet {
                            bytes,
                            is_event: true,
                        },
                    );
                }
            }
            Effect::Close { conn, flush, .. } => {
                if let Some(transport) = self.transports.get_mut(conn) {
                    transport.watch = None;
                    transport.closing = true;
                    if flush.is_zero() {
                        transport.outbox.clear();
                    }
                }
            }
            Effect::Measure { conn } => self.to_measure.push_back(Some(*conn)),
            Effect::MeasureAll => self.to_measure.push_back(None),
            Effect::Release { conn } => {
                self.transports.remove(conn);
                self.free
                    .push(ConnId::new(conn.slot(), conn.generation() + 1));
                self.gone.push(*conn);
            }
            Effect::Watch { conn, at_most } => {
                if let Some(transport) = self.transports.get_mut(conn) {
                    transport.watch = Some(*at_most);
                }
                self.answer_watch(*conn);
            }
            _ => {}
        }
    }

    fn put(&mut self, conn: ConnId, packet: Packet) {
        if let Some(transport) = self.transports.get_mut(&conn) {
            transport.outbox.push_back(packet);
        }
    }

    /// Takes packets out of an outbox, as the client reads them.
    pub(crate) fn take(&mut self, conn: ConnId, packets: usize) {
        if let Some(transport) = self.transports.get_mut(&conn) {
            let count = packets.min(transport.outbox.len());
            transport.outbox.drain(..count);
        }
        self.answer_watch(conn);
    }

    fn answer_watch(&mut self, conn: ConnId) {
        let pending = self.pending(conn);
        let Some(transport) = self.transports.get_mut(&conn) else {
            return;
        };
        let within = |at_most: &Pending| {
            pending.bytes <= at_most.bytes && pending.packets <= at_most.packets
        };
        if transport.watch.as_ref().is_some_and(within) {
            transport.watch = None;
            self.to_measure.push_back(Some(conn));
        }
    }
}

pub(crate) fn pick_from(conns: &[ConnId], pick: u8) -> Option<ConnId> {
    if conns.is_empty() {
        return None;
    }
    conns.get(usize::from(pick) % conns.len()).copied()
}

fn sum<'a>(packets: impl Iterator<Item = &'a Packet>) -> Pending {
    packets.fold(Pending::default(), |sum, packet| Pending {
        bytes: sum.bytes + packet.bytes,
        packets: sum.packets + 1,
    })
}

fn control(control: &Control) -> Packet {
    let symbols = match control {
        Control::Subscribed { symbols, .. } | Control::Unsubscribed { symbols } => symbols.len(),
        Control::Error(_) | Control::Resumed { .. } | Control::Shutdown { .. } => 0,
    };
    Packet {
        bytes: 100 + 4 * symbols as u64,
        is_event: false,
    }
}
