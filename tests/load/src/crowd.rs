//! Many clients at once: let in as fast as the server can, with so many on their way at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::client::{Client, Shared};
use crate::error::BenchError;
use crate::progress;
use crate::tally::{histogram, micros};

/// Clients that are in, and how long it took.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) clients: Vec<Client>,
    pub(crate) latency: Histogram<u64>,
    pub(crate) took: Duration,
}

/// Who they are and what they do at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    /// The first one's number: each is a user of its own, named for its number.
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// How many are on their way at a time.
    pub(crate) at_once: usize,
    /// What they watch, once they are in.
    pub(crate) symbol: Option<&'a str>,
}

/// The user that client `number` is.
pub(crate) fn user(number: usize) -> String {
    format!("bench-{number}")
}

/// Lets clients in.
pub(crate) async fn gather(shared: &Shared, who: Who<'_>) -> Result<Crowd, BenchError> {
    let bar = progress::bar(who.count as u64, "connecting");
    let latency = RefCell::new(histogram()?);
    let begin = Instant::now();
    let entering = stream::iter(who.first..who.first + who.count).map(|number| {
        let (latency, bar) = (&latency, &bar);
        async move {
            let (mut client, took) = Client::connect(shared, number, &user(number)).await?;
            latency.borrow_mut().saturating_record(micros(took));
            if let Some(symbol) = who.symbol {
                client.watch(symbol).await?;
            }
            bar.inc(1);
            Ok::<_, BenchError>(client)
        }
    });
    let entered: Vec<_> = entering.buffer_unordered(who.at_once).collect().await;
    let took = begin.elapsed();
    bar.finish_and_clear();
    Ok(Crowd {
        clients: entered.into_iter().collect::<Result<_, _>>()?,
        latency: latency.into_inner(),
        took,
    })
}

/// Clients that listen until this is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    _tasks: JoinSet<()>,
}

/// Has clients listen.
pub(crate) fn listen(clients: Vec<Client>) -> Listening {
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn_local(client.listen());
    }
    Listening { _tasks: tasks }
}

/// The run's own CPU seconds beside the server's: a load that needs its whole core measures itself.
pub(crate) fn share(used_s: f64, over: Duration) -> f64 {
    used_s / over.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Waits until nothing has been received for `quiet`, or `done` says that all has, at most for `limit`.
pub(crate) async fn settle(shared: &Shared, quiet: Duration, limit: Duration, expected: u64) {
    let tally = Rc::clone(&shared.tally);
    let begin = Instant::now();
    let (mut before, mut since) = (u64::MAX, Instant::now());
    while begin.elapsed() < limit {
        let received = tally.borrow().received;
        if received >= expected {
            return;
        }
        if received != before {
            (before, since) = (received, Instant::now());
        } else if since.elapsed() >= quiet {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
