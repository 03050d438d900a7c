//! `POST /api/publish`: who may publish, how much at once, and what the answers look like.
//!
//! A batch is parsed whole before any of it is handed on; what it means is the engine's business.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tradewire_engine::effect::PublishOutcome;
use tradewire_engine::event::{Publish, Target};
use tradewire_engine::ids::PublishId;
use tradewire_engine::parse::{self, BodyFormat, PublishError};

use super::problem::Problem;
use super::{Site, bearer};
use crate::inbox::PublishCommand;
use crate::metrics::PublishStatus;

/// How long a publisher may take to send its body, of at most a megabyte.
const BODY_MAX: Duration = Duration::from_secs(10);

/// A body that is too large is read up to so many times what is allowed.
const DISCARDED_MAX: usize = 4;

/// When a publisher that found no room should try again.
const RETRY: Duration = Duration::from_secs(1);

/// Takes a batch.
pub(super) async fn publish(State(site): State<Arc<Site>>, request: Request<Body>) -> Response {
    let (status, response) = match accept(&site, request).await {
        Ok(response) => (PublishStatus::Accepted, response),
        Err(problem) => {
            let response = problem.into_response();
            let status = match response.status() {
                StatusCode::SERVICE_UNAVAILABLE => PublishStatus::Unavailable,
                _ => PublishStatus::Refused,
            };
            (status, response)
        }
    };
    site.metrics.publish_answered(status);
    response
}

async fn accept(site: &Site, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if !bearer(&parts.headers).is_some_and(|token| site.publish_token.matches(token)) {
        return Err(Problem::unauthorized(
            "Give PUBLISH_TOKEN as a bearer token",
        ));
    }
    let format = format_of(&parts.headers)?;
    let too_large = || {
        let max = site.limits.publish_body_bytes_max;
        let detail = format!("The body may have {max} bytes at most: publish in smaller batches");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let _waiting = site.waiting.try_acquire().map_err(|_| {
        let detail = "Too many publishes wait already: publish in larger batches, or slower";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(RETRY)
    })?;
    let turn = timeout(site.limits.publish_wait_max, site.publishing.acquire()).await;
    let Ok(Ok(_publishing)) = turn else {
        return Err(no_room());
    };
    let body = match timeout(BODY_MAX, whole(body, site.limits.publish_body_bytes_max)).await {
        Ok(Ok(Some(body))) => body,
        Ok(Ok(None)) => return Err(too_large()),
        Ok(Err(_)) => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "The body ended before it was whole",
            ));
        }
        Err(_) => {
            let detail = "The body took too long to arrive";
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail));
        }
    };
    answer(submit(site, &body, format).await?)
}

fn no_room() -> Problem {
    Problem::unavailable("The server is busy: publish again", RETRY)
}

/// Room that is made for a body before it has come, in bytes: its head may say anything.
const BODY_ROOM_MAX: usize = 64 * 1024;

/// The body in one piece; `None` if it has more than `max` bytes.
///
/// What is beyond is read and thrown away, up to a point: a publisher that is still sending when the
/// connection closes would not see the answer.
async fn whole(mut body: Body, max: usize) -> Result<Option<Bytes>, axum::Error> {
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let (mut first, mut joined, mut length) = (Bytes::new(), Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        length += data.len();
        if length > max {
            (first, joined) = (Bytes::new(), Vec::new());
        } else if length == data.len() {
            // Mostly it is all, and need not be copied.
            first = data;
        } else {
            if joined.is_empty() {
                joined.reserve(told.min(BODY_ROOM_MAX));
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&data);
        }
        if length > max.saturating_mul(DISCARDED_MAX) {
            break;
        }
    }
    let whole = match joined.is_empty() {
        true => first,
        false => joined.into(),
    };
    Ok((length <= max).then_some(whole))
}

/// Hands a batch to the driver, and waits for what comes of it. The demo publishes this way too.
pub(crate) async fn submit(
    site: &Site,
    body: &[u8],
    format: BodyFormat,
) -> Result<PublishOutcome, Problem> {
    let wall = (site.wall)();
    let items =
        parse::publish(body, format, wall, &site.parse_limits).map_err(|error| refused(&error))?;
    let events: Vec<&'static str> = items.iter().map(event_of).collect();
    let (reply, outcome) = oneshot::channel();
    let gone = || Problem::unavailable("The server is stopping: publish elsewhere", RETRY);
    // Only the way in is timed: what the driver has taken is answered by the engine's own deadline,
    // with the ids.
    let room = timeout(site.limits.publish_wait_max, site.inbox.publishes.reserve()).await;
    let room = room.map_err(|_| no_room())?.map_err(|_| gone())?;
    room.send(PublishCommand { items, wall, reply });
    let outcome = outcome.await.map_err(|_| gone())?;
    if let PublishOutcome::Accepted { .. } = outcome {
        events
            .into_iter()
            .for_each(|event| site.metrics.published(event));
    }
    Ok(outcome)
}

fn event_of(publish: &Publish) -> &'static str {
    match &publish.target {
        Target::Log { kind, .. } => kind.event(),
        Target::State(topic) => topic.event(),
    }
}

/// The answer to a batch that was taken.
#[derive(Serialize)]
struct Accepted {
    accepted: usize,
    ids: Vec<PublishId>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
}

fn answer(outcome: PublishOutcome) -> Result<Response, Problem> {
    match outcome {
        PublishOutcome::Accepted { ids, degraded } => {
            let accepted = ids.len();
            let body = Accepted {
                accepted,
                ids,
                degraded,
            };
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        PublishOutcome::Draining => Err(Problem::unavailable(
            "This node is leaving: publish elsewhere",
            RETRY,
        )),
        PublishOutcome::Unavailable { ids } => {
            let detail = "Not known to be taken: publish the whole batch again with these ids";
            Err(Problem::unavailable(detail, RETRY).with("ids", json!(ids)))
        }
    }
}

fn refused(error: &PublishError) -> Problem {
    let mut problem = Problem::new(StatusCode::BAD_REQUEST, error.to_string());
    if let Some(item) = error.item() {
        problem = problem.with("item", item);
    }
    if let Some(line) = error.line() {
        problem = problem.with("line", line);
    }
    if let Some(field) = error.field() {
        problem = problem.with("field", field);
    }
    problem
}

fn format_of(headers: &HeaderMap) -> Result<BodyFormat, Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Ok(BodyFormat::Json)
    } else if kind.eq_ignore_ascii_case("application/x-ndjson") {
        Ok(BodyFormat::NdJson)
    } else {
        let detail = "Content-Type must be application/json or application/x-ndjson";
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
    }
}
