//! Reads along the frames that are written to a websocket, and counts those that matter.
//!
//! Counted are text frames with a Socket.IO EVENT or ACK: exactly what the driver hands over. Only
//! headers and the first two bytes of payloads are looked at.

use tradewire_engine::input::Pending;

/// Reads along the bytes written after a websocket's HTTP 101.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    at: At,
    pub(crate) written: Pending,
    /// How many CONNECT answers have been written.
    pub(crate) connects: u32,
}

/// Where in the bytes the reader is.
#[derive(Clone, Copy, Debug)]
enum At {
    /// In the head of the 101, with so many bytes of the blank line seen.
    Head { blank: usize },
    /// Before a frame's first byte.
    Opcode,
    /// Before the byte with the short length.
    Length { text: bool },
    /// In the long length, with `left` bytes to come.
    LongLength { text: bool, left: u8, length: u64 },
    /// In the payload, with `left` bytes to come of `length`; `kind` is its first two bytes.
    Payload {
        text: bool,
        left: u64,
        length: u64,
        kind: [u8; 2],
    },
}

impl Default for At {
    fn default() -> Self {
        Self::Head { blank: 0 }
    }
}

/// The blank line that ends an HTTP head.
const BLANK: &[u8; 4] = b"\r\n\r\n";
/// RFC 6455 §5.2: the opcode of a text frame.
const TEXT: u8 = 1;

impl Frames {
    /// Whether the bytes so far end with a whole frame.
    pub(crate) fn is_between(&self) -> bool {
        matches!(self.at, At::Opcode)
    }

    /// Whether the head of the 101 is not whole yet.
    pub(crate) fn is_in_head(&self) -> bool {
        matches!(self.at, At::Head { .. })
    }

    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            if let At::Payload {
                text,
                left,
                length,
                kind,
            } = self.at
            {
                bytes = self.read_payload(bytes, text, left, (length, kind));
                continue;
            }
            bytes = rest;
            self.at = match self.at {
                At::Head { blank } => match BLANK.get(blank) {
                    Some(expected) if expected == byte && blank + 1 == BLANK.len() => At::Opcode,
                    Some(expected) if expected == byte => At::Head { blank: blank + 1 },
                    _ => At::Head {
                        blank: usize::from(*byte == b'\r'),
                    },
                },
                At::Opcode => At::Length {
                    text: byte & 0x0f == TEXT,
                },
                At::Length { text } => match byte & 0x7f {
                    126 => At::LongLength {
                        text,
                        left: 2,
                        length: 0,
                    },
                    127 => At::LongLength {
                        text,
                        left: 8,
                        length: 0,
                    },
                    short => payload(text, u64::from(short)),
                },
                At::LongLength { text, left, length } => {
                    let length = length << 8 | u64::from(*byte);
                    if left == 1 {
                        payload(text, length)
                    } else {
                        At::LongLength {
                            text,
                            left: left - 1,
                            length,
                        }
                    }
                }
                At::Payload { .. } => self.at,
            };
        }
    }

    /// Passes over as much payload as there is, and counts the frame when it is whole.
    fn read_payload<'b>(
        &mut self,
        bytes: &'b [u8],
        text: bool,
        left: u64,
        (length, mut kind): (u64, [u8; 2]),
    ) -> &'b [u8] {
        let read = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let offset = usize::try_from(length - left).unwrap_or(usize::MAX);
        let firsts = kind.iter_mut().skip(offset);
        for (first, byte) in firsts.zip(bytes) {
            *first = *byte;
        }
        let left = left - read as u64;
        if left > 0 {
            self.at = At::Payload {
                text,
                left,
                length,
                kind,
            };
        } else {
            self.at = At::Opcode;
            if text && is_counted(kind) {
                self.written.bytes += length;
                self.written.packets += 1;
            } else if text && kind == CONNECTED {
                self.connects += 1;
            }
        }
        bytes.get(read..).unwrap_or(&[])
    }
}

fn payload(text: bool, length: u64) -> At {
    if length == 0 {
        return At::Opcode;
    }
    At::Payload {
        text,
        left: length,
        length,
        kind: [0; 2],
    }
}

/// How the answer to a CONNECT begins: a message (`4`) with a Socket.IO CONNECT (`0`).
const CONNECTED: [u8; 2] = *b"40";

/// Whether an Engine.IO packet that begins like this is one that the driver hands over: a message
/// (`4`) with a Socket.IO EVENT (`2`) or ACK (`3`).
pub(crate) fn is_counted(kind: [u8; 2]) -> bool {
    matches!(kind, [b'4', b'2' | b'3'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            short @ 0..126 => bytes.push(short as u8),
            long @ 126..65536 => {
                bytes.push(126);
                bytes.extend((long as u16).to_be_bytes());
            }
            huge => {
                bytes.push(127);
                bytes.extend((huge as u64).to_be_bytes());
            }
        }
        bytes.extend(payload);
        bytes
    }

    /// A head, and frames of all kinds and lengths; 5 of them count.
    fn sample() -> (Vec<u8>, Pending) {
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n".to_vec();
        let long = format!("42{}", "x".repeat(300));
        let huge = format!("43{}", "y".repeat(70_000));
        let counted: [&[u8]; 5] = [
            b"42",
            b"42[\"a\"]",
            long.as_bytes(),
            huge.as_bytes(),
            b"431[]",
        ];
        let others: [&[u8]; 5] = [b"0{}", b"40{}", b"44{}", b"2", b""];
        for (counted, other) in counted.iter().zip(others) {
            bytes.extend(frame(1, counted));
            bytes.extend(frame(1, other));
            bytes.extend(frame(2, b"42 in a binary frame"));
            bytes.extend(frame(9, b""));
        }
        let total = counted.iter().map(|payload| payload.len() as u64).sum();
        (
            bytes,
            Pending {
                bytes: total,
                packets: 5,
            },
        )
    }

    #[test]
    fn events_and_acks_are_counted_however_the_bytes_are_cut() {
        let (bytes, expected) = sample();
        for size in [1, 2, 3, 7, 64, 1000, bytes.len()] {
            let mut frames = Frames::default();
            for part in bytes.chunks(size) {
                frames.read(part);
            }
            assert_eq!(frames.written, expected, "in pieces of {size}");
            assert_eq!(frames.connects, 1);
            assert!(frames.is_between());
        }
    }
}
