//! Everything that an operator decides: the only reader of the command line and the environment.
//!
//! A [`Config`] is complete and holds together: what could not work is refused here, before anything
//! listens, in one line. This never opens, resolves or looks anything up, and never prints.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::env::{self, VarError};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use tradewire_engine::Delivery;
use tradewire_engine::limits::{Limits, LimitsError, ParseLimits};

use crate::logging::LogFormat;
use crate::origin::Origin;

mod error;
mod flags;
mod limits;
mod secret;
mod values;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use limits::ServerLimits;
pub use secret::Secret;

pub use crate::redis::{RedisUrl, RedisUrlError};

use error::not_allowed;
use flags::{DoctorFlags, Flags, Names};
use values::{Payloads, as_millis};

/// The port when none is given.
const DEFAULT_PORT: u16 = 3_000;

/// What the process is to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Serve.
    Serve(Box<Config>),
    /// Look at the Redis that a server would use.
    Doctor(DoctorConfig),
}

/// What `tradewire doctor` looks at.
#[derive(Clone, Debug)]
pub struct DoctorConfig {
    /// Which Redis.
    pub redis: RedisUrl,
    /// What the keys of sessions begin with.
    pub session_prefix: String,
}

/// How the server is to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether `NODE_ENV` is `production`.
    pub production: bool,
    /// Where to listen; port 0 means any free one.
    pub listen: SocketAddr,
    /// The origins of `FRONTEND_URL` as they were listed; none means the server's own host only.
    pub frontend_origins: Vec<Origin>,
    /// The Redis shared with other nodes, which also holds the sessions; none means one node on its
    /// embedded bus.
    pub redis: Option<RedisUrl>,
    /// What the keys of sessions begin with.
    pub session_prefix: String,
    /// About how many log events Redis keeps.
    pub log_stream_max: u64,
    /// Who says which user a client is.
    pub auth_mode: AuthMode,
    /// The secrets of which any may have signed a session cookie; none means that cookies do not count.
    pub session_secrets: Vec<Secret>,
    /// What publishers must bring. `None`, never in production, means that one is to be made up.
    pub publish_token: Option<Secret>,
    /// What readers of the metrics must bring, if anything.
    pub metrics_token: Option<Secret>,
    /// Who gets a user's portfolio and trades.
    pub delivery: Delivery,
    /// Whether made-up events are published.
    pub demo: bool,
    /// How log lines look; `None` leaves it to where they go.
    pub log_format: Option<LogFormat>,
    /// What is logged, in the filter language of `RUST_LOG`.
    pub log_filter: String,
    /// Whether and how everything that the engine is given is recorded.
    pub record: Option<RecordConfig>,
    /// The seed of all chance in decisions. `None` means that one is to be drawn.
    pub seed: Option<u64>,
    /// The bounds that the engine keeps. They hold together.
    pub limits: Limits,
    /// The bounds of what is parsed at the edge.
    pub parse_limits: ParseLimits,
    /// The bounds that the server keeps itself.
    pub server_limits: ServerLimits,
}

/// How everything that the engine is given is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordConfig {
    /// Into which directory.
    pub dir: PathBuf,
    /// Whether the texts of what is published are left out.
    pub masked: bool,
    /// How many bytes of recordings are kept.
    pub bytes_max: u64,
    /// How large a segment becomes.
    pub segment_bytes_max: u64,
}

/// Who says which user a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// The session that the client names, looked up in the session store.
    Session,
    /// The client itself, which is believed: for development only.
    Trust,
}

impl Command {
    /// Reads the process's own command line and environment.
    ///
    /// # Errors
    /// When there is nothing to start; see [`ConfigError`] for what to print and how to exit.
    pub fn from_process() -> Result<Self, ConfigError> {
        command(env::args_os().skip(1), |name| {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the reader of the environment"
            )]
            let value = env::var(name);
            match value {
                Ok(value) => Some(value.into()),
                Err(VarError::NotPresent) => None,
                Err(VarError::NotUnicode(value)) => Some(value),
            }
        })
    }
}

/// Reads what to do from `args`, which begin after the program's name, and from the variables that
/// `env` answers for.
///
/// # Errors
/// As [`parse`].
pub fn command(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, ConfigError> {
    let mut args = args.into_iter().peekable();
    if args.peek().map(OsString::as_os_str) == Some(OsStr::new("doctor")) {
        doctor(args, env).map(Command::Doctor)
    } else {
        parse(args, env).map(|config| Command::Serve(Box::new(config)))
    }
}

/// Reads the settings of `tradewire doctor`; of the server's, those that tell which Redis.
fn doctor(
    args: impl Iterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<DoctorConfig, ConfigError> {
    let (flags, _) = flags::read::<DoctorFlags>(args, 1, env)?;
    let redis = flags.redis.redis_url.ok_or(ConfigError::Missing {
        name: "REDIS_URL",
        needed: "give the Redis to look at",
    })?;
    Ok(DoctorConfig {
        redis,
        session_prefix: flags.redis.session_prefix,
    })
}

/// Reads how to serve from `args`, which begin after the program's name, and from the variables that
/// `env` answers for.
///
/// A flag wins over its variable, the later of two equal flags over the earlier, and an empty variable
/// counts as unset.
///
/// # Errors
/// When help was asked for, or with the first mistake found.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Config, ConfigError> {
    let (flags, names) = flags::read::<Flags>(args, 0, env)?;
    let limits = flags.limits.engine();
    limits
        .check()
        .map_err(|error| contradiction(&error, &names))?;
    check_lease(&limits, &names)?;

    let production = flags.network.node_env.as_deref() == Some("production");
    let default_mode = if production {
        AuthMode::Session
    } else {
        AuthMode::Trust
    };
    let auth_mode = flags.authentication.auth_mode.unwrap_or(default_mode);
    check_mode(&flags, &names, production, auth_mode)?;

    let default_host = if production {
        Ipv4Addr::UNSPECIFIED
    } else {
        Ipv4Addr::LOCALHOST
    };
    let host = flags.network.host.unwrap_or(IpAddr::V4(default_host));
    let port = flags
        .network
        .websocket_port
        .or(flags.network.port)
        .unwrap_or(DEFAULT_PORT);
    Ok(Config {
        production,
        listen: SocketAddr::new(host, port),
        frontend_origins: flags
            .network
            .frontend_url
            .map_or_else(Vec::new, |list| list.0),
        redis: flags.redis.redis_url,
        session_prefix: flags.redis.session_prefix,
        log_stream_max: flags.log.log_stream_max,
        auth_mode,
        session_secrets: flags
            .authentication
            .session_secret
            .map_or_else(Vec::new, |list| list.0),
        publish_token: flags.publishing.publish_token,
        metrics_token: flags.logs.metrics_token,
        delivery: flags.delivery.delivery.unwrap_or(Delivery::All),
        demo: flags.publishing.demo.unwrap_or(false),
        log_format: flags.logs.log_format,
        log_filter: flags.logs.rust_log,
        record: flags.recording.record_dir.map(|dir| RecordConfig {
            dir: PathBuf::from(dir),
            masked: flags.recording.record_payloads == Payloads::Mask,
            bytes_max: flags.recording.record_bytes_max,
            segment_bytes_max: flags.recording.record_segment_bytes_max,
        }),
        seed: flags.recording.seed,
        limits,
        parse_limits: flags.limits.parse(),
        server_limits: flags.limits.server(),
    })
}

/// Refuses a start in which clients or publishers could not be told from impostors.
fn check_mode(
    flags: &Flags,
    names: &Names,
    production: bool,
    mode: AuthMode,
) -> Result<(), ConfigError> {
    if production && mode == AuthMode::Trust {
        let allowed = "give session when NODE_ENV is production".to_owned();
        return Err(not_allowed(
            names.of("auth_mode"),
            "auth_mode",
            "trust",
            allowed,
        ));
    }
    if mode == AuthMode::Session && flags.redis.redis_url.is_none() {
        let needed = if production {
            "give the Redis that holds the sessions, which NODE_ENV=production asks for"
        } else {
            "give the Redis that holds the sessions, which AUTH_MODE=session asks for"
        };
        return Err(ConfigError::Missing {
            name: "REDIS_URL",
            needed,
        });
    }
    if production && flags.publishing.publish_token.is_none() {
        let needed =
            "give the token that publishers must bring, which NODE_ENV=production asks for";
        return Err(ConfigError::Missing {
            name: "PUBLISH_TOKEN",
            needed,
        });
    }
    Ok(())
}

/// Refuses leases of connection slots that one late renewal would lose.
fn check_lease(limits: &Limits, names: &Names) -> Result<(), ConfigError> {
    let lease = as_millis(limits.slot_lease);
    let renew = as_millis(limits.slot_renew_every);
    if lease >= renew.saturating_mul(2) {
        return Ok(());
    }
    let (id, value, allowed) = if names.is_given("slot_lease_ms") {
        let allowed = format!("give at least twice SLOT_RENEW_EVERY_MS, which is {renew}");
        ("slot_lease_ms", lease, allowed)
    } else {
        let allowed = format!("give at most half of SLOT_LEASE_MS, which is {lease}");
        ("slot_renew_every_ms", renew, allowed)
    };
    Err(not_allowed(names.of(id), id, &value.to_string(), allowed))
}

/// Names the setting behind limits that do not hold together: the one of two that was given.
fn contradiction(error: &LimitsError, names: &Names) -> ConfigError {
    match error {
        LimitsError::DeadlineBeforeWindow {
            deadline_ms,
            window_ms,
        } if !names.is_given("drain_deadline_ms") => {
            let allowed = format!("give at most DRAIN_DEADLINE_MS, which is {deadline_ms}");
            let value = window_ms.to_string();
            not_allowed(
                names.of("drain_window_ms"),
                "drain_window_ms",
                &value,
                allowed,
            )
        }
        LimitsError::DeadlineBeforeWindow {
            deadline_ms,
            window_ms,
        } => {
            let allowed = format!("give at least DRAIN_WINDOW_MS, which is {window_ms}");
            let value = deadline_ms.to_string();
            not_allowed(
                names.of("drain_deadline_ms"),
                "drain_deadline_ms",
                &value,
                allowed,
            )
        }
        LimitsError::Zero { name } => {
            not_allowed(names.of(name), name, "0", "give at least 1".to_owned())
        }
    }
}
