//! Frames: what a segment consists of after its magic, each with its length and checksums.
//!
//! The head of a frame is checked by itself, so that a changed length is not taken for an end that was
//! torn off.

use crate::bytes::checksum;
use crate::error::TraceError;

/// What every segment begins with; the last byte is the version of the format.
pub(crate) const MAGIC: [u8; 8] = *b"TWTRACE\x01";

/// Kind, length, checksum of the body, checksum of these.
pub(crate) const HEAD_BYTES: usize = 13;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Header,
    Checkpoint,
    Block,
    End,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Header, Self::Checkpoint, Self::Block, Self::End];

    const fn code(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::Checkpoint => 2,
            Self::Block => 3,
            Self::End => 4,
        }
    }
}

/// The head that goes before `body`.
///
/// # Errors
/// When the body is 4 GiB or larger.
pub(crate) fn head(kind: Kind, body: &[u8]) -> Result<[u8; HEAD_BYTES], TraceError> {
    let len = u32::try_from(body.len()).map_err(|_| TraceError::Unwritable)?;
    let mut head = [0; HEAD_BYTES];
    let (checked, check) = head.split_at_mut(HEAD_BYTES - 4);
    let fields = [kind.code()]
        .into_iter()
        .chain(len.to_le_bytes())
        .chain(checksum(body).to_le_bytes());
    for (place, byte) in checked.iter_mut().zip(fields) {
        *place = byte;
    }
    check.copy_from_slice(&checksum(checked).to_le_bytes());
    Ok(head)
}

/// A frame as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) body: &'a [u8],
    /// Where the body begins in the file.
    pub(crate) offset: usize,
}

/// What came next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// Nothing: the bytes end where a frame does.
    Over,
    /// Less than a frame: its end was never written.
    Torn,
}

/// Goes through the frames of a segment's bytes.
#[derive(Clone, Debug)]
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Frames<'a> {
    /// # Errors
    /// When the bytes are no segment, or one of another version.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, TraceError> {
        let Some(magic) = bytes.get(..MAGIC.len()) else {
            return Err(if MAGIC.starts_with(bytes) {
                TraceError::Empty
            } else {
                TraceError::NotATrace
            });
        };
        match (magic.split_last(), MAGIC.split_last()) {
            (Some((version, name)), Some((known, magic))) if name == magic => {
                if version != known {
                    return Err(TraceError::Version {
                        found: *version,
                        known: *known,
                    });
                }
            }
            _ => return Err(TraceError::NotATrace),
        }
        Ok(Self {
            bytes,
            offset: MAGIC.len(),
        })
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.offset)
    }

    /// # Errors
    /// When the next frame is not as it was written.
    pub(crate) fn next(&mut self) -> Result<Next<'a>, TraceError> {
        let offset = self.offset;
        let rest = self.bytes.get(offset..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Next::Over);
        }
        // What a file system that lost power had promised to write and did not.
        if rest.iter().all(|byte| *byte == 0) {
            return Ok(Next::Torn);
        }
        let Some((head, rest)) = rest.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(Next::Torn);
        };
        let corrupt = |what| TraceError::Corrupt { offset, what };
        let [kind, l0, l1, l2, l3, c0, c1, c2, c3, check @ ..] = *head;
        let (checked, _) = head.split_at(HEAD_BYTES - 4);
        if checksum(checked) != u32::from_le_bytes(check) {
            return Err(corrupt("a frame's head does not match its checksum"));
        }
        let kind = Kind::ALL.into_iter().find(|known| known.code() == kind);
        let kind = kind.ok_or_else(|| corrupt("a frame of an unknown kind"))?;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let Some(body) = rest.get(..len) else {
            return Ok(Next::Torn);
        };
        if checksum(body) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(corrupt("a frame does not match its checksum"));
        }
        self.offset = offset + HEAD_BYTES + len;
        Ok(Next::Frame(Frame {
            kind,
            body,
            offset: offset + HEAD_BYTES,
        }))
    }
}
