//! From text that outsiders send to values that the engine takes: the only code that looks into a
//! payload.
//!
//! It runs at the edge, in the task of the socket, of the HTTP request or of what listens to Redis, so
//! that the engine's decisions never see unchecked text and one client's bad input costs nobody else.
//! It decides what is well formed, and leaves to the engine what is allowed.
//!
//! Whatever comes in, nothing here panics, recurses over the depth of the input, or allocates out of
//! proportion to its length. What is passed on is passed on as it was written: objects are read by
//! their top-level keys and extended as text, so numbers keep every digit and unknown fields stay.

pub mod auth;
pub mod client_event;
pub mod emitted;
mod item;
pub mod json;
pub mod publish;
mod publish_error;
pub mod session;

pub use auth::{Auth, InvalidSubscriptions, LastEventId, Subscriptions, UserClaim, auth};
pub use client_event::{ClientEvent, InvalidSymbols, client_event};
pub use emitted::{EmittedError, emitted};
pub use publish::{BodyFormat, publish};
pub use publish_error::{FieldFault, Place, PublishError};
pub use session::{SessionError, session};
