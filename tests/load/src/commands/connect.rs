//! Many connections, as fast as the server lets them in; then nothing, to see what an idle one costs.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::Target;
use crate::client::Shared;
use crate::crowd::{Who, gather, listen, share};
use crate::error::BenchError;
use crate::process::Processes;
use crate::tally::percentiles;

/// How many.
#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// Connections
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Seconds to idle before memory is looked at
    #[arg(long, default_value_t = 3.0)]
    settle: f64,
}

/// Connects, idles, reports.
pub(crate) async fn run(
    target: &Target,
    shared: &Shared,
    settings: &Settings,
) -> Result<Value, BenchError> {
    let own = [std::process::id()];
    let (server, load) = (target.processes(), Processes(&own));
    let rss_before = server.rss_bytes()?;
    let (cpu_before, load_before) = (server.cpu_s()?, load.cpu_s()?);
    let who = Who {
        first: 0,
        count: settings.connections,
        at_once: target.at_once,
        symbol: None,
    };
    let crowd = gather(shared, who).await?;
    let cpu = server.cpu_s()? - cpu_before;
    let load_cpu = share(load.cpu_s()? - load_before, crowd.took);
    let _listening = listen(crowd.clients);
    tokio::time::sleep(Duration::from_secs_f64(settings.settle)).await;
    let grown = server.rss_bytes()?.saturating_sub(rss_before);
    let connections = settings.connections as f64;
    Ok(json!({
        "connections": settings.connections,
        "connects_per_s": connections / crowd.took.as_secs_f64(),
        "time_to_connect": percentiles(&crowd.latency),
        "server_cpu_us_per_connect": cpu * 1e6 / connections,
        "server_cpu": share(cpu, crowd.took),
        "load_cpu": load_cpu,
        "rss_before_mib": rss_before as f64 / 1_048_576.0,
        "rss_kib_per_connection": grown as f64 / 1_024.0 / connections,
        "closed": shared.tally.borrow().closed,
    }))
}
