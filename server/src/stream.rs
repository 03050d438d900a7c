//! The accepted stream: our own wrapper, because nothing above it tells what has been written, and
//! nothing above it can close one connection without a Socket.IO DISCONNECT.
//!
//! Once the stream carries a websocket, the wrapper counts what is written to it ([`Frames`]), and writes
//! what waits in the session's own queue ([`crate::queue`]) between the frames that come from above. It closes
//! a stream that takes nothing for as long as a heartbeat may take: what is above waits in a write
//! then, and does not notice that the client is gone. And it reads no more from a client that does not
//! read, so that a client cannot have answers pile up. It never changes a byte of what it is given.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::link::Link;
use crate::queue::WriteNow;

mod core;
mod head;
mod queued;

use self::core::Core;

/// What is shared between a stream and those who look after it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    aborted: AtomicBool,
    finishing: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
    link: OnceLock<Arc<Link>>,
    /// The stream itself, for the driver to write to.
    stream: OnceLock<Weak<dyn WriteNow>>,
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
            if let Some(stream) = self.stream.get() {
                link.queue().write_to(Weak::clone(stream));
            }
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
    line: Arc<Line>,
    core: Arc<Mutex<Core<S>>>,
}

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

impl<S: AsyncWrite + Unpin + Send + 'static> Tracked<S> {
    /// Wraps a stream that is closed when a write to it waits longer than `stall_max`.
    pub(crate) fn new(inner: S, stall_max: Duration) -> Self {
        let line = Arc::new(Line::default());
        let core = Core::new(inner, Arc::clone(&line), stall_max);
        let core = Arc::new(Mutex::new(core));
        let stream: Arc<dyn WriteNow> = Arc::clone(&core) as _;
        // Nobody else has the line yet.
        let _ = line.stream.set(Arc::downgrade(&stream));
        Self { line, core }
    }
}

impl<S> Tracked<S> {
    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    fn core(&self) -> MutexGuard<'_, Core<S>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.core().poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tracked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.core().poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.core().poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.core().inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.core().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.core().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::core::LINGER_MAX;
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
