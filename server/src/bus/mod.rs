//! The bus as the driver sees it: requests in, answers as engine inputs.
//!
//! What the bus decides (order, versions, idempotency) is in the engine crate or in Redis, not here.

mod embedded;
mod redis;

use std::collections::VecDeque;

use tradewire_engine::Input;
use tradewire_engine::bus::BusRequest;
use tradewire_engine::time::Timestamp;

pub(crate) use self::redis::codec::Codec;
pub(crate) use self::redis::{BusStatus, Parts, RedisBus, Stop};
pub(crate) use embedded::Embedded;

/// A bus.
pub(crate) trait Bus: Send {
    /// Takes a request. A bus that can answer at once writes to `answers`; another sends its answers
    /// through the inbox that it was made with.
    fn submit(&mut self, now: Timestamp, request: BusRequest, answers: &mut VecDeque<Input>);
}
