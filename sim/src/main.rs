//! The command line: arguments, output and exit codes.
//!
//! 0: every promise was kept. 1: a guarantee was violated. 2: a wrong call, or a run that could not be made.
//! 3: what must come about did not. 4: a crash. 5: a swarm that was large enough did not come into every
//! situation. 6: a trace says something else than the engine does.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::{Parser, Subcommand, ValueEnum};
use tradewire_sim::command;
use tradewire_sim::journal::{Journal, Tail};
use tradewire_sim::oracle::Situation;
use tradewire_sim::recordings::Recordings;
use tradewire_sim::scenarios::random::Document;
use tradewire_sim::scenarios::{NetworkKind, Ran, RunError, Scenario, run_document};
use tradewire_sim::shrinking;
use tradewire_sim::swarm::{self, Failure, Level};
use tradewire_sim::trace::{self, ReplayArguments, ReportArguments, ShowArguments};

/// A sixth of a run of bare engines is memory that comes and goes. Nothing depends on where it lies.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A run could not be made.
const NOT_RUN: u8 = 2;

/// Something in the run panicked.
const CRASHED: u8 = 4;

/// How much of a log is told when a run that is to be brief fails.
const TAIL_BYTES: usize = 16_000;

/// Whether anything panicked: a runtime catches what its tasks do, and goes on.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Clusters of Tradewire under faults from a seed, and the oracle that judges them.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which scenarios and levels there are, and which situations a swarm must come into.
    List,
    /// Run one seed and tell its story, which depends on nothing but the seed and the build.
    Run {
        /// The seed.
        #[arg(long, required_unless_present = "script")]
        seed: Option<u64>,
        /// Instead of a seed: a file with a run of bare engines, as shrink writes it, or with --scenario
        /// random one of real servers.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "level", "clients", "network"])]
        script: Option<PathBuf>,
        /// What is simulated.
        #[arg(long, value_enum, default_value_t = Simulated::Server)]
        level: Simulated,
        /// Of real servers: which scenario, see list.
        #[arg(long, default_value = "small", value_parser = scenario)]
        scenario: Scenario,
        /// Tell everything that the engines are told and say, too: of real servers at the end, from their
        /// recordings.
        #[arg(long)]
        frames: bool,
        /// Of real servers: how many clients there are [default: as many as the scenario has]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        clients: Option<u16>,
        /// Of real servers: say only what came of it, with the end of the log if it failed
        #[arg(long)]
        brief: bool,
        /// Of a named scenario: tell what everyone came through, instead of the log
        #[arg(long, conflicts_with = "brief")]
        story: bool,
        /// Of real servers: where connections outlive partitions, or not.
        #[arg(long, value_enum, default_value_t = NetworkName::Stack)]
        network: NetworkName,
        /// Of real servers: write what the nodes recorded into this directory, for replay and show
        #[arg(long, value_name = "DIR")]
        record: Option<PathBuf>,
    },
    /// Run the engine again on what a node recorded, and compare what it says.
    Replay(ReplayArguments),
    /// Show what a node recorded, a step a line.
    Show(ShowArguments),
    /// Make a page of what nodes recorded, or of one run of bare engines, to step through it in a browser.
    Report(ReportArguments),
    /// Make a failing run as small as it can be: of bare engines, or of the scenario random.
    Shrink {
        /// What is simulated.
        #[arg(long, value_enum, default_value_t = Simulated::Engine)]
        level: Simulated,
        /// Which run, and where the smallest is written.
        #[command(flatten)]
        shrink: command::Shrink,
    },
    /// Run many seeds and stop at the first that fails.
    Swarm {
        /// What is simulated.
        #[arg(long, value_enum, default_value_t = LevelName::Server)]
        level: LevelName,
        /// The seeds, as FIRST..END; END is not run.
        #[arg(long, value_parser = swarm::seeds)]
        seeds: Range<u64>,
        /// How many run at once.
        #[arg(long, default_value_t = 1)]
        jobs: u16,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Simulated {
    /// Bare engines on a modelled bus.
    Engine,
    /// Real servers on a simulated network.
    Server,
}

fn scenario(name: &str) -> Result<Scenario, String> {
    Scenario::named(name).ok_or_else(|| "there is no such scenario, see list".to_owned())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetworkName {
    /// TCP with retransmission and backpressure.
    Stack,
    /// The turmoil crate's.
    Turmoil,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LevelName {
    /// Bare engines on a modelled bus.
    Engine,
    /// Real servers on a simulated network.
    Server,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::Engine => Self::Engine,
            LevelName::Server => Self::Server,
        }
    }
}

fn main() -> ExitCode {
    let code = match Arguments::parse().command {
        Command::List => list(),
        Command::Run {
            script: Some(script),
            frames,
            scenario,
            ..
        } if scenario != Scenario::Random => command::Run::of_script(script, frames).run(),
        Command::Run {
            seed,
            level: Simulated::Engine,
            frames,
            ..
        } => command::Run::of_seed(seed.unwrap_or_default(), frames).run(),
        Command::Run {
            seed,
            script,
            level: Simulated::Server,
            scenario,
            clients,
            brief,
            story,
            network,
            frames,
            record,
        } => {
            let seed = seed.unwrap_or_default();
            let network = match network {
                NetworkName::Stack => NetworkKind::Stack,
                NetworkName::Turmoil => NetworkKind::Turmoil,
            };
            let told = match (brief, story) {
                (true, _) => Told::End,
                (_, true) => Told::Story,
                (false, false) => Told::Log,
            };
            let document = script.as_deref().map(shrinking::read).transpose();
            match (refusal(scenario, network, clients, told), document) {
                (Some(why), _) => fail(&why, NOT_RUN),
                (None, Err(error)) => fail(&error, NOT_RUN),
                (None, Ok(document)) => {
                    let clients = clients.or(scenario.clients()).unwrap_or_default();
                    let what = match document {
                        Some(document) => What::Document(document),
                        None => What::Seed(scenario, seed, clients),
                    };
                    let recordings = Recordings::default();
                    let code = run_servers(what, network, told, &recordings);
                    let kept = keep(&recordings, frames, record.as_deref());
                    if code == 0 { kept } else { code }
                }
            }
        }
        Command::Replay(arguments) => look(|out| trace::replay(&arguments, out)),
        Command::Show(arguments) => look(|out| trace::show(&arguments, out)),
        Command::Report(arguments) => look(|out| trace::report(arguments, out)),
        Command::Shrink {
            level: Simulated::Engine,
            shrink,
        } => shrink.run(),
        Command::Shrink {
            level: Simulated::Server,
            shrink,
        } => {
            let clients = Scenario::Random.clients().unwrap_or_default();
            shrinking::run(&shrink, clients).unwrap_or_else(|error| fail(&error, NOT_RUN))
        }
        Command::Swarm { level, seeds, jobs } => {
            let level = Level::from(level);
            let report = swarm::swarm(level, seeds.start, seeds.end, usize::from(jobs));
            print(&report.words(level));
            report.code(level)
        }
    };
    ExitCode::from(code)
}

/// Whoever reads this, as `head` does, may be gone.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn list() -> u8 {
    let mut text = String::new();
    for level in Level::ALL {
        text.push_str(&format!("level {}: {}\n", level.name(), level.words()));
    }
    for scenario in Scenario::all() {
        let (name, shows) = (scenario.name(), scenario.shows());
        text.push_str(&format!("scenario {name}: {shows}\n"));
    }
    for situation in Situation::ALL {
        text.push_str(&format!("situation: {situation}\n"));
    }
    print(&text);
    0
}

/// What is said of a run of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Everything, as it happens.
    Log,
    /// What came of it, with the end of the log if it failed.
    End,
    /// What everyone came through.
    Story,
}

/// Why a scenario cannot be run so.
fn refusal(
    scenario: Scenario,
    network: NetworkKind,
    clients: Option<u16>,
    told: Told,
) -> Option<String> {
    let name = scenario.name();
    if !scenario.can_be_on(network) {
        return Some(format!(
            "{name} cannot be run on this network: leave --network out"
        ));
    }
    if clients.is_some() && scenario.clients().is_none() {
        return Some(format!(
            "{name} says itself who is there: leave --clients out"
        ));
    }
    if told == Told::Story && !scenario.has_story() {
        return Some(format!(
            "{name} has no story: leave --story out, see list for those that do"
        ));
    }
    None
}

/// What real servers are to go through.
#[derive(Clone, Debug)]
enum What {
    /// What a scenario makes of a seed, with so many clients.
    Seed(Scenario, u64, u16),
    /// What is left of a random run.
    Document(Document),
}

/// Runs on a thread that has drawn nothing yet, in a process that runs nothing else.
fn run_servers(what: What, network: NetworkKind, told: Told, recordings: &Recordings) -> u8 {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.store(true, Ordering::Relaxed);
        usual(panic);
    }));
    let tail = (told != Told::Log).then(|| Tail::new(TAIL_BYTES));
    let out: Box<dyn Write + Send> = match tail.clone() {
        Some(tail) => Box::new(tail),
        None => Box::new(BufWriter::with_capacity(1 << 16, io::stdout())),
    };
    let (recordings, runs) = (recordings.clone(), what.clone());
    let running = thread::Builder::new().spawn(move || {
        let journal = Journal::new(out).with_recordings(recordings);
        match runs {
            What::Seed(scenario, seed, clients) => scenario.run(seed, clients, network, &journal),
            What::Document(document) => run_document(&document, network, &journal),
        }
    });
    let ran = running.map(|running| running.join());
    let tell_end = || {
        if let Some(tail) = &tail {
            print(&tail.text());
        }
    };
    if PANICKED.load(Ordering::Relaxed) {
        tell_end();
        return fail(&"something panicked, see above", CRASHED);
    }
    match ran {
        Ok(Ok(Ok(ran))) => {
            if ran.verdict.is_err() {
                tell_end();
            }
            if told == Told::Story {
                print(&ran.story);
            }
            let code = verdict(&what, network, &ran, told);
            if told == Told::End {
                print(&format!("{}\n", end(&what, ran)));
            }
            code
        }
        Ok(Ok(Err(RunError::Log(error)))) if error.kind() == ErrorKind::BrokenPipe => 0,
        Ok(Ok(Err(error))) => fail(&error, NOT_RUN),
        Ok(Err(_)) => fail(&"the run ended early", CRASHED),
        Err(error) => fail(&error, NOT_RUN),
    }
}

/// The last line of a brief run, for the swarm or the search that started the process.
fn end(what: &What, ran: Ran) -> String {
    match (what, ran.verdict, ran.size) {
        (What::Document(_), Err(violation), Some(size)) => shrinking::said(&violation.into(), size),
        (What::Document(_) | What::Seed(..), Ok(()) | Err(_), _) => {
            let simulated_ms = u64::try_from(ran.took.as_millis()).unwrap_or(u64::MAX);
            swarm::sums(simulated_ms, &ran.situations)
        }
    }
}

/// Tells and writes what the nodes of a run recorded, if that is wanted.
fn keep(recordings: &Recordings, frames: bool, dir: Option<&Path>) -> u8 {
    if let Some(dir) = dir
        && let Err(error) = recordings.write(dir)
    {
        return fail(&format_args!("{}: {error}", dir.display()), NOT_RUN);
    }
    if !frames {
        return 0;
    }
    look(|out| {
        for recorded in recordings.all() {
            trace::tell_all(&recorded.name, &recorded.bytes(), out)?;
        }
        Ok(0)
    })
}

/// Prints what looking at traces tells. Whoever reads this may be gone.
fn look(tell: impl FnOnce(&mut dyn Write) -> io::Result<u8>) -> u8 {
    // What an engine says when it gives up is told beside the step.
    std::panic::set_hook(Box::new(|_| {}));
    let mut out = BufWriter::new(io::stdout().lock());
    match tell(&mut out).and_then(|code| out.flush().map(|()| code)) {
        Ok(code) => code,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(error) => fail(&error, NOT_RUN),
    }
}

/// Says what the oracle found, and how to see it again; a swarm, which asks for the end only, says that itself.
fn verdict(what: &What, network: NetworkKind, ran: &Ran, told: Told) -> u8 {
    let Err(violation) = &ran.verdict else {
        return 0;
    };
    let failure = Failure::from(violation.clone());
    let (words, again) = match what {
        What::Document(document) => (document.words.clone(), None),
        What::Seed(scenario, seed, _) => {
            let again = match scenario {
                Scenario::Small | Scenario::Random => swarm::reproduce(Level::Server, *seed),
                Scenario::Named(script) => script.reproduce(network, *seed),
            };
            (format!("seed {seed}"), Some(again))
        }
    };
    print(&format!("{words} {failure}\n"));
    if let Some(again) = again.filter(|_| told != Told::End) {
        print(&format!("reproduce: {again}\n"));
    }
    failure.code()
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> u8 {
    let _ = writeln!(io::stderr(), "tradewire-sim: {error}");
    code
}
