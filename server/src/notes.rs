//! The engine's notes as log lines: one line an event, no secrets, no payloads.
//!
//! The lines that operators grep for keep the word `WebSocket`.

use std::time::Duration;

use socketioxide_core::Sid;
use tracing::{debug, info, warn};
use tradewire_engine::effect::Note;
use tradewire_engine::ids::ConnId;

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Logs a note at the level that it deserves; `sid` tells the id that a connection's client knows.
pub(crate) fn log(note: &Note, sid: impl Fn(ConnId) -> Option<Sid>) {
    match note {
        Note::Admitted { conn, user } => {
            let sid = sid(*conn);
            let sid = sid.as_ref().map_or("", Sid::as_str);
            info!(%conn, sid, %user, "WebSocket connected: {sid} (User: {user})");
        }
        Note::BusLost => warn!("degraded: this node goes on by itself, and refuses to take trades"),
        Note::BusReached { away } => {
            info!(
                away_ms = millis(*away),
                "not degraded: this node goes on with the others"
            );
        }
        Note::Closing { conn, user, reason } => {
            let user = user.as_ref().map(tracing::field::display);
            info!(%conn, user, reason = reason.name(), "WebSocket closing");
        }
        Note::Congested { conn, pending } => {
            let (bytes, packets) = (pending.bytes, pending.packets);
            warn!(%conn, bytes, packets, "WebSocket congested: sending only the newest of each topic");
        }
        Note::Conflated { conn, topic } => debug!(%conn, %topic, "WebSocket value conflated"),
        Note::Disconnected { conn, user } => info!(%conn, %user, "WebSocket disconnected"),
        Note::Draining { told } => info!(told, "WebSocket server draining: clients told"),
        Note::EmittedLost { items } => warn!(items, "emitter messages lost"),
        Note::HandedOver { values } => info!(values, "values handed over to Redis"),
        Note::HandshakeRefused { reason } => {
            debug!(reason = reason.name(), "WebSocket handshake refused");
        }
        Note::Held { topic } => debug!(%topic, "value held for Redis"),
        Note::Intake { on: true } => info!("this node takes in emitter messages"),
        Note::Intake { on: false } => info!("this node takes in emitter messages no more"),
        Note::LogGap { cause, told } => {
            warn!(?cause, told, "log events are missing: clients told");
        }
        Note::IdleUserForgotten => debug!("idle user forgotten: too many are remembered"),
        Note::RateLimited { conn, user, call } => {
            debug!(%conn, %user, event = call.event(), "WebSocket call rate-limited");
        }
        Note::Refused { conn, reason } => {
            info!(%conn, reason = reason.name(), "WebSocket connection refused");
        }
        Note::RequestTimedOut { request, asked } => warn!(%request, ?asked, "no answer in time"),
        Note::Resumed {
            conn,
            recovered,
            replayed,
        } => {
            info!(%conn, recovered, replayed, "WebSocket resumed");
        }
        Note::SessionGone { conn, user } => info!(%conn, %user, "WebSocket session gone"),
        Note::SlotLost { conn, user, loss } => {
            info!(%conn, %user, ?loss, "WebSocket connection slot lost");
        }
        Note::StaleState { topic } => debug!(%topic, "stale value dropped"),
        Note::Uncongested { conn } => info!(%conn, "WebSocket no longer congested"),
    }
}
