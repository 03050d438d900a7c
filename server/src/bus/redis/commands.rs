//! Requests on their way to Redis and their answers on the way back.
//!
//! A request is answered once, in the order in which requests were made: by Redis, or as failed. Nothing
//! is kept to be tried again: who asked decides that.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tradewire_engine::Input;
use tradewire_engine::bus::BusRequest;
use tradewire_engine::input::BusOutcome;

use super::arrivals::Arrivals;
use super::codec::Codec;
use super::session::End;
use super::status::BusStatus;

/// Requests that go out together at most.
const BATCH_MAX: usize = 64;

/// Batches that wait for their answers at most; what comes then waits for the first of them.
const BATCHES_MAX: usize = 32;

/// How often it is told that Redis refuses requests.
const REFUSED_EVERY: Duration = Duration::from_secs(10);

/// The requests that are to be answered; outlives contacts.
#[derive(Debug)]
pub(super) struct Desk {
    waiting: mpsc::Receiver<BusRequest>,
    /// Sent, oldest first.
    asked: VecDeque<Asked>,
    /// When it was last told that Redis refuses requests.
    refused: Option<Instant>,
}

#[derive(Debug)]
struct Asked {
    request: BusRequest,
    at: Instant,
}

/// What came back for a batch: for each of its requests how many replies it gets, and the replies.
type Replied = (Vec<usize>, RedisResult<Vec<Value>>);

impl Desk {
    pub(super) fn new(waiting: mpsc::Receiver<BusRequest>) -> Self {
        Self {
            waiting,
            asked: VecDeque::new(),
            refused: None,
        }
    }

    /// Answers as failed whatever comes in, for as long as requests can come in.
    pub(super) async fn refuse(&mut self, arrivals: &Arrivals) {
        while let Some(request) = self.waiting.recv().await {
            if let Some(input) = Codec::failed(&request) {
                arrivals.send(input).await;
            }
        }
    }

    /// Answers as failed what was sent and not answered.
    pub(super) async fn give_up(&mut self, arrivals: &Arrivals) {
        while let Some(asked) = self.asked.pop_front() {
            if let Some(input) = Codec::failed(&asked.request) {
                arrivals.send(input).await;
            }
        }
    }

    /// Takes requests to Redis and answers them until that fails, or, after `stop`, until all that was
    /// there is answered.
    pub(super) async fn serve(
        &mut self,
        connection: &MultiplexedConnection,
        codec: &Codec,
        arrivals: &Arrivals,
        status: &BusStatus,
        stop: &CancellationToken,
    ) -> Result<Infallible, End> {
        let mut batch = Vec::new();
        let mut flying = FuturesOrdered::new();
        let mut closed = false;
        loop {
            if closed && flying.is_empty() {
                return Err(End::Stopped);
            }
            tokio::select! {
                biased;
                () = stop.cancelled(), if !self.waiting.is_closed() => self.waiting.close(),
                Some(replied) = flying.next() => {
                    self.answer(replied, codec, arrivals, status).await?;
                }
                taken = self.waiting.recv_many(&mut batch, BATCH_MAX),
                    if !closed && flying.len() < BATCHES_MAX =>
                {
                    closed = taken == 0;
                    if let Some(asking) = self.ask(&mut batch, connection, codec) {
                        // They start in this order, and the connection's queue keeps it.
                        flying.push_back(asking);
                    }
                }
                else => return Err(End::Stopped),
            }
        }
    }

    /// The exchange that `batch` takes, if it is not empty.
    fn ask(
        &mut self,
        batch: &mut Vec<BusRequest>,
        connection: &MultiplexedConnection,
        codec: &Codec,
    ) -> Option<impl Future<Output = Replied> + use<>> {
        if batch.is_empty() {
            return None;
        }
        let at = Instant::now();
        let mut pipeline = redis::Pipeline::new();
        let mut counts = Vec::with_capacity(batch.len());
        for request in batch.drain(..) {
            counts.push(codec.commands(&request, &mut pipeline));
            self.asked.push_back(Asked { request, at });
        }
        let mut connection = connection.clone();
        Some(async move {
            let count = pipeline.len();
            let replies = if count == 0 {
                Ok(Vec::new())
            } else {
                // A failed command is one of the values here, not an error of the whole.
                connection.send_packed_commands(&pipeline, 0, count).await
            };
            (counts, replies)
        })
    }

    async fn answer(
        &mut self,
        (counts, replies): Replied,
        codec: &Codec,
        arrivals: &Arrivals,
        status: &BusStatus,
    ) -> Result<(), End> {
        let replies = replies.map_err(End::Redis)?;
        let mut rest = replies.as_slice();
        let mut broken = false;
        for count in counts {
            let (own, after) = rest.split_at_checked(count).ok_or(End::Short)?;
            rest = after;
            let Some(asked) = self.asked.front() else {
                break;
            };
            let at = asked.at;
            let answer = codec.answer(&asked.request, own);
            broken |= answer.broken;
            status.garbage.inc_by(u64::from(answer.unreadable));
            if let Some(said) = answer.refused {
                self.tell_refused(&said);
            }
            if let Some(Input::Appended {
                outcome: BusOutcome::Done,
                ..
            }) = &answer.input
            {
                status.appended(at.elapsed());
            }
            let room = match answer.input {
                Some(input) => Some((arrivals.room().await, input)),
                None => None,
            };
            // From here to the next wait nothing can cut in: it is answered, and once.
            self.asked.pop_front();
            if let Some((room, input)) = room {
                room.send(input);
            }
        }
        if broken { Err(End::Unfit) } else { Ok(()) }
    }

    /// Says it once in a while: a Redis that is full refuses everything.
    fn tell_refused(&mut self, said: &str) {
        if self.refused.is_none_or(|at| at.elapsed() >= REFUSED_EVERY) {
            self.refused = Some(Instant::now());
            tracing::warn!(said, "Redis refuses requests");
        }
    }
}
