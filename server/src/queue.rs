//! Frames on their way to one websocket that are not socketioxide's: those of the driver's events and
//! answers, each encoded once for all who get it.
//!
//! socketioxide copies a packet twice for every recipient and wakes a task for each. So what the driver
//! hands over goes around it: into this queue, from which the stream wrapper ([`crate::stream`]) writes
//! between the frames that come from above. A frame never goes before the CONNECT answer that it
//! follows, and nothing that socketioxide is told to send later overtakes it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use tradewire_engine::input::Pending;

/// A queue that has emptied keeps room for so many frames.
const SPARE_FRAMES: usize = 16;

/// RFC 6455 §5.2: a whole text frame, as a server sends it.
const WHOLE_TEXT: u8 = 0x81;

/// A text frame, encoded once and shared by all who get it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    bytes: Arc<[u8]>,
    payload: u64,
}

impl Frame {
    /// Puts an Engine.IO packet into a frame; `parts` are its text.
    pub(crate) fn new(parts: &[&str]) -> Self {
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        let (short, long, huge);
        let head: [&[u8]; 2] = match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(length @ 0..=125), _) => {
                short = [WHOLE_TEXT, length];
                [&short, &[]]
            }
            (_, Ok(length)) => {
                long = length.to_be_bytes();
                [&[WHOLE_TEXT, 126], &long]
            }
            (_, Err(_)) => {
                huge = (payload as u64).to_be_bytes();
                [&[WHOLE_TEXT, 127], &huge]
            }
        };
        let pieces = || {
            head.into_iter()
                .chain(parts.iter().map(|part| part.as_bytes()))
        };
        let length = pieces().map(<[u8]>::len).sum();
        // One allocation: made whole, and then filled.
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
        let mut room = Arc::get_mut(&mut bytes).unwrap_or_default();
        for piece in pieces() {
            if let Some(place) = room.split_off_mut(..piece.len()) {
                place.copy_from_slice(piece);
            }
        }
        Self {
            bytes,
            payload: payload as u64,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it counts for, as pending and as written.
    pub(crate) fn counts(&self) -> Pending {
        Pending {
            bytes: self.payload,
            packets: 1,
        }
    }
}

/// A frame, and how many CONNECT answers go before it.
pub(crate) type Queued = (Frame, u32);

/// A stream that what waits in its queue can be written to from outside its task.
pub(crate) trait WriteNow: Send + Sync {
    /// Writes what may go now; false if its task has to see to it.
    fn write_now(&self) -> bool;
}

/// What waits for one websocket.
#[derive(Debug, Default)]
pub(crate) struct FrameQueue {
    open: AtomicBool,
    frames: Mutex<VecDeque<Queued>>,
    reader: AtomicWaker,
    stream: OnceLock<Weak<dyn WriteNow>>,
}

impl FrameQueue {
    /// From now on frames are taken: a websocket carries the session from its beginning to its end.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Adds a frame that follows `connects` CONNECT answers. It is written after [`Self::wake`] or
    /// [`Self::write`].
    pub(crate) fn push(&self, frame: Frame, connects: u32) {
        self.frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back((frame, connects));
    }

    /// Names who writes what is in the queue once it is woken.
    pub(crate) fn register(&self, waker: &Waker) {
        self.reader.register(waker);
    }

    /// Has what is in the queue written by the stream's task, if it may go now.
    pub(crate) fn wake(&self) {
        self.reader.wake();
    }

    /// Names the stream that carries the websocket.
    pub(crate) fn write_to(&self, stream: Weak<dyn WriteNow>) {
        // A session whose queue is open has one websocket in its life.
        let _ = self.stream.set(stream);
    }

    /// Writes what is in the queue, if it may go now; if it would have to wait, has its task do it.
    pub(crate) fn write(&self) {
        let stream = self.stream.get().and_then(Weak::upgrade);
        if !stream.is_some_and(|stream| stream.write_now()) {
            self.wake();
        }
    }

    /// Moves the frames that may go after `connects` CONNECT answers to the end of `taken`.
    pub(crate) fn take(&self, connects: u32, taken: &mut VecDeque<Queued>) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.is_empty() && frames.back().is_some_and(|(_, after)| *after <= connects) {
            std::mem::swap(&mut *frames, taken);
        } else {
            while frames.front().is_some_and(|(_, after)| *after <= connects) {
                taken.extend(frames.pop_front());
            }
        }
        for emptied in [&mut *frames, taken] {
            if emptied.is_empty() && emptied.capacity() > SPARE_FRAMES {
                emptied.shrink_to(SPARE_FRAMES);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(texts: &VecDeque<Queued>) -> Vec<&[u8]> {
        texts
            .iter()
            .map(|(frame, _)| frame.bytes().split_at(2).1)
            .collect()
    }

    #[test]
    fn a_frame_says_how_long_it_is() {
        for (length, head) in [
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 255, 255]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let text = "x".repeat(length - 2);
            let frame = Frame::new(&["42", &text]);
            let expected = [head, b"42".to_vec(), text.into_bytes()].concat();
            assert_eq!(frame.bytes(), expected);
            assert_eq!(frame.counts().bytes, length as u64);
        }
    }

    #[test]
    fn a_frame_waits_for_the_connect_answer_before_it() {
        let queue = FrameQueue::default();
        queue.push(Frame::new(&["a"]), 1);
        queue.push(Frame::new(&["b"]), 2);
        queue.push(Frame::new(&["c"]), 2);
        let mut taken = VecDeque::new();
        queue.take(0, &mut taken);
        assert!(taken.is_empty());
        queue.take(1, &mut taken);
        assert_eq!(queued(&taken), [b"a"]);
        queue.take(2, &mut taken);
        assert_eq!(queued(&taken), [b"a", b"b", b"c"]);
    }

    #[test]
    fn a_queue_that_was_long_gives_its_memory_back() {
        let queue = FrameQueue::default();
        for _ in 0..1_000 {
            queue.push(Frame::new(&["a"]), 0);
        }
        let mut taken = VecDeque::new();
        queue.take(0, &mut taken);
        assert_eq!(taken.len(), 1_000);
        taken.clear();
        queue.take(0, &mut taken);
        assert!(queue.frames.lock().unwrap().capacity() <= SPARE_FRAMES);
        assert!(taken.capacity() <= SPARE_FRAMES);
    }
}
