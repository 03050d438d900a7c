//! Clients that come and go at a steady rate, while all who are there get quotes: what stays behind?

use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Target;
use crate::client::{Client, Shared};
use crate::crowd::user;
use crate::error::BenchError;
use crate::phase::SYMBOL;
use crate::progress;
use crate::publisher::Publisher;
use crate::tally::{histogram, micros, percentiles};

/// The load's size.
#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// Clients that come, a second
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Seconds that each stays
    #[arg(long, default_value_t = 10.0)]
    stay: f64,
    /// Quotes published a second
    #[arg(long, default_value_t = 20.0)]
    quotes: f64,
    /// Seconds in all
    #[arg(long, default_value_t = 600.0)]
    seconds: f64,
    /// Seconds after which memory is looked at for the first time
    #[arg(long, default_value_t = 60.0)]
    warm_up: f64,
}

/// How long the server may take to see that the last has left.
const LEFT: Duration = Duration::from_secs(5);

/// Lets clients come and go.
pub(crate) async fn run(
    target: &Target,
    shared: &Shared,
    settings: &Settings,
) -> Result<Value, BenchError> {
    let server = target.processes();
    let files_before = server.files()?;
    let cpu_before = server.cpu_s()?;
    let end = Duration::from_secs_f64(settings.seconds);
    let bar = progress::bar(settings.seconds as u64, "coming, going");
    shared.tally.borrow_mut().begin(u64::MAX);
    let quotes = tokio::task::spawn_local(publish(
        Publisher::connect(target.publish_to(), &target.token).await?,
        shared.clone(),
        Duration::from_secs_f64(1.0 / settings.quotes),
    ));
    let begin = Instant::now();
    let mut latency = histogram()?;
    let mut clients = JoinSet::new();
    let (mut came, mut warm_rss) = (0_usize, None);
    let mut samples = Vec::new();
    loop {
        let due = Duration::from_secs_f64(came as f64 / settings.rate);
        if due >= end {
            break;
        }
        tokio::time::sleep(due.saturating_sub(begin.elapsed())).await;
        let stay = Duration::from_secs_f64(settings.stay);
        clients.spawn_local(come_and_go(shared.clone(), came, begin + due, stay));
        came += 1;
        while let Some(gone) = clients.try_join_next() {
            record(gone, &mut latency)?;
        }
        bar.set_position(begin.elapsed().as_secs());
        if begin.elapsed().as_secs() / 10 > samples.len() as u64 {
            samples.push(server.rss_bytes()? / 1_024);
        }
        if warm_rss.is_none() && begin.elapsed().as_secs_f64() >= settings.warm_up {
            warm_rss = Some(server.rss_bytes()?);
        }
    }
    let rss_end = server.rss_bytes()?;
    while let Some(gone) = clients.join_next().await {
        record(gone, &mut latency)?;
    }
    quotes.abort();
    tokio::time::sleep(LEFT).await;
    bar.finish_and_clear();
    let warm = warm_rss.unwrap_or(rss_end);
    Ok(json!({
        "came": came,
        "time_to_watch": percentiles(&latency),
        "received": shared.tally.borrow().received,
        "rss_warm_kib": warm / 1_024,
        "rss_end_kib": rss_end / 1_024,
        "rss_grown_percent": (rss_end as f64 / warm as f64 - 1.0) * 100.0,
        "rss_every_10_s_kib": samples,
        "files_before": files_before,
        "files_after": server.files()?,
        "server_cpu_s": server.cpu_s()? - cpu_before,
    }))
}

fn record(
    gone: Result<Result<Duration, BenchError>, tokio::task::JoinError>,
    latency: &mut hdrhistogram::Histogram<u64>,
) -> Result<(), BenchError> {
    if let Ok(took) = gone {
        latency.saturating_record(micros(took?));
    }
    Ok(())
}

/// Tells how long after it was due the client was in and had its subscription confirmed.
async fn come_and_go(
    shared: Shared,
    number: usize,
    due: Instant,
    stay: Duration,
) -> Result<Duration, BenchError> {
    let (mut client, _) = Client::connect(&shared, number, &user(number)).await?;
    client.watch(SYMBOL).await?;
    let took = due.elapsed();
    client.listen_for(stay).await?.leave().await?;
    Ok(took)
}

/// Publishes a quote every so often until it is stopped.
async fn publish(
    mut publisher: Publisher,
    shared: Shared,
    every: Duration,
) -> Result<(), BenchError> {
    let tally = Rc::clone(&shared.tally);
    let mut ticks = tokio::time::interval(every);
    for number in 0_u64.. {
        ticks.tick().await;
        let due = tally.borrow().clock_us();
        let quote = format!(
            r#"{{"event":"quote:update","symbol":"{SYMBOL}","data":{{"price":175.50,"seq":{number},"due":{due}}}}}"#
        );
        publisher.publish(&quote).await?;
    }
    Ok(())
}
