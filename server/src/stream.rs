//! The accepted stream: our own wrapper, because nothing above it tells what has been written, and
//! nothing above it can close one connection without a Socket.IO DISCONNECT.
//!
//! Once the stream carries a websocket, the wrapper counts what is written to it ([`Frames`]), and writes
//! what waits in the session's own queue ([`crate::queue`]) between the frames that come from above. It closes
//! a stream that takes nothing for as long as a heartbeat may take: what is above waits in a write
//! then, and does not notice that the client is gone. And it reads no more from a client that does not
//! read, so that a client cannot have answers pile up. It never changes a byte of what it is given.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tradewire_engine::input::TransportFault;

use crate::frames::Frames;
use crate::link::Link;
use crate::queue::Queued;

mod head;
mod queued;

use head::Head;

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
    head: Head,
    /// Frames of the session's queue that are being written, and how much of the first has been.
    queued: VecDeque<Queued>,
    queued_written: usize,
    discarded: usize,
    stall_max: Duration,
    /// Set while a write waits: when it will have waited too long.
    stalled: Option<Pin<Box<Sleep>>>,
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
const LINGER_MAX: Duration = Duration::from_secs(1);

impl<S> Drop for Tracked<S> {
    /// A session that began as a websocket ends with it. socketioxide would tell much later of one
    /// that did not send CONNECT.
    fn drop(&mut self) {
        if let Some(link) = self.line.link.get()
            && link.sid().is_none()
        {
            link.gone();
        }
    }
}

impl<S> Tracked<S> {
    /// Wraps a stream that is closed when a write to it waits longer than `stall_max`.
    pub(crate) fn new(inner: S, stall_max: Duration) -> Self {
        Self {
            inner,
            line: Arc::default(),
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

impl<S: AsyncWrite + Unpin> Tracked<S> {
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
    fn goes_on(&mut self) {
        if self.stalled.take().is_some() {
            self.line.reader.wake();
        }
        self.read_while_stalled = 0;
    }
}

impl<S> Tracked<S> {
    /// A write waits: ends the line if it has for too long.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
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
        buffers: &[IoSlice<'_>],
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
        ready!(self.poll_head(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_finished_stream_delivers_what_was_written_and_ends_when_the_other_end_does() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (near, mut far) = tokio::io::duplex(64);
        let mut tracked = Tracked::new(near, Duration::from_secs(25));
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

    #[tokio::test(start_paused = true)]
    async fn an_answered_client_may_finish_its_request_and_is_not_waited_for_long() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (near, mut far) = tokio::io::duplex(64);
        let mut tracked = Tracked::new(near, Duration::from_secs(25));
        let begin = tokio::time::Instant::now();
        let ending = tokio::spawn(async move {
            tracked.write_all(b"too large").await.unwrap();
            tracked.shutdown().await.unwrap();
        });
        // More than fits into the pipe, so that it is only taken if someone reads.
        far.write_all(&[1; 100_000]).await.unwrap();
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "too large");
        ending.await.unwrap();
        assert_eq!(begin.elapsed(), LINGER_MAX);
    }

    #[tokio::test]
    async fn an_aborted_stream_ends_for_whoever_waits_on_it() {
        use tokio::io::AsyncReadExt as _;
        let (near, _far) = tokio::io::duplex(8);
        let mut tracked = Tracked::new(near, Duration::from_secs(25));
        let line = Arc::clone(tracked.line());
        let reading = tokio::spawn(async move { tracked.read_u8().await });
        tokio::task::yield_now().await;
        line.abort();
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_takes_nothing_is_ended_and_one_that_takes_a_little_is_not() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (near, mut far) = tokio::io::duplex(8);
        let mut tracked = Tracked::new(near, Duration::from_secs(25));
        let writing = tokio::spawn(async move { tracked.write_all(&[7; 24]).await });
        let mut taken = [0; 8];
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(24)).await;
            far.read_exact(&mut taken).await.unwrap();
        }
        writing.await.unwrap().unwrap();

        let (near, _far) = tokio::io::duplex(8);
        let mut tracked = Tracked::new(near, Duration::from_secs(25));
        let begin = tokio::time::Instant::now();
        let error = tracked.write_all(&[7; 24]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(begin.elapsed(), Duration::from_secs(25));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_not_read_for_long() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (near, far) = tokio::io::duplex(1024);
        let tracked = Tracked::new(near, Duration::from_secs(25));
        let (mut reader, mut writer) = tokio::io::split(tracked);
        let (mut far_reader, mut far_writer) = tokio::io::split(far);
        let writing = tokio::spawn(async move { writer.write_all(&[1; 2048]).await });
        let sending = tokio::spawn(async move { far_writer.write_all(&[2; 200_000]).await });
        let reading = tokio::spawn(async move {
            let mut read = vec![0; 200_000];
            reader.read_exact(&mut read).await
        });
        // Whatever can move has moved when nothing is left to do but wait for the far end.
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        assert!(!writing.is_finished() && !sending.is_finished() && !reading.is_finished());
        let mut heard = vec![0; 2048];
        far_reader.read_exact(&mut heard).await.unwrap();
        writing.await.unwrap().unwrap();
        reading.await.unwrap().unwrap();
        sending.await.unwrap().unwrap();
    }
}
