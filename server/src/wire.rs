//! Event names and JSON shapes: how messages and answers look on the wire.
//!
//! Payloads pass through as text, so every number reaches the client digit for digit.

use serde_json::{Value as Json, json};
use tradewire_engine::effect::{Control, Message};
use tradewire_engine::parse::json::splice_into;
use tradewire_engine::reason::ClientError;

/// The text of an EVENT's array that delivers `message`.
pub(crate) fn message(message: &Message) -> String {
    match message {
        Message::State { topic, payload } => event(topic.event(), payload.text()),
        Message::Log { id, kind, payload } => {
            let payload = payload.text();
            let mut text = String::with_capacity(payload.len() + LOG_EVENT_ADDS);
            begin(&mut text, kind.event());
            // An id needs no escapes.
            let id = format_args!("\"{id}\"");
            splice_into(&mut text, payload, &[("eventId", &id)]);
            text.push(']');
            text
        }
    }
}

/// About what a log event's name and id add to its payload, in bytes.
const LOG_EVENT_ADDS: usize = 100;

fn event(name: &str, data: &str) -> String {
    let mut text = String::with_capacity(name.len() + data.len() + 5);
    begin(&mut text, name);
    text.push_str(data);
    text.push(']');
    text
}

fn begin(text: &mut String, name: &str) {
    // Event names are ours and need no escapes.
    text.push_str("[\"");
    text.push_str(name);
    text.push_str("\",");
}

/// The text of an EVENT's array that carries `control`.
pub(crate) fn control(control: &Control) -> String {
    let name = match control {
        Control::Error(_) => "error",
        Control::Resumed { .. } => "resume",
        Control::Shutdown { .. } => "server:shutdown",
        Control::Subscribed { .. } => "subscription:confirmed",
        Control::Unsubscribed { .. } => "unsubscription:confirmed",
    };
    event(name, &Json::from_iter(fields(control)).to_string())
}

/// The text of an ACK's array that answers with `control`.
pub(crate) fn acknowledgement(control: &Control) -> String {
    let mut answer = serde_json::Map::new();
    if let Control::Error(error) = control {
        answer.insert("ok".into(), json!(false));
        let mut fields = error_fields(*error);
        // The caller knows which event it waits for.
        fields.retain(|(name, _)| *name != "event");
        answer.insert("error".into(), Json::from_iter(fields));
    } else {
        answer.insert("ok".into(), json!(true));
        answer.extend(
            fields(control)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
    }
    Json::Array(vec![answer.into()]).to_string()
}

fn fields(control: &Control) -> Vec<(&'static str, Json)> {
    let list = |symbols: &[tradewire_engine::ids::Symbol]| {
        Json::from_iter(symbols.iter().map(|symbol| symbol.as_str()))
    };
    match control {
        Control::Error(error) => error_fields(*error),
        Control::Resumed {
            recovered,
            replayed,
            last,
        } => vec![
            ("recovered", json!(recovered)),
            ("replayed", json!(replayed)),
            ("lastEventId", json!(last.map(|id| id.to_string()))),
        ],
        Control::Shutdown {
            wall,
            reconnect_in_ms,
        } => vec![
            ("message", json!("Server is shutting down")),
            ("timestamp", json!(wall.to_string())),
            ("reconnectInMs", json!(reconnect_in_ms)),
        ],
        Control::Subscribed { call, symbols } if symbols.is_empty() => {
            vec![("type", json!(call.kind()))]
        }
        Control::Subscribed { call, symbols } => {
            vec![("type", json!(call.kind())), ("symbols", list(symbols))]
        }
        Control::Unsubscribed { symbols } => {
            vec![("type", json!("watchlist")), ("symbols", list(symbols))]
        }
    }
}

fn error_fields(error: ClientError) -> Vec<(&'static str, Json)> {
    let mut fields = vec![("message", json!(error.message()))];
    if let ClientError::RateLimited {
        call,
        retry_after_ms,
    } = error
    {
        fields.push(("retryAfterMs", json!(retry_after_ms)));
        fields.push(("event", json!(call.event())));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use tradewire_engine::event::{LogKind, Payload, Topic};
    use tradewire_engine::ids::{Epoch, EventId, Symbol};
    use tradewire_engine::reason::Call;
    use tradewire_engine::time::WallTime;

    #[test]
    fn a_payload_passes_through_digit_for_digit() {
        let payload = Payload::new(r#"{"price":0.1000000000000000055,"n":12345678901234567890}"#);
        let topic = Topic::Quote(Symbol::new("AAPL").unwrap());
        assert_eq!(
            message(&Message::State { topic, payload }),
            r#"["quote:update",{"price":0.1000000000000000055,"n":12345678901234567890}]"#
        );
    }

    #[test]
    fn a_log_event_carries_its_id() {
        let id = EventId {
            epoch: Epoch::new(1),
            ms: 2,
            seq: 3,
        };
        let payload = Payload::new(r#"{"id":"t"}"#);
        assert_eq!(
            message(&Message::Log {
                id,
                kind: LogKind::TradeFailed,
                payload
            }),
            r#"["trade:failed",{"id":"t","eventId":"0000000000000001-2-3"}]"#
        );
    }

    #[test]
    fn answers_have_the_contracts_shapes() {
        let symbols = vec![Symbol::new("AAPL").unwrap()];
        let limited = Control::Error(ClientError::RateLimited {
            call: Call::Trades,
            retry_after_ms: 9,
        });
        for (given, as_event, as_ack) in [
            (
                Control::Subscribed {
                    call: Call::Portfolio,
                    symbols: vec![],
                },
                r#"["subscription:confirmed",{"type":"portfolio"}]"#,
                r#"[{"ok":true,"type":"portfolio"}]"#,
            ),
            (
                Control::Subscribed {
                    call: Call::Watchlist,
                    symbols: symbols.clone(),
                },
                r#"["subscription:confirmed",{"symbols":["AAPL"],"type":"watchlist"}]"#,
                r#"[{"ok":true,"symbols":["AAPL"],"type":"watchlist"}]"#,
            ),
            (
                Control::Unsubscribed { symbols },
                r#"["unsubscription:confirmed",{"symbols":["AAPL"],"type":"watchlist"}]"#,
                r#"[{"ok":true,"symbols":["AAPL"],"type":"watchlist"}]"#,
            ),
            (
                limited,
                r#"["error",{"event":"subscribe:trades","message":"Rate limit exceeded for trade subscription","retryAfterMs":9}]"#,
                r#"[{"error":{"message":"Rate limit exceeded for trade subscription","retryAfterMs":9},"ok":false}]"#,
            ),
            (
                Control::Error(ClientError::InvalidSymbols),
                r#"["error",{"message":"Invalid symbols array"}]"#,
                r#"[{"error":{"message":"Invalid symbols array"},"ok":false}]"#,
            ),
            (
                Control::Shutdown {
                    wall: WallTime::from_unix_ms(0),
                    reconnect_in_ms: 40,
                },
                r#"["server:shutdown",{"message":"Server is shutting down","reconnectInMs":40,"timestamp":"1970-01-01T00:00:00.000Z"}]"#,
                r#"[{"message":"Server is shutting down","ok":true,"reconnectInMs":40,"timestamp":"1970-01-01T00:00:00.000Z"}]"#,
            ),
            (
                Control::Resumed {
                    recovered: false,
                    replayed: 0,
                    last: None,
                },
                r#"["resume",{"lastEventId":null,"recovered":false,"replayed":0}]"#,
                r#"[{"lastEventId":null,"ok":true,"recovered":false,"replayed":0}]"#,
            ),
        ] {
            assert_eq!(control(&given), as_event);
            assert_eq!(acknowledgement(&given), as_ack);
        }
    }
}
