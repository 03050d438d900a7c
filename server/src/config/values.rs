//! How each kind of value is read from its text.
//!
//! Every reader answers with the value or with what would be allowed, as the end of a sentence that
//! begins with the variable's name. Readers never repeat what they were given: it may be a secret.

use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

use crate::config::{AuthMode, RedisUrl, Secret};
use crate::logging::{LogFormat, is_filter};
use crate::origin::Origin;
use tradewire_engine::Delivery;

/// The longest time that can be asked for, in milliseconds: a day. What should never happen has no
/// use for a limit, and sums of times stay far from their type's end.
const MILLIS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// The most bytes that can be asked for: a tebibyte, which no machine for this server has.
const BYTES_MAX: u64 = 1 << 40;

/// The secrets that session cookies may be signed with.
#[derive(Clone)]
pub(super) struct Secrets(pub(super) Vec<Secret>);

/// The origins of `FRONTEND_URL`.
#[derive(Clone)]
pub(super) struct OriginList(pub(super) Vec<Origin>);

/// How much of what is published is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Payloads {
    Full,
    Mask,
}

impl core::fmt::Display for Payloads {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Mask => "mask",
        })
    }
}

pub(super) fn payloads(text: &str) -> Result<Payloads, String> {
    match text {
        "full" => Ok(Payloads::Full),
        "mask" => Ok(Payloads::Mask),
        _ => Err("give full or mask".to_owned()),
    }
}

/// Reads a whole number of things, within `range`.
pub(super) fn count<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    whole("a whole number", range)
}

/// Reads a whole number of bytes, at least `min`.
pub(super) fn bytes<T: TryFrom<u64>>(min: u64) -> impl Fn(&str) -> Result<T, String> + Clone {
    whole("a whole number of bytes", min..=BYTES_MAX)
}

/// Reads a whole number of milliseconds, at least `min`.
pub(super) fn millis(min: u64) -> impl Fn(&str) -> Result<u64, String> + Clone {
    whole("a whole number of milliseconds", min..=MILLIS_MAX)
}

/// Reads a TCP port, 0 meaning any free one.
pub(super) fn port(text: &str) -> Result<u16, String> {
    whole("a port number", 0..=u64::from(u16::MAX))(text)
}

/// Plain digits and nothing else: no sign, no separators, no fraction.
fn whole<T: TryFrom<u64>>(
    what: &'static str,
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let number = if digits {
            text.parse::<u64>().ok()
        } else {
            None
        };
        number
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("give {what}, {} to {}", range.start(), range.end()))
    }
}

/// A span in the unit that flags are given in.
pub(super) fn as_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn host(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| "give an IP address to listen on, such as 127.0.0.1 or ::".to_owned())
}

pub(super) fn origins(text: &str) -> Result<OriginList, String> {
    // People paste what the address bar shows, which ends in a slash.
    let origin = |item: &str| {
        let item = item.trim();
        Origin::parse(item.strip_suffix('/').unwrap_or(item)).ok()
    };
    text.split(',')
        .map(origin)
        .collect::<Option<_>>()
        .map(OriginList)
        .ok_or_else(|| {
            "give origins like https://app.example.com[:port], separated by commas".to_owned()
        })
}

/// Reads a token that fits into `Authorization: Bearer …`.
pub(super) fn token(text: &str) -> Result<Secret, String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret::new(text))
    } else {
        Err("give printable ASCII characters without spaces".to_owned())
    }
}

/// Reads secrets as express-session would be given them. A space at an end could belong to the secret
/// or to the list, so it is refused rather than guessed about.
pub(super) fn secrets(text: &str) -> Result<Secrets, String> {
    let secret = |item: &str| (!item.is_empty() && item == item.trim()).then(|| Secret::new(item));
    text.split(',')
        .map(secret)
        .collect::<Option<_>>()
        .map(Secrets)
        .ok_or_else(|| {
            "give one or more secrets, separated by commas, without spaces around them".to_owned()
        })
}

pub(super) fn redis_url(text: &str) -> Result<RedisUrl, String> {
    RedisUrl::parse(text).map_err(|error| error.to_string())
}

pub(super) fn auth_mode(text: &str) -> Result<AuthMode, String> {
    match text {
        "session" => Ok(AuthMode::Session),
        "trust" => Ok(AuthMode::Trust),
        _ => Err("give session or trust".to_owned()),
    }
}

pub(super) fn delivery(text: &str) -> Result<Delivery, String> {
    match text {
        "all" => Ok(Delivery::All),
        "subscribed" => Ok(Delivery::Subscribed),
        _ => Err("give all or subscribed".to_owned()),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "json" => Ok(LogFormat::Json),
        "pretty" => Ok(LogFormat::Pretty),
        _ => Err("give pretty or json".to_owned()),
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    if !text.is_empty() && is_filter(text) {
        Ok(text.to_owned())
    } else {
        Err("give a level such as info, or a filter such as info,tradewire_server=debug".to_owned())
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("give true or false".to_owned()),
    }
}

/// Reads any text but none.
pub(super) fn text(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("give a value".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_plain_digits_within_its_range() {
        let read = count::<u32>(1..=20);
        assert_eq!(read("1"), Ok(1));
        assert_eq!(read("020"), Ok(20));
        for bad in [
            "",
            "0",
            "21",
            "-1",
            "+1",
            "1.0",
            "1e1",
            "1_0",
            " 1",
            "1 ",
            "abc",
            "٣",
            "99999999999999999999",
        ] {
            assert_eq!(
                read(bad),
                Err("give a whole number, 1 to 20".to_owned()),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn each_unit_says_its_own_range() {
        assert_eq!(
            millis(1)("0"),
            Err("give a whole number of milliseconds, 1 to 86400000".to_owned())
        );
        assert_eq!(
            bytes::<u64>(0)("x"),
            Err("give a whole number of bytes, 0 to 1099511627776".to_owned())
        );
        assert_eq!(
            port("65536"),
            Err("give a port number, 0 to 65535".to_owned())
        );
        assert_eq!(
            (millis(0)("0"), bytes::<u64>(0)("0"), port("0")),
            (Ok(0), Ok(0), Ok(0))
        );
    }

    #[test]
    fn a_number_that_its_type_cannot_hold_is_refused_like_any_other() {
        assert!(count::<u8>(0..=1_000)("256").is_err());
    }

    #[test]
    fn a_frontend_url_may_end_in_one_slash_and_has_spaces_around_commas() {
        let read = |text| origins(text).map(|list| list.0.iter().map(Origin::to_string).collect());
        let two: Vec<String> = vec![
            "https://a.io".to_owned(),
            "http://localhost:5173".to_owned(),
        ];
        assert_eq!(
            read("https://A.io:443/ , http://localhost:5173").as_ref(),
            Ok(&two)
        );
        for bad in [
            "",
            "*",
            "https://a.io//",
            "https://a.io/x",
            "https://a.io,",
            "a.io",
            ",",
            "https://a.io http://b.io",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_session_secret_keeps_the_spaces_inside_it() {
        let read = |text| {
            let exposed = |secret: &Secret| String::from_utf8(secret.expose().to_vec()).unwrap();
            secrets(text).map(|list| list.0.iter().map(exposed).collect::<Vec<_>>())
        };
        assert_eq!(read("keyboard cat"), Ok(vec!["keyboard cat".to_owned()]));
        assert_eq!(
            read("new,old"),
            Ok(vec!["new".to_owned(), "old".to_owned()])
        );
        for bad in ["", "new,", ",old", "new, old", " new", "new\n", ","] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_what_a_bearer_header_can_carry() {
        assert!(token("aB3-._~+/=!").is_ok());
        for bad in ["", "a b", "a\n", "\u{e9}", "a\t"] {
            assert!(token(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_may_be_of_either_family_but_not_a_name() {
        for good in ["127.0.0.1", "0.0.0.0", "::", "::1", "fe80::1"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "localhost",
            "127.1",
            "[::1]",
            "127.0.0.1:80",
            "1.2.3.4.5",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
