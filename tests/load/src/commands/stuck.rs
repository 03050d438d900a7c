//! Clients that stop reading, among others that read: what it does to those, and to the server's memory.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::Target;
use crate::client::Shared;
use crate::crowd::{Who, gather, listen};
use crate::error::BenchError;
use crate::phase::{Audience, Plan, Publishing, SYMBOL};

/// The load's size.
#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// Clients that read
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// Clients that do not
    #[arg(long, default_value_t = 100)]
    stuck: usize,
    /// Deliveries a second to those that read
    #[arg(long, default_value_t = 20_000.0)]
    rate: f64,
    /// Seconds of publishing, before and after
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// Publishes with none stuck, then with some.
pub(crate) async fn run(
    target: &Target,
    shared: &Shared,
    settings: &Settings,
) -> Result<Value, BenchError> {
    let watchers = |first, count| Who {
        first,
        count,
        at_once: target.at_once,
        symbol: Some(SYMBOL),
    };
    let crowd = gather(shared, watchers(0, settings.clients)).await?;
    let _listening = listen(crowd.clients);
    let audience = Audience::Watchers(settings.clients);
    let mut publishing = Publishing::connect(target, audience).await?;
    let plan = Plan {
        audience,
        rate: settings.rate,
        seconds: settings.seconds,
        late: Duration::from_millis(200),
        per_post: 1,
        hopeless_ends: false,
    };
    let server = target.processes();
    let before = publishing.run(shared, server, plan).await?;
    let rss_before = server.rss_bytes()?;
    // They are held, and never read from.
    let stuck = gather(shared, watchers(settings.clients, settings.stuck)).await?;
    let with = publishing.run(shared, server, plan).await?;
    let grown = server.rss_bytes()?.saturating_sub(rss_before);
    drop(stuck);
    Ok(json!({
        "nobody_stuck": before,
        "some_stuck": with,
        "rss_kib_per_stuck": grown as f64 / 1_024.0 / settings.stuck.max(1) as f64,
    }))
}
