//! The codec and its scripts: against a real Redis, which each test starts for itself, and against
//! replies that Redis would never give.

mod anything;
mod log;
mod rate;
mod server;
mod slots;
mod state;

use tradewire_engine::event::Payload;
use tradewire_engine::ids::{PublishId, RequestId, Symbol, UserId};

fn request() -> RequestId {
    RequestId::new(7)
}

fn user(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

fn symbol(text: &str) -> Symbol {
    Symbol::new(text).unwrap()
}

fn id(text: &str) -> PublishId {
    PublishId::new(text).unwrap()
}

fn payload(text: &str) -> Payload {
    Payload::new(text)
}
