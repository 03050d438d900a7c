//! Messages of `@socket.io/redis-emitter`, and of the Node servers that speak the same: from the bytes
//! on a channel to publishes.
//!
//! A message is `[sender, {type, data: [event, argument], nsp}, {rooms, except, flags}]`, on the channel
//! `socket.io#/#<room>#` if it is for one room and on `socket.io#/#` otherwise. Who sent it is not asked:
//! what a Node server broadcasts means the same. What a publish could not say is refused, never guessed.

mod msgpack;
#[cfg(test)]
mod tests;

use tradewire_engine::event::Publish;
use tradewire_engine::limits::ParseLimits;
use tradewire_engine::parse::emitted::EMITTED_BYTES_MAX;
use tradewire_engine::parse::{EmittedError, emitted};
use tradewire_engine::time::WallTime;

use msgpack::{Reader, UnpackError};

/// The channel of messages for all and for several rooms, and the start of the others' names.
const CHANNEL: &[u8] = b"socket.io#/#";

/// Socket.IO's packet types of an event, and of one with bytes beside it.
const EVENT: u64 = 2;
const BINARY_EVENT: u64 = 5;

/// Why a message was not taken in; nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EmitterError {
    /// Not an emitter's channel, or one for another room than the message names. Who may publish to
    /// which channel can be limited in Redis, so a message must not reach further than its channel.
    #[error("the message does not belong on its channel: publish it with the emitter")]
    Channel,
    /// It is for everyone but some, and a publish is for everyone whom it concerns.
    #[error("the message excepts rooms, which is not possible here: emit without except()")]
    Except,
    /// It is for the clients of the server that sent it.
    #[error("the message is for its sender's own clients: emit without local")]
    Local,
    /// It belongs to another namespace than that of the clients.
    #[error("the message is not for the namespace /: emit without of()")]
    Namespace,
    /// It does not have exactly one argument.
    #[error("an event must have one argument, an object")]
    Arguments,
    /// Its event, rooms and data cannot be published.
    #[error(transparent)]
    Emitted(#[from] EmittedError),
    /// It is not an event.
    #[error("the message is not an event: only emit() is taken in")]
    Kind,
    /// It has too many bytes.
    #[error("the message has more than {EMITTED_BYTES_MAX} bytes: emit less at once")]
    TooLarge,
    /// It is not an emitter's message.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

/// Reads a message that came on `channel`: one item for each of its rooms, in their order.
///
/// # Errors
/// Says what is wrong with the message; then nothing of it is taken in.
pub(crate) fn decode(
    channel: &[u8],
    body: &[u8],
    wall: WallTime,
    limits: &ParseLimits,
) -> Result<Vec<Publish>, EmitterError> {
    if body.len() > EMITTED_BYTES_MAX {
        return Err(EmitterError::TooLarge);
    }
    let room = channel.strip_prefix(CHANNEL).ok_or(EmitterError::Channel)?;
    let mut reader = Reader::new(body);
    wrong_unless(reader.array("an array")? == 3, "an array of three")?;
    reader.skip()?;
    let packet = Packet::read(&mut reader)?;
    let rooms = rooms(&mut reader, limits)?;
    reader.end()?;
    if !room.is_empty() {
        let named = rooms.first().map(|room| room.as_bytes());
        if room.strip_suffix(b"#") != named || rooms.len() != 1 {
            return Err(EmitterError::Channel);
        }
    }
    let (event, data) = packet.event(limits)?;
    Ok(emitted(event, &rooms, &data, wall, limits)?)
}

/// The parts of a Socket.IO packet that count.
struct Packet<'a> {
    kind: u64,
    nsp: &'a str,
    data: Reader<'a>,
}

impl<'a> Packet<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, UnpackError> {
        let (mut kind, mut nsp, mut data) = (None, "/", None);
        for _ in 0..reader.map("the packet")? {
            match reader.text("a field's name")? {
                "type" => kind = Some(reader.number("the packet's type")?),
                "nsp" => nsp = reader.text("a namespace")?,
                "data" => data = Some(reader.apart()?),
                _ => reader.skip()?,
            }
        }
        let missing = |expected| UnpackError::Wrong { expected };
        Ok(Self {
            kind: kind.ok_or(missing("the packet's type"))?,
            nsp,
            data: data.ok_or(missing("the packet's data"))?,
        })
    }

    /// The event's name and the JSON text of its one argument.
    fn event(mut self, limits: &ParseLimits) -> Result<(&'a str, String), EmitterError> {
        if self.nsp != "/" {
            return Err(EmitterError::Namespace);
        }
        match self.kind {
            EVENT => {}
            BINARY_EVENT => return Err(UnpackError::Binary.into()),
            _ => return Err(EmitterError::Kind),
        }
        let length = self.data.array("the packet's data")?;
        let event = self.data.text("an event's name")?;
        if length != 2 {
            return Err(EmitterError::Arguments);
        }
        let data = self.data.json(limits.depth_max, EMITTED_BYTES_MAX)?;
        Ok((event, data))
    }
}

/// The rooms of a message whose other options say nothing that changes its meaning: that it may be
/// lost or should be compressed is allowed to be, and is not asked here.
fn rooms<'a>(reader: &mut Reader<'a>, limits: &ParseLimits) -> Result<Vec<&'a str>, EmitterError> {
    let mut rooms = Vec::new();
    for _ in 0..reader.map("the options")? {
        match reader.text("a field's name")? {
            "rooms" => {
                rooms.clear();
                let length = list(reader)?;
                // Before anything is kept of it.
                if length > limits.items_max {
                    let max = limits.items_max;
                    return Err(EmittedError::TooManyRooms { max }.into());
                }
                for _ in 0..length {
                    rooms.push(reader.text("a room")?);
                }
            }
            "except" if list(reader)? > 0 => return Err(EmitterError::Except),
            "except" => {}
            "flags" => flags(reader)?,
            _ => reader.skip()?,
        }
    }
    Ok(rooms)
}

/// The length of an array that may be left out.
fn list(reader: &mut Reader<'_>) -> Result<usize, UnpackError> {
    if reader.nil()? {
        Ok(0)
    } else {
        reader.array("a list of rooms")
    }
}

fn flags(reader: &mut Reader<'_>) -> Result<(), EmitterError> {
    if reader.nil()? {
        return Ok(());
    }
    for _ in 0..reader.map("the flags")? {
        match reader.text("a field's name")? {
            "local" if reader.truth()? => return Err(EmitterError::Local),
            "local" => {}
            _ => reader.skip()?,
        }
    }
    Ok(())
}

fn wrong_unless(right: bool, expected: &'static str) -> Result<(), UnpackError> {
    if right {
        Ok(())
    } else {
        Err(UnpackError::Wrong { expected })
    }
}
