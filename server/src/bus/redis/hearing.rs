//! Heartbeats on the state channel: who is heard there, and whether this node hears itself.
//!
//! A subscription can fall silent while its connection lives on; only one's own voice tells.
//! Nothing here waits: heartbeats are noted as they come in, however much other work is queued.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::codec::Codec;
use super::session::End;
use super::status::BusStatus;

/// How often each node is to be heard.
const BEAT: Duration = Duration::from_secs(1);

/// How long a node that is not heard counts as being there, and this one as hearing.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Nodes that are told apart. More are not counted.
const NODES_MAX: usize = 1_024;

/// Who was heard when.
#[derive(Debug)]
pub(super) struct Hearing(Mutex<Heard>);

#[derive(Debug)]
struct Heard {
    own: u64,
    nodes: BTreeMap<u64, Instant>,
    /// The latest own heartbeat, and when it was sent.
    sent: Option<(u64, Instant)>,
    heard_own: Instant,
}

impl Hearing {
    /// Of the node `own`.
    pub(super) fn new(own: u64) -> Self {
        Self(Mutex::new(Heard {
            own,
            nodes: BTreeMap::new(),
            sent: None,
            heard_own: Instant::now(),
        }))
    }

    /// Notes a heartbeat; tells how long it was under way if it is this node's latest.
    pub(super) fn heard(&self, node: u64, number: u64) -> Option<Duration> {
        let now = Instant::now();
        let mut heard = self.lock();
        if heard.nodes.len() < NODES_MAX || heard.nodes.contains_key(&node) {
            heard.nodes.insert(node, now);
        }
        if node != heard.own {
            return None;
        }
        let (_, sent) = heard.sent.filter(|(sent, _)| *sent == number)?;
        heard.heard_own = now;
        Some(now - sent)
    }

    /// From here on this node is to be heard.
    fn begin(&self) {
        self.lock().heard_own = Instant::now();
    }

    fn sent(&self, number: u64) {
        self.lock().sent = Some((number, Instant::now()));
    }

    /// Whether this node has heard itself lately.
    fn hears_itself(&self) -> bool {
        self.lock().heard_own.elapsed() < SILENCE_MAX
    }

    /// How many nodes were heard lately.
    fn nodes(&self) -> usize {
        let mut heard = self.lock();
        heard.nodes.retain(|_, at| at.elapsed() < SILENCE_MAX);
        heard.nodes.len()
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends heartbeats, each of which Redis has to answer in time, and ends when it does not or when
/// none of them comes back.
pub(super) async fn beat(
    connection: &MultiplexedConnection,
    codec: &Codec,
    hearing: &Hearing,
    answer_max: Duration,
    status: &BusStatus,
) -> Result<Infallible, End> {
    hearing.begin();
    let mut connection = connection.clone();
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1_u64.. {
        ticks.tick().await;
        let heartbeat = codec.heartbeat(number);
        hearing.sent(number);
        // Whatever it answers, it answers.
        match timeout(answer_max, connection.send_packed_command(&heartbeat)).await {
            Ok(answered) => drop(answered.map_err(End::Redis)?),
            Err(_) => return Err(End::Silent),
        }
        if !hearing.hears_itself() {
            return Err(End::Unheard);
        }
        status
            .nodes
            .set(i64::try_from(hearing.nodes()).unwrap_or(i64::MAX));
    }
    Err(End::Unheard)
}
