//! How this server reaches a Redis: its address, TLS, and one connection that is ready for commands.
//!
//! Keys, scripts and retries belong to those that use a connection. Nothing here shows a password.

mod connect;
mod error;
mod tls;
mod url;

pub(crate) use connect::{ConnectOptions, Connected, PushSender, connect};
pub(crate) use error::{ConnectError, Shown};
pub use url::{RedisUrl, RedisUrlError};
