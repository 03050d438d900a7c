//! Socket.IO packets of the default namespace, as text inside Engine.IO messages.
//!
//! Only what a JSON server and a stock client exchange: no attachments, no other namespaces. Reading is
//! by the protocol's rules, never by what our server is known to send.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// What a server may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// `CONNECT`, with the socket id.
    Connect(String),
    /// `DISCONNECT`.
    Disconnect,
    /// `EVENT`: name and first argument.
    Event { name: String, payload: String },
    /// `ACK`: id and first argument.
    Ack { id: u64, answer: String },
    /// `CONNECT_ERROR`, with its message.
    ConnectError(String),
}

/// What the text is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Socket.IO packet of the default namespace")]
pub(crate) struct NotAPacket;

#[derive(serde::Deserialize)]
struct ConnectData<'a> {
    #[serde(borrow)]
    sid: Cow<'a, str>,
}

#[derive(serde::Deserialize)]
struct ErrorData<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

impl Packet {
    /// Reads what follows the Engine.IO message type.
    pub(crate) fn read(text: &str) -> Result<Self, NotAPacket> {
        let mut chars = text.chars();
        let kind = chars.next().ok_or(NotAPacket)?;
        let rest = chars.as_str();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (id, data) = rest.split_at_checked(digits).ok_or(NotAPacket)?;
        match kind {
            '0' => {
                let data: ConnectData<'_> = json(data)?;
                Ok(Self::Connect(data.sid.into_owned()))
            }
            '1' => Ok(Self::Disconnect),
            '2' => {
                let arguments: Vec<&RawValue> = json(data)?;
                let mut arguments = arguments.into_iter();
                let name = arguments.next().ok_or(NotAPacket)?;
                Ok(Self::Event {
                    name: json(name.get())?,
                    payload: first(arguments),
                })
            }
            '3' => {
                let arguments: Vec<&RawValue> = json(data)?;
                Ok(Self::Ack {
                    id: id.parse().map_err(|_| NotAPacket)?,
                    answer: first(arguments.into_iter()),
                })
            }
            '4' => {
                let data: ErrorData<'_> = json(data)?;
                Ok(Self::ConnectError(data.message.into_owned()))
            }
            _ => Err(NotAPacket),
        }
    }
}

fn json<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, NotAPacket> {
    serde_json::from_str(text).map_err(|_| NotAPacket)
}

fn first<'a>(mut arguments: impl Iterator<Item = &'a RawValue>) -> String {
    arguments
        .next()
        .map_or_else(String::new, |argument| argument.get().to_owned())
}

/// The Engine.IO message that carries CONNECT with `auth`.
pub(crate) fn connect(auth: &str) -> String {
    format!("40{auth}")
}

/// The Engine.IO message that carries DISCONNECT.
pub(crate) fn disconnect() -> String {
    "41".to_owned()
}

/// The Engine.IO message that carries an event that asks for an acknowledgement.
pub(crate) fn event(id: u64, name: &str, payload: &str) -> String {
    let comma = if payload.is_empty() { "" } else { "," };
    format!("42{id}[\"{name}\"{comma}{payload}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read() {
        let read = |text| Packet::read(text).unwrap();
        assert_eq!(read(r#"0{"sid":"a\"b"}"#), Packet::Connect("a\"b".into()));
        assert_eq!(read("1"), Packet::Disconnect);
        let event = |name: &str, payload: &str| Packet::Event {
            name: name.into(),
            payload: payload.into(),
        };
        assert_eq!(
            read(r#"2["q",{"price":1.50}]"#),
            event("q", r#"{"price":1.50}"#)
        );
        assert_eq!(read(r#"2["q"]"#), event("q", ""));
        assert_eq!(
            read(r#"317[{"ok":true}]"#),
            Packet::Ack {
                id: 17,
                answer: r#"{"ok":true}"#.into()
            }
        );
        assert_eq!(
            read(r#"4{"message":"no","data":1}"#),
            Packet::ConnectError("no".into())
        );
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for text in [
            "", "0", "0{}", "2", "2[]", "2{}", "2[1]", "3[1]", "4", "5", "é",
        ] {
            assert_eq!(Packet::read(text), Err(NotAPacket), "{text:?}");
        }
    }

    #[test]
    fn what_is_sent_has_the_stock_shape() {
        assert_eq!(connect(r#"{"a":1}"#), r#"40{"a":1}"#);
        assert_eq!(
            event(0, "subscribe:trades", ""),
            r#"420["subscribe:trades"]"#
        );
        assert_eq!(event(3, "w", r#"["A"]"#), r#"423["w",["A"]]"#);
    }
}
