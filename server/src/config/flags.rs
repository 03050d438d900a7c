//! The command line as clap sees it, and how the environment joins it.
//!
//! Every variable is a flag and every flag a variable, so there is one list of names, one reader for
//! each value and one help text. A variable is put on the command line in front of what the user
//! wrote; the user's own flags win. This decides nothing about how values fit together.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser};

use crate::config::error::{Place, from_clap};
use crate::config::limits::LimitFlags;
use crate::config::values::{self, OriginList, Payloads, Secrets};
use crate::config::{AuthMode, ConfigError, RedisUrl, Secret};
use crate::logging::{DEFAULT_FILTER, LogFormat};
use tradewire_engine::Delivery;

// The doc comments below are the words of `--help`.
#[derive(Parser)]
#[command(
    name = "tradewire",
    bin_name = "tradewire",
    version,
    about = "A Socket.IO server for live trading dashboards.\n\n\
        Every flag can also be set by the environment variable in angle brackets. A flag wins over its \
        variable, and an empty variable counts as unset.\n\n\
        \"tradewire doctor\" looks at the Redis that the server would use, and says how to mend what is \
        wrong: see tradewire doctor --help.",
    no_binary_name = true,
    args_override_self = true,
    max_term_width = 100,
    next_line_help = true
)]
pub(super) struct Flags {
    #[command(flatten)]
    pub(super) network: NetworkFlags,
    #[command(flatten)]
    pub(super) redis: RedisFlags,
    #[command(flatten)]
    pub(super) log: LogStreamFlags,
    #[command(flatten)]
    pub(super) authentication: AuthenticationFlags,
    #[command(flatten)]
    pub(super) publishing: PublishingFlags,
    #[command(flatten)]
    pub(super) delivery: DeliveryFlags,
    #[command(flatten)]
    pub(super) limits: LimitFlags,
    #[command(flatten)]
    pub(super) logs: LogFlags,
    #[command(flatten)]
    pub(super) recording: RecordingFlags,
}

#[derive(Args)]
#[command(next_help_heading = "Network")]
pub(super) struct NetworkFlags {
    /// Where this runs; only "production" means anything [default: not production]
    #[arg(long, value_parser = values::text)]
    pub(super) node_env: Option<String>,

    /// IP address to listen on [default: 0.0.0.0 in production, else 127.0.0.1]
    #[arg(long, value_parser = values::host)]
    pub(super) host: Option<IpAddr>,

    /// TCP port to listen on, 0 for any free one [default: PORT if that is set, else 3000]
    #[arg(long, value_parser = values::port)]
    pub(super) websocket_port: Option<u16>,

    /// The same as platforms set it, for when WEBSOCKET_PORT is not set
    #[arg(long, value_parser = values::port)]
    pub(super) port: Option<u16>,

    /// Origins of web pages that may connect, scheme://host[:port], separated by commas
    /// [default: this server's own host only]
    #[arg(long, value_parser = values::origins)]
    pub(super) frontend_url: Option<OriginList>,
}

/// Which Redis there is. Both commands have these.
#[derive(Args)]
#[command(next_help_heading = "Redis")]
pub(super) struct RedisFlags {
    /// Redis to share with other nodes, which also holds the sessions, as
    /// redis://[user:password@]host[:port][/database], or rediss:// for TLS; better set as a variable
    /// [default: none, one node by itself]
    #[arg(long, value_parser = values::redis_url)]
    pub(super) redis_url: Option<RedisUrl>,

    /// What the keys of sessions begin with, as connect-redis was told
    #[arg(long, value_parser = values::text, default_value = "sess:")]
    pub(super) session_prefix: String,
}

#[derive(Args)]
#[command(next_help_heading = "Redis")]
pub(super) struct LogStreamFlags {
    /// Log events that Redis keeps for nodes that were cut off, about; over it: the oldest are gone
    #[arg(long, value_parser = values::count::<u64>(1..=u64::from(u32::MAX)),
        default_value_t = 500_000)]
    pub(super) log_stream_max: u64,
}

// The doc comments in those that it is made of are the words of `--help`.
#[derive(Parser)]
#[command(
    name = "tradewire-doctor",
    bin_name = "tradewire doctor",
    version,
    about = "Looks at the Redis that a server with the same settings would use: a line for each check, \
        with what is wrong and how to mend it.\n\n\
        Exits with 0 when the server can work with it, warnings or not, with 1 when it cannot, and \
        with 2 when the settings are wrong. Writes only keys that begin with tradewire:{doctor:, and \
        deletes them.",
    no_binary_name = true,
    args_override_self = true,
    max_term_width = 100,
    next_line_help = true
)]
pub(super) struct DoctorFlags {
    #[command(flatten)]
    pub(super) redis: RedisFlags,
}

#[derive(Args)]
#[command(next_help_heading = "Authentication")]
pub(super) struct AuthenticationFlags {
    /// Who says which user a client is: "session" looks the session up, "trust" believes the client
    /// [default: session in production, else trust]
    #[arg(long, value_parser = values::auth_mode)]
    pub(super) auth_mode: Option<AuthMode>,

    /// Secrets of express-session's cookie, separated by commas, of which any may have signed; better
    /// set as a variable [default: cookies are not looked at]
    #[arg(long, value_parser = values::secrets)]
    pub(super) session_secret: Option<Secrets>,
}

#[derive(Args)]
#[command(next_help_heading = "Publishing")]
pub(super) struct PublishingFlags {
    /// Token that publishers must bring, needed in production; better set as a variable
    /// [default: a random one, printed at the start]
    #[arg(long, value_parser = values::token)]
    pub(super) publish_token: Option<Secret>,

    /// Publish made-up portfolios, trades and quotes [default: false]
    #[arg(long, value_parser = values::boolean, num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(super) demo: Option<bool>,
}

#[derive(Args)]
#[command(next_help_heading = "Delivery")]
pub(super) struct DeliveryFlags {
    /// Who gets a user's portfolio and trades: "all" connections of the user, or "subscribed" ones
    /// [default: all]
    #[arg(long, value_parser = values::delivery)]
    pub(super) delivery: Option<Delivery>,
}

#[derive(Args)]
#[command(next_help_heading = "Logs and metrics")]
pub(super) struct LogFlags {
    /// How log lines look: "pretty" or "json" [default: pretty on a terminal, else json]
    #[arg(long, value_parser = values::log_format)]
    pub(super) log_format: Option<LogFormat>,

    /// What is logged: a level, or a filter such as info,tradewire_server=debug
    #[arg(long, value_parser = values::log_filter, default_value = DEFAULT_FILTER)]
    pub(super) rust_log: String,

    /// Token that readers of /metrics must bring; better set as a variable [default: none needed]
    #[arg(long, value_parser = values::token)]
    pub(super) metrics_token: Option<Secret>,
}

#[derive(Args)]
#[command(next_help_heading = "Recording")]
pub(super) struct RecordingFlags {
    /// Directory to record everything that the engine is given into, for tradewire-sim replay; one
    /// for each node
    #[arg(long, value_parser = values::text)]
    pub(super) record_dir: Option<String>,

    /// Whether what is published is recorded whole, or masked: as its length and hash
    #[arg(long, value_parser = values::payloads, default_value = "full")]
    pub(super) record_payloads: Payloads,

    /// Bytes of recordings kept; over it: the oldest segment is deleted
    #[arg(long, value_parser = values::bytes::<u64>(1), default_value_t = 268_435_456)]
    pub(super) record_bytes_max: u64,

    /// Bytes of one segment, without the state that it begins with; over it: the next is begun
    #[arg(long, value_parser = values::bytes::<u64>(1), default_value_t = 33_554_432)]
    pub(super) record_segment_bytes_max: u64,

    /// Seed of the demo's market and of hash tables [default: random]
    #[arg(long, value_parser = values::count::<u64>(0..=u64::MAX))]
    pub(super) seed: Option<u64>,
}

/// Which settings were given and how, so that errors name what the operator wrote.
pub(super) struct Names {
    /// The ids of those given as flags.
    flags: BTreeSet<String>,
    /// The ids of those given as flags or as variables.
    given: BTreeSet<String>,
}

impl Names {
    fn is_flag(&self, id: &str) -> bool {
        self.flags.contains(id)
    }

    /// Whether the setting `id` was given at all.
    pub(super) fn is_given(&self, id: &str) -> bool {
        self.given.contains(id)
    }

    /// How the operator knows the setting `id`: as the flag if that was given, else as the variable.
    pub(super) fn of(&self, id: &str) -> String {
        if self.is_flag(id) {
            flag(id)
        } else {
            variable(id)
        }
    }
}

/// Reads variables and flags, which begin after as many `words` of `args`.
///
/// The flags are read alone first: whatever is wrong then is the command line's fault, and whatever is
/// wrong only with the variables added is a variable's.
pub(super) fn read<F: CommandFactory + FromArgMatches>(
    args: impl IntoIterator<Item = OsString>,
    words: usize,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<(F, Names), ConfigError> {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(at) = args.iter().position(|arg| arg.to_str().is_none()) {
        return Err(ConfigError::NotText {
            name: format!("argument {}", at + 1),
        });
    }
    let command = F::command();
    let matches = command
        .clone()
        .try_get_matches_from(args.iter().skip(words))
        .map_err(|error| from_clap(&error, Place::CommandLine(&args)))?;
    let on_line = given(&command, &matches);
    let mut all = from_variables(&command, &on_line, env)?;
    all.extend(args.into_iter().skip(words));
    let (matches, flags) = command
        .clone()
        .try_get_matches_from(all)
        .and_then(|matches| F::from_arg_matches(&matches).map(|flags| (matches, flags)))
        .map_err(|error| from_clap(&error, Place::Environment))?;
    Ok((
        flags,
        Names {
            flags: on_line,
            given: given(&command, &matches),
        },
    ))
}

/// The ids of the settings that are on the line that clap read.
fn given(command: &Command, matches: &ArgMatches) -> BTreeSet<String> {
    let given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    settings(command).filter(given).map(str::to_owned).collect()
}

/// The variables that count, as flags. One that a flag overrules is not even looked at, so that a bad
/// value in it cannot stop a start that would not use it.
fn from_variables(
    command: &Command,
    on_line: &BTreeSet<String>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<OsString>, ConfigError> {
    let value = |id: &str| env(&variable(id)).filter(|value| !value.is_empty());
    let port_flag = on_line.contains("websocket_port") || on_line.contains("port");
    let overruled = |id: &str| match id {
        "websocket_port" => port_flag,
        "port" => port_flag || value("websocket_port").is_some(),
        _ => on_line.contains(id),
    };
    let mut flags = Vec::new();
    for id in settings(command).filter(|id| !overruled(id)) {
        if let Some(value) = value(id) {
            let name = variable(id);
            let text = value.to_str().ok_or(ConfigError::NotText { name })?;
            flags.push(format!("{}={text}", flag(id)).into());
        }
    }
    Ok(flags)
}

/// The ids of all settings. Help and version are none, and are the only flags that clap adds.
pub(super) fn settings(command: &Command) -> impl Iterator<Item = &str> {
    command
        .get_arguments()
        .map(|arg| arg.get_id().as_str())
        .filter(|id| !matches!(*id, "help" | "version"))
}

/// The variable of a setting: `websocket_port` is `WEBSOCKET_PORT`.
pub(super) fn variable(id: &str) -> String {
    id.to_ascii_uppercase()
}

/// The flag of a setting: `websocket_port` is `--websocket-port`.
pub(super) fn flag(id: &str) -> String {
    format!("--{}", id.replace('_', "-"))
}
