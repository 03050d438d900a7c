//! `MessagePack` as Node's emitters write it: a cursor over the bytes, and a value as JSON text.
//!
//! Anyone who may publish to Redis can send these bytes. Whatever they are, nothing here panics,
//! recurses over their nesting, or believes a length before the bytes are there.

use rmp::Marker;
use tradewire_engine::parse::json;
use tradewire_engine::time::WallTime;

/// The last day of the year 9999, beyond which a date has no usual form. In milliseconds.
const DATE_MS_MAX: u64 = 253_402_207_200_000;

/// Why bytes are not what they were taken for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnpackError {
    /// Bytes in the data: JSON has no place for them.
    #[error("the data holds bytes: emit text and numbers only")]
    Binary,
    /// A date before 1970 or after 9999, or a kind of value that only some programs know.
    #[error("the data holds a date out of range, or a value that is not of JSON's kinds")]
    Extension,
    /// The bytes end within a value.
    #[error("the message is cut short")]
    Short,
    /// Arrays and maps lie too deep in each other.
    #[error("the data must not be nested more than {max} deep")]
    TooDeep {
        /// The bound, the data itself counting 1.
        max: usize,
    },
    /// The data's JSON text is too long.
    #[error("the data has more than {max} bytes as JSON: emit less at once")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// Something follows the message.
    #[error("the message has more behind it")]
    Trailing,
    /// A text is not UTF-8.
    #[error("the message holds a text that is not UTF-8")]
    Utf8,
    /// A value is not of the kind that stands there in an emitter's message.
    #[error("the message is not laid out as an emitter does: {expected} must be there")]
    Wrong {
        /// What should be there.
        expected: &'static str,
    },
}

/// A value's head: the whole of a small value, the length of a large one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Head {
    Array(usize),
    Bin(usize),
    Bool(bool),
    Ext(i8, usize),
    Float(f64),
    Int(i64),
    Map(usize),
    Nil,
    Str(usize),
    Uint(u64),
}

/// What has been opened and not closed yet.
struct Open {
    map: bool,
    left: usize,
}

/// A place in a message.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether `nil` is next; it is read if so.
    pub(super) fn nil(&mut self) -> Result<bool, UnpackError> {
        self.optional(|head| (head == Head::Nil).then_some(()))
            .map(|nil| nil.is_some())
    }

    /// Whether `true` is next. What is next is read, whatever it is.
    pub(super) fn truth(&mut self) -> Result<bool, UnpackError> {
        let truth = self.optional(|head| (head == Head::Bool(true)).then_some(()))?;
        if truth.is_none() {
            self.skip()?;
        }
        Ok(truth.is_some())
    }

    /// The length of an array. Its elements may not all be there.
    pub(super) fn array(&mut self, expected: &'static str) -> Result<usize, UnpackError> {
        self.optional(|head| {
            let Head::Array(length) = head else {
                return None;
            };
            Some(length)
        })?
        .ok_or(UnpackError::Wrong { expected })
    }

    /// The number of pairs in a map. They may not all be there.
    pub(super) fn map(&mut self, expected: &'static str) -> Result<usize, UnpackError> {
        self.optional(|head| {
            let Head::Map(length) = head else { return None };
            Some(length)
        })?
        .ok_or(UnpackError::Wrong { expected })
    }

    /// A whole number that is not negative.
    pub(super) fn number(&mut self, expected: &'static str) -> Result<u64, UnpackError> {
        self.optional(|head| {
            if let Head::Int(number) = head {
                return u64::try_from(number).ok();
            }
            let Head::Uint(number) = head else {
                return None;
            };
            Some(number)
        })?
        .ok_or(UnpackError::Wrong { expected })
    }

    /// A text.
    pub(super) fn text(&mut self, expected: &'static str) -> Result<&'a str, UnpackError> {
        let length = self.optional(|head| {
            let Head::Str(length) = head else { return None };
            Some(length)
        })?;
        self.utf8(length.ok_or(UnpackError::Wrong { expected })?)
    }

    /// Reads past one value, in a loop.
    pub(super) fn skip(&mut self) -> Result<(), UnpackError> {
        let mut left: usize = 1;
        while let Some(after) = left.checked_sub(1) {
            left = after;
            match self.head()? {
                Head::Array(length) => left = left.saturating_add(length),
                Head::Map(length) => left = left.saturating_add(length.saturating_mul(2)),
                Head::Bin(length) | Head::Str(length) | Head::Ext(_, length) => {
                    self.bytes(length)?;
                }
                Head::Bool(_) | Head::Float(_) | Head::Int(_) | Head::Nil | Head::Uint(_) => {}
            }
        }
        Ok(())
    }

    /// Reads past one value and gives a reader of just that.
    pub(super) fn apart(&mut self) -> Result<Self, UnpackError> {
        let whole = self.rest;
        self.skip()?;
        let length = whole.len().saturating_sub(self.rest.len());
        let bytes = whole.get(..length).ok_or(UnpackError::Short)?;
        Ok(Self { rest: bytes })
    }

    /// Checks that nothing is left.
    pub(super) fn end(&self) -> Result<(), UnpackError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(UnpackError::Trailing)
        }
    }

    /// One value as the JSON text that Node would make of it: what is not finite becomes `null`, a
    /// date its ISO form, and a field that is undefined is left out.
    pub(super) fn json(
        &mut self,
        depth_max: usize,
        bytes_max: usize,
    ) -> Result<String, UnpackError> {
        let mut text = String::new();
        let mut open: Vec<Open> = Vec::new();
        loop {
            let before = text.len();
            let mut field = false;
            if let Some(top) = open.last_mut() {
                let Some(left) = top.left.checked_sub(1) else {
                    text.push(if top.map { '}' } else { ']' });
                    open.pop();
                    if open.is_empty() {
                        return Ok(text);
                    }
                    continue;
                };
                top.left = left;
                // A string ends in a quote, so these are brackets.
                if !text.ends_with(['{', '[']) {
                    text.push(',');
                }
                field = top.map;
                if field {
                    text.push_str(&json::quote(self.text("a field's name")?));
                    text.push(':');
                }
            }
            match self.head()? {
                Head::Array(left) => {
                    text.push('[');
                    open.push(Open { map: false, left });
                }
                Head::Map(left) => {
                    text.push('{');
                    open.push(Open { map: true, left });
                }
                Head::Bin(_) => return Err(UnpackError::Binary),
                Head::Bool(truth) => text.push_str(if truth { "true" } else { "false" }),
                Head::Ext(kind, length) => match self.extension(kind, length)? {
                    Some(date) => text.push_str(&json::quote(&date.to_string())),
                    None if field => text.truncate(before),
                    None => text.push_str("null"),
                },
                Head::Float(number) => match serde_json::Number::from_f64(number) {
                    Some(number) => text.push_str(&number.to_string()),
                    None => text.push_str("null"),
                },
                Head::Int(number) => text.push_str(&number.to_string()),
                Head::Nil => text.push_str("null"),
                Head::Str(length) => text.push_str(&json::quote(self.utf8(length)?)),
                Head::Uint(number) => text.push_str(&number.to_string()),
            }
            if open.len() > depth_max {
                return Err(UnpackError::TooDeep { max: depth_max });
            }
            if text.len() > bytes_max {
                return Err(UnpackError::TooLarge { max: bytes_max });
            }
            if open.is_empty() {
                return Ok(text);
            }
        }
    }

    /// A date, or `None` for what older emitters write for `undefined`.
    fn extension(&mut self, kind: i8, length: usize) -> Result<Option<WallTime>, UnpackError> {
        let bytes = self.bytes(length)?;
        let ms = match (kind, length) {
            (0, 1) => return Ok(None),
            // Milliseconds, as older emitters write them.
            (0, 8) => big_endian(bytes),
            // The dates of MessagePack: seconds; nanoseconds above 34 bits of seconds; both apart.
            (-1, 4) => big_endian(bytes).saturating_mul(1_000),
            (-1, 8) => {
                let both = big_endian(bytes);
                date_ms(both & ((1 << 34) - 1), both >> 34)
            }
            (-1, 12) => {
                let (nanos, seconds) = bytes.split_at_checked(4).ok_or(UnpackError::Short)?;
                date_ms(big_endian(seconds), big_endian(nanos))
            }
            _ => return Err(UnpackError::Extension),
        };
        // One before 1970 is a huge number here.
        if ms > DATE_MS_MAX {
            return Err(UnpackError::Extension);
        }
        Ok(Some(WallTime::from_unix_ms(ms)))
    }

    /// Looks at the next head and reads it if `take` wants it.
    fn optional<T>(
        &mut self,
        take: impl FnOnce(Head) -> Option<T>,
    ) -> Result<Option<T>, UnpackError> {
        let mut ahead = self.clone();
        let taken = take(ahead.head()?);
        if taken.is_some() {
            *self = ahead;
        }
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, UnpackError> {
        let [first] = self.fixed()?;
        Ok(match Marker::from_u8(first) {
            Marker::Array16 => Head::Array(u16::from_be_bytes(self.fixed()?).into()),
            Marker::Array32 => Head::Array(self.length()?),
            Marker::Bin16 => Head::Bin(u16::from_be_bytes(self.fixed()?).into()),
            Marker::Bin32 => Head::Bin(self.length()?),
            Marker::Bin8 => Head::Bin(u8::from_be_bytes(self.fixed()?).into()),
            Marker::Ext16 => {
                let length = u16::from_be_bytes(self.fixed()?);
                Head::Ext(i8::from_be_bytes(self.fixed()?), length.into())
            }
            Marker::Ext32 => {
                let length = self.length()?;
                Head::Ext(i8::from_be_bytes(self.fixed()?), length)
            }
            Marker::Ext8 => {
                let length = u8::from_be_bytes(self.fixed()?);
                Head::Ext(i8::from_be_bytes(self.fixed()?), length.into())
            }
            Marker::F32 => Head::Float(f32::from_be_bytes(self.fixed()?).into()),
            Marker::F64 => Head::Float(f64::from_be_bytes(self.fixed()?)),
            Marker::False => Head::Bool(false),
            Marker::FixArray(length) => Head::Array(length.into()),
            Marker::FixExt1 => Head::Ext(i8::from_be_bytes(self.fixed()?), 1),
            Marker::FixExt16 => Head::Ext(i8::from_be_bytes(self.fixed()?), 16),
            Marker::FixExt2 => Head::Ext(i8::from_be_bytes(self.fixed()?), 2),
            Marker::FixExt4 => Head::Ext(i8::from_be_bytes(self.fixed()?), 4),
            Marker::FixExt8 => Head::Ext(i8::from_be_bytes(self.fixed()?), 8),
            Marker::FixMap(length) => Head::Map(length.into()),
            Marker::FixNeg(number) => Head::Int(number.into()),
            Marker::FixPos(number) => Head::Uint(number.into()),
            Marker::FixStr(length) => Head::Str(length.into()),
            Marker::I16 => Head::Int(i16::from_be_bytes(self.fixed()?).into()),
            Marker::I32 => Head::Int(i32::from_be_bytes(self.fixed()?).into()),
            Marker::I64 => Head::Int(i64::from_be_bytes(self.fixed()?)),
            Marker::I8 => Head::Int(i8::from_be_bytes(self.fixed()?).into()),
            Marker::Map16 => Head::Map(u16::from_be_bytes(self.fixed()?).into()),
            Marker::Map32 => Head::Map(self.length()?),
            Marker::Null => Head::Nil,
            Marker::Reserved => {
                let expected = "a value";
                return Err(UnpackError::Wrong { expected });
            }
            Marker::Str16 => Head::Str(u16::from_be_bytes(self.fixed()?).into()),
            Marker::Str32 => Head::Str(self.length()?),
            Marker::Str8 => Head::Str(u8::from_be_bytes(self.fixed()?).into()),
            Marker::True => Head::Bool(true),
            Marker::U16 => Head::Uint(u16::from_be_bytes(self.fixed()?).into()),
            Marker::U32 => Head::Uint(u32::from_be_bytes(self.fixed()?).into()),
            Marker::U64 => Head::Uint(u64::from_be_bytes(self.fixed()?)),
            Marker::U8 => Head::Uint(u8::from_be_bytes(self.fixed()?).into()),
        })
    }

    fn length(&mut self) -> Result<usize, UnpackError> {
        let length = u32::from_be_bytes(self.fixed()?);
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn utf8(&mut self, length: usize) -> Result<&'a str, UnpackError> {
        std::str::from_utf8(self.bytes(length)?).map_err(|_| UnpackError::Utf8)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], UnpackError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(UnpackError::Short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], UnpackError> {
        let split = self.rest.split_at_checked(length);
        let (bytes, rest) = split.ok_or(UnpackError::Short)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// At most eight bytes as a number.
fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn date_ms(seconds: u64, nanos: u64) -> u64 {
    seconds
        .saturating_mul(1_000)
        .saturating_add(nanos / 1_000_000)
}
