//! One phase of load: events published at a steady rate for a while, and what became of them.
//!
//! The rate is kept whatever the server does (open loop). Each event carries when it was due, so what
//! waits because the publisher is held up counts as late.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::task::JoinSet;

use crate::Target;
use crate::client::Shared;
use crate::crowd::{self, user};
use crate::error::BenchError;
use crate::process::Processes;
use crate::progress;
use crate::publisher::Publisher;
use crate::tally::{Percentiles, micros};

/// After the last event, how long nothing may come before what is missing is lost, and how long
/// clients may take in all.
const QUIET: Duration = Duration::from_secs(1);
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// How late tokio's timers may be: they and epoll count in milliseconds, and both round up.
const TIMER_LATE_MAX: Duration = Duration::from_millis(2);

/// So many of a hundred deliveries may be late.
const LATE_PERCENT: u64 = 5;

/// Who is published to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Audience {
    /// All clients watch one symbol.
    Watchers(usize),
    /// Each client is a user of its own and gets only what is its own.
    Users(usize),
}

/// The symbol that watchers watch.
pub(crate) const SYMBOL: &str = "BENCH";

impl Audience {
    /// Deliveries of an event.
    fn recipients(self) -> u64 {
        match self {
            Self::Watchers(count) => count as u64,
            Self::Users(_) => 1,
        }
    }

    /// An event, the `number`th of the run, due at `due`.
    fn item(self, number: u64, due: u64) -> String {
        match self {
            Self::Watchers(_) => format!(
                r#"{{"event":"quote:update","symbol":"{SYMBOL}","data":{{"symbol":"{SYMBOL}","price":175.50,"change":2.50,"changePercent":1.45,"volume":50000000,"timestamp":"2025-01-15T12:00:00.000Z","seq":{number},"due":{due}}}}}"#
            ),
            Self::Users(count) => {
                let (round, place) = (number / count as u64, number % count as u64);
                let user = user(usize::try_from(place).unwrap_or_default());
                // A trade and a portfolio in turns, as after each trade of a bot.
                if round.is_multiple_of(2) {
                    format!(
                        r#"{{"event":"trade:executed","userId":"{user}","data":{{"id":"trade-{number}","symbol":"AAPL","side":"buy","quantity":10,"price":175.50,"status":"filled","timestamp":"2025-01-15T12:00:00.000Z","seq":{round},"due":{due}}}}}"#
                    )
                } else {
                    format!(
                        r#"{{"event":"portfolio:update","userId":"{user}","data":{{"totalValue":50000,"cash":10000,"equity":40000,"positions":[],"dayChange":500,"dayChangePercent":1.0,"timestamp":"2025-01-15T12:00:00.000Z","seq":{round},"due":{due}}}}}"#
                    )
                }
            }
        }
    }

    /// How many events a POST may hold, at least and at most.
    fn batch(self, per_post: usize) -> (u64, u64) {
        match self {
            // One event after the other, or what has piled up while the one before was taken.
            Self::Watchers(_) => (1, 500),
            Self::Users(_) => (per_post as u64, per_post as u64),
        }
    }
}

/// What a phase does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) audience: Audience,
    /// Deliveries a second.
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    /// What is later than this is late.
    pub(crate) late: Duration,
    /// Items in a POST to users.
    pub(crate) per_post: usize,
    /// End early once so many are late that more cannot change the verdict.
    pub(crate) hopeless_ends: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Phase {
    /// Deliveries a second that were asked for.
    pub(crate) rate: f64,
    pub(crate) deliveries: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) out_of_order: u64,
    /// Connections that the server ended.
    pub(crate) closed: u64,
    /// Ended early, because too many were late.
    pub(crate) hopeless: bool,
    #[serde(flatten)]
    pub(crate) latency: Percentiles,
    pub(crate) server_cpu_us_per_delivery: f64,
    /// Cores' worth of CPU.
    pub(crate) server_cpu: f64,
    /// As much; with up to two milliseconds of asking the clock before each POST, when nothing else is to do.
    pub(crate) load_cpu: f64,
}

impl Phase {
    /// Whether nothing was lost and 95 % came in time.
    pub(crate) fn is_good(&self, late: Duration) -> bool {
        !self.hopeless
            && self.lost + self.out_of_order + self.closed == 0
            && self.latency.p95_ms <= late.as_secs_f64() * 1_000.0
    }
}

/// Whoever publishes, from one phase to the next.
#[derive(Debug)]
pub(crate) struct Publishing {
    publishers: Vec<Publisher>,
    /// The next event's number: greater than that of any earlier run.
    published: u64,
}

impl Publishing {
    /// Connects the publishers that an audience needs.
    pub(crate) async fn connect(target: &Target, audience: Audience) -> Result<Self, BenchError> {
        // Quotes of one symbol must stay in order; POSTs for users follow each other closely.
        let count = match audience {
            Audience::Watchers(_) => 1,
            Audience::Users(_) => 8,
        };
        let mut publishers = Vec::new();
        for _ in 0..count {
            publishers.push(Publisher::connect(target.publish_to(), &target.token).await?);
        }
        // Who watches is told the current value, which may be one of an earlier run on this server.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Self {
            publishers,
            published: micros(now.unwrap_or_default()),
        })
    }

    /// Runs a phase.
    pub(crate) async fn run(
        &mut self,
        shared: &Shared,
        server: Processes<'_>,
        plan: Plan,
    ) -> Result<Phase, BenchError> {
        let own = [std::process::id()];
        let load = Processes(&own);
        let recipients = plan.audience.recipients();
        let events = (plan.rate * plan.seconds / recipients as f64).ceil();
        let hopeless_at = (events * recipients as f64) as u64 * LATE_PERCENT / 100;
        let closed_before = {
            let mut tally = shared.tally.borrow_mut();
            tally.begin(micros(plan.late));
            tally.closed
        };
        let (server_cpu, load_cpu) = (server.cpu_s()?, load.cpu_s()?);
        let begin = Instant::now();
        let hopeless = || plan.hopeless_ends && shared.tally.borrow().late > hopeless_at;
        let (sent, hopeless) = self.publish(shared, plan, events as u64, hopeless).await?;
        let deliveries = sent * recipients;
        crowd::settle(shared, QUIET, DRAIN_MAX, deliveries).await;
        let over = begin.elapsed();
        let server_cpu = server.cpu_s()? - server_cpu;
        let load_cpu = load.cpu_s()? - load_cpu;
        let tally = shared.tally.borrow();
        Ok(Phase {
            rate: plan.rate,
            deliveries,
            received: tally.received,
            lost: deliveries.saturating_sub(tally.received),
            out_of_order: tally.out_of_order,
            closed: tally.closed - closed_before,
            hopeless,
            latency: tally.percentiles(),
            server_cpu_us_per_delivery: server_cpu * 1e6 / deliveries.max(1) as f64,
            server_cpu: crowd::share(server_cpu, over),
            load_cpu: crowd::share(load_cpu, over),
        })
    }

    /// Publishes `events` at the plan's rate, and tells how many were, and whether that was given up.
    async fn publish(
        &mut self,
        shared: &Shared,
        plan: Plan,
        events: u64,
        hopeless: impl Fn() -> bool,
    ) -> Result<(u64, bool), BenchError> {
        let bar = progress::bar(events, "publishing");
        let (least, most) = plan.audience.batch(plan.per_post);
        let per_event = plan.audience.recipients() as f64 / plan.rate;
        let begin = Instant::now();
        let begin_us = shared.tally.borrow().clock_us();
        let due_after = |event: u64| Duration::from_secs_f64(event as f64 * per_event);
        let mut sent = 0;
        let mut posts = JoinSet::new();
        let mut given_up = false;
        while sent < events && !given_up {
            wait_until(begin + due_after(sent)).await;
            let due_now = (begin.elapsed().as_secs_f64() / per_event) as u64 + 1;
            let batch = due_now.saturating_sub(sent).clamp(least, most);
            let items: Vec<String> = (0..batch)
                .map(|n| {
                    let due = begin_us + micros(due_after(if least > 1 { sent } else { sent + n }));
                    plan.audience.item(self.published + n, due)
                })
                .collect();
            let body = format!("[{}]", items.join(","));
            let mut publisher = match self.publishers.pop() {
                Some(publisher) => publisher,
                None => free(&mut posts).await?,
            };
            posts.spawn_local(async move {
                publisher.publish(&body).await?;
                Ok(publisher)
            });
            sent += batch;
            self.published += batch;
            bar.inc(batch);
            given_up = hopeless();
        }
        while !posts.is_empty() {
            self.publishers.push(free(&mut posts).await?);
        }
        bar.finish_and_clear();
        Ok((sent, given_up))
    }
}

/// Waits until an event is due. What waits longer than timers are imprecise goes the rest of the way by
/// asking the clock, so that an event's lateness is the server's.
async fn wait_until(due: Instant) {
    let left = || due.saturating_duration_since(Instant::now());
    if let Some(rough) = left().checked_sub(TIMER_LATE_MAX) {
        tokio::time::sleep(rough).await;
        while !left().is_zero() {
            tokio::task::yield_now().await;
        }
    } else if !left().is_zero() {
        tokio::time::sleep(left()).await;
    }
}

/// Waits for a publisher that is free again.
async fn free(posts: &mut JoinSet<Result<Publisher, BenchError>>) -> Result<Publisher, BenchError> {
    match posts.join_next().await {
        Some(Ok(publisher)) => publisher,
        Some(Err(_)) | None => Err(BenchError::Publish("nothing: its task ended".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_gets_its_own_events_in_turn() {
        let audience = Audience::Users(3);
        for (number, user, event, round) in [
            (0, "bench-0", "trade:executed", 0),
            (2, "bench-2", "trade:executed", 0),
            (4, "bench-1", "portfolio:update", 1),
        ] {
            let item: serde_json::Value = serde_json::from_str(&audience.item(number, 7)).unwrap();
            assert_eq!(item["userId"], user);
            assert_eq!(item["event"], event);
            assert_eq!(item["data"]["seq"], round);
            assert_eq!(item["data"]["due"], 7);
        }
    }

    #[test]
    fn a_phase_is_good_only_if_all_came_in_time() {
        let good = Phase {
            rate: 10.0,
            deliveries: 10,
            received: 10,
            lost: 0,
            out_of_order: 0,
            closed: 0,
            hopeless: false,
            latency: Percentiles {
                p95_ms: 199.0,
                ..Percentiles::default()
            },
            server_cpu_us_per_delivery: 1.0,
            server_cpu: 0.1,
            load_cpu: 0.1,
        };
        let late = Duration::from_millis(200);
        assert!(good.is_good(late));
        assert!(!good.is_good(Duration::from_millis(198)));
        for bad in [
            Phase { lost: 1, ..good },
            Phase { closed: 1, ..good },
            Phase {
                out_of_order: 1,
                ..good
            },
            Phase {
                hopeless: true,
                ..good
            },
        ] {
            assert!(!bad.is_good(late));
        }
    }
}
