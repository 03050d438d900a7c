//! What stands before socketioxide: every request under `/socket.io/` passes here.
//!
//! The gate asks the driver whether a handshake may go on, hands socketioxide requests cut down to
//! what it needs, sees what polls carry away, and can end a session that has no stream of its own.
//! Who may come in is the engine's to say; of itself the gate turns away only what would have
//! socketioxide hold more sessions than there are places.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use socketioxide_core::Sid;
use tokio::sync::{Semaphore, oneshot};
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use tradewire_engine::input::{Pending, TransportFault};

use crate::config::{Config, Secret};
use crate::cookie::session_from_cookies;
use crate::frames::is_counted;
use crate::gateway::Handshake;
use crate::http::problem::Problem;
use crate::inbox::{Admitted, Command, Inbox};
use crate::link::Link;
use crate::stream::Line;

/// socketioxide's service, whatever it is made of.
pub(crate) type SocketIoService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Engine.IO 4 separates the packets of a poll's body with this.
const RECORD_SEPARATOR: u8 = 0x1e;

/// How long a client that was told to go may take to hang up.
const LINGER: Duration = Duration::from_secs(1);

/// The gate.
#[derive(Clone)]
pub(crate) struct Gate {
    service: SocketIoService,
    inbox: Inbox,
    sessions: Arc<PollingSessions>,
    secrets: Arc<[Secret]>,
    /// For sessions that socketioxide still holds, some of them gone: it keeps one that did not send
    /// CONNECT for as long as it might have.
    places: Arc<Semaphore>,
    /// Bytes that a client may post beyond the answers that it takes away.
    posted_max: u64,
}

/// When a client that found no place should come back.
const PLACES_RETRY: Duration = Duration::from_secs(5);

/// How long the body of a POST may take to arrive.
const POST_MAX: Duration = Duration::from_secs(10);

/// Sessions that began as polling, by their id. Bounded by the number of connections.
#[derive(Debug, Default)]
pub(crate) struct PollingSessions(Mutex<HashMap<Sid, Weak<Link>>>);

impl PollingSessions {
    fn insert(&self, sid: Sid, link: &Arc<Link>) {
        link.set_sid(sid);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(sid, Arc::downgrade(link));
    }

    /// Forgets a session that is gone.
    pub(crate) fn remove(&self, sid: Sid) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&sid);
    }

    fn get(&self, sid: Sid) -> Option<Arc<Link>> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions
            .get(&sid)?
            .upgrade()
            .filter(|link| !link.is_closed())
    }
}

/// What a request's query says of its session.
enum Wants {
    /// A session of its own.
    Session,
    /// One that there is.
    Existing { sid: Sid, websocket: bool },
    /// Nothing that makes sense here; socketioxide words the refusal.
    Other,
}

impl Gate {
    pub(crate) fn new(
        service: SocketIoService,
        inbox: Inbox,
        sessions: Arc<PollingSessions>,
        config: &Config,
    ) -> Self {
        let limits = &config.limits;
        let places = limits.connections_max as usize + 2 * limits.handshakes_max as usize;
        Self {
            service,
            inbox,
            sessions,
            secrets: config.session_secrets.clone().into(),
            places: Arc::new(Semaphore::new(places)),
            posted_max: 2 * config.server_limits.client_payload_bytes_max as u64,
        }
    }

    /// Answers a request that came in on `line`.
    pub(crate) async fn serve(&self, request: Request<Body>, line: &Arc<Line>) -> Response<Body> {
        match wants(&request) {
            Wants::Session => self.begin(request, line).await,
            Wants::Existing { sid, websocket } => match self.sessions.get(sid) {
                Some(link) if websocket => self.upgrade(request, line, &link).await,
                Some(link) if request.method() == Method::POST => self.post(request, &link).await,
                Some(link) => self.poll(request, &link).await,
                None => unknown_session(),
            },
            Wants::Other => self.forward(request).await,
        }
    }

    async fn begin(&self, request: Request<Body>, line: &Arc<Line>) -> Response<Body> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let detail = "Too many sessions that have not ended yet: come back later";
            return Problem::unavailable(detail, PLACES_RETRY).into_response();
        };
        let (reply, verdict) = oneshot::channel();
        let asked = self.inbox.commands.send(Command::Handshake { reply }).await;
        let (Ok(()), Ok(verdict)) = (asked, verdict.await) else {
            return Problem::unavailable("The server is stopping", Duration::from_secs(1))
                .into_response();
        };
        let Admitted { link, presence } = match verdict {
            Ok(admitted) => admitted,
            Err(reason) => {
                let detail = format!("No new connections now: {}", reason.name());
                return Problem::unavailable(&detail, reason.retry_after()).into_response();
            }
        };
        let cookie = session_from_cookies(request.headers(), &self.secrets);
        let handshake = Handshake {
            link: Arc::clone(&link),
            _presence: Arc::new((presence, place)),
            cookie,
        };
        let response = self.forward(cut_down(request, Some(handshake))).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            link.queue().open();
            line.carry(&link);
            return response;
        }
        let (parts, body) = whole(response).await;
        if parts.status == StatusCode::OK
            && let Some(sid) = opened(&body)
        {
            self.sessions.insert(sid, &link);
        }
        Response::from_parts(parts, Body::from(body))
    }

    async fn upgrade(
        &self,
        request: Request<Body>,
        line: &Arc<Line>,
        link: &Arc<Link>,
    ) -> Response<Body> {
        let response = self.forward(cut_down(request, None)).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            line.carry(link);
        }
        response
    }

    /// Takes what a polling client sends. Its answers wait until it polls, so one that never does is
    /// not let send for ever.
    async fn post(&self, request: Request<Body>, link: &Arc<Link>) -> Response<Body> {
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        if link.post(length.unwrap_or(self.posted_max / 2)) > self.posted_max {
            link.fail(TransportFault::Unread);
            let detail = "Too much was posted without polling: poll, and take the answers away";
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response();
        }
        match tokio::time::timeout(POST_MAX, self.forward(request)).await {
            Ok(response) => response,
            Err(_) => {
                let detail = "The body took too long to arrive";
                Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response()
            }
        }
    }

    async fn poll(&self, request: Request<Body>, link: &Arc<Link>) -> Response<Body> {
        // Unconstrained, so that a poll that has to wait means an empty queue and nothing else.
        let mut answer = pin!(tokio::task::unconstrained(self.forward(request)));
        let response = poll_fn(|cx| {
            let answer = answer.as_mut().poll(cx);
            if answer.is_pending() {
                link.found_empty();
            }
            answer
        });
        let response = response.await;
        if response.status() != StatusCode::OK {
            return response;
        }
        let (parts, body) = whole(response).await;
        let (mut written, mut others) = (Pending::default(), 0);
        for packet in body.split(|byte| *byte == RECORD_SEPARATOR) {
            match packet {
                [first, second, ..] if is_counted([*first, *second]) => {
                    written.bytes += packet.len() as u64;
                    written.packets += 1;
                }
                _ => others += packet.len() as u64,
            }
        }
        link.took(others);
        if written.packets > 0 {
            link.wrote(written);
        }
        Response::from_parts(parts, Body::from(body))
    }

    /// Ends a session: at once, or in good order once what is pending is written, and after `flush`
    /// at the latest.
    pub(crate) async fn close(&self, link: Arc<Link>, flush: Duration) {
        let mut lingers = false;
        if !flush.is_zero() {
            link.flushed(flush).await;
            lingers = link.finish();
        }
        // A polling session has no stream to end. socketioxide has no call to end one either, but
        // it ends when its client says so: this says it in the client's name.
        if let Some(sid) = link.sid() {
            self.sessions.remove(sid);
            let uri = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
            let request = Request::post(uri)
                .header(
                    CONTENT_TYPE,
                    HeaderValue::from_static("text/plain;charset=UTF-8"),
                )
                .body(Body::from("1"));
            if let Ok(request) = request {
                self.forward(request).await;
            }
        }
        if lingers {
            tokio::time::sleep(LINGER).await;
        }
        link.abort();
        link.gone();
    }

    async fn forward(&self, request: Request<Body>) -> Response<Body> {
        match self.service.clone().oneshot(request).await {
            Ok(response) => response,
            Err(impossible) => match impossible {},
        }
    }
}

fn wants<B>(request: &Request<B>) -> Wants {
    let query = request.uri().query().unwrap_or_default();
    // As engineioxide reads it: the first of each name counts, without URL decoding.
    let value = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    let (websocket, polling) = match value("transport") {
        Some("websocket") => (true, false),
        Some("polling") => (false, true),
        _ => (false, false),
    };
    if value("EIO") != Some("4") || !(websocket || polling) {
        return Wants::Other;
    }
    match value("sid").map(str::parse) {
        Some(Ok(sid)) => Wants::Existing { sid, websocket },
        Some(Err(_)) => Wants::Other,
        None if request.method() == Method::GET => Wants::Session,
        None => Wants::Other,
    }
}

/// A request with only what socketioxide needs of it, copied.
///
/// It keeps a handshake's request as long as the session lives, and the parts of the original are
/// slices of hyper's 8 KiB read buffer, which would live as long.
fn cut_down(request: Request<Body>, handshake: Option<Handshake>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    let mut cut = Request::new(body);
    *cut.method_mut() = parts.method;
    if let Some(path_and_query) = parts.uri.path_and_query() {
        let copy = Bytes::copy_from_slice(path_and_query.as_str().as_bytes());
        *cut.uri_mut() = Uri::from_maybe_shared(copy).unwrap_or_default();
    }
    *cut.headers_mut() = copied(&parts.headers, [SEC_WEBSOCKET_KEY]);
    if let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() {
        cut.extensions_mut().insert(upgrade);
    }
    if let Some(handshake) = handshake {
        cut.extensions_mut().insert(handshake);
    }
    cut
}

fn copied<const N: usize>(headers: &HeaderMap, names: [HeaderName; N]) -> HeaderMap {
    let mut copies = HeaderMap::with_capacity(N);
    for name in names {
        if let Some(value) = headers.get(&name)
            && let Ok(copy) = HeaderValue::from_bytes(value.as_bytes())
        {
            copies.insert(name, copy);
        }
    }
    copies
}

/// A response's body in one piece: those of polls are, so this does not wait.
async fn whole(response: Response<Body>) -> (http::response::Parts, Bytes) {
    let (parts, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    (parts, body.unwrap_or_default())
}

/// The session id in an Engine.IO open packet.
fn opened(packet: &[u8]) -> Option<Sid> {
    #[derive(serde::Deserialize)]
    struct Open<'a> {
        sid: &'a str,
    }
    let json = packet.strip_prefix(b"0")?;
    serde_json::from_slice::<Open<'_>>(json)
        .ok()?
        .sid
        .parse()
        .ok()
}

/// As engineioxide words it: stock clients look at the code.
fn unknown_session() -> Response<Body> {
    let body = r#"{"code":1,"message":"Session ID unknown"}"#;
    (
        StatusCode::BAD_REQUEST,
        [(CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response()
}
