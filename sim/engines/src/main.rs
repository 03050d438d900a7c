//! A swarm of bare engines on its own, for who changes the engine and does not want to build the server.
//!
//! Everything else, a single run among it, is `tradewire-sim`'s; output and exit codes are the same.

use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

use clap::Parser;
use tradewire_sim_engines::swarm::{self, Level};

/// Run many seeds of clusters of bare engines, and stop at the first that fails.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The seeds, as FIRST..END; END is not run.
    #[arg(long, value_parser = swarm::seeds)]
    seeds: Range<u64>,
    /// How many run at once.
    #[arg(long, default_value_t = 1)]
    jobs: u16,
}

fn main() -> ExitCode {
    let Arguments { seeds, jobs } = Arguments::parse();
    let report = swarm::swarm(Level::Engine, seeds.start, seeds.end, usize::from(jobs));
    // Whoever reads this, as `head` does, may be gone.
    let _ = std::io::stdout().write_all(report.words(Level::Engine).as_bytes());
    ExitCode::from(report.code(Level::Engine))
}
