//! `tradewire doctor`: whether a server could work with its Redis, and how to mend what is in the way.
//!
//! It does what the server does, in small and under keys of its own: they begin with
//! `tradewire:{doctor:`, are deleted at the end, and expire by themselves if that fails. It changes
//! no setting of the Redis, and reads no key of anybody else's.

mod health;
mod report;
mod work;

use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::DoctorConfig;
use crate::net::Net;
use crate::redis::{ConnectError, ConnectOptions, Connected, PushSender, Shown, connect};

pub use report::{Check, Grade, Report};

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long the answer to a command may take. A server gives up sooner.
const RESPONSE_MAX: Duration = Duration::from_secs(2);

/// How long the doctor's keys live if they cannot be deleted.
const KEYS_LIVE_MS: u64 = 60_000;

/// The Redis that is looked at.
struct Patient<'a, N> {
    net: &'a N,
    config: &'a DoctorConfig,
    connection: MultiplexedConnection,
    /// What the doctor's own keys begin with. No two runs share one.
    own: String,
}

/// Looks at the Redis of `config`. `seed` tells this run's keys from any other's.
pub async fn examine<N: Net, C: Clock>(
    net: &N,
    clock: &C,
    config: &DoctorConfig,
    seed: u64,
) -> Report {
    let mut report = Report::new(&config.redis);
    let began = Instant::now();
    let connected = connect(net, &config.redis, options(None)).await;
    let Connected { connection, ended } = match connected {
        Ok(connected) => connected,
        Err(error) => {
            report.add(Check::failure(stage(&error), error.to_string(), ""));
            return report;
        }
    };
    let over = if config.redis.tls() { " over TLS" } else { "" };
    report.add(Check::ok(
        "connect",
        format!("reached{over} in {}", report::millis(began.elapsed())),
    ));
    let login = if config.redis.has_password() {
        "accepted"
    } else {
        "no password is asked for"
    };
    report.add(Check::ok("login", login.to_owned()));
    report.add(Check::ok("protocol", "RESP3".to_owned()));

    let mut patient = Patient {
        net,
        config,
        connection,
        own: format!("tradewire:{{doctor:{seed:016x}}}"),
    };
    health::examine(&mut patient, clock, &mut report).await;
    work::examine(&mut patient, &mut report).await;
    drop(ended);
    report
}

fn options(pushes: Option<PushSender>) -> ConnectOptions {
    ConnectOptions {
        connect_max: CONNECT_MAX,
        response_max: Some(RESPONSE_MAX),
        pushes,
    }
}

/// Which check a connection failed.
const fn stage(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Network { .. }
        | ConnectError::Timeout { .. }
        | ConnectError::Closed { .. } => "connect",
        ConnectError::NoAuthorities { .. } | ConnectError::Tls { .. } => "tls",
        ConnectError::PasswordMissing { .. }
        | ConnectError::PasswordWrong { .. }
        | ConnectError::Refused { .. } => "login",
        ConnectError::NotRedis { .. } => "protocol",
        ConnectError::TooOld { .. } => "version",
    }
}

impl<N: Net> Patient<'_, N> {
    /// What a command that should work and did not says about the Redis.
    fn failed(&self, name: &'static str, error: &RedisError) -> Check {
        let said = Shown::error(error);
        Check::failure(name, said.to_string(), &self.mend(error))
    }

    /// What to do about an error.
    fn mend(&self, error: &RedisError) -> String {
        if error.is_timeout() {
            return "find what keeps Redis busy (SLOWLOG GET), or whether it is paused".to_owned();
        }
        let mend = match error.code().unwrap_or_default() {
            "NOPERM" => {
                return format!(
                    "let its user use ~tradewire:* ~{}* &tradewire:* &socket.io#/#* +@read +@write \
                     +@pubsub +@scripting +@connection -@dangerous +time +info",
                    self.config.session_prefix
                );
            }
            "READONLY" => "name the primary in REDIS_URL, this is a replica",
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" => {
                "name a single Redis in REDIS_URL, clusters of several are not supported"
            }
            "OOM" => "raise maxmemory, or find what fills it",
            "LOADING" => "wait until Redis has loaded its data",
            "MISCONF" => "see Redis' log, it cannot save to its disk",
            _ => "see Redis' own log",
        };
        mend.to_owned()
    }

    /// Another connection of the same kind.
    async fn another(&self, pushes: PushSender) -> Result<Connected, ConnectError> {
        connect(self.net, &self.config.redis, options(Some(pushes))).await
    }
}

/// A place for the messages of a channel: the newest are dropped when nobody takes them.
fn inbox() -> (PushSender, tokio::sync::mpsc::Receiver<redis::PushInfo>) {
    let (into, out) = tokio::sync::mpsc::channel(64);
    let sender: PushSender = Arc::new(move |push| {
        // Whoever looks for one message does not miss the others.
        let _ = into.try_send(push);
    });
    (sender, out)
}
