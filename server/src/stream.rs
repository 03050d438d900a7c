//! The accepted stream: our own wrapper, because nothing above it tells what has been written, and
//! nothing above it can close one connection without a Socket.IO DISCONNECT.
//!
//! Once the stream carries a websocket, the wrapper reads along the headers of the frames that are
//! written and counts those with a Socket.IO EVENT or ACK: exactly what the driver hands over. It
//! never changes a byte.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tradewire_engine::input::Pending;

use crate::link::Link;

/// What is shared between a stream and those who look after it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    aborted: AtomicBool,
    finishing: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
    link: OnceLock<Arc<Link>>,
}

impl Line {
    /// Ends the stream at its next use, and wakes whoever waits on it.
    pub(crate) fn abort(&self) {
        self.aborted.store(true, Ordering::SeqCst);
        self.reader.wake();
        self.writer.wake();
    }

    /// Ends the stream in good order: what was written arrives, and what still comes in is thrown
    /// away. A stream that is just dropped with unread input is reset, and a reset overtakes what was
    /// written before.
    pub(crate) fn finish(&self) {
        self.finishing.store(true, Ordering::SeqCst);
        self.reader.wake();
        self.writer.wake();
    }

    /// Names the session whose websocket begins behind the next response.
    pub(crate) fn carry(self: &Arc<Self>, link: &Arc<Link>) {
        if self.link.set(Arc::clone(link)).is_ok() {
            link.add_line(self);
        }
    }

    fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::SeqCst)
    }

    fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::SeqCst)
    }

    fn takes_writes(&self) -> bool {
        !self.is_aborted() && !self.is_finishing()
    }
}

/// A stream with its line.
#[derive(Debug)]
pub(crate) struct Tracked<S> {
    inner: S,
    line: Arc<Line>,
    frames: Frames,
    discarded: usize,
}

/// A client that is told to go and goes on sending is cut off after so many bytes.
const DISCARDED_MAX: usize = 256 * 1024;

impl<S> Tracked<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            line: Arc::default(),
            frames: Frames::default(),
            discarded: 0,
        }
    }

    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }
}

fn aborted() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tracked<S> {
    /// Tells the other end that nothing follows, and reads until it has heard.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whether it could be told or not, the read below ends.
        let _ = Pin::new(&mut self.inner).poll_shutdown(cx);
        let mut scratch = [0; 1024];
        while self.discarded < DISCARDED_MAX {
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            self.discarded += buffer.filled().len();
        }
        Poll::Ready(Err(aborted()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.line.reader.register(cx.waker());
        if self.line.is_aborted() {
            return Poll::Ready(Err(aborted()));
        }
        if self.line.is_finishing() {
            return self.poll_finish(cx);
        }
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> Tracked<S> {
    /// Runs a write, and counts what it took from the front of `buffers`.
    fn poll_counted<'b>(
        &mut self,
        cx: &mut Context<'_>,
        buffers: impl Iterator<Item = &'b [u8]>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.line.writer.register(cx.waker());
        if !self.line.takes_writes() {
            return Poll::Ready(Err(aborted()));
        }
        let taken = ready!(write(Pin::new(&mut self.inner), cx))?;
        if let Some(link) = self.line.link.get() {
            let mut left = taken;
            for buffer in buffers {
                let part = buffer.get(..left).unwrap_or(buffer);
                self.frames.read(part);
                left -= part.len();
            }
            let written = std::mem::take(&mut self.frames.written);
            if written.packets > 0 {
                link.wrote(written);
            }
        }
        Poll::Ready(Ok(taken))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tracked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_counted(cx, std::iter::once(buffer), |inner, cx| {
            inner.poll_write(cx, buffer)
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = buffers.iter().map(|buffer| &**buffer);
        self.poll_counted(cx, slices, |inner, cx| {
            inner.poll_write_vectored(cx, buffers)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.is_aborted() {
            return Poll::Ready(Err(aborted()));
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.writer.register(cx.waker());
        if self.line.is_aborted() {
            return Poll::Ready(Err(aborted()));
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Reads along the bytes written after a websocket's HTTP 101.
#[derive(Debug, Default)]
struct Frames {
    at: At,
    written: Pending,
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
    fn read(&mut self, mut bytes: &[u8]) {
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
        }
    }

    #[tokio::test]
    async fn a_finished_stream_delivers_what_was_written_and_ends_when_the_other_end_does() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (near, mut far) = tokio::io::duplex(64);
        let mut tracked = Tracked::new(near);
        let line = Arc::clone(tracked.line());
        tracked.write_all(b"last words").await.unwrap();
        far.write_all(b"not read any more").await.unwrap();
        line.finish();
        let ending = tokio::spawn(async move { tracked.read_u8().await });
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "last words");
        drop(far);
        assert_eq!(
            ending.await.unwrap().unwrap_err().kind(),
            io::ErrorKind::ConnectionAborted
        );
    }

    #[tokio::test]
    async fn an_aborted_stream_ends_for_whoever_waits_on_it() {
        use tokio::io::AsyncReadExt as _;
        let (near, _far) = tokio::io::duplex(8);
        let mut tracked = Tracked::new(near);
        let line = Arc::clone(tracked.line());
        let reading = tokio::spawn(async move { tracked.read_u8().await });
        tokio::task::yield_now().await;
        line.abort();
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}
