//! Reading and extending JSON as text, without building a tree.
//!
//! Only the top level of a value is looked at; what lies below is checked for syntax, in a loop
//! rather than by recursion, and handed over as the text that it was. Two things that JSON.parse
//! takes and a tree of Rust values could not hold therefore pass: numbers of any size (`1e400`) and
//! escapes of lone surrogates (`"\ud800"`).

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt::{self, Write as _};
use core::marker::PhantomData;
use core::ops::ControlFlow;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What JSON counts as white space, unlike `char::is_whitespace`.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// `text` without the white space around it.
#[must_use]
pub fn trim(text: &str) -> &str {
    text.trim_matches(SPACE)
}

/// Whether arrays and objects are nested at most `max` deep, the outermost counting 1.
///
/// The text need not be valid JSON. Counting what opens is enough for nearly every text, and a fraction of
/// the work of telling what stands inside a string.
#[must_use]
pub fn depth_within(text: &[u8], max: usize) -> bool {
    if opening(text) <= max {
        return true;
    }
    let mut depth: usize = 0;
    let mut in_string = false;
    let mut escaped = false;
    for &byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                if depth > max {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// How many brackets and braces open in `text`, inside strings or not.
fn opening(text: &[u8]) -> usize {
    // As many as one byte counts, so that the compiler counts in many at a time.
    let parts = text.chunks(usize::from(u8::MAX));
    let part = |part: &[u8]| {
        let opens = part
            .iter()
            .map(|byte| u8::from(matches!(byte, b'[' | b'{')));
        usize::from(opens.sum::<u8>())
    };
    parts.map(part).sum()
}

/// Checks that `text` is one JSON value.
///
/// # Errors
/// Says what was expected where.
pub fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<&RawValue>(text).map(|_| ())
}

/// Whether `text`, which is valid JSON, is an object.
#[must_use]
pub fn is_object(text: &str) -> bool {
    trim(text).starts_with('{')
}

/// Whether `text`, which is valid JSON, is a number.
#[must_use]
pub fn is_number(text: &str) -> bool {
    trim(text).starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// Whether `text`, which is valid JSON, is a number without fraction and exponent.
#[must_use]
pub fn is_integer(text: &str) -> bool {
    is_number(text) && !text.contains(['.', 'e', 'E'])
}

/// What a JSON string says; `None` if `text` is not a string, or says what no Rust string can hold
/// (a lone surrogate).
#[must_use]
pub fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = trim(text).strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// `text` as a JSON string, quotes included.
#[must_use]
pub fn quote(text: &str) -> String {
    // Writing a string into memory has no way to fail.
    serde_json::to_string(text).unwrap_or_else(|_| String::from("\"\""))
}

/// Calls `each` with every key and the text of its value, in the order of the object `text`.
///
/// Keys come with their escapes resolved, except one that holds a lone surrogate, which comes as it
/// is written and equals no name. A key given twice comes twice. `each` may have been called before
/// the text turns out to be malformed.
///
/// # Errors
/// `text` is not one JSON object.
pub fn for_each_field<'a, B>(
    text: &'a str,
    mut each: impl FnMut(Cow<'a, str>, &'a str) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, serde_json::Error> {
    read(text, |input, stopped| {
        input.deserialize_map(Fields {
            each: &mut each,
            stopped,
            lifetime: PhantomData,
        })
    })
}

/// Calls `each` with the text of every element of the array `text`, in order.
///
/// `each` may have been called before the text turns out to be malformed.
///
/// # Errors
/// `text` is not one JSON array.
pub fn for_each_element<'a, B>(
    text: &'a str,
    mut each: impl FnMut(&'a str) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, serde_json::Error> {
    read(text, |input, stopped| {
        input.deserialize_seq(Elements {
            each: &mut each,
            stopped,
            lifetime: PhantomData,
        })
    })
}

/// Takes the objects of an array as they are read.
pub trait TakeObjects<'a> {
    /// What it breaks with.
    type Break;

    /// Another object begins, or what should be one.
    fn begin(&mut self) -> ControlFlow<Self::Break>;

    /// A field of it, as [`for_each_field`] gives it.
    fn field(&mut self, key: Cow<'a, str>, value: &'a str) -> ControlFlow<Self::Break>;

    /// The object is whole.
    fn end(&mut self) -> ControlFlow<Self::Break>;
}

/// Reads the array `text` of objects in one pass. What comes after a break is not looked at.
///
/// # Errors
/// `text` is not one JSON array of objects. Where only an object is missing, its
/// [`category`](serde_json::Error::classify) is `Data`.
pub fn take_objects<'a, T: TakeObjects<'a>>(
    text: &'a str,
    taker: &mut T,
) -> Result<ControlFlow<T::Break>, serde_json::Error> {
    read(text, |input, stopped| {
        input.deserialize_seq(Objects {
            taker,
            stopped,
            lifetime: PhantomData,
        })
    })
}

type Input<'a> = serde_json::Deserializer<serde_json::de::StrRead<'a>>;

/// Runs a visitor over the whole of `text`; a visitor that breaks ends with an error of its own, which
/// is not one of the text.
fn read<'a, B>(
    text: &'a str,
    visit: impl FnOnce(&mut Input<'a>, &mut Option<B>) -> Result<(), serde_json::Error>,
) -> Result<ControlFlow<B>, serde_json::Error> {
    let mut input = serde_json::Deserializer::from_str(text);
    let mut stopped = None;
    let result = visit(&mut input, &mut stopped);
    if let Some(value) = stopped {
        return Ok(ControlFlow::Break(value));
    }
    result?;
    input.end()?;
    Ok(ControlFlow::Continue(()))
}

struct Fields<'v, 'a, F, B> {
    each: &'v mut F,
    stopped: &'v mut Option<B>,
    lifetime: PhantomData<&'a str>,
}

impl<'a, F, B> Visitor<'a> for Fields<'_, 'a, F, B>
where
    F: FnMut(Cow<'a, str>, &'a str) -> ControlFlow<B>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<&'a RawValue, &'a RawValue>()? {
            let key = string(key.get()).unwrap_or(Cow::Borrowed(key.get()));
            if let ControlFlow::Break(value) = (self.each)(key, value.get()) {
                *self.stopped = Some(value);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

struct Elements<'v, 'a, F, B> {
    each: &'v mut F,
    stopped: &'v mut Option<B>,
    lifetime: PhantomData<&'a str>,
}

impl<'a, F, B> Visitor<'a> for Elements<'_, 'a, F, B>
where
    F: FnMut(&'a str) -> ControlFlow<B>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(value) = elements.next_element::<&'a RawValue>()? {
            if let ControlFlow::Break(value) = (self.each)(value.get()) {
                *self.stopped = Some(value);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

struct Objects<'v, 'a, T: TakeObjects<'a>> {
    taker: &'v mut T,
    stopped: &'v mut Option<T::Break>,
    lifetime: PhantomData<&'a str>,
}

impl<'a, T: TakeObjects<'a>> Visitor<'a> for Objects<'_, 'a, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self {
            taker,
            stopped,
            lifetime,
        } = self;
        loop {
            let seed = Objects {
                taker: &mut *taker,
                stopped: &mut *stopped,
                lifetime,
            };
            if elements.next_element_seed(seed)?.is_none() {
                return Ok(());
            }
        }
    }
}

/// One element.
impl<'a, T: TakeObjects<'a>> DeserializeSeed<'a> for Objects<'_, 'a, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self {
            taker,
            stopped,
            lifetime,
        } = self;
        if let ControlFlow::Break(value) = taker.begin() {
            *stopped = Some(value);
            return Err(D::Error::custom("stopped"));
        }
        deserializer.deserialize_map(Fields {
            each: &mut |key, value| taker.field(key, value),
            stopped,
            lifetime,
        })?;
        if let ControlFlow::Break(value) = taker.end() {
            *stopped = Some(value);
            return Err(D::Error::custom("stopped"));
        }
        Ok(())
    }
}

/// Adds fields at the end of the JSON object `object`, whose text stays as it is.
///
/// A field is a name of plain ASCII letters and the JSON text of its value; the caller knows that the
/// object does not have it yet. What is not an object comes back unchanged.
#[must_use]
pub fn splice(object: &str, fields: &[(&str, &dyn fmt::Display)]) -> String {
    let mut text = String::with_capacity(object.len() + SPLICE_ROOM);
    splice_into(&mut text, object, fields);
    text
}

/// Room for what is mostly added: a field or two, in bytes.
const SPLICE_ROOM: usize = 64;

/// As [`splice`], at the end of `text`.
pub fn splice_into(text: &mut String, object: &str, fields: &[(&str, &dyn fmt::Display)]) {
    let object = trim(object);
    let inner = object
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let Some(inner) = inner else {
        text.push_str(object);
        return;
    };
    text.push('{');
    text.push_str(inner);
    let mut first = trim(inner).is_empty();
    for (name, value) in fields {
        text.push_str(if first { "\"" } else { ",\"" });
        text.push_str(name);
        // Writing into memory has no way to fail.
        let _ = write!(text, "\":{value}");
        first = false;
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn fields(text: &str) -> Option<Vec<(String, String)>> {
        let mut seen = Vec::new();
        let read = for_each_field(text, |key, value| {
            seen.push((key.to_string(), value.to_string()));
            ControlFlow::<()>::Continue(())
        });
        read.is_ok().then_some(seen)
    }

    #[test]
    fn nesting_is_counted_from_one_and_not_inside_strings() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(depth_within(nested(64).as_bytes(), 64));
        assert!(!depth_within(nested(65).as_bytes(), 64));
        assert!(depth_within(br#"{"a[[[[":"{{{\"{{{\\"}"#, 1));
        assert!(!depth_within(br#"["\\",[]]"#, 1));
        assert!(depth_within(b"]]]}[]", 1));
        assert!(depth_within(b"7", 0));
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        let text = r#" { "a" : 0.1000000000000000055 , "__proto__":{"x":[1e400 ,-0.0]},"\u0061":"\ud800" } "#;
        let seen = fields(text).unwrap();
        let seen: Vec<_> = seen.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("a", "0.1000000000000000055"),
                ("__proto__", r#"{"x":[1e400 ,-0.0]}"#),
                ("a", r#""\ud800""#),
            ]
        );
    }

    #[test]
    fn a_key_with_a_lone_surrogate_is_passed_as_written() {
        let seen = fields(r#"{"\ud800":1}"#).unwrap();
        assert_eq!(seen, [(r#""\ud800""#.to_string(), "1".to_string())]);
    }

    #[test]
    fn what_is_not_an_object_or_has_more_behind_it_is_an_error() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{}{}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "{\"a\":01}",
        ] {
            assert_eq!(fields(text), None, "{text}");
        }
    }

    #[test]
    fn reading_stops_where_it_is_told_to() {
        let stop = |text: &str| ControlFlow::Break(text.to_string());
        let stopped = for_each_element("[1,2,oops", stop);
        assert_eq!(stopped.ok(), Some(ControlFlow::Break("1".to_string())));
    }

    #[test]
    fn deep_nesting_is_read_in_a_loop() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        let mut count = 0;
        let done = for_each_element(&deep, |_| {
            count += 1;
            ControlFlow::<()>::Continue(())
        });
        assert!(done.is_ok());
        assert_eq!(count, 1);
    }

    #[test]
    fn fields_are_added_to_any_object() {
        let add: [(_, &dyn fmt::Display); 2] = [("timestamp", &"\"t\""), ("n", &1)];
        assert_eq!(splice("{}", &add), r#"{"timestamp":"t","n":1}"#);
        assert_eq!(splice(" { \n} ", &add), "{ \n\"timestamp\":\"t\",\"n\":1}");
        assert_eq!(
            splice(r#"{"a":1e400 }"#, &add),
            r#"{"a":1e400 ,"timestamp":"t","n":1}"#
        );
        assert_eq!(splice(r#"{"a":1}"#, &[]), r#"{"a":1}"#);
        assert_eq!(splice("{", &add), "{");
    }

    #[test]
    fn strings_say_what_json_says() {
        assert_eq!(string(r#""a\u0041\n""#).as_deref(), Some("aA\n"));
        assert_eq!(string(r#""plain""#).as_deref(), Some("plain"));
        for text in ["\"", "1", "null", r#""\ud800""#, "\"\\\"", ""] {
            assert_eq!(string(text), None, "{text}");
        }
        assert_eq!(quote("a\"\\\n\u{1}ä"), "\"a\\\"\\\\\\n\\u0001ä\"");
    }
}
