//! Events to clients: one symbol's quotes to all, or each user's own; at a rate, or as fast as stays in
//! time.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::Target;
use crate::client::Shared;
use crate::crowd::{Who, gather, listen};
use crate::error::BenchError;
use crate::phase::{Audience, Phase, Plan, Publishing, SYMBOL};
use crate::search;

/// The load's size.
#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// Clients
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// Deliveries a second; without it, the highest rate is looked for
    #[arg(long)]
    rate: Option<f64>,
    /// Deliveries a second to begin the search with
    #[arg(long, default_value_t = 20_000.0)]
    start: f64,
    /// Seconds of publishing at each rate
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Milliseconds within which 95 % of the deliveries must be there
    #[arg(long, default_value_t = 200)]
    late_ms: u64,
    /// Items in each POST to users
    #[arg(long, default_value_t = 50)]
    per_post: usize,
}

/// All clients watch one symbol.
pub(crate) async fn fanout(
    target: &Target,
    shared: &Shared,
    settings: &Settings,
) -> Result<Value, BenchError> {
    let audience = Audience::Watchers(settings.clients);
    run(target, shared, settings, audience, Some(SYMBOL)).await
}

/// Each client gets only what is its own.
pub(crate) async fn users(
    target: &Target,
    shared: &Shared,
    settings: &Settings,
) -> Result<Value, BenchError> {
    let audience = Audience::Users(settings.clients);
    run(target, shared, settings, audience, None).await
}

async fn run(
    target: &Target,
    shared: &Shared,
    settings: &Settings,
    audience: Audience,
    symbol: Option<&str>,
) -> Result<Value, BenchError> {
    let who = Who {
        first: 0,
        count: settings.clients,
        at_once: target.at_once,
        symbol,
    };
    let _listening = listen(gather(shared, who).await?.clients);
    let mut publishing = Publishing::connect(target, audience).await?;
    let late = Duration::from_millis(settings.late_ms);
    let mut phase = async |rate: f64, seconds: f64, hopeless_ends: bool| {
        let plan = Plan {
            audience,
            rate,
            seconds,
            late,
            per_post: settings.per_post,
            hopeless_ends,
        };
        publishing.run(shared, target.processes(), plan).await
    };
    // What runs for the first time is slower everywhere, and not only once.
    let warm_up = settings.rate.unwrap_or(settings.start).min(20_000.0);
    phase(warm_up, settings.seconds.min(1.5), false).await?;
    if let Some(rate) = settings.rate {
        return Ok(serde_json::to_value(
            phase(rate, settings.seconds, false).await?,
        )?);
    }
    let probe = async |rate: f64| {
        let first: Phase = phase(rate, settings.seconds, true).await?;
        if first.is_good(late) {
            return Ok((first, true));
        }
        // A hiccup of the machine is not the server's: it may try again.
        let second = phase(rate, settings.seconds, true).await?;
        Ok((second, second.is_good(late)))
    };
    let (best, tried) = search::highest(settings.start, probe).await?;
    Ok(json!({ "best": best, "tried": tried }))
}
