//! Requests as they come in: bytes to commands, in both of Redis' forms, within its bounds.
//!
//! What was read is kept until it makes a command, never more than [`Bounds`] allow, and an announced
//! length reserves nothing. No bytes make it panic; those that are no request end the connection.

use bytes::{Buf as _, Bytes, BytesMut};

use super::inline;

/// The longest line: of an inline command, or of a count or length.
const LINE_BYTES_MAX: usize = 64 << 10;

/// What one who has not logged in yet may send.
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_MAX: i64 = 16_384;

/// How much a client may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The longest argument.
    pub(super) bulk_bytes_max: usize,
    /// All of a command's arguments, and what was sent ahead of them.
    pub(super) request_bytes_max: usize,
}

/// Why a connection ends, as Redis says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtocolError {
    #[error("ERR Protocol error: too big inline request")]
    InlineTooBig,
    #[error("ERR Protocol error: unbalanced quotes in request")]
    Quotes,
    #[error("ERR Protocol error: too big mbulk count string")]
    CountTooBig,
    #[error("ERR Protocol error: invalid multibulk length")]
    Count,
    #[error("ERR Protocol error: unauthenticated multibulk length")]
    CountUnauthenticated,
    #[error("ERR Protocol error: too big bulk count string")]
    LengthTooBig,
    #[error("ERR Protocol error: invalid bulk length")]
    Length,
    #[error("ERR Protocol error: unauthenticated bulk length")]
    LengthUnauthenticated,
    #[error("ERR Protocol error: expected '$', got '{}'", char::from(*.0))]
    Expected(u8),
    /// Redis ends such a connection without a word.
    #[error("")]
    TooMuch,
}

impl ProtocolError {
    /// What the client reads after the dash, byte by byte.
    pub(super) fn said(&self) -> Bytes {
        if let Self::Expected(byte) = self {
            let mut said = b"ERR Protocol error: expected '$', got ''".to_vec();
            said.insert(said.len() - 1, *byte);
            return Bytes::from(said);
        }
        Bytes::from(self.to_string())
    }
}

/// Makes commands of bytes.
#[derive(Debug)]
pub(super) struct Parser {
    bounds: Bounds,
    buffer: BytesMut,
    /// Arguments that the command under way still lacks.
    missing: usize,
    /// The length of the argument under way.
    length: Option<usize>,
    args: Vec<Bytes>,
    args_bytes: usize,
}

impl Parser {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            buffer: BytesMut::new(),
            missing: 0,
            length: None,
            args: Vec::new(),
            args_bytes: 0,
        }
    }

    /// Where what is read goes.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether more may be read before what is there was taken.
    pub(super) fn has_room(&self) -> bool {
        self.buffer.len() < self.bounds.request_bytes_max
    }

    /// The next whole command, if there is one.
    pub(super) fn next(&mut self, logged_in: bool) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        loop {
            if self.missing > 0 {
                if !self.argument(logged_in)? {
                    return Ok(None);
                }
                if self.missing == 0 {
                    self.args_bytes = 0;
                    return Ok(Some(core::mem::take(&mut self.args)));
                }
                continue;
            }
            match self.buffer.first() {
                None => return Ok(None),
                Some(b'*') => {
                    if !self.count(logged_in)? {
                        return Ok(None);
                    }
                }
                Some(_) => match self.inline()? {
                    None => return Ok(None),
                    Some(args) if args.is_empty() => {}
                    Some(args) => return Ok(Some(args)),
                },
            }
        }
    }

    /// Takes the head of a command, if it is all there. None but a positive count begins one.
    fn count(&mut self, logged_in: bool) -> Result<bool, ProtocolError> {
        let Some(line) = self.line(ProtocolError::CountTooBig)? else {
            return Ok(false);
        };
        let count = line.get(1..).and_then(integer);
        let count = count.filter(|count| *count <= i64::from(i32::MAX));
        let count = count.ok_or(ProtocolError::Count)?;
        if !logged_in && count > UNAUTHENTICATED_ARGS_MAX {
            return Err(ProtocolError::CountUnauthenticated);
        }
        self.missing = usize::try_from(count).unwrap_or(0);
        Ok(true)
    }

    /// Takes one argument, if it is all there.
    fn argument(&mut self, logged_in: bool) -> Result<bool, ProtocolError> {
        let length = match self.length {
            Some(length) => length,
            None => {
                let Some(line) = self.line(ProtocolError::LengthTooBig)? else {
                    return Ok(false);
                };
                let length = self.announced(&line, logged_in)?;
                self.length = Some(length);
                length
            }
        };
        // Redis, too, takes any two bytes for the line's end.
        if self.buffer.len() < length.saturating_add(2) {
            return Ok(false);
        }
        self.args_bytes = self.args_bytes.saturating_add(length);
        if self.args_bytes > self.bounds.request_bytes_max {
            return Err(ProtocolError::TooMuch);
        }
        // A slice of the buffer would keep all of it for as long as the value lives.
        let argument = self.buffer.get(..length).unwrap_or_default();
        self.args.push(Bytes::copy_from_slice(argument));
        self.buffer.advance(length + 2);
        self.length = None;
        self.missing -= 1;
        Ok(true)
    }

    fn announced(&self, line: &[u8], logged_in: bool) -> Result<usize, ProtocolError> {
        let (first, digits) = line.split_first().unwrap_or((&b'\r', &[]));
        if *first != b'$' {
            return Err(ProtocolError::Expected(*first));
        }
        let length = integer(digits).ok_or(ProtocolError::Length)?;
        let size = usize::try_from(length).map_err(|_| ProtocolError::Length)?;
        if size > self.bounds.bulk_bytes_max {
            return Err(ProtocolError::Length);
        }
        if !logged_in && length > UNAUTHENTICATED_BULK_MAX {
            return Err(ProtocolError::LengthUnauthenticated);
        }
        Ok(size)
    }

    /// Takes a line without its end. Its end is two bytes from the first carriage return on.
    fn line(&mut self, too_big: ProtocolError) -> Result<Option<Bytes>, ProtocolError> {
        let Some(end) = self.end(b'\r') else {
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(too_big);
            }
            return Ok(None);
        };
        if self.buffer.len() < end + 2 {
            return Ok(None);
        }
        let line = self.buffer.split_to(end);
        self.buffer.advance(2);
        Ok(Some(line.freeze()))
    }

    /// Where a line ends. One that has a zero byte has no end for Redis.
    fn end(&self, mark: u8) -> Option<usize> {
        let end = |byte: &u8| *byte == mark || *byte == 0;
        let place = self.buffer.iter().position(end)?;
        (self.buffer.get(place) == Some(&mark)).then_some(place)
    }

    fn inline(&mut self) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let Some(end) = self.end(b'\n') else {
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(ProtocolError::InlineTooBig);
            }
            return Ok(None);
        };
        let line = self.buffer.split_to(end);
        self.buffer.advance(1);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        inline::words(line).map(Some).ok_or(ProtocolError::Quotes)
    }
}

/// Reads an integer as strictly as Redis does: no sign but a minus, no zeros ahead.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let strict = match digits {
        [] => false,
        [b'0'] => text.len() == 1,
        [first, ..] => *first != b'0' && digits.iter().all(u8::is_ascii_digit),
    };
    if strict {
        core::str::from_utf8(text).ok()?.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        bulk_bytes_max: 1 << 20,
        request_bytes_max: 4 << 20,
    };

    fn all(bytes: &[u8]) -> Result<Vec<Vec<Bytes>>, ProtocolError> {
        let mut parser = Parser::new(BOUNDS);
        parser.buffer().extend_from_slice(bytes);
        let mut commands = Vec::new();
        while let Some(command) = parser.next(true)? {
            commands.push(command);
        }
        Ok(commands)
    }

    #[test]
    fn a_command_in_pieces_is_the_same_command() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n*-1\r\n*1\r\n$0\r\n\r\n";
        let whole = all(bytes).unwrap();
        assert_eq!(whole.len(), 3);
        let mut parser = Parser::new(BOUNDS);
        let mut pieces = Vec::new();
        for byte in bytes {
            parser.buffer().extend_from_slice(&[*byte]);
            while let Some(command) = parser.next(true).unwrap() {
                pieces.push(command);
            }
        }
        assert_eq!(whole, pieces);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (bytes, error) in [
            (&b"*x\r\n"[..], ProtocolError::Count),
            (b"*01\r\n", ProtocolError::Count),
            (b"*2147483648\r\n", ProtocolError::Count),
            (b"*1\r\n+4\r\n", ProtocolError::Expected(b'+')),
            (b"*1\r\n\r\n", ProtocolError::Expected(b'\r')),
            (b"*1\r\n$-1\r\n", ProtocolError::Length),
            (b"*1\r\n$1048577\r\n", ProtocolError::Length),
            (b"PING \"\r\n", ProtocolError::Quotes),
            (&[b'x'; LINE_BYTES_MAX + 1], ProtocolError::InlineTooBig),
            (&[b'*'; LINE_BYTES_MAX + 1], ProtocolError::CountTooBig),
        ] {
            assert_eq!(all(bytes), Err(error));
        }
    }

    #[test]
    fn a_command_is_no_longer_than_allowed() {
        let mut parser = Parser::new(BOUNDS);
        parser.buffer().extend_from_slice(b"*9\r\n");
        for _ in 0..4 {
            parser.buffer().extend_from_slice(b"$1048576\r\n");
            parser.buffer().extend_from_slice(&[b'x'; (1 << 20) + 2]);
            assert_eq!(parser.next(true), Ok(None));
        }
        parser.buffer().extend_from_slice(b"$1\r\nx\r\n");
        assert_eq!(parser.next(true), Err(ProtocolError::TooMuch));
    }

    #[test]
    fn who_has_not_logged_in_may_send_little() {
        for (bytes, error) in [
            (&b"*11\r\n"[..], ProtocolError::CountUnauthenticated),
            (b"*1\r\n$16385\r\n", ProtocolError::LengthUnauthenticated),
        ] {
            let mut parser = Parser::new(BOUNDS);
            parser.buffer().extend_from_slice(bytes);
            assert_eq!(parser.next(false), Err(error));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(&b"*$-0123459\r\n\"' \0"[..])], 0..200,
        )) {
            let _ = all(&bytes);
        }

        #[test]
        fn what_was_written_is_read(args in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..40), 1..9,
        ), cut in any::<proptest::sample::Index>()) {
            let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
            for arg in &args {
                bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                bytes.extend_from_slice(arg);
                bytes.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(all(&bytes), Ok(vec![args.into_iter().map(Bytes::from).collect()]));
            let cut = cut.index(bytes.len());
            prop_assert_eq!(all(&bytes[..cut]), Ok(Vec::new()));
        }
    }
}
