//! The session id in the cookie that express-session signs, so that a dashboard that is logged in
//! needs no session id of its own.
//!
//! The cookie's value is `s:<id>.<signature>`, URL-encoded; the signature is the HMAC-SHA256 of the id
//! in base64 without padding. An id that no secret vouches for counts as absent. This only says which
//! session a client names; whether that session lives is looked up elsewhere. What a cookie holds is
//! never logged.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::header::COOKIE;
use percent_encoding::percent_decode_str;
use sha2::Sha256;
use tradewire_engine::ids::SessionId;

use crate::config::Secret;

/// The name that express-session gives its cookie unless told otherwise.
pub const COOKIE_NAME: &str = "connect.sid";

/// A longer value, in bytes, is no session cookie: the longest id, each byte encoded as three, with
/// its signature ends far below.
const VALUE_BYTES_MAX: usize = 4_096;

/// How many session cookies of one request are looked at. A browser sends several when they were set
/// for several paths or domains; a header full of them must not buy as many signature checks.
const CANDIDATES_MAX: usize = 8;

/// The session that a request's cookies name: the first that one of `secrets` signed.
///
/// Without secrets nothing can be vouched for, and the answer is always `None`.
#[must_use]
pub fn session_from_cookies(headers: &HeaderMap, secrets: &[Secret]) -> Option<SessionId> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
        .filter_map(session_cookie)
        .take(CANDIDATES_MAX)
        .find_map(|value| verified(value, secrets))
}

/// The value of a `name=value` pair if the name is ours. Other cookies may be any bytes.
fn session_cookie(pair: &[u8]) -> Option<&str> {
    let pair = pair.trim_ascii().strip_prefix(COOKIE_NAME.as_bytes())?;
    let value = pair
        .trim_ascii_start()
        .strip_prefix(b"=")?
        .trim_ascii_start();
    if value.len() > VALUE_BYTES_MAX {
        return None;
    }
    let value = str::from_utf8(value).ok()?;
    let unquoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    Some(unquoted.unwrap_or(value))
}

/// The session id inside a cookie's value if one of `secrets` signed it.
fn verified(value: &str, secrets: &[Secret]) -> Option<SessionId> {
    let value: Cow<'_, str> = percent_decode_str(value).decode_utf8().ok()?;
    // The id may hold dots; base64 has none.
    let (id, signature) = value.strip_prefix("s:")?.rsplit_once('.')?;
    let signature = STANDARD_NO_PAD.decode(signature).ok()?;
    let signed = secrets.iter().any(|secret| signs(secret, id, &signature));
    if signed {
        SessionId::new(id).ok()
    } else {
        None
    }
}

/// Whether `signature` is what `secret` makes of `id`, in a time that does not tell how much of it is.
fn signs(secret: &Secret, id: &str, signature: &[u8]) -> bool {
    Hmac::<Sha256>::new_from_slice(secret.expose())
        .is_ok_and(|mac| mac.chain_update(id).verify_slice(signature).is_ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    // Made with the npm packages `cookie-signature` 1.2.2 and `cookie` 1.1.1, as express-session does:
    // `cookie.serialize("connect.sid", "s:" + signature.sign(id, secret))`.
    const SECRET: &str = "keyboard cat";
    const OLD_SECRET: &str = "old secret";
    const PLAIN_ID: &str = "Zr3kV9m0-2Qw_example";
    const PLAIN: &str =
        "connect.sid=s%3AZr3kV9m0-2Qw_example.FwM41UkBtXXcBlUB6ak30TKbANI5lgaEwzPYRDBxC60";
    const ODD_ID: &str = "sid-with/+=chars é";
    const ODD: &str = "connect.sid=s%3Asid-with%2F%2B%3Dchars%20%C3%A9.\
        HNY70Qu9CrYOSH39vbe0Iy%2BuJiyQE5gL%2BvAHo23AIeQ";
    /// The id `a.b`, signed with the old secret.
    const OLD: &str = "connect.sid=s%3Aa.b.0TiGI9aHPTCz7Y73Ix003lOmqCmbrXvCWfKQUpesL2U";
    /// 512 and 513 times `x`.
    const LONGEST_SIGNATURE: &str = "XNZvcaeX9p5sHA44kcQdHnfW8XamJkqnSFMSgdYypfk";
    const TOO_LONG_SIGNATURE: &str = "dHDb76%2BJ%2F6TZesvIIW8xONNq9096U2Zky8uSNWWUYtc";
    const EMPTY: &str = "connect.sid=s%3A.aJcKKTu8Uv0mRiw7LTI435t%2BpOa%2BgiU%2FWLAuLCKGEFc";
    /// The id `line`, line feed, `break`.
    const CONTROL: &str =
        "connect.sid=s%3Aline%0Abreak.QUoU3knpcB4o3skB%2FoOLSjFnNKDbNzr06DGhp9M1QiA";

    fn session(cookies: &[&str], secrets: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).unwrap());
        }
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(secret)).collect();
        session_from_cookies(&headers, &secrets).map(|id| id.as_str().to_owned())
    }

    #[test]
    fn a_cookie_signed_by_express_session_names_its_session() {
        assert_eq!(session(&[PLAIN], &[SECRET]).as_deref(), Some(PLAIN_ID));
        assert_eq!(session(&[ODD], &[SECRET]).as_deref(), Some(ODD_ID));
        let longest = format!("connect.sid=s%3A{}.{LONGEST_SIGNATURE}", "x".repeat(512));
        assert_eq!(session(&[&longest], &[SECRET]), Some("x".repeat(512)));
    }

    #[test]
    fn a_value_that_was_not_encoded_or_stands_in_quotes_is_read_too() {
        let bare = PLAIN.replace("%3A", ":");
        assert_eq!(session(&[&bare], &[SECRET]).as_deref(), Some(PLAIN_ID));
        let quoted = format!("{}\"", PLAIN.replace("connect.sid=", "connect.sid=\""));
        assert_eq!(session(&[&quoted], &[SECRET]).as_deref(), Some(PLAIN_ID));
    }

    #[test]
    fn any_of_several_secrets_may_have_signed() {
        assert_eq!(
            session(&[OLD], &[SECRET, OLD_SECRET]).as_deref(),
            Some("a.b")
        );
        assert_eq!(
            session(&[OLD], &[OLD_SECRET, SECRET]).as_deref(),
            Some("a.b")
        );
    }

    #[test]
    fn another_secret_or_none_vouches_for_nothing() {
        assert_eq!(session(&[PLAIN], &[OLD_SECRET]), None);
        assert_eq!(session(&[OLD], &[SECRET]), None);
        assert_eq!(session(&[PLAIN], &[]), None);
    }

    #[test]
    fn every_truncated_or_altered_value_counts_as_absent() {
        let value = PLAIN.strip_prefix("connect.sid=").unwrap();
        for end in 0..value.len() {
            assert_eq!(
                session(&[&format!("connect.sid={}", &value[..end])], &[SECRET]),
                None
            );
        }
        for at in 4..value.len() {
            let mut altered = value.as_bytes().to_vec();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = format!("connect.sid={}", String::from_utf8(altered).unwrap());
            assert_eq!(session(&[&altered], &[SECRET]), None, "{altered}");
        }
        assert_eq!(session(&[&format!("{PLAIN}=")], &[SECRET]), None);
        assert_eq!(session(&[&format!("{PLAIN}A")], &[SECRET]), None);
    }

    #[test]
    fn a_signed_id_that_no_session_has_counts_as_absent() {
        let too_long = format!("connect.sid=s%3A{}.{TOO_LONG_SIGNATURE}", "x".repeat(513));
        for cookie in [EMPTY, CONTROL, &too_long] {
            assert_eq!(session(&[cookie], &[SECRET]), None, "{cookie}");
        }
    }

    #[test]
    fn garbage_counts_as_absent() {
        for cookie in [
            "",
            ";",
            "=",
            "=;=",
            "connect.sid",
            "connect.sid=",
            "connect.sid=s:",
            "connect.sid=s:.",
            "connect.sid=s%3A..",
            "connect.sid=j%3A%7B%7D",
            "connect.sid=%ff%fe",
            "connect.sid=%",
            "connect.sid=s%3Aa.b",
            "connect.sid=s%3Aa.====",
            "connect.sid=\"",
            "connect.sid=é",
        ] {
            assert_eq!(session(&[cookie], &[SECRET]), None, "{cookie}");
        }
        for other in [
            "connect.sidx",
            "xconnect.sid",
            "Connect.sid",
            "connect.sid.sig",
            "sid",
        ] {
            assert_eq!(
                session(&[&PLAIN.replace("connect.sid", other)], &[SECRET]),
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_beside_the_cookie_do_no_harm() {
        let mut bytes = b"x=\xff\xfe; ".to_vec();
        bytes.extend_from_slice(PLAIN.as_bytes());
        bytes.extend_from_slice(b";y=\xff");
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes(&bytes).unwrap());
        let found = session_from_cookies(&headers, &[Secret::new(SECRET)]);
        assert_eq!(found.unwrap().as_str(), PLAIN_ID);
    }

    #[test]
    fn the_first_valid_one_among_all_cookies_wins() {
        let ours = format!("a=b; connect.sid=s%3Aforged.AAAA;  {PLAIN} ;{ODD}; theme=dark; junk");
        assert_eq!(session(&[&ours], &[SECRET]).as_deref(), Some(PLAIN_ID));
        assert_eq!(
            session(&["a=b", "connect.sid=x", ODD, PLAIN], &[SECRET]).as_deref(),
            Some(ODD_ID)
        );
    }

    #[test]
    fn only_so_many_values_of_only_such_a_length_are_looked_at() {
        let forged = ["connect.sid=s%3Aforged.AAAA"; CANDIDATES_MAX - 1].join(";");
        assert_eq!(
            session(&[&forged, PLAIN], &[SECRET]).as_deref(),
            Some(PLAIN_ID)
        );
        assert_eq!(session(&[&forged, "connect.sid=x", PLAIN], &[SECRET]), None);
        // A value that is too long is not even a candidate.
        let long = format!("connect.sid={}", "x".repeat(VALUE_BYTES_MAX + 1));
        assert_eq!(
            session(&[&forged, &long, PLAIN], &[SECRET]).as_deref(),
            Some(PLAIN_ID)
        );
    }
}
