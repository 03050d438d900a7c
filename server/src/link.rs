//! One Engine.IO session as the driver sees it: how much is pending to it, and a way to close it.
//!
//! socketioxide tells neither how much a socket's buffer holds nor when it has drained. So pending is
//! what the driver handed over less what was seen leaving: in websocket frames, by the stream wrapper
//! ([`crate::stream`]), or in the bodies of polls ([`crate::gate`]).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use socketioxide_core::Sid;
use tokio::sync::{Notify, mpsc};
use tradewire_engine::ids::ConnId;
use tradewire_engine::input::{Pending, TransportFault};

use crate::queue::FrameQueue;
use crate::stream::Line;

/// What the driver must not miss. A connection has at most one of each under way (it sends `Room` only
/// when asked, and the others once, or once for each CONNECT): connections bound the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Nothing names the connection any more.
    Closed(ConnId),
    /// Its CONNECT is about to be answered: whoever has seen the answer gets all that is published from then on.
    Connected(ConnId),
    /// The answer is on its way to a session that polls, and packets may follow it.
    Answered(ConnId),
    /// Its transport cannot go on.
    Failed(ConnId, TransportFault),
    /// It left the namespace, or its transport ended.
    Disconnected(ConnId),
    /// Its outbox has emptied as far as was asked.
    Room(ConnId),
}

pub(crate) type Notices = mpsc::UnboundedSender<Notice>;

/// A session has one websocket at a time; while it upgrades, a client may try again.
const LINES_MAX: usize = 4;

/// A session's handle, shared by all who move its bytes.
#[derive(Debug)]
pub(crate) struct Link {
    conn: ConnId,
    notices: Notices,
    handed_bytes: AtomicU64,
    handed_packets: AtomicU64,
    written_bytes: AtomicU64,
    written_packets: AtomicU64,
    /// Tell the driver when pending has come down to `watch_at_most`.
    watching: AtomicBool,
    watch_at_most_bytes: AtomicU64,
    watch_at_most_packets: AtomicU32,
    written: Notify,
    closed: AtomicBool,
    gone: AtomicBool,
    failed: AtomicBool,
    /// Bytes that a polling client has posted, less the answers that it took away since.
    posted: AtomicU64,
    sid: Mutex<Option<Sid>>,
    lines: Mutex<Vec<Weak<Line>>>,
    queue: FrameQueue,
}

impl Link {
    pub(crate) fn new(conn: ConnId, notices: Notices) -> Self {
        Self {
            conn,
            notices,
            handed_bytes: AtomicU64::new(0),
            handed_packets: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            written_packets: AtomicU64::new(0),
            watching: AtomicBool::new(false),
            watch_at_most_bytes: AtomicU64::new(0),
            watch_at_most_packets: AtomicU32::new(0),
            written: Notify::new(),
            closed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            posted: AtomicU64::new(0),
            sid: Mutex::new(None),
            lines: Mutex::default(),
            queue: FrameQueue::default(),
        }
    }

    pub(crate) fn conn(&self) -> ConnId {
        self.conn
    }

    /// What goes to its websocket past socketioxide.
    pub(crate) fn queue(&self) -> &FrameQueue {
        &self.queue
    }

    /// Counts a packet of `bytes` as handed over; only the driver calls this.
    pub(crate) fn hand(&self, bytes: u64) {
        self.handed_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.handed_packets.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back a packet that could not be handed over after all.
    pub(crate) fn take_back(&self, bytes: u64) {
        self.handed_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.handed_packets.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts packets as written.
    pub(crate) fn wrote(&self, written: Pending) {
        self.written_bytes
            .fetch_add(written.bytes, Ordering::Relaxed);
        self.written_packets
            .fetch_add(u64::from(written.packets), Ordering::SeqCst);
        self.written.notify_waiters();
        self.tell_if_room();
    }

    /// What was handed over and not written yet.
    pub(crate) fn pending(&self) -> Pending {
        // Written first: what is handed over meanwhile can only make the answer too large.
        let (packets, bytes) = (
            self.written_packets.load(Ordering::SeqCst),
            self.written_bytes.load(Ordering::Relaxed),
        );
        Pending {
            bytes: self
                .handed_bytes
                .load(Ordering::Relaxed)
                .saturating_sub(bytes),
            packets: u32::try_from(
                self.handed_packets
                    .load(Ordering::Relaxed)
                    .saturating_sub(packets),
            )
            .unwrap_or(u32::MAX),
        }
    }

    /// Has the driver told, once, when pending has come down to `at_most`.
    pub(crate) fn watch(&self, at_most: Pending) {
        self.watch_at_most_bytes
            .store(at_most.bytes, Ordering::Relaxed);
        self.watch_at_most_packets
            .store(at_most.packets, Ordering::Relaxed);
        self.watching.store(true, Ordering::SeqCst);
        // It may have come down in between.
        self.tell_if_room();
    }

    /// What is pending, if it is still as little as was asked for; else goes on watching. The driver
    /// may have handed over more after it was told.
    pub(crate) fn room(&self) -> Option<Pending> {
        let pending = self.pending();
        if self.is_room(pending) {
            return Some(pending);
        }
        self.watching.store(true, Ordering::SeqCst);
        self.tell_if_room();
        None
    }

    fn is_room(&self, pending: Pending) -> bool {
        pending.bytes <= self.watch_at_most_bytes.load(Ordering::Relaxed)
            && pending.packets <= self.watch_at_most_packets.load(Ordering::Relaxed)
    }

    fn tell_if_room(&self) {
        if self.watching.load(Ordering::SeqCst)
            && self.is_room(self.pending())
            && self.watching.swap(false, Ordering::SeqCst)
        {
            // The driver is gone only when the server is.
            let _ = self.notices.send(Notice::Room(self.conn));
        }
    }

    /// Waits until nothing is pending, at most for `limit`.
    pub(crate) async fn flushed(&self, limit: Duration) {
        let flushed = async {
            loop {
                let written = self.written.notified();
                tokio::pin!(written);
                written.as_mut().enable();
                if self.pending().packets == 0 {
                    return;
                }
                written.await;
            }
        };
        // Past the limit the transport is closed with what is pending.
        let _ = tokio::time::timeout(limit, flushed).await;
    }

    pub(crate) fn notice(&self, notice: Notice) {
        let _ = self.notices.send(notice);
    }

    /// Tells the driver, the first time, that the connection is gone.
    pub(crate) fn gone(&self) {
        if !self.gone.swap(true, Ordering::SeqCst) {
            self.notice(Notice::Closed(self.conn));
        }
    }

    /// Tells the driver, the first time, that the transport cannot go on.
    pub(crate) fn fail(&self, fault: TransportFault) {
        if !self.failed.swap(true, Ordering::SeqCst) {
            self.notice(Notice::Failed(self.conn, fault));
        }
    }

    /// Counts bytes that a polling client posts, and tells for how many it has not taken answers away.
    pub(crate) fn post(&self, bytes: u64) -> u64 {
        self.posted
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes)
    }

    /// A poll took away `bytes` of answers that the driver did not hand over.
    pub(crate) fn took(&self, bytes: u64) {
        let took = |posted: u64| Some(posted.saturating_sub(bytes));
        // The closure always gives a value, so the update is made.
        let _ = self
            .posted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, took);
    }

    /// A poll found nothing to take away.
    pub(crate) fn found_empty(&self) {
        self.posted.store(0, Ordering::Relaxed);
    }

    /// The session's id, known of polling sessions once they are open.
    pub(crate) fn sid(&self) -> Option<Sid> {
        *self.sid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_sid(&self, sid: Sid) {
        *self.sid.lock().unwrap_or_else(PoisonError::into_inner) = Some(sid);
    }

    /// Names a stream that carries the session's websocket, or is about to.
    pub(crate) fn add_line(&self, line: &Arc<Line>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.strong_count() > 0);
        if self.is_closed() || lines.len() >= LINES_MAX {
            line.abort();
        } else {
            lines.push(Arc::downgrade(line));
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends the session's websocket in good order, and tells whether it has one; [`Self::abort`] must
    /// follow.
    pub(crate) fn finish(&self) -> bool {
        self.closed.store(true, Ordering::SeqCst);
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        for line in lines.iter().filter_map(Weak::upgrade) {
            line.finish();
            any = true;
        }
        any
    }

    /// Ends the session's websocket, or any that it may yet get.
    pub(crate) fn abort(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|line| line.abort());
    }
}

/// Tells the driver, when dropped, that the connection is gone. It travels with the handshake's
/// request, which socketioxide keeps as long as the session lives, or might have lived.
#[derive(Debug)]
pub(crate) struct Presence(pub(crate) Arc<Link>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.gone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> (Link, mpsc::UnboundedReceiver<Notice>) {
        let (notices, told) = mpsc::unbounded_channel();
        (Link::new(ConnId::new(0, 0), notices), told)
    }

    #[test]
    fn pending_is_what_was_handed_less_what_was_written() {
        let (link, _told) = link();
        link.hand(100);
        link.hand(50);
        link.wrote(Pending {
            bytes: 100,
            packets: 1,
        });
        assert_eq!(
            link.pending(),
            Pending {
                bytes: 50,
                packets: 1
            }
        );
        link.take_back(50);
        assert_eq!(link.pending(), Pending::default());
    }

    #[test]
    fn room_is_told_once_for_each_time_it_is_asked_for() {
        let (link, mut told) = link();
        link.hand(100);
        link.hand(100);
        link.watch(Pending {
            bytes: 100,
            packets: 1,
        });
        assert!(told.try_recv().is_err());
        link.wrote(Pending {
            bytes: 100,
            packets: 1,
        });
        assert_eq!(told.try_recv(), Ok(Notice::Room(link.conn())));
        link.wrote(Pending {
            bytes: 100,
            packets: 1,
        });
        assert!(told.try_recv().is_err());
        link.watch(Pending {
            bytes: 0,
            packets: 0,
        });
        assert_eq!(told.try_recv(), Ok(Notice::Room(link.conn())));
    }

    #[test]
    fn room_that_was_taken_again_is_watched_for_again() {
        let (link, mut told) = link();
        let one = Pending {
            bytes: 100,
            packets: 1,
        };
        link.hand(100);
        link.watch(one);
        assert_eq!(told.try_recv(), Ok(Notice::Room(link.conn())));
        link.hand(100);
        assert_eq!(link.room(), None);
        assert!(told.try_recv().is_err());
        link.wrote(one);
        assert_eq!(told.try_recv(), Ok(Notice::Room(link.conn())));
        assert_eq!(link.room(), Some(one));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_waits_for_the_last_packet_and_not_beyond_its_limit() {
        let (link, _told) = link();
        let link = Arc::new(link);
        link.hand(10);
        let begin = tokio::time::Instant::now();
        link.flushed(Duration::from_secs(3)).await;
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
        let waiting = tokio::spawn({
            let link = Arc::clone(&link);
            async move { link.flushed(Duration::from_secs(3600)).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        link.wrote(Pending {
            bytes: 10,
            packets: 1,
        });
        waiting.await.unwrap();
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
    }
}
