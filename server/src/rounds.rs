//! In which order, and how many at a time, connections write what waits in their queues.
//!
//! Waking all thousand recipients of an event at once would put a thousand tasks before whatever else
//! becomes ready: the next publish, an answer, a client that connects. tokio even sets half of them
//! aside when a worker has more than 256, so that some wait far longer than others. So connections wait
//! here, each once however many frames its queue holds, and are woken a slice at a time, or written to by
//! the driver itself where one thread runs all; in between everybody else gets a turn. When events come
//! faster than they can be written, a connection's queue meanwhile grows, and its frames go out in one
//! system call: the more there is to do, the less each delivery costs.

use std::collections::VecDeque;

use tradewire_engine::ids::ConnId;

/// How many connections are woken at a time. tokio lets the driver go on after 61 other tasks at the
/// latest, so that with fewer than that no more become ready than are run.
const SLICE: usize = 16;

/// How many frames may be pushed for one connection that is woken. A frame costs a fraction of a write,
/// so that events take the smaller part of the time, and a round through all connections is not put off
/// by them for long.
const PUSHES_FOR_A_WAKE: usize = 8;

/// Connections that are to write, in the order in which they were first pushed to.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    waiting: VecDeque<ConnId>,
    /// Frames pushed beyond what the connections woken since allow.
    owed: usize,
    /// Connections woken since the driver last let others run.
    woken: usize,
}

impl Rounds {
    /// A frame was pushed for a connection, which waits from now on unless it `waits` already.
    pub(crate) fn pushed(&mut self, conn: ConnId, waits: bool) {
        self.owed += 1;
        if !waits {
            self.waiting.push_back(conn);
        }
    }

    /// The next connection to wake, until a slice is full.
    pub(crate) fn next(&mut self) -> Option<ConnId> {
        if self.woken >= SLICE {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.woken += 1;
        self.owed = match self.waiting.is_empty() {
            true => 0,
            false => self.owed.saturating_sub(PUSHES_FOR_A_WAKE),
        };
        Some(next)
    }

    /// Whether those who were woken are to run before the driver goes on.
    pub(crate) fn is_full(&self) -> bool {
        self.woken >= SLICE
    }

    /// They did run.
    pub(crate) fn begin_slice(&mut self) {
        self.woken = 0;
    }

    /// Whether connections must write before more is pushed.
    pub(crate) fn is_behind(&self) -> bool {
        self.owed > 0 && !self.waiting.is_empty()
    }

    /// Whether no connection waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(rounds: &mut Rounds) -> Vec<u32> {
        rounds.begin_slice();
        std::iter::from_fn(|| rounds.next())
            .map(ConnId::slot)
            .collect()
    }

    fn push(rounds: &mut Rounds, conns: std::ops::Range<u32>, waits: bool) {
        for slot in conns {
            rounds.pushed(ConnId::new(slot, 0), waits);
        }
    }

    #[test]
    fn connections_are_woken_in_turn_a_slice_at_a_time() {
        let slots = SLICE as u32;
        let mut rounds = Rounds::default();
        push(&mut rounds, 0..slots + 2, false);
        assert_eq!(slice(&mut rounds), Vec::from_iter(0..slots));
        assert!(rounds.is_full());
        push(&mut rounds, 0..1, false);
        assert_eq!(slice(&mut rounds), [slots, slots + 1, 0]);
        assert!(rounds.is_empty() && !rounds.is_full());
    }

    #[test]
    fn whoever_has_been_pushed_much_writes_before_more_is_pushed() {
        let slots = 3 * SLICE as u32;
        let mut rounds = Rounds::default();
        push(&mut rounds, 0..slots, false);
        assert!(rounds.is_behind());
        slice(&mut rounds);
        assert!(!rounds.is_behind());
        for _ in 0..PUSHES_FOR_A_WAKE {
            push(&mut rounds, 0..slots, true);
        }
        slice(&mut rounds);
        assert!(rounds.is_behind());
        slice(&mut rounds);
        assert!(!rounds.is_behind() && rounds.is_empty());
    }
}
