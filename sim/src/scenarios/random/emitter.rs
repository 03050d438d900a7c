//! Messages as `@socket.io/redis-emitter` writes them, on the channels where it does.

use crate::judge::{Emission, symbol_name, user_name};
use crate::oracle::{Target, Topic};

/// Where messages for everyone and for several rooms go.
const CHANNEL: &str = "socket.io#/#";

/// The channel and the bytes of a message: one part for each room.
pub(super) fn message(parts: &[Emission], padding: usize) -> (String, Vec<u8>) {
    let rooms: Vec<String> = parts.iter().filter_map(|part| room(part.target)).collect();
    let channel = match &rooms[..] {
        [room] => format!("{CHANNEL}{room}#"),
        [] | [_, ..] => CHANNEL.to_owned(),
    };
    let says = parts.first().map_or(0, |part| part.item.0);
    let event = parts.first().map_or("", |part| event(part.target));
    let mut bytes = vec![0x93];
    text(&mut bytes, "emitter");
    bytes.push(0x83);
    text(&mut bytes, "type");
    bytes.push(2);
    text(&mut bytes, "data");
    bytes.push(0x92);
    text(&mut bytes, event);
    bytes.push(0x82);
    text(&mut bytes, "n");
    bytes.push(0xce);
    bytes.extend(says.to_be_bytes());
    text(&mut bytes, "p");
    text(&mut bytes, &"x".repeat(padding));
    text(&mut bytes, "nsp");
    text(&mut bytes, "/");
    bytes.push(0x83);
    text(&mut bytes, "rooms");
    bytes.push(0x90 | u8::try_from(rooms.len().min(15)).unwrap_or(15));
    rooms.iter().for_each(|room| text(&mut bytes, room));
    text(&mut bytes, "except");
    bytes.push(0x90);
    text(&mut bytes, "flags");
    bytes.push(0x80);
    (channel, bytes)
}

fn room(target: Target) -> Option<String> {
    match target {
        Target::State(Topic::Market) => None,
        Target::State(Topic::Portfolio(user)) | Target::Trade(user) => {
            Some(format!("user:{}", user_name(user)))
        }
        Target::State(Topic::Quote(symbol)) => Some(format!("symbol:{}", symbol_name(symbol))),
    }
}

pub(super) fn event(target: Target) -> &'static str {
    match target {
        Target::State(Topic::Market) => "market:status",
        Target::State(Topic::Portfolio(_)) => "portfolio:update",
        Target::State(Topic::Quote(_)) => "quote:update",
        Target::Trade(user) if user.0.is_multiple_of(2) => "trade:executed",
        Target::Trade(_) => "trade:failed",
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length) if length < 32 => bytes.push(0xa0 | length),
        Ok(length) => bytes.extend([0xd9, length]),
        Err(_) => {
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            bytes.push(0xda);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend_from_slice(text.as_bytes());
}
