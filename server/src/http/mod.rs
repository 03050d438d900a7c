//! HTTP: the routes, who may call them from a browser, and the way to socketioxide.

mod dashboard;
mod health;
pub(crate) mod problem;
pub(crate) mod publish;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header::{HeaderName, HeaderValue, ORIGIN, UPGRADE};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tradewire_engine::limits::ParseLimits;
use tradewire_engine::time::WallTime;

use crate::bus::BusStatus;
use crate::config::{Config, Secret, ServerLimits};
use crate::gate::Gate;
use crate::inbox::Inbox;
use crate::metrics::Metrics;
use crate::origin::{Origins, Verdict};
use crate::stream::Line;
use problem::Problem;

/// The path under which Socket.IO lives; with and without the slash, as Node's server takes it.
const SOCKET_IO: &str = "/socket.io";

/// How long a browser may remember a preflight's answer.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// What the routes share.
pub(crate) struct Site {
    pub(crate) inbox: Inbox,
    pub(crate) metrics: Arc<Metrics>,
    /// How the shared bus is; `None` for the embedded one.
    pub(crate) bus: Option<Arc<BusStatus>>,
    pub(crate) publish_token: Secret,
    pub(crate) metrics_token: Option<Secret>,
    pub(crate) parse_limits: ParseLimits,
    pub(crate) limits: ServerLimits,
    /// Requests that are publishing.
    pub(crate) publishing: Semaphore,
    /// Requests that are publishing or wait to.
    pub(crate) waiting: Semaphore,
    /// The wall's time, for what comes in.
    pub(crate) wall: Box<dyn Fn() -> WallTime + Send + Sync>,
    /// For how long the server has run.
    pub(crate) uptime: Box<dyn Fn() -> Duration + Send + Sync>,
}

/// Requests whose bodies may be in memory at once; the rest wait without theirs.
pub(crate) const PUBLISHING_MAX: usize = 64;

/// The whole HTTP surface.
#[derive(Clone)]
pub(crate) struct Web {
    gate: Gate,
    routes: Router,
    origins: Arc<Origins>,
    cors: CorsLayer,
}

impl Web {
    pub(crate) fn new(gate: Gate, site: Arc<Site>, config: &Config) -> Self {
        let origins = Arc::new(Origins::new(config.frontend_origins.clone()));
        let listed = Arc::clone(&origins);
        let listed =
            move |_: &HeaderValue, parts: &Parts| listed.allows(&parts.headers) == Verdict::Listed;
        let cors = CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(listed))
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .max_age(PREFLIGHT_MAX_AGE);
        Self {
            gate,
            routes: routes(site, config),
            origins,
            cors,
        }
    }

    /// Answers a request that came in on `line`.
    pub(crate) async fn serve(self, request: Request<Body>, line: Arc<Line>) -> Response {
        if self.origins.allows(request.headers()) == Verdict::Refused {
            let detail = "This Origin is not allowed: list it in FRONTEND_URL";
            return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
        }
        let Self {
            gate, routes, cors, ..
        } = self;
        // Same-host pages need no CORS headers, and most requests come from them.
        if !request.headers().contains_key(ORIGIN) {
            return route(gate, routes, request, line).await;
        }
        let service = tower::service_fn(move |request| {
            let (gate, routes, line) = (gate.clone(), routes.clone(), Arc::clone(&line));
            async move { Ok::<_, Infallible>(route(gate, routes, request, line).await) }
        });
        match tower::Layer::layer(&cors, service).oneshot(request).await {
            Ok(response) => response,
            Err(impossible) => match impossible {},
        }
    }
}

async fn route(gate: Gate, routes: Router, request: Request<Body>, line: Arc<Line>) -> Response {
    let path = request.uri().path();
    let below = path.strip_prefix(SOCKET_IO);
    if below == Some("") || below == Some("/") {
        return gate.serve(request, &line).await;
    }
    if wants_websocket(&request) {
        let detail = "WebSocket upgrades are served under /socket.io/ only";
        return Problem::new(StatusCode::BAD_REQUEST, detail).into_response();
    }
    match routes.oneshot(request).await {
        Ok(response) => response,
        Err(impossible) => match impossible {},
    }
}

fn wants_websocket<B>(request: &Request<B>) -> bool {
    let upgrade = request.headers().get(UPGRADE).map(HeaderValue::as_bytes);
    upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

fn routes(site: Arc<Site>, config: &Config) -> Router {
    let only_get = || async { Problem::method_not_allowed("GET, HEAD") };
    let only_post = || async { Problem::method_not_allowed("POST") };
    Router::new()
        .merge(dashboard::routes(config))
        .route("/api/publish", post(publish::publish).fallback(only_post))
        .route("/health/live", get(health::live).fallback(only_get))
        .route("/health/ready", get(health::ready).fallback(only_get))
        .route(
            "/health/websocket",
            get(health::websocket).fallback(only_get),
        )
        .route("/metrics", get(health::metrics).fallback(only_get))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "There is no such route") })
        .with_state(site)
}

/// The bearer token of a request.
fn bearer(headers: &http::HeaderMap) -> Option<&[u8]> {
    const NAME: HeaderName = http::header::AUTHORIZATION;
    let value = headers.get(NAME)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}
