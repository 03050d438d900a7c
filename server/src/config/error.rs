//! What stops a start before it begins, each in one line that says what to do about it.
//!
//! The value of a secret is in no line, and nobody's bytes can break a line in two.

use std::error::Error;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config::flags::{flag, variable};

/// The settings whose values are never shown.
const SECRETS: [&str; 4] = [
    "metrics_token",
    "publish_token",
    "redis_url",
    "session_secret",
];

/// The longest part of a bad value that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 100;

/// Why there is no [`super::Config`]. All but [`Self::Help`] are the operator's mistakes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The help or the version was asked for: the text to print, with the line feed at its end.
    #[error("{0}")]
    Help(String),
    /// A setting that the others need is missing.
    #[error("tradewire: {name} is not set: {needed}")]
    Missing {
        /// The variable's name.
        name: &'static str,
        /// What to give, and what asks for it.
        needed: &'static str,
    },
    /// A value is not of its setting's kind, or does not fit the other settings.
    #[error("tradewire: {name}{} is not allowed: {allowed}", shown(value.as_deref()))]
    NotAllowed {
        /// The variable's or flag's name.
        name: String,
        /// What it was set to; `None` for a secret.
        value: Option<String>,
        /// What is allowed instead.
        allowed: String,
    },
    /// An argument does not begin like a flag. What it says is not shown: it may be a secret that a
    /// stray space cut off from its flag.
    #[error("tradewire: argument {position} is not a flag: see tradewire --help")]
    NotAFlag {
        /// Its place on the command line, from 1.
        position: usize,
    },
    /// A value is not UTF-8.
    #[error("tradewire: {name} is not allowed: give UTF-8 text")]
    NotText {
        /// The variable's name, or the argument's place.
        name: String,
    },
    /// A flag that needs a value has none.
    #[error("tradewire: {name} needs a value: write {name}=…, or see tradewire --help")]
    NoValue {
        /// The flag.
        name: String,
    },
    /// clap refused the command line for a reason that it does not have for flags like ours.
    #[error("tradewire: the command line cannot be read: see tradewire --help")]
    Unreadable,
    /// There is no such flag.
    #[error("tradewire: unknown flag {name}: see tradewire --help")]
    UnknownFlag {
        /// What was written, without any value.
        name: String,
    },
}

impl ConfigError {
    /// The status to exit with: 0 when help was asked for, else 2.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        if self.is_help() { 0 } else { 2 }
    }

    /// Whether the text is what was asked for and belongs on standard output as it is. Anything else
    /// is one line for standard error, without the line feed.
    #[must_use]
    pub const fn is_help(&self) -> bool {
        matches!(self, Self::Help(_))
    }
}

/// Where what clap read came from.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// The user's own arguments.
    CommandLine(&'a [OsString]),
    /// Variables, put in front of arguments that were fine alone.
    Environment,
}

/// Says in one line what clap says in several.
pub(super) fn from_clap(error: &clap::Error, place: Place<'_>) -> ConfigError {
    let kind = error.kind();
    if kind == ErrorKind::DisplayHelp || kind == ErrorKind::DisplayVersion {
        return ConfigError::Help(error.to_string());
    }
    let Some(argument) = context(error, ContextKind::InvalidArg) else {
        return ConfigError::Unreadable;
    };
    if kind == ErrorKind::UnknownArgument {
        return unknown(argument, place);
    }
    let Some(id) = setting(argument) else {
        return ConfigError::Unreadable;
    };
    let name = match place {
        Place::CommandLine(_) => flag(&id),
        Place::Environment => variable(&id),
    };
    match (context(error, ContextKind::InvalidValue), error.source()) {
        (Some(value), Some(allowed)) if kind == ErrorKind::ValueValidation => {
            not_allowed(name, &id, value, allowed.to_string())
        }
        _ if kind == ErrorKind::InvalidValue => ConfigError::NoValue { name },
        _ => ConfigError::Unreadable,
    }
}

/// Refuses a value, showing it unless it is a secret's.
pub(super) fn not_allowed(name: String, id: &str, value: &str, allowed: String) -> ConfigError {
    let value = (!SECRETS.contains(&id)).then(|| value.to_owned());
    ConfigError::NotAllowed {
        name,
        value,
        allowed,
    }
}

/// An argument that is no flag of ours.
fn unknown(argument: &str, place: Place<'_>) -> ConfigError {
    let Place::CommandLine(args) = place else {
        return ConfigError::Unreadable;
    };
    // clap names a long flag without its value, and the first letter alone of a short one.
    let short = argument.starts_with('-') && !argument.starts_with("--");
    let written = |arg: &OsString| {
        let rest = arg.to_str().and_then(|arg| arg.strip_prefix(argument));
        rest.is_some_and(|rest| short || rest.is_empty() || rest.starts_with('='))
    };
    let at = args.iter().position(written);
    // A token may begin with a dash, and is then taken for the next flag.
    let before = at.and_then(|at| args.get(at.checked_sub(1)?)?.to_str());
    let waiting = before
        .filter(|before| !before.contains('='))
        .and_then(setting);
    if let Some(id) = waiting.filter(|id| SECRETS.contains(&id.as_str())) {
        return ConfigError::NoValue { name: flag(&id) };
    }
    if !argument.starts_with('-') {
        return ConfigError::NotAFlag {
            position: at.map_or(1, |at| at + 1),
        };
    }
    let name = argument.split('=').next().unwrap_or(argument);
    let name = cut(name).escape_debug().to_string();
    ConfigError::UnknownFlag { name }
}

/// The setting that a flag stands for, from the flag alone or as clap writes it,
/// `--websocket-port <WEBSOCKET_PORT>`.
fn setting(argument: &str) -> Option<String> {
    let end = argument.find([' ', '=', '[']).unwrap_or(argument.len());
    let name = argument.get(..end)?.strip_prefix("--")?;
    Some(name.replace('-', "_"))
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| {
        let start = cut(value);
        let more = if start.len() < value.len() { "…" } else { "" };
        format!("={:?}", format!("{start}{more}"))
    })
}

fn cut(text: &str) -> &str {
    text.char_indices()
        .nth(SHOWN_CHARS_MAX)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}
