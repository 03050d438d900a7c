//! `tradewire`: wiring only.

use std::io::Write as _;
use std::process::ExitCode;

use rand::RngExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};
use tradewire_server::clock::SystemClock;
use tradewire_server::config::{AuthMode, Command, Config, DoctorConfig, Secret};
use tradewire_server::net::Tcp;
use tradewire_server::recorder::{FileSink, FilesError, Keeper, Recording};
use tradewire_server::{Handles, Seeds, Shutdown, doctor, logging, run};

fn main() -> ExitCode {
    let command = match Command::from_process() {
        Ok(command) => command,
        Err(error) if error.is_help() => {
            // A reader that went away, as `head` does, is no failure.
            let _ = write!(std::io::stdout(), "{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&error, error.exit_code()),
    };
    if let Command::Serve(config) = &command
        && let Err(error) = logging::init(config.log_format, &config.log_filter)
    {
        return fail(&format_args!("tradewire: {error}"), 2);
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format_args!("tradewire: no runtime: {error}"), 1),
    };
    match command {
        // On a worker, where what the driver wakes is at hand, and not on a thread of its own.
        Command::Serve(config) => match runtime.block_on(runtime.spawn(serve(*config))) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(error)) => fail(&format_args!("tradewire: {error}"), 1),
            Err(error) => fail(&format_args!("tradewire: {error}"), 1),
        },
        Command::Doctor(config) => runtime.block_on(examine(&config)),
    }
}

/// One thread where there is one core: a connect costs an eighth less without a worker beside the main
/// thread.
fn runtime() -> std::io::Result<Runtime> {
    let one_core = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
    let mut builder = if one_core {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    // Tasks beyond a worker's own 256 are set aside for all workers; when many connect at once, those
    // must not wait until there is nothing else to do.
    builder.enable_all().global_queue_interval(2).build()
}

async fn examine(config: &DoctorConfig) -> ExitCode {
    let report = doctor::examine(&Tcp, &SystemClock::start(), config, rand::rng().random()).await;
    let _ = write!(std::io::stdout(), "{report}");
    if report.is_healthy() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{error}");
    ExitCode::from(code)
}

async fn serve(config: Config) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    raise_open_files();
    let seed = config.seed.unwrap_or_else(rand::random);
    // What tells this life from others is always drawn anew.
    let seeds = Seeds {
        engine: seed,
        instance: rand::random(),
        epoch: rand::random(),
        demo: seed,
    };
    if config.production && config.frontend_origins.is_empty() {
        tracing::warn!("FRONTEND_URL is not set: only pages of this host may connect");
    }
    if config.auth_mode == AuthMode::Trust {
        tracing::warn!("AUTH_MODE=trust: clients are believed who they say they are");
    }
    let publish_token = config.publish_token.clone().unwrap_or_else(|| {
        let token = format!("{:032x}", rand::random::<u128>());
        say(&format!(
            "PUBLISH_TOKEN is not set; for this run it is {token}"
        ));
        Secret::new(&token)
    });
    let (shutdown, asked) = watch::channel(Shutdown::No);
    let (recording, keeper) = record(&config)?.unzip();
    let signals = listen_for_signals(shutdown)?;
    let keeping = listen_for_keep(keeper)?;
    let (started, _) = oneshot::channel();
    let served = run(
        Tcp,
        SystemClock::start(),
        config,
        publish_token,
        seeds,
        Handles {
            started,
            shutdown: asked,
            recording,
        },
    )
    .await;
    signals.abort();
    keeping.abort();
    served?;
    tracing::info!("WebSocket server stopped");
    Ok(())
}

/// What `RECORD_DIR` asks for, and the way to keep it.
fn record(config: &Config) -> Result<Option<(Recording, Keeper)>, FilesError> {
    let Some(record) = &config.record else {
        return Ok(None);
    };
    let (sink, keeper) = FileSink::start(record.dir.clone(), record.bytes_max)?;
    tracing::info!(dir = %record.dir.display(), masked = record.masked, "recording");
    let recording = Recording {
        sink: Box::new(sink),
        node: config.listen.to_string(),
        masked: record.masked,
        segment_bytes_max: record.segment_bytes_max,
    };
    Ok(Some((recording, keeper)))
}

/// SIGUSR1 keeps what was recorded. It is listened for in any case: it would end the process.
fn listen_for_keep(keeper: Option<Keeper>) -> std::io::Result<tokio::task::JoinHandle<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut asked = signal(SignalKind::user_defined1())?;
    Ok(tokio::spawn(async move {
        while asked.recv().await.is_some() {
            match &keeper {
                Some(keeper) => keeper.keep(),
                None => tracing::warn!("SIGUSR1 keeps a recording, and RECORD_DIR is not set"),
            }
        }
    }))
}

/// Says what must be known whatever is logged.
fn say(text: &str) {
    if tracing::enabled!(tracing::Level::WARN) {
        tracing::warn!("{text}");
    } else {
        let _ = writeln!(std::io::stderr(), "tradewire: {text}");
    }
}

/// The first SIGTERM or SIGINT drains, the second ends the drain.
fn listen_for_signals(
    shutdown: watch::Sender<Shutdown>,
) -> std::io::Result<tokio::task::JoinHandle<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::spawn(async move {
        for ask in [Shutdown::Drain, Shutdown::Now] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!(?ask, "signal received");
            if shutdown.send(ask).is_err() {
                return;
            }
        }
        // A closed channel would mean that nobody can ask any more.
        std::future::pending::<()>().await;
    }))
}

/// Each connection is an open file, and the usual soft limit is 1,024.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}
