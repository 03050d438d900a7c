//! An express-session as its store holds it: from JSON to the user that is logged in.
//!
//! The store is shared with other programs, so nothing about the text is taken for granted. When the
//! session ends is not read here: `cookie.expires` grows stale while the store's own expiry is renewed.

use alloc::borrow::Cow;
use core::ops::ControlFlow::{self, Continue};

use super::item::within;
use super::json;
use crate::ids::{IdError, UserId};
use crate::limits::ParseLimits;

/// The longest that a session may be, in bytes.
pub const SESSION_BYTES_MAX: usize = 64 << 10;

/// Why a session says of no user that it is theirs.
///
/// No variant holds anything that the session says: it goes to logs, and a session is a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It is not a JSON object.
    #[error("the session is not a JSON object: does something else write under its prefix?")]
    NotAnObject,
    /// It names no user: nobody is logged in.
    #[error("the session names no user, neither in passport.user nor in userId")]
    NoUser,
    /// The user that it names is not of a kind that can be one.
    #[error(
        "the session's {field} must be a string or an integer, and in passport.user may be an object \
         with such an id or _id"
    )]
    NotAUser {
        /// Where it names it.
        field: &'static str,
    },
    /// It is longer than a session may be.
    #[error("the session has more than {SESSION_BYTES_MAX} bytes: keep less in it")]
    TooLong,
    /// Arrays and objects lie too deep in each other.
    #[error("the session is nested more than {max} deep: keep less in it")]
    TooDeep {
        /// The bound, the session itself counting 1.
        max: usize,
    },
    /// The user that it names cannot be a user's id.
    #[error("the session's {field} {error}: a user id is 1–{max} bytes without control characters")]
    User {
        /// Where it names it.
        field: &'static str,
        /// What is wrong with it.
        error: IdError,
        /// The longest that a user id may be, in bytes.
        max: usize,
    },
}

/// Reads the user of a session.
///
/// That is `passport.user` (a string, an integer, or an object with such an `id` or `_id`; an `_id`
/// may also be `{"$oid": "…"}`), or else `userId` (a string or an integer). An integer is the digits
/// that it is written with. `null` is nothing, and of a key given twice the last one counts, as for
/// the JavaScript that wrote it. A user that is there but cannot be one is an error: to look further
/// could find someone else.
///
/// # Errors
/// Says why the session has no user.
pub fn session(bytes: &[u8], limits: &ParseLimits) -> Result<UserId, SessionError> {
    if bytes.len() > SESSION_BYTES_MAX {
        return Err(SessionError::TooLong);
    }
    let max = limits.depth_max;
    if !json::depth_within(bytes, max) {
        return Err(SessionError::TooDeep { max });
    }
    let text = core::str::from_utf8(bytes).map_err(|_| SessionError::NotAnObject)?;
    let [passport, user_id] = fields(text, ["passport", "userId"])?;
    if let Some(passport) = passport.filter(|text| json::is_object(text)) {
        let [user] = fields(passport, ["user"])?;
        if let Some(user) = user {
            return passport_user(user, limits);
        }
    }
    let user = user_id.ok_or(SessionError::NoUser)?;
    id(user, "userId", limits)
}

fn passport_user(user: &str, limits: &ParseLimits) -> Result<UserId, SessionError> {
    if !json::is_object(user) {
        return id(user, "passport.user", limits);
    }
    let [plain, mongo] = fields(user, ["id", "_id"])?;
    if let Some(plain) = plain {
        return id(plain, "passport.user.id", limits);
    }
    let field = "passport.user._id";
    let mongo = mongo.ok_or(SessionError::NotAUser {
        field: "passport.user",
    })?;
    if !json::is_object(mongo) {
        return id(mongo, field, limits);
    }
    let [oid] = fields(mongo, ["$oid"])?;
    id(oid.ok_or(SessionError::NotAUser { field })?, field, limits)
}

/// The values of those keys in the object `text`; one that is absent or `null` is `None`.
fn fields<'a, const N: usize>(
    text: &'a str,
    keys: [&str; N],
) -> Result<[Option<&'a str>; N], SessionError> {
    let mut found = [None; N];
    let read = json::for_each_field(text, |key, value| {
        for (name, found) in keys.iter().zip(&mut found) {
            if *name == key {
                *found = (value != "null").then_some(value);
            }
        }
        ControlFlow::<()>::Continue(())
    });
    match read {
        Ok(Continue(()) | ControlFlow::Break(())) => Ok(found),
        Err(_) => Err(SessionError::NotAnObject),
    }
}

fn id(text: &str, field: &'static str, limits: &ParseLimits) -> Result<UserId, SessionError> {
    let user = if json::is_integer(text) {
        Cow::Borrowed(text)
    } else {
        json::string(text).ok_or(SessionError::NotAUser { field })?
    };
    let max = limits.user_bytes_max;
    within(&user, max)
        .and_then(UserId::new)
        .map_err(|error| SessionError::User { field, error, max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};

    fn read(text: &str) -> Result<String, SessionError> {
        session(text.as_bytes(), &ParseLimits::default()).map(|user| user.as_str().to_string())
    }

    #[test]
    fn a_user_is_found_wherever_express_puts_it() {
        let cookie = concat!(
            r#""cookie":{"originalMaxAge":86400000,"expires":"2020-01-01T00:00:00.000Z","#,
            r#""secure":true,"httpOnly":true,"domain":null,"path":"/","sameSite":"lax"}"#
        );
        for (rest, user) in [
            (r#""passport":{"user":"u1"}"#, "u1"),
            (r#""passport":{"user":42},"flash":{}"#, "42"),
            (
                r#""passport":{"user":12345678901234567890}"#,
                "12345678901234567890",
            ),
            (
                r#""passport":{"user":{"name":"Ann","id":"u2","_id":"x"}}"#,
                "u2",
            ),
            (r#""passport":{"user":{"id":null,"_id":7}}"#, "7"),
            (
                r#""passport":{"user":{"_id":{"$oid":"507f1f77bcf86cd799439011"}}}"#,
                "507f1f77bcf86cd799439011",
            ),
            (r#""userId":"\u0075\u00fc""#, "uü"),
            (r#""userId":7,"passport":{}"#, "7"),
            (r#""userId":7,"passport":{"user":null}"#, "7"),
            (r#""userId":7,"passport":null"#, "7"),
            (r#""userId":7,"passport":{"user":8}"#, "8"),
            (r#""userId":"a","userId":"b""#, "b"),
        ] {
            assert_eq!(read(&format!("{{{cookie},{rest}}}")).as_deref(), Ok(user));
        }
    }

    #[test]
    fn a_session_of_nobody_has_no_user() {
        for text in [
            "{}",
            r#"{"cookie":{}}"#,
            r#"{"passport":{}}"#,
            r#"{"passport":[{"user":"u"}],"userId":null}"#,
            r#"{"user":"u","passport.user":"u"}"#,
            r#"{"userId":"u","userId":null}"#,
        ] {
            assert_eq!(read(text), Err(SessionError::NoUser), "{text}");
        }
    }

    #[test]
    fn a_user_that_cannot_be_one_is_not_looked_for_elsewhere() {
        for (value, field) in [
            ("true", "passport.user"),
            ("1.5", "passport.user"),
            ("1e3", "passport.user"),
            ("[]", "passport.user"),
            ("{}", "passport.user"),
            (r#""\ud800""#, "passport.user"),
            (r#"{"id":{"$oid":"x"}}"#, "passport.user.id"),
            (r#"{"id":false,"_id":"x"}"#, "passport.user.id"),
            (r#"{"_id":[]}"#, "passport.user._id"),
            (r#"{"_id":{}}"#, "passport.user._id"),
            (r#"{"_id":{"$oid":{"$oid":"x"}}}"#, "passport.user._id"),
        ] {
            let text = format!(r#"{{"userId":"other","passport":{{"user":{value}}}}}"#);
            assert_eq!(
                read(&text),
                Err(SessionError::NotAUser { field }),
                "{value}"
            );
        }
        assert_eq!(
            read(r#"{"userId":{"id":"u"}}"#),
            Err(SessionError::NotAUser { field: "userId" })
        );
    }

    #[test]
    fn a_users_id_keeps_its_bounds() {
        let of = |user: &str| read(&format!(r#"{{"userId":"{user}"}}"#));
        assert!(of(&"u".repeat(256)).is_ok());
        for (user, error) in [
            ("u".repeat(257), IdError::TooLong { max: 256 }),
            ("9".repeat(2_000), IdError::TooLong { max: 256 }),
            (String::new(), IdError::Empty),
            (r"a\nb".to_string(), IdError::Character),
        ] {
            let (field, max) = ("userId", 256);
            assert_eq!(of(&user), Err(SessionError::User { field, error, max }));
        }
        let digits = format!(r#"{{"userId":{}}}"#, "9".repeat(257));
        assert!(matches!(read(&digits), Err(SessionError::User { .. })));
    }

    #[test]
    fn what_is_not_a_session_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "\"u\"",
            "OK",
            r#"{"userId":"u""#,
            r#"{"userId":"u"}x"#,
            r#"{"userId":"u","x":01}"#,
        ] {
            assert_eq!(read(text), Err(SessionError::NotAnObject), "{text}");
        }
        let bytes = b"{\"userId\":\"u\",\"x\":\"\xff\"}";
        assert_eq!(
            session(bytes, &ParseLimits::default()),
            Err(SessionError::NotAnObject)
        );
    }

    #[test]
    fn a_session_ends_at_its_bounds() {
        let long = |n: usize| format!(r#"{{"userId":"u","x":"{}"}}"#, "x".repeat(n - 21));
        assert_eq!(long(100).len(), 100);
        assert_eq!(read(&long(65_536)).as_deref(), Ok("u"));
        assert_eq!(read(&long(65_537)), Err(SessionError::TooLong));
        let deep = |n: usize| {
            let (open, close) = ("[".repeat(n - 1), "]".repeat(n - 1));
            format!(r#"{{"userId":"u","x":{open}{close}}}"#)
        };
        assert_eq!(read(&deep(64)).as_deref(), Ok("u"));
        assert_eq!(read(&deep(65)), Err(SessionError::TooDeep { max: 64 }));
        assert_eq!(
            read(&"[".repeat(60_000)),
            Err(SessionError::TooDeep { max: 64 })
        );
    }
}
