//! Writes the frames of a session's own queue, where no other frame is under way: on the connection's task, or
//! at once on the driver's, which spares a wake-up and the way through engineioxide.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use tokio::io::AsyncWrite;
use tokio::task::coop::unconstrained;
use tradewire_engine::input::Pending;

use super::core::Core;
use crate::queue::WriteNow;

/// How many frames are written at once.
const SLICES_MAX: usize = 64;

impl<S: AsyncWrite + Unpin + Send> WriteNow for Mutex<Core<S>> {
    fn write_now(&self) -> bool {
        // Whoever holds it is at it on another thread.
        self.try_lock().is_ok_and(|mut core| core.write_now())
    }
}

impl<S: AsyncWrite + Unpin> Core<S> {
    /// Writes what waits in the session's queue; false if there is more to it than a write, or it would
    /// have to wait, which is the task's to do.
    fn write_now(&mut self) -> bool {
        let Some(link) = self.line.link.get().map(Arc::clone) else {
            return false;
        };
        let between = self.head.is_empty() && self.frames.is_between();
        if !between || self.stalled.is_some() || !self.line.takes_writes() {
            return false;
        }
        loop {
            link.queue().take(self.frames.connects, &mut self.queued);
            if self.queued.is_empty() {
                return true;
            }
            // The driver's share of tokio's budget is for its own queues, and nobody is to be woken here.
            let write = unconstrained(poll_fn(|cx| self.poll_write_queued(cx)));
            match write.now_or_never() {
                Some(Ok(taken @ 1..)) => link.wrote(self.count_queued(taken)),
                Some(Ok(0) | Err(_)) | None => return false,
            }
        }
    }

    /// Writes what waits in the session's queue, unless another frame is under way.
    pub(super) fn poll_queued(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(link) = self.line.link.get().map(Arc::clone) else {
            return Poll::Ready(Ok(()));
        };
        if !self.frames.is_between() {
            return Poll::Ready(Ok(()));
        }
        loop {
            link.queue().take(self.frames.connects, &mut self.queued);
            if self.queued.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let Poll::Ready(taken) = self.poll_write_queued(cx) else {
                return self.poll_stalled(cx).map_ok(|_| ());
            };
            let taken = taken?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.goes_on();
            // A stream remembers one waiting writer: whoever waited before this write did goes on.
            self.line.writer.wake();
            link.wrote(self.count_queued(taken));
        }
    }

    fn poll_write_queued(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let inner = Pin::new(&mut self.inner);
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut used = 0;
        let mut skip = self.queued_written;
        for (slice, (frame, _)) in slices.iter_mut().zip(&self.queued) {
            let bytes = frame.bytes().get(skip..).unwrap_or_default();
            *slice = IoSlice::new(bytes);
            used += 1;
            skip = 0;
        }
        match slices.get(..used).unwrap_or_default() {
            [one] => inner.poll_write(cx, one),
            several => inner.poll_write_vectored(cx, several),
        }
    }

    /// Takes off the queue what has been written whole, and counts it.
    fn count_queued(&mut self, taken: usize) -> Pending {
        let mut written = Pending::default();
        self.queued_written += taken;
        while let Some((frame, _)) = self.queued.front()
            && self.queued_written >= frame.bytes().len()
        {
            self.queued_written -= frame.bytes().len();
            let counts = frame.counts();
            written.bytes += counts.bytes;
            written.packets += counts.packets;
            self.queued.pop_front();
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::sync::mpsc;
    use tradewire_engine::ids::ConnId;

    use super::super::Tracked;
    use super::*;
    use crate::link::Link;
    use crate::queue::Frame;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
    const CONNECTED: &[u8] = b"\x81\x0240";
    const PING: &[u8] = b"\x81\x012";

    /// A stream that carries a websocket, what is behind it, and its other end.
    async fn rig(room: usize) -> (Tracked<DuplexStream>, Arc<Link>, DuplexStream) {
        let (near, mut far) = tokio::io::duplex(room);
        let (notices, _) = mpsc::unbounded_channel();
        let link = Arc::new(Link::new(ConnId::new(0, 0), notices));
        let mut tracked = Tracked::new(near, Duration::from_secs(25));
        link.queue().open();
        tracked.line().carry(&link);
        tracked.write_all(HEAD).await.unwrap();
        let mut head = [0; HEAD.len()];
        tokio::select! {
            biased;
            _ = tracked.read_u8() => unreachable!("nothing was sent"),
            came = far.read_exact(&mut head) => came.unwrap(),
        };
        (tracked, link, far)
    }

    fn push(link: &Link, text: &str, connects: u32) {
        leave(link, text, connects);
        link.queue().wake();
    }

    /// Leaves a frame in the queue.
    fn leave(link: &Link, text: &str, connects: u32) {
        let frame = Frame::new(&[text]);
        link.hand(frame.counts().bytes);
        link.queue().push(frame, connects);
    }

    async fn heard(far: &mut DuplexStream, bytes: usize) -> Vec<u8> {
        let mut heard = vec![0; bytes];
        far.read_exact(&mut heard).await.unwrap();
        heard
    }

    #[tokio::test]
    async fn a_frame_is_written_by_whoever_waits_to_read() {
        let (mut tracked, link, mut far) = rig(1024).await;
        tracked.write_all(CONNECTED).await.unwrap();
        let reading = tokio::spawn(async move { tracked.read_u8().await });
        tokio::task::yield_now().await;
        push(&link, "42a", 1);
        push(&link, "42b", 1);
        let expected = [CONNECTED, b"\x81\x0342a\x81\x0342b"].concat();
        assert_eq!(heard(&mut far, expected.len()).await, expected);
        link.flushed(Duration::from_secs(3)).await;
        assert_eq!(link.pending(), Pending::default());
        drop(far);
        assert!(reading.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn the_driver_writes_what_fits_and_leaves_the_rest_to_the_task() {
        let (mut tracked, link, mut far) = rig(12).await;
        leave(&link, "42a", 1);
        link.queue().write();
        assert_eq!(link.pending().packets, 1, "its CONNECT answer goes first");
        tracked.write_all(CONNECTED).await.unwrap();
        link.queue().write();
        assert_eq!(link.pending(), Pending::default());
        // Three bytes fit, and two and then the rest are left to whoever reads.
        leave(&link, "42b", 1);
        leave(&link, "42c", 1);
        link.queue().write();
        assert_eq!(link.pending().packets, 2);
        let reading = tokio::spawn(async move { tracked.read_u8().await });
        let expected = [CONNECTED, b"\x81\x0342a\x81\x0342b\x81\x0342c"].concat();
        assert_eq!(heard(&mut far, expected.len()).await, expected);
        link.flushed(Duration::from_secs(3)).await;
        assert_eq!(link.pending(), Pending::default());
        drop(far);
        assert!(reading.await.unwrap().is_err());
        leave(&link, "42d", 1);
        link.queue().write();
        assert_eq!(link.pending().packets, 1, "nobody is there any more");
    }

    #[tokio::test]
    async fn the_driver_writes_into_no_frame_that_is_under_way() {
        let (mut tracked, link, mut far) = rig(1024).await;
        let (begun, rest) = CONNECTED.split_at(1);
        tracked.write_all(begun).await.unwrap();
        leave(&link, "42a", 0);
        link.queue().write();
        tracked.write_all(rest).await.unwrap();
        link.queue().write();
        let expected = [CONNECTED, b"\x81\x0342a"].concat();
        assert_eq!(heard(&mut far, expected.len()).await, expected);
    }

    #[tokio::test]
    async fn the_driver_writes_to_no_stream_that_is_to_end() {
        let (tracked, link, mut far) = rig(1024).await;
        tracked.line().finish();
        leave(&link, "42a", 0);
        link.queue().write();
        drop(tracked);
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"");
    }

    #[tokio::test]
    async fn a_frame_waits_for_its_connect_answer_and_goes_before_what_follows() {
        let (mut tracked, link, mut far) = rig(1024).await;
        push(&link, "42a", 1);
        push(&link, "42b", 2);
        tracked.write_all(PING).await.unwrap();
        tracked.write_all(CONNECTED).await.unwrap();
        tracked.write_all(CONNECTED).await.unwrap();
        tracked.write_all(PING).await.unwrap();
        let expected = [
            PING,
            CONNECTED,
            b"\x81\x0342a",
            CONNECTED,
            b"\x81\x0342b",
            PING,
        ]
        .concat();
        assert_eq!(heard(&mut far, expected.len()).await, expected);
    }

    #[tokio::test]
    async fn frames_are_never_cut_by_others_however_little_fits() {
        let (mut tracked, link, mut far) = rig(7).await;
        let hearing = tokio::spawn(async move {
            let mut heard = Vec::new();
            far.read_to_end(&mut heard).await.unwrap();
            heard
        });
        tracked.write_all(CONNECTED).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(tracked);
        let reading = tokio::spawn(async move { reader.read_u8().await });
        let mut expected = 0;
        for n in 0..100 {
            let text = format!("42{}", "x".repeat(n));
            match n % 2 {
                0 => push(&link, &text, 1),
                _ => {
                    leave(&link, &text, 1);
                    link.queue().write();
                }
            }
            expected += text.len() + 2;
            writer.write_all(PING).await.unwrap();
        }
        link.flushed(Duration::from_secs(30)).await;
        assert_eq!(link.pending(), Pending::default());
        writer.shutdown().await.unwrap();
        reading.abort();
        let _ = reading.await;
        drop(writer);
        let heard = hearing.await.unwrap();
        assert_eq!(heard.len(), CONNECTED.len() + expected + 100 * PING.len());
        let mut rest = &heard[CONNECTED.len()..];
        let mut next = 0;
        while let [0x81, length, after @ ..] = rest {
            let (payload, after) = after.split_at(usize::from(*length));
            if payload != b"2" {
                assert_eq!(payload.len(), next + 2, "event {next}");
                next += 1;
            }
            rest = after;
        }
        assert!(rest.is_empty(), "a frame was cut");
        assert_eq!(next, 100);
    }
}
