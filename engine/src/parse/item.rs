//! One item of a publish: from its text to what the engine takes.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow::{Break, Continue};

use super::json;
use super::publish_error::FieldFault;
use crate::event::{LogKind, Payload, Publish, Target, Topic};
use crate::ids::{IdError, PublishId, Symbol, UserId};
use crate::limits::ParseLimits;
use crate::time::WallTime;

/// How much of an unknown field's name is repeated to the publisher, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Why an item was refused; where it stands is the caller's to say.
pub(super) enum ItemFault {
    Field(Cow<'static, str>, FieldFault),
    Json(serde_json::Error),
    NotAnObject,
    TooDeep { max: usize },
}

impl From<serde_json::Error> for ItemFault {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

fn at(field: &'static str, fault: FieldFault) -> ItemFault {
    ItemFault::Field(Cow::Borrowed(field), fault)
}

/// Reads the items of one batch.
pub(super) struct ItemReader<'l> {
    limits: &'l ParseLimits,
    /// When the batch came in, as a JSON string.
    timestamp: String,
}

impl<'l> ItemReader<'l> {
    pub(super) fn new(wall: WallTime, limits: &'l ParseLimits) -> Self {
        Self {
            limits,
            timestamp: json::quote(&wall.to_string()),
        }
    }

    /// Reads one item.
    pub(super) fn read(&self, text: &str) -> Result<Publish, ItemFault> {
        if !json::is_object(text) {
            json::check(text)?;
            return Err(ItemFault::NotAnObject);
        }
        let mut envelope = Envelope::default();
        let read = json::for_each_field(text, |key, value| {
            match self.take(&mut envelope, &key, value, 1) {
                Ok(()) => Continue(()),
                Err(fault) => Break(fault),
            }
        })?;
        if let Break(fault) = read {
            return Err(fault);
        }
        self.accept(&envelope)
    }

    /// Takes a field of an item, which lies `levels` deep.
    pub(super) fn take<'a>(
        &self,
        envelope: &mut Envelope<'a>,
        key: &str,
        value: &'a str,
        levels: usize,
    ) -> Result<(), ItemFault> {
        let max = self.limits.depth_max;
        if !json::depth_within(value.as_bytes(), max.saturating_sub(levels)) {
            return Err(ItemFault::TooDeep { max });
        }
        envelope.take(key, value)
    }

    /// Takes an item whose fields are known; that its data is JSON is checked here.
    pub(super) fn accept(&self, envelope: &Envelope<'_>) -> Result<Publish, ItemFault> {
        let target = self.target(envelope)?;
        let id = envelope
            .id
            .filter(|text| *text != "null")
            .map(publish_id)
            .transpose()?;
        let data = envelope.data.ok_or_else(|| missing("data", "an item"))?;
        if !json::is_object(data) {
            return Err(at("data", FieldFault::NotAnObject));
        }
        let payload = self.payload(&target, data)?;
        Ok(Publish {
            id,
            target,
            payload,
        })
    }

    fn target(&self, envelope: &Envelope<'_>) -> Result<Target, ItemFault> {
        let event = envelope.event.ok_or_else(|| missing("event", "an item"))?;
        let event = json::string(event).ok_or_else(|| at("event", FieldFault::NotAString))?;
        Ok(match &*event {
            "market:status" => {
                no_user(envelope, "market:status")?;
                no_symbol(envelope, "market:status")?;
                Target::State(Topic::Market)
            }
            "portfolio:update" => {
                Target::State(Topic::Portfolio(self.user(envelope, "portfolio:update")?))
            }
            "quote:update" => Target::State(Topic::Quote(self.symbol(envelope, "quote:update")?)),
            "trade:executed" => Target::Log {
                kind: LogKind::TradeExecuted,
                user: self.user(envelope, "trade:executed")?,
            },
            "trade:failed" => Target::Log {
                kind: LogKind::TradeFailed,
                user: self.user(envelope, "trade:failed")?,
            },
            _ => return Err(at("event", FieldFault::UnknownEvent)),
        })
    }

    fn user(&self, envelope: &Envelope<'_>, event: &'static str) -> Result<UserId, ItemFault> {
        no_symbol(envelope, event)?;
        let text = envelope.user.ok_or_else(|| missing("userId", event))?;
        let user = if json::is_integer(text) {
            Cow::Borrowed(text)
        } else {
            json::string(text).ok_or_else(|| at("userId", FieldFault::NotAUser))?
        };
        let max = self.limits.user_bytes_max;
        within(&user, max)
            .and_then(UserId::new)
            .map_err(|error| at("userId", FieldFault::User { error, max }))
    }

    fn symbol(&self, envelope: &Envelope<'_>, event: &'static str) -> Result<Symbol, ItemFault> {
        no_user(envelope, event)?;
        let text = envelope.symbol.ok_or_else(|| missing("symbol", event))?;
        let symbol = json::string(text).ok_or_else(|| at("symbol", FieldFault::NotAString))?;
        let max = self.limits.symbol_chars_max;
        within(&symbol, max)
            .and_then(Symbol::new)
            .map_err(|error| at("symbol", FieldFault::Symbol { error, max }))
    }

    /// Checks the data's top level and adds what the contract adds where it is absent.
    ///
    /// A key that is there counts as given whatever its value, `null` too: setting it a second time
    /// would leave an object whose meaning depends on its reader.
    fn payload(&self, target: &Target, data: &str) -> Result<Payload, ItemFault> {
        let (mut has_message, mut has_symbol, mut has_timestamp) = (false, false, false);
        let mut error = None;
        let read = json::for_each_field(data, |key, value| {
            match (target, &*key) {
                (_, "timestamp") => has_timestamp = true,
                (Target::State(Topic::Quote(symbol)), "symbol") => {
                    if json::string(value).as_deref() != Some(symbol.as_str()) {
                        let symbol = symbol.clone();
                        return Break(at("data.symbol", FieldFault::SymbolDiffers { symbol }));
                    }
                    has_symbol = true;
                }
                (Target::Log { .. }, "eventId") => {
                    return Break(at("data.eventId", FieldFault::Reserved));
                }
                (
                    Target::Log {
                        kind: LogKind::TradeFailed,
                        ..
                    },
                    "message",
                ) => has_message = true,
                (
                    Target::Log {
                        kind: LogKind::TradeFailed,
                        ..
                    },
                    "error",
                ) => error = Some(value),
                _ => {}
            }
            Continue(())
        })?;
        if let Break(fault) = read {
            return Err(fault);
        }
        let symbol = match target {
            Target::State(Topic::Quote(symbol)) if !has_symbol => {
                Some(json::quote(symbol.as_str()))
            }
            Target::State(_) | Target::Log { .. } => None,
        };
        // A string is repeated as it is written; anything else becomes a string that shows it.
        let message = error.filter(|_| !has_message).map(|text| {
            if text.starts_with('"') {
                Cow::Borrowed(text)
            } else {
                Cow::Owned(json::quote(text))
            }
        });
        let timestamp = (!has_timestamp).then_some(self.timestamp.as_str());
        let added = [
            ("symbol", symbol.as_deref()),
            ("message", message.as_deref()),
            ("timestamp", timestamp),
        ];
        Ok(match added {
            [(_, None), (_, None), (_, None)] => Payload::new(data),
            // Nearly every item, so without a list.
            [(_, None), (_, None), (name, Some(value))] => {
                Payload::new(&json::splice(data, &[(name, &value)]))
            }
            added => {
                let added = added.iter();
                let added = added.filter_map(|(name, value)| Some((*name, value.as_ref()? as _)));
                Payload::new(&json::splice(data, &added.collect::<Vec<_>>()))
            }
        })
    }
}

/// The values of an item's fields, as JSON text.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    pub(super) data: Option<&'a str>,
    pub(super) event: Option<&'a str>,
    pub(super) id: Option<&'a str>,
    pub(super) symbol: Option<&'a str>,
    pub(super) user: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    fn take(&mut self, key: &str, value: &'a str) -> Result<(), ItemFault> {
        let (name, slot) = match key {
            "data" => ("data", &mut self.data),
            "event" => ("event", &mut self.event),
            "id" => ("id", &mut self.id),
            "symbol" => ("symbol", &mut self.symbol),
            "userId" => ("userId", &mut self.user),
            _ => {
                let name = shorten(key);
                return Err(ItemFault::Field(Cow::Owned(name), FieldFault::UnknownField));
            }
        };
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(at(name, FieldFault::Duplicate)),
        }
    }
}

fn missing(field: &'static str, of: &'static str) -> ItemFault {
    at(field, FieldFault::Missing { of })
}

fn no_symbol(envelope: &Envelope<'_>, event: &'static str) -> Result<(), ItemFault> {
    match envelope.symbol {
        None => Ok(()),
        Some(_) => Err(at("symbol", FieldFault::Foreign { event })),
    }
}

fn no_user(envelope: &Envelope<'_>, event: &'static str) -> Result<(), ItemFault> {
    match envelope.user {
        None => Ok(()),
        Some(_) => Err(at("userId", FieldFault::Foreign { event })),
    }
}

fn publish_id(text: &str) -> Result<PublishId, ItemFault> {
    let id = json::string(text).ok_or_else(|| at("id", FieldFault::NotAString))?;
    PublishId::new(&id).map_err(|error| at("id", FieldFault::Id(error)))
}

/// Holds a text against the bound in force, which lies below the one that its type knows.
pub(super) fn within(text: &str, max: usize) -> Result<&str, IdError> {
    if text.len() > max {
        Err(IdError::TooLong { max })
    } else {
        Ok(text)
    }
}

fn shorten(name: &str) -> String {
    let mut short: String = name.chars().take(NAME_CHARS_MAX).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const STAMP: &str = r#""timestamp":"2025-01-15T12:00:00.000Z""#;

    fn read(text: &str) -> Publish {
        let wall = WallTime::from_unix_ms(1_736_942_400_000);
        let limits = ParseLimits::default();
        ItemReader::new(wall, &limits)
            .read(text)
            .ok()
            .expect("a good item")
    }

    fn payload(text: &str) -> String {
        read(text).payload.text().to_string()
    }

    fn quote(data: &str) -> String {
        format!(r#"{{"event":"quote:update","symbol":"AAPL","data":{data}}}"#)
    }

    fn trade(kind: &str, data: &str) -> String {
        format!(r#"{{"event":"trade:{kind}","userId":"u","data":{data}}}"#)
    }

    #[test]
    fn every_event_finds_its_target() {
        let user = |text| UserId::new(text).unwrap();
        for (text, target) in [
            (
                r#"{"event":"portfolio:update","userId":"u1","data":{}}"#,
                Target::State(Topic::Portfolio(user("u1"))),
            ),
            (
                r#"{"event":"trade:executed","userId":12345678901234567890,"data":{}}"#,
                Target::Log {
                    kind: LogKind::TradeExecuted,
                    user: user("12345678901234567890"),
                },
            ),
            (
                r#"{"data":{},"userId":"\u0075","event":"trade:failed"}"#,
                Target::Log {
                    kind: LogKind::TradeFailed,
                    user: user("u"),
                },
            ),
            (
                r#"{"event":"quote:update","symbol":"BRK.B","data":{}}"#,
                Target::State(Topic::Quote(Symbol::new("BRK.B").unwrap())),
            ),
            (
                r#"{"event":"market\u003astatus","data":{}}"#,
                Target::State(Topic::Market),
            ),
        ] {
            assert_eq!(read(text).target, target);
        }
    }

    #[test]
    fn an_id_is_taken_and_null_is_none() {
        let id = |id: &str| {
            read(&format!(
                r#"{{"event":"market:status","data":{{}},"id":{id}}}"#
            ))
            .id
        };
        assert_eq!(id(r#""key-1""#).unwrap().as_str(), "key-1");
        assert_eq!(id("null"), None);
    }

    #[test]
    fn data_arrives_digit_for_digit() {
        let data = concat!(
            r#"{ "a":0.1000000000000000055,"b":12345678901234567890,"c":[1e400, -0.0],"#,
            r#""__proto__":{"x":1},"d":"\u00e9\ud800","timestamp":null,"a":1}"#
        );
        let body = format!(r#"{{"event":"market:status","data":  {data}  }}"#);
        assert_eq!(payload(&body), data);
    }

    #[test]
    fn what_is_absent_is_added_and_what_is_there_stays() {
        assert_eq!(
            payload(&quote("{}")),
            format!(r#"{{"symbol":"AAPL",{STAMP}}}"#)
        );
        let given = r#"{"symbol":"\u0041APL","timestamp":7}"#;
        assert_eq!(payload(&quote(given)), given);
        assert_eq!(
            payload(&trade("executed", r#"{"error":1}"#)),
            format!(r#"{{"error":1,{STAMP}}}"#)
        );
        for (data, added) in [
            (
                r#"{"error":"no \"funds\"\u0021"}"#,
                r#""message":"no \"funds\"\u0021","#,
            ),
            (
                r#"{"error":{"code":[1, "x"]}}"#,
                r#""message":"{\"code\":[1, \"x\"]}","#,
            ),
            (r#"{"error":null}"#, r#""message":"null","#),
            (r#"{"error":"e","message":null}"#, ""),
            (r#"{"message":"m"}"#, ""),
        ] {
            let open = data.strip_suffix('}').unwrap();
            assert_eq!(
                payload(&trade("failed", data)),
                format!("{open},{added}{STAMP}}}")
            );
        }
    }
}
