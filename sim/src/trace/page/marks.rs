//! Which notes of an engine are marked on a page, and where.

use tradewire_engine::effect::Note;
use tradewire_engine::ids::ConnId;
use tradewire_engine::reason::CloseReason;

/// Whether someone who looks for what went wrong looks at this.
pub(super) fn is_marked(note: &Note) -> bool {
    match note {
        Note::BusLost
        | Note::Congested { .. }
        | Note::Conflated { .. }
        | Note::EmittedLost { .. }
        | Note::HandshakeRefused { .. }
        | Note::Held { .. }
        | Note::LogGap { .. }
        | Note::RateLimited { .. }
        | Note::Refused { .. }
        | Note::RequestTimedOut { .. }
        | Note::SessionGone { .. }
        | Note::SlotLost { .. } => true,
        Note::Closing { reason, .. } => {
            !matches!(reason, CloseReason::Left | CloseReason::Draining)
        }
        Note::Resumed { recovered, .. } => !recovered,
        Note::Admitted { .. }
        | Note::BusReached { .. }
        | Note::Disconnected { .. }
        | Note::Draining { .. }
        | Note::HandedOver { .. }
        | Note::IdleUserForgotten
        | Note::Intake { .. }
        | Note::StaleState { .. }
        | Note::Uncongested { .. } => false,
    }
}

/// Whom a note is about.
pub(super) fn conn_of(note: &Note) -> Option<ConnId> {
    match note {
        Note::Admitted { conn, .. }
        | Note::Closing { conn, .. }
        | Note::Congested { conn, .. }
        | Note::Conflated { conn, .. }
        | Note::Disconnected { conn, .. }
        | Note::RateLimited { conn, .. }
        | Note::Refused { conn, .. }
        | Note::Resumed { conn, .. }
        | Note::SessionGone { conn, .. }
        | Note::SlotLost { conn, .. }
        | Note::Uncongested { conn } => Some(*conn),
        Note::BusLost
        | Note::BusReached { .. }
        | Note::Draining { .. }
        | Note::EmittedLost { .. }
        | Note::HandedOver { .. }
        | Note::HandshakeRefused { .. }
        | Note::Held { .. }
        | Note::IdleUserForgotten
        | Note::Intake { .. }
        | Note::LogGap { .. }
        | Note::RequestTimedOut { .. }
        | Note::StaleState { .. } => None,
    }
}
