//! `REDIS_URL` as it is written: which Redis, as whom, and which of its databases.
//!
//! Reading one resolves and opens nothing. Neither a user nor a password is ever shown: people put
//! passwords into either place.

use core::fmt;
use core::net::Ipv6Addr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

/// The port when the address names none.
const DEFAULT_PORT: u16 = 6_379;

/// The longest host that DNS can name, in bytes.
const HOST_BYTES_MAX: usize = 253;

/// Which Redis to use, as whom. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    tls: bool,
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: u16,
    database: u32,
}

/// What an address is not. Each text is the end of a sentence that begins with the setting's name,
/// and repeats nothing of what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisUrlError {
    /// It does not begin like one.
    #[error("give redis://[user:password@]host[:port][/database], or rediss:// for TLS")]
    Scheme,
    /// The host is missing, or no host can be named so.
    #[error(
        "give a host name or an address after redis:// or the @, an IPv6 address in brackets; \
         in a password write / ? # as %2F %3F %23"
    )]
    Host,
    /// What follows the host is no port.
    #[error("give a port from 1 to 65535 after the host, or none for 6379")]
    Port,
    /// What follows the `/` is no database.
    #[error("give the number of a database after the last /, or none for 0")]
    Database,
    /// There is a user, and no password.
    #[error("give user:password@ or :password@ before the host")]
    User,
    /// The user or the password does not decode to text.
    #[error("give a user and a password whose %-escapes are UTF-8 text")]
    Text,
    /// There is a `?` or a `#`.
    #[error("leave out what begins with ? or #; in a password write them as %3F and %23")]
    Extra,
}

impl RedisUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// Says what would be one.
    pub fn parse(text: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(RedisUrlError::Scheme)?;
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(RedisUrlError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(RedisUrlError::Extra);
        }
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // A password may hold an @ that nobody escaped; a host cannot.
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        let (user, password) = credentials.map_or(Ok((None, None)), user_and_password)?;
        let database = match database {
            "" => 0,
            digits => number(digits).ok_or(RedisUrlError::Database)?,
        };
        Ok(Self(Arc::new(Parts {
            tls,
            user,
            password,
            host,
            port,
            database,
        })))
    }

    /// The host's name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.0.tls
    }

    /// Whether a password is given.
    pub(crate) fn has_password(&self) -> bool {
        self.0.password.is_some()
    }

    /// Whether `text` has the password in it.
    pub(super) fn is_told_by(&self, text: &str) -> bool {
        let password = self.0.password.as_deref();
        password.is_some_and(|password| text.contains(password))
    }

    /// Where it is, as `host:port`.
    pub(crate) fn place(&self) -> String {
        let Parts { host, port, .. } = &*self.0;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }

    /// How the `redis` crate is to log in.
    pub(super) fn login(&self) -> redis::RedisConnectionInfo {
        let mut login = redis::RedisConnectionInfo::default()
            .set_protocol(redis::ProtocolVersion::RESP3)
            .set_db(i64::from(self.0.database))
            .set_skip_set_lib_name();
        if let Some(user) = &self.0.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.0.password {
            login = login.set_password(password);
        }
        login
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.0.tls { "rediss" } else { "redis" };
        let place = self.place();
        write!(f, "{scheme}://{place}/{}", self.0.database)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn host_and_port(place: &str) -> Result<(String, u16), RedisUrlError> {
    let (host, port) = if let Some(bracketed) = place.strip_prefix('[') {
        let (host, port) = bracketed.split_once(']').ok_or(RedisUrlError::Host)?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(RedisUrlError::Host);
        }
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or(RedisUrlError::Port)?),
        };
        (host, port)
    } else {
        let (host, port) = match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        };
        let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(in_name) {
            return Err(RedisUrlError::Host);
        }
        (host, port)
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) => number(digits)
            .filter(|port| *port > 0)
            .ok_or(RedisUrlError::Port)?,
    };
    Ok((host.to_owned(), port))
}

fn user_and_password(credentials: &str) -> Result<(Option<String>, Option<String>), RedisUrlError> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(|text| (!text.is_empty()).then(|| text.into_owned()))
            .map_err(|_| RedisUrlError::Text)
    };
    let (user, password) = (decode(user)?, decode(password)?);
    // Without a password nobody would log in, and the user would be ignored in silence.
    if user.is_some() && password.is_none() {
        return Err(RedisUrlError::User);
    }
    Ok((user, password))
}

/// Plain digits and nothing else, as far as `T` reaches.
fn number<T: core::str::FromStr>(digits: &str) -> Option<T> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything in an address, as one line.
    fn read(text: &str) -> Result<String, RedisUrlError> {
        let url = RedisUrl::parse(text)?;
        let Parts {
            tls,
            user,
            password,
            host,
            port,
            database,
        } = &*url.0;
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let (user, password) = (or_none(user), or_none(password));
        Ok(format!("{tls} {user} {password} {host} {port} {database}"))
    }

    #[test]
    fn an_address_says_where_as_whom_and_which_database() {
        for (text, parts) in [
            ("redis://localhost", "false - - localhost 6379 0"),
            ("redis://localhost/", "false - - localhost 6379 0"),
            (
                "rediss://r.example.com:6380/3",
                "true - - r.example.com 6380 3",
            ),
            ("redis://:pw@10.0.0.1", "false - pw 10.0.0.1 6379 0"),
            (
                "redis://default:pw@redis_1:1/15",
                "false default pw redis_1 1 15",
            ),
            ("redis://u%3A1:p%40%2Fw%25@h", "false u:1 p@/w% h 6379 0"),
            ("redis://u:p:w@x@h:7", "false u p:w@x h 7 0"),
            ("redis://u:100%@h", "false u 100% h 6379 0"),
            ("redis://:pw@[::1]:6390/1", "false - pw ::1 6390 1"),
            ("rediss://[fe80::2]", "true - - fe80::2 6379 0"),
            ("redis://:@h", "false - - h 6379 0"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(parts), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_for_what_it_lacks() {
        use RedisUrlError::{Database, Extra, Host, Port, Scheme, Text, User};
        for (text, error) in [
            ("", Scheme),
            ("localhost:6379", Scheme),
            ("http://localhost", Scheme),
            ("redis:localhost", Scheme),
            (" redis://localhost", Scheme),
            ("unix:///run/redis.sock", Scheme),
            ("redis://", Host),
            ("redis://:pw@", Host),
            ("redis://:6379", Host),
            ("redis:///1", Host),
            ("redis://::1:6379", Host),
            ("redis://[::1", Host),
            ("redis://[localhost]", Host),
            ("redis://a b", Host),
            ("redis://h\n", Host),
            ("redis://h:0", Port),
            ("redis://h:", Port),
            ("redis://h:65536", Port),
            ("redis://h:+1", Port),
            ("redis://[::1]6379", Port),
            // A password with a raw slash: what is before it looks like a host and a port.
            ("redis://u:p/w@h", Port),
            ("redis://h/x", Database),
            ("redis://h/-1", Database),
            ("redis://h/0/1", Database),
            ("redis://h/99999999999", Database),
            ("redis://pw@h", User),
            ("redis://u:%ff@h", Text),
            ("redis://h?family=0", Extra),
            ("rediss://h#insecure", Extra),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }

    #[test]
    fn who_logs_in_is_not_seen_when_an_address_is_printed() {
        let url = RedisUrl::parse("rediss://us3r:s3cret@[::1]:1/2").unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "rediss://[::1]:1/2 rediss://[::1]:1/2"
        );
        for error in ["redis://s3cret@h", "redis://:s3cret@", "s3cret"] {
            let error = RedisUrl::parse(error).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }
}
