//! Websocket frames as a client sends and reads them, and nothing more of RFC 6455 than a Socket.IO
//! server sends: whole frames, unmasked. It must stay cheap, so that the load is not the bottleneck.

/// The opcodes that matter.
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const WHOLE: u8 = 0x80;
const MASKED: u8 = 0x80;

/// What is at the front of the bytes that were read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front<'b> {
    /// A frame has not arrived whole.
    Partial,
    /// A text frame, and how many bytes it took.
    Text(&'b [u8], usize),
    /// A frame that says nothing to us, and how many bytes it took.
    Other(usize),
    /// The server closes.
    Close,
}

/// Reads the frame at the front of `bytes`.
pub(crate) fn front(bytes: &[u8]) -> Front<'_> {
    let (Some(first), Some(second)) = (bytes.first(), bytes.get(1)) else {
        return Front::Partial;
    };
    let (head, length) = match second & !MASKED {
        126 => match bytes.get(2..4) {
            Some(long) => (4, number(long)),
            None => return Front::Partial,
        },
        127 => match bytes.get(2..10) {
            Some(long) => (10, number(long)),
            None => return Front::Partial,
        },
        short => (2, usize::from(short)),
    };
    let Some(end) = length.checked_add(head) else {
        return Front::Close;
    };
    match (bytes.get(head..end), first & 0x0f) {
        (None, _) => Front::Partial,
        (Some(payload), TEXT) => Front::Text(payload, end),
        (Some(_), CLOSE) => Front::Close,
        (Some(_), _) => Front::Other(end),
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// A text frame, masked with zeros: a mask is for proxies, of which there are none here.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![WHOLE | TEXT];
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        frame.push(MASKED | short);
    } else if let Ok(long) = u16::try_from(length) {
        frame.push(MASKED | 126);
        frame.extend(long.to_be_bytes());
    } else {
        frame.push(MASKED | 127);
        frame.extend((length as u64).to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(payload.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server sends it.
    fn sent(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![WHOLE | opcode, u8::try_from(payload.len()).unwrap()];
        frame.extend(payload);
        frame
    }

    #[test]
    fn frames_are_read_one_after_the_other() {
        let mut bytes = sent(TEXT, b"2");
        bytes.extend(sent(9, b""));
        bytes.extend(sent(CLOSE, b""));
        assert_eq!(front(&bytes), Front::Text(b"2", 3));
        assert_eq!(front(&bytes[3..]), Front::Other(2));
        assert_eq!(front(&bytes[5..]), Front::Close);
    }

    #[test]
    fn a_frame_is_read_only_when_it_is_whole() {
        let mut long = vec![WHOLE | TEXT, 126, 1, 44];
        long.extend([b'x'; 300]);
        for end in 0..long.len() {
            assert_eq!(front(&long[..end]), Front::Partial, "{end} bytes");
        }
        assert_eq!(front(&long), Front::Text(&[b'x'; 300], 304));
    }

    #[test]
    fn what_is_sent_says_how_long_it_is() {
        for (length, head) in [(1, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let payload = "x".repeat(length);
            let frame = text(&payload);
            assert_eq!(frame.len(), head + 4 + length);
            assert_eq!(
                front(&frame_without_mask(&frame, head)),
                Front::Text(payload.as_bytes(), head + length)
            );
        }
    }

    fn frame_without_mask(frame: &[u8], head: usize) -> Vec<u8> {
        [&frame[..head], &frame[head + 4..]].concat()
    }
}
