//! RESP as it is on the wire: requests to bytes, and bytes to frames that keep every byte's meaning.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A reply or push. Two are equal if and only if their bytes are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// `+`, `-`, `:` or `_`, and the line.
    Line(u8, Vec<u8>),
    Bulk(Vec<u8>),
    /// `$-1` or `*-1`, by its first byte.
    None(u8),
    /// `*`, `%` or `>`, and the items.
    Items(u8, Vec<Self>),
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(kind, text) => write!(f, "{}{}", char::from(*kind), text.escape_ascii()),
            Self::Bulk(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Self::None(kind) => write!(f, "{}-1", char::from(*kind)),
            Self::Items(kind, items) => {
                write!(f, "{}", char::from(*kind))?;
                f.debug_list().entries(items).finish()
            }
        }
    }
}

/// A command as clients send it.
pub(crate) fn request(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The first frame, if it is whole, and the bytes it takes.
fn first_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (kind, line) = (bytes[0], &bytes[1..end]);
    let mut used = end + 2;
    let count = || -> i64 { std::str::from_utf8(line).unwrap().parse().unwrap() };
    let frame = match kind {
        b'+' | b'-' | b':' | b'_' => Frame::Line(kind, line.to_vec()),
        b'$' | b'*' if line == b"-1" => Frame::None(kind),
        b'$' => {
            let length = usize::try_from(count()).unwrap();
            let text = bytes.get(used..used + length + 2)?;
            assert!(text.ends_with(b"\r\n"), "a bulk without its end");
            used += length + 2;
            Frame::Bulk(text[..length].to_vec())
        }
        b'*' | b'>' | b'%' => {
            let count = count() * if kind == b'%' { 2 } else { 1 };
            let mut items = Vec::new();
            for _ in 0..count {
                let (item, more) = first_frame(&bytes[used..])?;
                items.push(item);
                used += more;
            }
            Frame::Items(kind, items)
        }
        other => panic!("no frame begins with {:?}", char::from(other)),
    };
    Some((frame, used))
}

/// A client's end of a connection.
pub(crate) struct Wire<S> {
    stream: S,
    buffer: BytesMut,
    markers: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            markers: 0,
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // One that was closed is noticed when reading.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends what is answered after everything that was sent before.
    pub(crate) async fn mark(&mut self) {
        self.markers += 1;
        let marker = self.marker();
        self.send(&request(&[&b"PING"[..], &marker])).await;
    }

    fn marker(&self) -> Vec<u8> {
        format!("marker {}", self.markers).into_bytes()
    }

    fn is_marker(&self, frame: &Frame) -> bool {
        match frame {
            Frame::Bulk(text) => *text == self.marker(),
            Frame::Items(b'*', items) => {
                items[..] == [Frame::Bulk(b"pong".to_vec()), Frame::Bulk(self.marker())]
            }
            Frame::Line(..) | Frame::None(_) | Frame::Items(..) => false,
        }
    }

    /// The next frame, or nothing at the end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, used)) = first_frame(&self.buffer) {
                self.buffer.advance(used);
                return Some(frame);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
            if let Ok(0) | Err(_) = read.expect("an answer in time") {
                assert!(self.buffer.is_empty(), "cut off within {:?}", self.buffer);
                return None;
            }
        }
    }

    /// All frames up to the latest mark's answer.
    pub(crate) async fn until_mark(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await.expect("a connection that lives");
            if self.is_marker(&frame) {
                return frames;
            }
            frames.push(frame);
        }
    }

    /// All frames up to the end, which this side begins.
    pub(crate) async fn until_end(&mut self) -> Vec<Frame> {
        let _ = self.stream.shutdown().await;
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        frames
    }

    /// Whether the latest mark is answered before others have had many turns. Only a stream that is
    /// served by this thread has certainly said what it has to say by then.
    pub(crate) async fn is_marked(&mut self) -> bool {
        for _ in 0..100 {
            let read = self.stream.read_buf(&mut self.buffer);
            tokio::select! {
                biased;
                _ = read => {}
                () = tokio::task::yield_now() => {}
            }
        }
        let mut rest = &self.buffer[..];
        while let Some((frame, used)) = first_frame(rest) {
            if self.is_marker(&frame) {
                return true;
            }
            rest = &rest[used..];
        }
        false
    }
}
