//! Errors as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Map, Value as Json};

/// One HTTP error.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    members: Map<String, Json>,
    header: Option<Header>,
}

/// The one header beside the content type that an error may need.
#[derive(Clone, Copy, Debug)]
enum Header {
    Allow(&'static str),
    RetryAfterSeconds(u64),
    WwwAuthenticate,
}

impl Problem {
    /// An error of this status; `detail` says what was wrong and what to do.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            members: Map::new(),
            header: None,
        }
    }

    /// 503 with `Retry-After`, in whole seconds, at least one.
    pub(crate) fn unavailable(detail: &str, retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(retry_after)
    }

    /// 401 for a missing or wrong bearer token.
    pub(crate) fn unauthorized(detail: &str) -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, detail);
        problem.header = Some(Header::WwwAuthenticate);
        problem
    }

    /// 405 for a route that knows other methods.
    pub(crate) fn method_not_allowed(allowed: &'static str) -> Self {
        let detail = format!("This route takes {allowed}");
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, detail);
        problem.header = Some(Header::Allow(allowed));
        problem
    }

    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.header = Some(Header::RetryAfterSeconds(wait.as_secs().max(1)));
        self
    }

    /// Adds a member beside the standard ones.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("type".into(), "about:blank".into());
        body.insert(
            "title".into(),
            self.status.canonical_reason().unwrap_or("Error").into(),
        );
        body.insert("status".into(), self.status.as_u16().into());
        body.insert("detail".into(), self.detail.into());
        body.extend(self.members);
        let mut response = Response::new(Body::from(Json::Object(body).to_string()));
        *response.status_mut() = self.status;
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        let header = self.header.map(|header| match header {
            Header::Allow(methods) => (ALLOW, HeaderValue::from_static(methods)),
            Header::RetryAfterSeconds(seconds) => (RETRY_AFTER, HeaderValue::from(seconds)),
            Header::WwwAuthenticate => (WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        });
        response.headers_mut().extend(header);
        response
    }
}
