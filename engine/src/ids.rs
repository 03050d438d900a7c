//! The names by which the engine knows things: connections, users, symbols, requests.
//!
//! Every id is checked where it is made, so holding one means that it is well formed.
//! Nothing here decides anything.

use alloc::borrow::Cow;
use core::fmt;
use core::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize, Serializer};
use smol_str::SmolStr;

/// One transport session of one client, from its handshake to the end of its transport.
///
/// The driver assigns it: a dense slot that is used again, and a generation that tells the users of
/// a slot apart, so that an input about a connection that is gone is recognised as such.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId {
    slot: u32,
    generation: u32,
}

impl ConnId {
    /// The first in order.
    pub(crate) const MIN: Self = Self::new(0, 0);
    /// The last in order.
    pub(crate) const MAX: Self = Self::new(u32::MAX, u32::MAX);

    /// Names the `generation`th user of `slot`.
    #[must_use]
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// The dense index, shared by all generations.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// How many connections used this slot before.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.generation == 0 {
            write!(f, "c{}", self.slot)
        } else {
            write!(f, "c{}.{}", self.slot, self.generation)
        }
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A question that the engine asked, or a publish that it was asked to take; its answer names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(u64);

impl RequestId {
    /// Names the request with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, unique within one life of one node.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not the id that it was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has no characters.
    #[error("must not be empty")]
    Empty,
    /// The text has a character outside the id's alphabet.
    #[error("has a character that is not allowed")]
    Character,
    /// The text is longer than the id may be.
    #[error("is longer than {max}")]
    TooLong {
        /// The bound, in the id's own unit (bytes).
        max: usize,
    },
}

/// An id's text as it was written somewhere, where it is if it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether every character is allowed. A trace holds an id or two for each item, and most are ASCII.
#[inline]
fn consists_of(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    if text.is_ascii() {
        text.bytes().all(|byte| allowed(char::from(byte)))
    } else {
        text.chars().all(allowed)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, max $max:expr, allowed $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(SmolStr);

        /// In one piece: the mark that ends a text, for keys of several, costs a quarter of hashing one.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write(self.0.as_bytes());
            }
        }

        impl $name {
            /// The longest that it may be, in bytes.
            pub const BYTES_MAX: usize = $max;

            /// Takes `text` if it is well formed.
            ///
            /// # Errors
            /// Says what is wrong with the text.
            pub fn new(text: &str) -> Result<Self, IdError> {
                if text.is_empty() {
                    return Err(IdError::Empty);
                }
                if text.len() > Self::BYTES_MAX {
                    return Err(IdError::TooLong { max: Self::BYTES_MAX });
                }
                if !consists_of(text, $allowed) {
                    return Err(IdError::Character);
                }
                Ok(Self(SmolStr::new(text)))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let Text(text) = Text::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// A user of the trading system: no control characters. The bound here is a ceiling; the one in
    /// force is [`crate::limits::ParseLimits::user_bytes_max`].
    UserId, max 1024, allowed |c: char| !c.is_control()
);
text_id!(
    /// A tradable symbol: characters of `A–Z a–z 0–9 . - _ : / ^ =`. The bound here is a ceiling; the
    /// one in force is [`crate::limits::ParseLimits::symbol_chars_max`].
    Symbol, max 128,
    allowed |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '^' | '=')
);
text_id!(
    /// An HTTP session id as express-session makes it: 1–512 bytes, no control characters.
    SessionId, max 512, allowed |c: char| !c.is_control()
);
text_id!(
    /// A Socket.IO socket id as the client sees it: 1–64 printable ASCII characters.
    SocketId, max 64, allowed |c: char| c.is_ascii_graphic()
);
text_id!(
    /// An idempotency key: 1–128 printable ASCII characters.
    PublishId, max 128, allowed |c: char| c.is_ascii_graphic()
);

impl PublishId {
    /// `<instance>-<number>`, the first as 16 hexadecimal digits. Every item without an id gets one, and
    /// formatting would take most of that, so it is written by hand.
    pub(crate) fn counted(instance: u64, number: u64) -> Option<Self> {
        const NAME: usize = 16 + 1;
        let mut text = [b'-'; NAME + 20];
        let (name, count) = text.split_at_mut(NAME);
        let mut rest = instance;
        for place in name.iter_mut().rev().skip(1) {
            let digit = (rest & 0xf) as u8;
            *place = digit + if digit < 10 { b'0' } else { b'a' - 10 };
            rest >>= 4;
        }
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        let mut rest = number;
        for place in count.iter_mut().take(digits).rev() {
            *place = (rest % 10) as u8 + b'0';
            rest /= 10;
        }
        let text = text.get(..NAME + digits)?;
        core::str::from_utf8(text)
            .ok()
            .map(|text| Self(SmolStr::new(text)))
    }
}

/// The place of a log event in the bus's order: `<epoch>-<ms>-<seq>`.
///
/// `ms` is the bus's wall clock when the event was appended and is never compared across epochs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// One life of the bus's data.
    pub epoch: Epoch,
    /// Milliseconds since the Unix epoch, by the bus's clock.
    pub ms: u64,
    /// Tells events of one millisecond apart.
    pub seq: u64,
}

impl EventId {
    /// Reads the form that clients hold.
    ///
    /// Returns `None` for anything that this server cannot have made.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let epoch = Epoch::parse(parts.next()?)?;
        let ms = decimal(parts.next()?)?;
        let seq = decimal(parts.next()?)?;
        Some(Self { epoch, ms, seq })
    }
}

/// Digits only: `u64::from_str` would also take a leading `+`.
fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.epoch, self.ms, self.seq)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One life of the bus's data; a random number, written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(u64);

impl Epoch {
    /// Names an epoch.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number behind the name.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Reads 16 lower-case hexadecimal digits; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 16 || !text.bytes().all(lower_hex) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_symbol_takes_its_alphabet_and_nothing_else() {
        assert!(Symbol::new("BRK.B-x_1:NYSE/^=").is_ok());
        assert_eq!(Symbol::new(""), Err(IdError::Empty));
        assert_eq!(Symbol::new("A B"), Err(IdError::Character));
        assert_eq!(Symbol::new("Ä"), Err(IdError::Character));
        assert!(Symbol::new(&"A".repeat(128)).is_ok());
        assert_eq!(
            Symbol::new(&"A".repeat(129)),
            Err(IdError::TooLong { max: 128 })
        );
    }

    #[test]
    fn a_user_id_ends_at_its_ceiling_and_has_no_control_characters() {
        assert!(UserId::new(&"u".repeat(1024)).is_ok());
        assert_eq!(
            UserId::new(&"u".repeat(1025)),
            Err(IdError::TooLong { max: 1024 })
        );
        assert_eq!(UserId::new("a\nb"), Err(IdError::Character));
    }

    #[test]
    fn a_counted_key_is_written_as_it_would_be_formatted() {
        for (instance, number) in [
            (0, 0),
            (0x0123_4567_89ab_cdef, 9),
            (1 << 63, 10),
            (7, u64::MAX),
        ] {
            let text = alloc::format!("{instance:016x}-{number}");
            let id = PublishId::counted(instance, number);
            assert_eq!(id, PublishId::new(&text).ok(), "{text}");
        }
    }

    #[test]
    fn an_event_id_reads_back_what_it_writes_and_refuses_the_rest() {
        let id = EventId {
            epoch: Epoch::new(0xabc),
            ms: 1_700_000_000_000,
            seq: 3,
        };
        assert_eq!(id.to_string(), "0000000000000abc-1700000000000-3");
        assert_eq!(EventId::parse(&id.to_string()), Some(id));
        for bad in [
            "",
            "x",
            "0000000000000ABC-1-1",
            "0000000000000abc-1",
            "abc-1-1",
            "0000000000000abc--1-1",
            "0000000000000abc-+1-1",
            "0000000000000abc-1-1-1",
            "0000000000000abc-99999999999999999999-1",
        ] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
    }
}
