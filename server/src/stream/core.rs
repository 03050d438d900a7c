//! What a stream is made of, and how it reads and writes: behind a lock, since the driver writes what waits
//! in a session's queue too ([`super::queued`]).
//!
//! It must never wait while it holds the lock: everything here is one poll.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tradewire_engine::input::TransportFault;

use super::Line;
use super::head::Head;
use crate::frames::Frames;
use crate::queue::Queued;

/// A stream's state.
#[derive(Debug)]
pub(super) struct Core<S> {
    pub(super) inner: S,
    pub(super) line: Arc<Line>,
    pub(super) frames: Frames,
    pub(super) head: Head,
    /// Frames of the session's queue that are being written, and how much of the first has been.
    pub(super) queued: VecDeque<Queued>,
    pub(super) queued_written: usize,
    discarded: usize,
    stall_max: Duration,
    /// Set while a write waits: when it will have waited too long.
    pub(super) stalled: Option<Pin<Box<Sleep>>>,
    /// What was read since the write began to wait.
    read_while_stalled: usize,
    /// Set once nothing more is written: until when the other end may go on sending.
    lingering: Option<Pin<Box<Sleep>>>,
}

/// What is still read from a client while a write to it waits: enough for what it sent before it could
/// know, in bytes.
const READ_WHILE_STALLED_MAX: usize = 64 * 1024;

/// A client that is told to go and goes on sending is cut off after so many bytes.
const DISCARDED_MAX: usize = 256 * 1024;

/// A client that is still sending a request when it is answered may send so many bytes more, and take
/// so long: one that is cut off while it writes does not see its answer.
const LINGER_BYTES_MAX: usize = 4 << 20;
pub(super) const LINGER_MAX: Duration = Duration::from_secs(1);

impl<S> Core<S> {
    pub(super) fn new(inner: S, line: Arc<Line>, stall_max: Duration) -> Self {
        Self {
            inner,
            line,
            frames: Frames::default(),
            head: Head::default(),
            queued: VecDeque::new(),
            queued_written: 0,
            discarded: 0,
            stall_max,
            stalled: None,
            read_while_stalled: 0,
            lingering: None,
        }
    }
}

fn aborted() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Core<S> {
    /// Tells the other end that nothing follows, and reads until it has heard.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.head.release();
        // Whether it could be told or not, the read below ends.
        let _ = self.head.poll_write(&mut self.inner, cx);
        let _ = Pin::new(&mut self.inner).poll_shutdown(cx);
        ready!(self.poll_discard(cx, DISCARDED_MAX))?;
        Poll::Ready(Err(aborted()))
    }

    /// Reads and throws away, until the other end has ended or sent `max` bytes.
    fn poll_discard(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<()>> {
        let mut scratch = [0; 1024];
        while self.discarded < max {
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            self.discarded += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Core<S> {
    pub(super) fn poll_read(
        &mut self,
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
        self.head.release();
        if !self.head.is_clear() {
            if let Poll::Ready(Err(error)) = self.poll_head(cx) {
                return Poll::Ready(Err(error));
            }
            // A stream remembers one waiting writer: whoever waited before this write did goes on.
            self.line.writer.wake();
        }
        // Whoever waits for something to read also writes what is pushed into the queue.
        if let Some(link) = self.line.link.get() {
            link.queue().register(cx.waker());
            if let Poll::Ready(Err(error)) = self.poll_queued(cx) {
                return Poll::Ready(Err(error));
            }
        }
        if self.stalled.is_some() && self.read_while_stalled >= READ_WHILE_STALLED_MAX {
            // Woken when the write goes on, or the line ends.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.read_while_stalled += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Core<S> {
    /// Runs a write, and counts what it took from the front of `buffers`.
    fn poll_counted<'b>(
        &mut self,
        cx: &mut Context<'_>,
        buffers: impl Iterator<Item = &'b [u8]> + Clone,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.line.writer.register(cx.waker());
        if !self.line.takes_writes() {
            return Poll::Ready(Err(aborted()));
        }
        let begins = self.line.link.get().is_some() && self.frames.is_in_head();
        if let Some(taken) = self.head.take(buffers.clone(), begins) {
            self.count(buffers, taken);
            if let Poll::Ready(Err(error)) = self.poll_head(cx) {
                return Poll::Ready(Err(error));
            }
            return Poll::Ready(Ok(taken));
        }
        // What was handed over before goes first.
        self.head.release();
        ready!(self.poll_head(cx))?;
        ready!(self.poll_queued(cx))?;
        let Poll::Ready(taken) = write(Pin::new(&mut self.inner), cx) else {
            return self.poll_stalled(cx);
        };
        let taken = taken?;
        self.goes_on();
        self.count(buffers, taken);
        Poll::Ready(Ok(taken))
    }

    /// Reads along the first `taken` bytes of `buffers`, and tells of the events among them.
    fn count<'b>(&mut self, buffers: impl Iterator<Item = &'b [u8]>, taken: usize) {
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
            if self.frames.is_between() {
                // What had to wait for this frame may go.
                link.queue().wake();
            }
        }
    }

    /// Writes what was kept back, if it waits for nothing more.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.head.is_clear() {
            return Poll::Ready(Ok(()));
        }
        let Poll::Ready(done) = self.head.poll_write(&mut self.inner, cx) else {
            return self.poll_stalled(cx).map_ok(|_| ());
        };
        done?;
        self.goes_on();
        Poll::Ready(Ok(()))
    }

    /// A write did not have to wait, or no longer.
    pub(super) fn goes_on(&mut self) {
        if self.stalled.take().is_some() {
            self.line.reader.wake();
        }
        self.read_while_stalled = 0;
    }
}

impl<S> Core<S> {
    /// A write waits: ends the line if it has for too long.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let limit = self.stall_max;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        if let Some(link) = self.line.link.get() {
            link.fail(TransportFault::Stalled);
        }
        self.line.abort();
        Poll::Ready(Err(aborted()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Core<S> {
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_counted(cx, std::iter::once(buffer), |inner, cx| {
            inner.poll_write(cx, buffer)
        })
    }

    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = buffers.iter().map(|buffer| &**buffer);
        self.poll_counted(cx, slices, |inner, cx| {
            inner.poll_write_vectored(cx, buffers)
        })
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.is_aborted() {
            return Poll::Ready(Err(aborted()));
        }
        ready!(self.poll_head(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.writer.register(cx.waker());
        if self.line.is_aborted() {
            return Poll::Ready(Err(aborted()));
        }
        self.head.release();
        ready!(self.poll_head(cx))?;
        ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        if self.line.link.get().is_some() {
            return Poll::Ready(Ok(()));
        }
        let lingering = self
            .lingering
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER_MAX)));
        if lingering.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.poll_discard(cx, LINGER_BYTES_MAX)
    }
}
