//! Why a Redis cannot be used, each time with what to do about it.
//!
//! What the other end said is shown cut and on one line, and never when it repeats the password.

use core::fmt;
use std::io;
use std::time::Duration;

use redis::{ErrorKind, RedisError};

use crate::redis::RedisUrl;

/// The longest part of what the other end said that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Why there is no connection, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Nobody answers there.
    #[error(
        "cannot connect to {place}: {error}; check that Redis runs there and listens to this \
         host, and the host and port in REDIS_URL"
    )]
    Network {
        /// Which `host:port`.
        place: String,
        /// Why not.
        error: io::Error,
    },
    /// It took too long.
    #[error(
        "{place} did not answer within {} ms; check that Redis is not overloaded or paused, that \
         no firewall is between, and whether it wants TLS (rediss://) or does not (redis://)",
        after.as_millis()
    )]
    Timeout {
        /// Which `host:port`.
        place: String,
        /// How long was waited.
        after: Duration,
    },
    /// No authority could vouch for the other end.
    #[error(
        "no certificate authorities are known here, so TLS with {place} cannot be checked; \
         install ca-certificates, or name a file of them in SSL_CERT_FILE"
    )]
    NoAuthorities {
        /// Which `host:port`.
        place: String,
    },
    /// TLS failed.
    #[error(
        "TLS with {place} failed: {error}; check that the certificate is for that host and \
         valid, name a private authority's certificate in SSL_CERT_FILE, let Redis ask for no \
         client certificate (tls-auth-clients no), or write redis:// if that port speaks no TLS"
    )]
    Tls {
        /// Which `host:port`.
        place: String,
        /// Why.
        error: io::Error,
    },
    /// A password is wanted and none was given.
    #[error("{place} wants a password; put it into REDIS_URL as redis://:password@host")]
    PasswordMissing {
        /// Which `host:port`.
        place: String,
    },
    /// The password, or the user, is not right.
    #[error("{place} refused the user or the password; check both in REDIS_URL")]
    PasswordWrong {
        /// Which `host:port`.
        place: String,
    },
    /// What answers is no Redis.
    #[error("what answers at {place} is not Redis; check the host and the port in REDIS_URL")]
    NotRedis {
        /// Which `host:port`.
        place: String,
    },
    /// The connection was closed before Redis had answered.
    #[error(
        "{place} closed the connection before it answered; if it speaks TLS write rediss:// in \
         REDIS_URL, otherwise see Redis' own log"
    )]
    Closed {
        /// Which `host:port`.
        place: String,
    },
    /// It is too old.
    #[error("Redis at {place} is version {version}; upgrade it to 6.2 or newer")]
    TooOld {
        /// Which `host:port`.
        place: String,
        /// What it says it is.
        version: Shown,
    },
    /// Redis refused for a reason of its own.
    #[error(
        "Redis at {place} refused: {said}; see its configuration and the database in REDIS_URL"
    )]
    Refused {
        /// Which `host:port`.
        place: String,
        /// What it said.
        said: Shown,
    },
}

/// What the other end said: cut, and on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown(String);

impl Shown {
    /// Keeps what is fit to be shown of `text`.
    pub(crate) fn new(text: &str) -> Self {
        let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        Self(shown.escape_debug().to_string())
    }

    /// What a Redis answered instead of doing what it was asked, or why it could not be asked.
    pub(crate) fn error(error: &RedisError) -> Self {
        match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => Self::new(&format!("{code} {detail}")),
            (Some(code), None) => Self::new(code),
            (None, _) => Self::new(&error.to_string()),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a failed login means.
pub(super) fn refused(url: &RedisUrl, error: &RedisError) -> ConnectError {
    let place = url.place();
    let kind = error.kind();
    let code = error.code().unwrap_or_default();
    // An old Redis repeats the whole command, and so the password, when it does not know HELLO.
    let unknown = |detail: &str| detail.starts_with("unknown command");
    if kind == ErrorKind::RESP3NotSupported || error.detail().is_some_and(unknown) {
        let version = Shown::new("5 or older");
        return ConnectError::TooOld { place, version };
    }
    if code == "NOAUTH" && !url.has_password() {
        return ConnectError::PasswordMissing { place };
    }
    if matches!(code, "NOAUTH" | "WRONGPASS") || kind == ErrorKind::AuthenticationFailed {
        return ConnectError::PasswordWrong { place };
    }
    // Looked for in all that was said: what is cut or escaped might hide the password from this.
    let repeats = |text: &str| url.is_told_by(text);
    let said = if repeats(&error.to_string()) || error.detail().is_some_and(repeats) {
        Shown::new("what it said repeats the password")
    } else {
        Shown::error(error)
    };
    if kind == ErrorKind::Io {
        return if error.is_connection_dropped() {
            ConnectError::Closed { place }
        } else if url.tls() {
            // Since TLS 1.3 a server may refuse after the handshake.
            let error = io::Error::other(said.to_string());
            ConnectError::Tls { place, error }
        } else {
            let error = io::Error::other(said.to_string());
            ConnectError::Network { place, error }
        };
    }
    if matches!(kind, ErrorKind::Server(_) | ErrorKind::Extension) {
        ConnectError::Refused { place, said }
    } else {
        ConnectError::NotRedis { place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_on_one_line() {
        let shown = Shown::new(&"é\n".repeat(SHOWN_CHARS_MAX)).to_string();
        assert_eq!(shown, "é\\n".repeat(SHOWN_CHARS_MAX / 2));
    }
}
