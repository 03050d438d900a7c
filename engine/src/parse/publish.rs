//! A publish request's body: from bytes to items, all of them or none.
//!
//! Every item is checked before any is handed on, so that a publisher who is told of a mistake can
//! repair it and send the whole batch again.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow::{self, Break, Continue};
use core::str::Utf8Error;

use serde_json::error::Category;

use super::item::{Envelope, ItemFault, ItemReader};
use super::json::{self, TakeObjects};
use super::publish_error::{Place, PublishError};
use crate::event::Publish;
use crate::limits::ParseLimits;
use crate::time::WallTime;

/// How a body holds its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// One object, or an array of them.
    Json,
    /// One object a line; blank lines are skipped, and lines may end in CRLF.
    NdJson,
}

/// Reads the body of a publish.
///
/// An item is `{"event", "userId" | "symbol", "id"?, "data": {…}}`. Its data comes out as it was
/// written, with these added at its end where it has no such key: `timestamp` (`wall`), `symbol` in
/// quotes, and in `trade:failed` beside an `error` a `message` that says the same.
///
/// # Errors
/// Names the first thing that is wrong; then nothing is accepted.
pub fn publish(
    body: &[u8],
    format: BodyFormat,
    wall: WallTime,
    limits: &ParseLimits,
) -> Result<Vec<Publish>, PublishError> {
    let text = core::str::from_utf8(body).map_err(|error| not_utf8(body, error))?;
    let reader = ItemReader::new(wall, limits);
    let items = match format {
        BodyFormat::Json => json_body(text, &reader, limits)?,
        BodyFormat::NdJson => lines(text, &reader, limits)?,
    };
    if items.is_empty() {
        Err(PublishError::Empty)
    } else {
        Ok(items)
    }
}

fn json_body(
    text: &str,
    reader: &ItemReader<'_>,
    limits: &ParseLimits,
) -> Result<Vec<Publish>, PublishError> {
    let whole = json::trim(text);
    if whole.is_empty() {
        return Ok(Vec::new());
    }
    let mut batch = Batch {
        reader,
        limits,
        items: Vec::new(),
        envelope: Envelope::default(),
    };
    if !whole.starts_with('[') {
        let item = reader.read(text);
        let place = batch.place();
        return match item {
            Ok(item) => Ok(Vec::from([item])),
            Err(fault) => Err(refuse(fault, place)),
        };
    }
    match json::take_objects(text, &mut batch) {
        Ok(Continue(())) => Ok(batch.items),
        Ok(Break(error)) => Err(error),
        Err(error) if error.classify() == Category::Data => {
            // The element that was begun.
            Err(PublishError::NotAnObject {
                place: batch.place(),
            })
        }
        Err(error) => Err(malformed(&error, None)),
    }
}

/// The items of an array.
struct Batch<'r, 'a> {
    reader: &'r ItemReader<'r>,
    limits: &'r ParseLimits,
    items: Vec<Publish>,
    /// Of the item that is being read.
    envelope: Envelope<'a>,
}

impl Batch<'_, '_> {
    fn place(&self) -> Place {
        Place {
            item: self.items.len(),
            line: None,
        }
    }
}

impl<'a> TakeObjects<'a> for Batch<'_, 'a> {
    type Break = PublishError;

    fn begin(&mut self) -> ControlFlow<PublishError> {
        self.envelope = Envelope::default();
        let max = self.limits.items_max;
        if self.items.len() >= max {
            return Break(PublishError::TooMany { max });
        }
        Continue(())
    }

    fn field(&mut self, key: Cow<'a, str>, value: &'a str) -> ControlFlow<PublishError> {
        // The array is the first level, the item the second.
        match self.reader.take(&mut self.envelope, &key, value, 2) {
            Ok(()) => Continue(()),
            Err(fault) => Break(refuse(fault, self.place())),
        }
    }

    fn end(&mut self) -> ControlFlow<PublishError> {
        match self.reader.accept(&self.envelope) {
            Ok(item) => {
                self.items.push(item);
                Continue(())
            }
            Err(fault) => Break(refuse(fault, self.place())),
        }
    }
}

fn lines(
    text: &str,
    reader: &ItemReader<'_>,
    limits: &ParseLimits,
) -> Result<Vec<Publish>, PublishError> {
    let mut items = Vec::new();
    for (number, line) in (1..).zip(text.split('\n')) {
        if json::trim(line).is_empty() {
            continue;
        }
        let place = Place {
            item: items.len(),
            line: Some(number),
        };
        if place.item >= limits.items_max {
            return Err(PublishError::TooMany {
                max: limits.items_max,
            });
        }
        let item = reader.read(line);
        items.push(item.map_err(|fault| refuse(fault, place))?);
    }
    Ok(items)
}

fn refuse(fault: ItemFault, place: Place) -> PublishError {
    match fault {
        ItemFault::Field(field, fault) => PublishError::Field {
            place,
            field,
            fault,
        },
        // Without lines of its own an item is the whole body, and the position says enough.
        ItemFault::Json(error) => malformed(&error, place.line.map(|_| place)),
        ItemFault::NotAnObject => PublishError::NotAnObject { place },
        ItemFault::TooDeep { max } => PublishError::TooDeep {
            place: place.line.map(|_| place),
            max,
        },
    }
}

fn malformed(error: &serde_json::Error, place: Option<Place>) -> PublishError {
    let text = error.to_string();
    // The reader's text ends with a position that counts within one line of NDJSON; ours replaces it.
    let reason = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(reason, _)| reason);
    PublishError::Json {
        place,
        line: place.and_then(|place| place.line).unwrap_or(error.line()),
        column: error.column(),
        reason: String::from(reason),
    }
}

fn not_utf8(body: &[u8], error: Utf8Error) -> PublishError {
    let (mut line, mut column) = (1_usize, 1_usize);
    for byte in body.iter().take(error.valid_up_to()) {
        if *byte == b'\n' {
            (line, column) = (line.saturating_add(1), 1);
        } else {
            column = column.saturating_add(1);
        }
    }
    PublishError::Utf8 { line, column }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    const AT: WallTime = WallTime::from_unix_ms(1_736_942_400_000);

    fn json(body: &str) -> Result<Vec<Publish>, PublishError> {
        publish(
            body.as_bytes(),
            BodyFormat::Json,
            AT,
            &ParseLimits::default(),
        )
    }

    fn ndjson(body: &str) -> Result<Vec<Publish>, PublishError> {
        publish(
            body.as_bytes(),
            BodyFormat::NdJson,
            AT,
            &ParseLimits::default(),
        )
    }

    fn quote(data: &str) -> String {
        format!(r#"{{"event":"quote:update","symbol":"AAPL","data":{data}}}"#)
    }

    #[test]
    fn one_bad_item_refuses_the_batch_and_is_named() {
        let good = quote("{}");
        let error = json(&format!("[{good},{good},{}]", quote("1"))).unwrap_err();
        assert_eq!(error.to_string(), "item 2: data must be an object");
        assert_eq!(
            (error.item(), error.field(), error.line()),
            (Some(2), Some("data"), None)
        );
        let error = json(&format!("[{good},[]]")).unwrap_err();
        assert_eq!(
            error,
            PublishError::NotAnObject {
                place: Place {
                    item: 1,
                    line: None
                }
            }
        );
        for other in ["1", "-0.5e3", "\"x\"", "null", "true", "[{}]"] {
            let error = json(&format!("[{good},{other},oops")).unwrap_err();
            let place = Place {
                item: 1,
                line: None,
            };
            assert_eq!(error, PublishError::NotAnObject { place }, "{other}");
        }
        let error = ndjson(&format!("\r\n{good}\r\n \n{}\n", quote("1"))).unwrap_err();
        assert_eq!(error.to_string(), "item 1 (line 4): data must be an object");
        assert_eq!((error.item(), error.line()), (Some(1), Some(4)));
        let error = ndjson(&format!("{good}\n[{good}]")).unwrap_err();
        assert_eq!(
            error,
            PublishError::NotAnObject {
                place: Place {
                    item: 1,
                    line: Some(2)
                }
            }
        );
    }

    #[test]
    fn lines_may_be_blank_or_end_in_crlf_or_not_end() {
        let good = quote("{}");
        let items = ndjson(&format!("\n{good}\r\n\t\r\n\n {good} \n{good}")).unwrap();
        assert_eq!(items, vec![json(&good).unwrap().pop().unwrap(); 3]);
    }

    #[test]
    fn an_empty_batch_is_refused() {
        for body in ["", " \r\n", "[]", " [ ] "] {
            assert_eq!(json(body), Err(PublishError::Empty), "{body:?}");
        }
        for body in ["", "\n", "\r\n \t\r\n"] {
            assert_eq!(ndjson(body), Err(PublishError::Empty), "{body:?}");
        }
    }

    #[test]
    fn a_batch_ends_at_its_limit_and_the_rest_is_not_parsed() {
        let good = quote("{}");
        let items = |n: usize| vec![good.as_str(); n];
        assert_eq!(
            json(&format!("[{}]", items(1000).join(","))).map(|i| i.len()),
            Ok(1000)
        );
        assert_eq!(ndjson(&items(1000).join("\n")).map(|i| i.len()), Ok(1000));
        let over = Err(PublishError::TooMany { max: 1000 });
        assert_eq!(json(&format!("[{},1,oops", items(1000).join(","))), over);
        assert_eq!(ndjson(&format!("{}\noops", items(1000).join("\n"))), over);
    }

    #[test]
    fn nesting_ends_at_its_limit() {
        // The item is the first level, its data the second.
        let data = |n: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(n - 2), "]".repeat(n - 2));
        assert!(json(&quote(&data(64))).is_ok());
        assert_eq!(
            json(&quote(&data(65))),
            Err(PublishError::TooDeep {
                place: None,
                max: 64
            })
        );
        // In an array the item is the second level.
        assert!(json(&format!("[{}]", quote(&data(63)))).is_ok());
        let deep = json(&format!("[{},{}]", quote("{}"), quote(&data(64))));
        let error = PublishError::TooDeep {
            place: None,
            max: 64,
        };
        assert_eq!(deep, Err(error));
        let error = ndjson(&format!("\n{}", quote(&data(65)))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "item 0 (line 2): JSON must not be nested more than 64 deep"
        );
        assert!(json(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn what_is_not_json_is_told_where() {
        for (body, told) in [
            ("oops", "invalid JSON at line 1 column 1: expected value"),
            (
                "\n {\"event\":}",
                "invalid JSON at line 2 column 11: expected value",
            ),
            ("[{},\n{}", "item 0: event is missing: an item needs it"),
            (
                "{}{}",
                "invalid JSON at line 1 column 3: trailing characters",
            ),
            ("[\n01]", "invalid JSON at line 2 column 2: invalid number"),
            (
                " 1e400",
                "item 0 must be an object like {\"event\":…,\"data\":{…}}",
            ),
        ] {
            assert_eq!(json(body).unwrap_err().to_string(), told, "{body:?}");
        }
        let error = ndjson(&format!("{}\n\n{{\"event\":}}", quote("{}"))).unwrap_err();
        let told = "item 1 (line 3): invalid JSON at line 3 column 10: expected value";
        assert_eq!(error.to_string(), told);
        let limits = ParseLimits::default();
        let error = publish(b"{\n\"\xff", BodyFormat::Json, AT, &limits).unwrap_err();
        assert_eq!(error, PublishError::Utf8 { line: 2, column: 2 });
    }
}
