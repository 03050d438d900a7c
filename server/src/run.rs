//! One server from start to drain. Network, clock, chance and shutdown come in from outside, so that
//! several can run in one process, on a real network or a simulated one.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use socketioxide::handler::ConnectHandler as _;
use socketioxide::{ParserConfig, SocketIo};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tradewire_engine::limits::LimitsError;
use tradewire_engine::parse::BodyFormat;
use tradewire_engine::{BusKind, CONGESTED_CONTROLS_MAX, Engine};

use crate::accept::{AcceptLimits, Ending, accept};
use crate::bus::{self, Bus, BusStatus, Codec, Embedded, RedisBus, Stop};
use crate::clock::Clock;
use crate::config::{AuthMode, Config, Secret};
use crate::demo;
use crate::driver::{Driver, Parts};
use crate::gate::{Gate, PollingSessions, SocketIoService};
use crate::gateway::{Entered, Gateway, Sender, SenderSlot};
use crate::http::{PUBLISHING_MAX, Site, Web, publish};
use crate::inbox::{Inbox, inbox};
use crate::metrics::Metrics;
use crate::net::{Listener as _, Net};
use crate::recorder::{Recorder, Recording};
use crate::sessions::{RedisSessions, SessionSettings, Sessions, Trust};

/// What the server is asked to do about its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing: serve.
    #[default]
    No,
    /// Tell clients and close them over the drain window.
    Drain,
    /// Tell clients that were not told, and close them all now.
    Now,
}

/// The chances that a server takes, drawn by whoever starts it.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// Keys hash tables; not to be guessed by outsiders.
    pub engine: u64,
    /// Names this life of this node.
    pub instance: u64,
    /// Names this life of the embedded bus's data.
    pub epoch: u64,
    /// Makes the demo's market.
    pub demo: u64,
}

/// What whoever starts a server holds the other end of.
#[derive(Debug)]
pub struct Handles {
    /// Is told the address once the server listens.
    pub started: oneshot::Sender<SocketAddr>,
    /// Asks it to end.
    pub shutdown: watch::Receiver<Shutdown>,
    /// Where everything that happens is recorded, if it is.
    pub recording: Option<Recording>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; choose another with WEBSOCKET_PORT or HOST")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The limits contradict each other.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// socketioxide did not make the namespace, which it always does.
    #[error("the Socket.IO namespace was not made")]
    Namespace,
}

/// How long, once every client is gone, HTTP answers under way may take to be written.
const ANSWERS_MAX: Duration = Duration::from_millis(500);

/// Packets that socketioxide and engineioxide put into a socket's buffer on their own: CONNECT,
/// pings, noops, the answers to unknown namespaces.
const OWN_PACKETS_MAX: usize = 1_024;

/// Runs a server until it has drained.
///
/// # Errors
/// When it cannot start.
pub async fn run<N: Net, C: Clock>(
    net: N,
    clock: C,
    config: Config,
    publish_token: Secret,
    seeds: Seeds,
    handles: Handles,
) -> Result<(), StartError> {
    let Handles {
        started,
        shutdown,
        recording,
    } = handles;
    let engine = Engine::new(tradewire_engine::Config {
        limits: config.limits.clone(),
        delivery: config.delivery,
        bus: if config.redis.is_some() {
            BusKind::Shared
        } else {
            BusKind::Embedded
        },
        seed: seeds.engine,
        instance: seeds.instance,
    })?;
    let (inbox, outlets) = inbox();
    let Backing {
        bus,
        sessions,
        status,
        stop,
    } = backing(&net, &clock, &config, &inbox, seeds);
    let metrics = Arc::new(Metrics::new(status.as_deref()));
    let (notices, notices_out) = mpsc::unbounded_channel();
    let slot = SenderSlot::default();
    // Room for all that the engine hands over before it calls a connection congested (its bound, and
    // one batch on top), for its answers after, and for packets that are not ours: a heartbeat
    // always fits.
    let packets_max = config.limits.outbox_packets_max as usize
        + config.parse_limits.items_max
        + CONGESTED_CONTROLS_MAX as usize
        + OWN_PACKETS_MAX;
    let service = socket_io(&config, packets_max, &inbox, &slot);
    let sender = slot
        .get()
        .and_then(Weak::upgrade)
        .ok_or(StartError::Namespace)?;
    let polling = Arc::new(PollingSessions::default());
    let gate = Gate::new(service, inbox.clone(), Arc::clone(&polling), &config);
    let site = Arc::new(site(
        &config,
        &clock,
        inbox,
        &metrics,
        status,
        publish_token,
    ));
    let web = Web::new(gate.clone(), Arc::clone(&site), &config);
    let recorder =
        recording.map(|recording| Recorder::new(recording, clock.clone(), Arc::clone(&metrics)));
    let driver = Driver::new(Parts {
        engine,
        recorder,
        clock,
        bus,
        sessions,
        sender,
        gate,
        polling,
        packets_max,
        metrics: Arc::clone(&metrics),
        notices,
    });

    let address = config.listen;
    let bound = |error| StartError::Bind { address, error };
    let listener = net.bind(address).await.map_err(bound)?;
    let address = listener.local_addr().map_err(bound)?;
    let limits = AcceptLimits {
        // A polling client has two requests under way at most; publishers and probes are few.
        streams_max: config.limits.connections_max as usize * 2 + 1_024,
        head_max: config.server_limits.request_head_max,
        // As long as a heartbeat may take: who does not read does not see pings either.
        stall_max: config.server_limits.ping_interval + config.server_limits.ping_timeout,
    };
    tracing::info!(%address, "WebSocket server initialized");
    // Whoever started it may not care.
    let _ = started.send(address);
    let ending = Ending::default();
    let driving = driver.run(outlets, notices_out, shutdown);
    let demo = async {
        if config.demo {
            run_demo(&site, seeds.demo).await;
        }
        std::future::pending::<()>().await;
    };
    let left = tokio::select! {
        biased;
        left = driving => left,
        () = accept(listener, web, metrics, limits, &ending) => Duration::ZERO,
        () = demo => Duration::ZERO,
    };
    // Answers that were given are written, so that nobody publishes again what was taken; and slots
    // given back are free for those who come back elsewhere.
    let limit = left.min(ANSWERS_MAX);
    let finishing = async {
        if let Some(stop) = stop {
            // It has a deadline of its own, which may be later than the drain's.
            let _ = tokio::time::timeout(limit, stop.stop()).await;
        }
    };
    tokio::join!(ending.end(limit), finishing);
    Ok(())
}

/// What stands behind the driver.
struct Backing {
    bus: Box<dyn Bus>,
    sessions: Box<dyn Sessions>,
    status: Option<Arc<BusStatus>>,
    stop: Option<Stop>,
}

/// The bus and the session store: in this process, or in Redis.
fn backing<N: Net, C: Clock>(
    net: &N,
    clock: &C,
    config: &Config,
    inbox: &Inbox,
    seeds: Seeds,
) -> Backing {
    let Some(url) = &config.redis else {
        return Backing {
            bus: Box::new(Embedded::new(seeds.epoch, seeds.engine)),
            sessions: Box::new(Trust),
            status: None,
            stop: None,
        };
    };
    let status = Arc::new(BusStatus::new());
    let codec = Codec::new(
        config.limits.clone(),
        config.log_stream_max,
        seeds.instance,
        seeds.epoch,
    );
    let (bus, commands, stop) = RedisBus::start(bus::Parts {
        net: net.clone(),
        clock: clock.clone(),
        url: url.clone(),
        instance: seeds.instance,
        codec: codec.with_publishes_of(config.server_limits.publish_body_bytes_max),
        limits: &config.limits,
        parse_limits: config.parse_limits.clone(),
        seed: seeds.instance,
        arrivals: inbox.arrivals.clone(),
        status: Arc::clone(&status),
    });
    let sessions: Box<dyn Sessions> = match config.auth_mode {
        AuthMode::Trust => Box::new(Trust),
        AuthMode::Session => Box::new(RedisSessions::new(
            commands,
            inbox.arrivals.clone(),
            SessionSettings {
                prefix: config.session_prefix.clone(),
                lookup_max: config.limits.session_lookup_max,
                limits: config.parse_limits.clone(),
                seed: seeds.instance,
            },
        )),
    };
    Backing {
        bus: Box::new(bus),
        sessions,
        status: Some(status),
        stop: Some(stop),
    }
}

pub(crate) fn socket_io(
    config: &Config,
    packets_max: usize,
    inbox: &Inbox,
    slot: &SenderSlot,
) -> SocketIoService {
    let limits = &config.server_limits;
    let parser = ParserConfig::common()
        .max_incoming_binaries(limits.attachments_max)
        .max_incoming_binary_buf_size(limits.attachments_bytes_max);
    let (service, io) = SocketIo::builder()
        .ping_interval(limits.ping_interval)
        .ping_timeout(limits.ping_timeout)
        .connect_timeout(config.limits.handshake_max)
        .max_payload(limits.client_payload_bytes_max as u64)
        .ws_max_message_size(limits.client_payload_bytes_max)
        .ws_max_frame_size(limits.client_payload_bytes_max)
        .ws_read_buffer_size(WS_READ_BUFFER)
        .max_buffer_size(packets_max)
        .with_parser(parser)
        .with_adapter::<Sender>(Arc::clone(slot))
        .build_svc();
    let gateway = Gateway::new(inbox.clone(), config.parse_limits.clone());
    io.ns("/", Entered.with(gateway));
    let service = ServiceExt::<Request<Body>>::map_response(service, |response: Response<_>| {
        response.map(Body::new)
    });
    BoxCloneSyncService::new(service)
}

/// A websocket's read buffer, in bytes: clients send little, and each connection has one.
const WS_READ_BUFFER: usize = 256;

fn site<C: Clock>(
    config: &Config,
    clock: &C,
    inbox: Inbox,
    metrics: &Arc<Metrics>,
    bus: Option<Arc<BusStatus>>,
    publish_token: Secret,
) -> Site {
    let (wall, uptime) = (clock.clone(), clock.clone());
    let started = uptime.now();
    Site {
        inbox,
        metrics: Arc::clone(metrics),
        bus,
        publish_token,
        metrics_token: config.metrics_token.clone(),
        parse_limits: config.parse_limits.clone(),
        publishing: Semaphore::new(PUBLISHING_MAX),
        waiting: Semaphore::new(config.server_limits.publish_waiting_max + PUBLISHING_MAX),
        limits: config.server_limits.clone(),
        wall: Box::new(move || wall.wall()),
        uptime: Box::new(move || uptime.now().since(started)),
    }
}

/// Publishes the demo's market the way every publisher does.
async fn run_demo(site: &Site, seed: u64) {
    tracing::info!(users = ?demo::USERS, "demo market opens");
    let mut market = demo::Market::new(seed);
    let mut ticks = tokio::time::interval(demo::STEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(body) = market.step((site.wall)()) else {
            continue;
        };
        if let Err(problem) = publish::submit(site, body.as_bytes(), BodyFormat::NdJson).await {
            tracing::warn!(?problem, "the demo could not publish");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
