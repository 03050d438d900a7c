//! `tradewire-bench`: arguments, and which load they ask for.

#![expect(
    clippy::disallowed_methods,
    reason = "it measures real time, from outside of any server"
)]

mod client;
mod commands;
mod crowd;
mod error;
mod frame;
mod phase;
mod process;
mod progress;
mod publisher;
mod search;
mod tally;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::task::LocalSet;

use crate::client::Shared;
use crate::error::BenchError;
use crate::process::Processes;

/// Load for a Socket.IO server, and what it did to it.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    load: Load,
}

/// Which server, and where the report goes.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// Where the server listens
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "HOST:PORT")]
    server: SocketAddr,
    /// Where events are published, if not there: another node of its cluster
    #[arg(long, value_name = "HOST:PORT")]
    publish_to: Option<SocketAddr>,
    /// The server's process, to tell what it costs; several of a cluster with commas
    #[arg(long, required = true, value_delimiter = ',')]
    pid: Vec<u32>,
    /// The server's PUBLISH_TOKEN
    #[arg(long, default_value = "")]
    token: String,
    /// Clients that connect at a time
    #[arg(long, default_value_t = 200)]
    at_once: usize,
    /// Write the report there too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Target {
    fn processes(&self) -> Processes<'_> {
        Processes(&self.pid)
    }

    fn publish_to(&self) -> SocketAddr {
        self.publish_to.unwrap_or(self.server)
    }
}

#[derive(Debug, Subcommand)]
enum Load {
    /// Connect as fast as the server lets in, then idle: rate, time to connect, memory of a connection
    Connect(commands::connect::Settings),
    /// Quotes of one symbol to all clients, at a rate or as fast as stays in time
    Fanout(commands::deliver::Settings),
    /// Trades and portfolios, each to the one client whose they are
    User(commands::deliver::Settings),
    /// Clients that connect, watch, stay a while and leave, at a steady rate
    Churn(commands::churn::Settings),
    /// Quotes to clients that read and to some that do not
    Stuck(commands::stuck::Settings),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "tradewire-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), BenchError> {
    // Where this cannot be done, connecting says so.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let target = &arguments.target;
    let shared = Shared::new(target.server)?;
    let load = async {
        match &arguments.load {
            Load::Connect(settings) => commands::connect::run(target, &shared, settings).await,
            Load::Fanout(settings) => commands::deliver::fanout(target, &shared, settings).await,
            Load::User(settings) => commands::deliver::users(target, &shared, settings).await,
            Load::Churn(settings) => commands::churn::run(target, &shared, settings).await,
            Load::Stuck(settings) => commands::stuck::run(target, &shared, settings).await,
        }
    };
    let report = LocalSet::new().block_on(&runtime, load)?;
    if let Some(file) = &target.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    let mut table = String::new();
    lines(&report, "", &mut table);
    std::io::stdout().write_all(table.as_bytes())?;
    Ok(())
}

/// A line for each figure.
fn lines(report: &serde_json::Value, name: &str, table: &mut String) {
    use serde_json::Value;
    match report {
        Value::Object(fields) => {
            for (field, value) in fields {
                lines(value, &format!("{name} {field}"), table);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                lines(item, &format!("{name} {}", n + 1), table);
            }
        }
        Value::Number(number) => {
            let value = number.as_f64().unwrap_or_default();
            let digits = if value.fract() == 0.0 { 0 } else { 3 };
            table.push_str(&format!("{:<44} {value:>14.digits$}\n", name.trim()));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {
            table.push_str(&format!("{:<44} {report:>14}\n", name.trim()));
        }
    }
}
