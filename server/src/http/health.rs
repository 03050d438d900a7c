//! Health, readiness and metrics: how this node is, for people, balancers and Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tokio::sync::oneshot;
use tradewire_engine::Contact;

use super::problem::Problem;
use super::{Site, bearer};
use crate::inbox::{Command, Report};

/// How long the driver may take to report before it counts as stalled.
const REPORT_MAX: Duration = Duration::from_secs(2);

/// The process is up.
pub(super) async fn live() -> Response {
    answer(StatusCode::OK, json!({"status": "live"}))
}

/// This node can take clients.
pub(super) async fn ready(State(site): State<Arc<Site>>) -> Response {
    match report(&site).await {
        Some(Report { draining: true, .. }) => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "draining"}),
        ),
        Some(Report { stats, .. }) if stats.contact == Contact::Never => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "starting", "waitsFor": "redis"}),
        ),
        Some(_) => answer(StatusCode::OK, json!({"status": "ready"})),
        None => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "stalled"}),
        ),
    }
}

/// This node's connections.
pub(super) async fn websocket(State(site): State<Arc<Site>>) -> Response {
    let Some(Report { stats, draining }) = report(&site).await else {
        return answer(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "stalled"}),
        );
    };
    let (code, status) = if draining {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if stats.contact == Contact::Reached {
        (StatusCode::OK, "healthy")
    } else {
        // Still 200: a balancer must not drop every node because Redis is away.
        (StatusCode::OK, "degraded")
    };
    let contact = match stats.contact {
        Contact::Never => "never",
        Contact::Reached => "reached",
        Contact::Lost => "lost",
    };
    let bus = match &site.bus {
        None => json!({"kind": "embedded", "state": contact}),
        Some(bus) => json!({
            "kind": "redis",
            "state": contact,
            "nodes": bus.nodes(),
            "logLag": bus.log_lag(),
            "heldValues": stats.held,
        }),
    };
    let body = json!({
        "status": status,
        "activeConnections": stats.connections,
        "uniqueUsers": stats.users,
        "uptime": (site.uptime)().as_secs(),
        "transports": stats.transports,
        "congestedConnections": stats.congested,
        "symbols": stats.symbols,
        "bus": bus,
        "version": env!("CARGO_PKG_VERSION"),
    });
    answer(code, body)
}

/// Prometheus text.
pub(super) async fn metrics(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    if let Some(token) = &site.metrics_token
        && !bearer(&headers).is_some_and(|given| token.matches(given))
    {
        let detail = "Give METRICS_TOKEN as a bearer token";
        return Problem::unauthorized(detail).into_response();
    }
    let Some(report) = report(&site).await else {
        let detail = "The server does not answer itself: it is stalled";
        return Problem::unavailable(detail, Duration::from_secs(1)).into_response();
    };
    match site.metrics.expose(&report) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], text).into_response()
        }
        Err(error) => {
            let detail = format!("The metrics could not be written: {error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
        }
    }
}

fn answer(status: StatusCode, body: serde_json::Value) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// How the driver is; `None` if it does not say in time.
async fn report(site: &Site) -> Option<Report> {
    let asked = async {
        let (reply, report) = oneshot::channel();
        site.inbox
            .commands
            .send(Command::Report { reply })
            .await
            .ok()?;
        report.await.ok()
    };
    tokio::time::timeout(REPORT_MAX, asked).await.ok()?
}
