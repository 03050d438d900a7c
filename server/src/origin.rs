//! Which web pages may talk to this server: the one verdict behind the CORS headers and the 403.
//!
//! A browser says in `Origin` where a page came from. A page may connect when it came from the host
//! that it connects to, or from one that `FRONTEND_URL` lists; what is no browser sends no `Origin`
//! and is left to authentication. This never looks at anything but the two headers, and never lets a
//! doubtful one through.

use core::fmt;
use core::net::Ipv6Addr;

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// Where a web page comes from: `scheme://host` or `scheme://host:port`, in its one normal form.
///
/// Scheme and host are lower case, and the scheme's own port is left out, so that equal origins are
/// equal texts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    scheme: String,
    authority: Authority,
}

/// The text is not the origin of a web page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not of the form scheme://host or scheme://host:port")]
pub struct OriginError;

impl Origin {
    /// Reads `text`, in whatever case and with or without the scheme's own port.
    ///
    /// # Errors
    /// When the text has more than scheme, host and port, or less than scheme and host.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let (scheme, authority) = text.split_once("://").ok_or(OriginError)?;
        let begins_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if !begins_well || !scheme.chars().all(known) {
            return Err(OriginError);
        }
        let scheme = scheme.to_ascii_lowercase();
        let authority = Authority::parse(authority, default_port(&scheme)).ok_or(OriginError)?;
        Ok(Self { scheme, authority })
    }

    /// Whether a request with this `Host` header is for the host that the page came from.
    fn is_at(&self, host: &str) -> bool {
        Authority::parse(host, default_port(&self.scheme)).is_some_and(|at| at == self.authority)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority.host)?;
        self.authority
            .port
            .map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What was decided about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No `Origin`: not a browser, or a browser's plain same-host request. Allowed.
    Absent,
    /// The page came from another host, which is listed. Allowed, and the answer needs CORS headers.
    Listed,
    /// Everything else, also what cannot be read. 403.
    Refused,
    /// The page came from the host that the request is for. Allowed.
    SameHost,
}

/// The origins beside the server's own host that may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Sorted, so that a long list costs a binary search.
    listed: Vec<Origin>,
}

impl Origins {
    /// Allows the server's own host and those listed.
    #[must_use]
    pub fn new(mut listed: Vec<Origin>) -> Self {
        listed.sort_unstable();
        listed.dedup();
        Self { listed }
    }

    /// Decides by a request's headers. A request with more than one `Origin` is refused; one with
    /// more than one `Host` has no host to be the same as.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap) -> Verdict {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next();
        if origins.next().is_some() {
            return Verdict::Refused;
        }
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next().filter(|_| hosts.next().is_none());
        self.allows_values(origin.map(AsRef::as_ref), host.map(AsRef::as_ref))
    }

    /// Decides by the values of the one `Origin` and the one `Host` header.
    #[must_use]
    pub fn allows_values(&self, origin: Option<&[u8]>, host: Option<&[u8]>) -> Verdict {
        let Some(origin) = origin else {
            return Verdict::Absent;
        };
        // `null`, which sandboxed and local pages send, is no origin and ends here too.
        let Some(origin) = str::from_utf8(origin)
            .ok()
            .and_then(|text| Origin::parse(text).ok())
        else {
            return Verdict::Refused;
        };
        if host
            .and_then(|host| str::from_utf8(host).ok())
            .is_some_and(|host| origin.is_at(host))
        {
            return Verdict::SameHost;
        }
        if self.listed.binary_search(&origin).is_ok() {
            Verdict::Listed
        } else {
            Verdict::Refused
        }
    }
}

/// A host and the port, if it is not the scheme's own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Authority {
    /// Lower case; an IPv6 address stands in brackets, in its shortest form.
    host: String,
    port: Option<u16>,
}

impl Authority {
    fn parse(text: &str, default_port: Option<u16>) -> Option<Self> {
        // The colons of an IPv6 address are inside its brackets.
        let host_end = text.rfind(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match text.get(host_end..)?.split_once(':') {
            Some((rest, port)) => (text.get(..host_end + rest.len())?, Some(self::port(port)?)),
            None => (text, None),
        };
        Some(Self {
            host: self::host(host)?,
            port: port.filter(|_| port != default_port),
        })
    }
}

/// A host in its normal form.
fn host(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    // Browsers send the ASCII form of any other name.
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if text.is_empty() || !text.bytes().all(known) {
        return None;
    }
    Some(text.to_ascii_lowercase())
}

/// Digits only: `u16::from_str` would also take a leading `+`.
fn port(text: &str) -> Option<u16> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

/// The port that a lower-case scheme means when none is written.
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn origins(listed: &[&str]) -> Origins {
        Origins::new(
            listed
                .iter()
                .map(|text| Origin::parse(text).unwrap())
                .collect(),
        )
    }

    #[test]
    fn an_origin_has_one_normal_form() {
        for (given, normal) in [
            ("https://App.Example.COM", "https://app.example.com"),
            ("HTTPS://app.example.com:443", "https://app.example.com"),
            ("http://app.example.com:80", "http://app.example.com"),
            ("http://app.example.com:443", "http://app.example.com:443"),
            (
                "https://app.example.com:08443",
                "https://app.example.com:8443",
            ),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[0:0::1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(Origin::parse(given).unwrap().to_string(), normal, "{given}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        let bad = "|null|*|app.example.com|//app.example.com|https:app.example.com|https://|\
            https://:443|file://|https://a/|https://a/path|https://a?b|https://a#b|https://user@a|\
            https://user:pw@a|https://*.example.com|https://a b|https://ä.example|https://a:|\
            https://a:http|https://a:+1|https://a:65536|https://a:1:2|https://::1|https://[::1|\
            https://::1]|https://[::1]x|https://[::1]x:1|https://[a]|https://a]:1|1http://a|\
            ht tp://a|://a| https://a|https://a |https://a,https://b";
        for bad in bad.split('|') {
            assert_eq!(Origin::parse(bad), Err(OriginError), "{bad:?}");
        }
    }

    #[test]
    fn the_same_host_and_listed_origins_are_allowed_and_the_rest_refused() {
        use Verdict::{Absent, Listed, Refused, SameHost};
        let origins = origins(&["https://app.example.com", "http://localhost:5173"]);
        for (origin, host, verdict) in [
            (None, Some("ws.example.com"), Absent),
            (None, None, Absent),
            (
                Some("https://ws.example.com"),
                Some("ws.example.com"),
                SameHost,
            ),
            (
                Some("https://WS.example.com"),
                Some("ws.Example.com"),
                SameHost,
            ),
            (
                Some("https://ws.example.com"),
                Some("ws.example.com:443"),
                SameHost,
            ),
            (
                Some("https://ws.example.com:443"),
                Some("ws.example.com"),
                SameHost,
            ),
            (
                Some("http://ws.example.com"),
                Some("ws.example.com:80"),
                SameHost,
            ),
            (
                Some("http://127.0.0.1:3000"),
                Some("127.0.0.1:3000"),
                SameHost,
            ),
            (Some("http://[::1]:3000"), Some("[::1]:3000"), SameHost),
            (
                Some("https://ws.example.com"),
                Some("ws.example.com:80"),
                Refused,
            ),
            (
                Some("http://ws.example.com:3000"),
                Some("ws.example.com:3001"),
                Refused,
            ),
            (
                Some("http://ws.example.com"),
                Some("ws.example.com:3000"),
                Refused,
            ),
            (Some("https://ws.example.com"), None, Refused),
            (Some("https://ws.example.com"), Some(""), Refused),
            (
                Some("https://app.example.com"),
                Some("ws.example.com"),
                Listed,
            ),
            (Some("https://app.example.com"), None, Listed),
            (
                Some("https://APP.example.com:443"),
                Some("ws.example.com"),
                Listed,
            ),
            (
                Some("http://localhost:5173"),
                Some("ws.example.com"),
                Listed,
            ),
            (
                Some("http://app.example.com"),
                Some("ws.example.com"),
                Refused,
            ),
            (
                Some("https://app.example.com:8443"),
                Some("ws.example.com"),
                Refused,
            ),
            (
                Some("https://app.example.com.evil.io"),
                Some("ws.example.com"),
                Refused,
            ),
            (
                Some("https://evil-app.example.com"),
                Some("ws.example.com"),
                Refused,
            ),
            (
                Some("https://app.example.com/"),
                Some("ws.example.com"),
                Refused,
            ),
            (Some("null"), Some("null"), Refused),
            (Some("null"), Some("ws.example.com"), Refused),
            (Some("file://"), Some(""), Refused),
            (Some(""), Some("ws.example.com"), Refused),
            (
                Some("https://ws.example.com@evil.io"),
                Some("ws.example.com@evil.io"),
                Refused,
            ),
        ] {
            let found = origins.allows_values(origin.map(str::as_bytes), host.map(str::as_bytes));
            assert_eq!(found, verdict, "{origin:?} {host:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        for (origin, host) in [(&b"https://\xff"[..], &b"a"[..]), (b"https://a", b"\xff")] {
            assert_eq!(
                origins(&[]).allows_values(Some(origin), Some(host)),
                Verdict::Refused
            );
        }
    }

    #[test]
    fn a_header_given_twice_is_never_trusted() {
        let origins = origins(&["https://app.example.com"]);
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("ws.example.com"));
        headers.append(ORIGIN, HeaderValue::from_static("https://app.example.com"));
        assert_eq!(origins.allows(&headers), Verdict::Listed);
        headers.append(ORIGIN, HeaderValue::from_static("https://app.example.com"));
        assert_eq!(origins.allows(&headers), Verdict::Refused);

        headers.insert(ORIGIN, HeaderValue::from_static("https://ws.example.com"));
        assert_eq!(origins.allows(&headers), Verdict::SameHost);
        headers.append(HOST, HeaderValue::from_static("ws.example.com"));
        assert_eq!(origins.allows(&headers), Verdict::Refused);
    }
}
