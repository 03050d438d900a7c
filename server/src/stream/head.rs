//! Keeps the head of a websocket's HTTP 101 back until the first frame follows, so that both leave in one
//! write: a client gets nothing from the head alone, and a system call and a wake-up of the client are a
//! tenth of what a connect costs.
//!
//! What is kept back goes out at the latest when someone waits to read, since then nobody is about to write:
//! after an upgrade from polling it is the client that speaks first. It must never keep a frame back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// The most that is kept back, in bytes; a 101 and an OPEN packet are about 300.
const HEAD_MAX: usize = 1024;

/// What is kept back of a stream.
#[derive(Debug, Default)]
pub(super) struct Head {
    bytes: Vec<u8>,
    /// How much of it has been written.
    written: usize,
    /// Set while only the head is there, and no frame.
    waits: bool,
}

impl Head {
    /// Takes `buffers` whole, if they are a head or what follows one directly, and little.
    ///
    /// The bytes are on their way then: [`Head::poll_write`] writes them, unless they wait for a frame.
    pub(super) fn take<'b>(
        &mut self,
        buffers: impl Iterator<Item = &'b [u8]> + Clone,
        begins: bool,
    ) -> Option<usize> {
        if !begins && !self.waits {
            return None;
        }
        let length = buffers.clone().map(<[u8]>::len).sum::<usize>();
        if self.bytes.len() + length > HEAD_MAX {
            return None;
        }
        self.waits = begins;
        self.bytes.extend(buffers.flatten());
        Some(length)
    }

    /// Waits for a frame no longer.
    pub(super) fn release(&mut self) {
        self.waits = false;
    }

    /// Whether nothing is kept back at all.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether all that may go has gone.
    pub(super) fn is_clear(&self) -> bool {
        self.waits || self.bytes.is_empty()
    }

    /// Writes what may go.
    ///
    /// # Errors
    ///
    /// What the stream's write fails with.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        inner: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_clear() {
            let bytes = self.bytes.get(self.written..).unwrap_or_default();
            let taken = ready!(Pin::new(&mut *inner).poll_write(cx, bytes))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += taken;
            if self.written >= self.bytes.len() {
                // Nothing is kept of it: there is one head in a stream's life.
                *self = Self::default();
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::sync::mpsc;
    use tradewire_engine::ids::ConnId;

    use super::super::Tracked;
    use crate::link::Link;
    use crate::queue::Frame;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
    const OPEN: &[u8] = b"\x81\x030{}";

    fn rig(room: usize) -> (Tracked<DuplexStream>, DuplexStream) {
        let (near, far) = tokio::io::duplex(room);
        (Tracked::new(near, Duration::from_secs(25)), far)
    }

    /// Has the stream carry a websocket behind the next response.
    fn carries(tracked: &Tracked<DuplexStream>) -> Arc<Link> {
        let (notices, _) = mpsc::unbounded_channel();
        let link = Arc::new(Link::new(ConnId::new(0, 0), notices));
        tracked.line().carry(&link);
        link
    }

    fn heard(far: &mut DuplexStream) -> Vec<u8> {
        let mut heard = vec![0; 4096];
        let read = far.read(&mut heard).now_or_never();
        heard.truncate(read.map_or(0, Result::unwrap));
        heard
    }

    #[tokio::test]
    async fn a_head_leaves_with_the_first_frame() {
        let (mut tracked, mut far) = rig(4096);
        carries(&tracked);
        let (first, rest) = HEAD.split_at(10);
        tracked.write_all(first).await.unwrap();
        tracked.write_all(rest).await.unwrap();
        tracked.flush().await.unwrap();
        assert_eq!(heard(&mut far), b"");
        tracked.write_all(OPEN).await.unwrap();
        assert_eq!(heard(&mut far), [HEAD, OPEN].concat());
        tracked.write_all(OPEN).await.unwrap();
        assert_eq!(heard(&mut far), OPEN);
    }

    #[tokio::test]
    async fn a_head_waits_for_no_frame_once_the_client_is_to_speak() {
        let (mut tracked, mut far) = rig(4096);
        carries(&tracked);
        tracked.write_all(HEAD).await.unwrap();
        assert!(tracked.read_u8().now_or_never().is_none());
        assert_eq!(heard(&mut far), HEAD);
        far.write_all(b"2").await.unwrap();
        assert_eq!(tracked.read_u8().await.unwrap(), b'2');
        tracked.write_all(OPEN).await.unwrap();
        assert_eq!(heard(&mut far), OPEN);
    }

    #[tokio::test]
    async fn the_driver_writes_nothing_before_a_head() {
        let (mut tracked, mut far) = rig(4096);
        let link = carries(&tracked);
        tracked.write_all(HEAD).await.unwrap();
        link.queue().open();
        link.queue().push(Frame::new(&["41"]), 0);
        link.queue().write();
        assert_eq!(heard(&mut far), b"");
        tracked.write_all(OPEN).await.unwrap();
        link.queue().write();
        assert_eq!(heard(&mut far), [HEAD, OPEN, b"\x81\x0241"].concat());
    }

    #[tokio::test]
    async fn a_head_is_written_before_the_stream_ends() {
        let (mut tracked, mut far) = rig(4096);
        carries(&tracked);
        tracked.write_all(HEAD).await.unwrap();
        tracked.shutdown().await.unwrap();
        assert_eq!(heard(&mut far), HEAD);

        let (mut tracked, mut far) = rig(4096);
        carries(&tracked);
        tracked.write_all(HEAD).await.unwrap();
        tracked.line().finish();
        assert!(tracked.read_u8().now_or_never().is_none());
        assert_eq!(heard(&mut far), HEAD);
    }

    #[tokio::test]
    async fn a_head_and_its_frame_arrive_in_order_however_little_fits() {
        let (mut tracked, mut far) = rig(5);
        carries(&tracked);
        let writing = tokio::spawn(async move {
            tracked.write_all(HEAD).await.unwrap();
            tracked.write_all(OPEN).await.unwrap();
            tracked.flush().await.unwrap();
            tracked.write_all(OPEN).await.unwrap();
        });
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        writing.await.unwrap();
        assert_eq!(all, [HEAD, OPEN, OPEN].concat());
    }

    #[tokio::test]
    async fn a_response_that_begins_no_websocket_leaves_at_once() {
        let (mut tracked, mut far) = rig(4096);
        tracked.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        assert_eq!(heard(&mut far), b"HTTP/1.1 200 OK\r\n\r\n");
    }
}
