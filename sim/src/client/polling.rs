//! Engine.IO over long polling: one GET under way for what comes, one POST at a time for what goes.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, StatusCode};
use tradewire_server::net::Net;

use crate::client::transport::TransportEnd;
use crate::http_client::{Answer, HttpClient, HttpError, Plugs};
use crate::net::Plugged;

/// Between the packets of one body.
const SEPARATOR: char = '\u{1e}';

/// How long the farewell may take before it is given up.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// A request under way, which gives its connection back.
type Request<N> = Pin<Box<dyn Future<Output = (HttpClient<N>, Result<Answer, HttpError>)> + Send>>;

/// A connection, or what uses it.
enum Line<N> {
    Free(HttpClient<N>),
    Busy(Request<N>),
    /// Only while it changes hands.
    Taken,
}

/// An open polling transport.
pub(crate) struct Polling<N> {
    path: String,
    down: Line<N>,
    up: Line<N>,
    arrived: VecDeque<String>,
    outbox: VecDeque<String>,
    paused: bool,
}

impl<N: Net<Stream: Plugged>> Polling<N> {
    /// Shakes hands: the transport, and the first packet that came.
    pub(crate) async fn open(net: &N, node: &str, plugs: &Plugs) -> Result<(Self, String), String> {
        let line = || HttpClient::new(net.clone(), node.to_owned(), plugs.clone());
        let mut down = line();
        let path = "/socket.io/?EIO=4&transport=polling";
        let answer = down.ask(Method::GET, path, &[], String::new()).await;
        let mut arrived = packets(answer, "poll")?;
        let open = arrived
            .pop_front()
            .ok_or_else(|| "xhr poll error: empty".to_owned())?;
        let polling = Self {
            path: path.to_owned(),
            down: Line::Free(down),
            up: Line::Free(line()),
            arrived,
            outbox: VecDeque::new(),
            paused: false,
        };
        Ok((polling, open))
    }

    /// The session that later requests name.
    pub(crate) fn set_sid(&mut self, sid: &str) {
        self.path = format!("{}&sid={sid}", self.path);
    }

    /// Queues a packet; [`Self::next`] sends it.
    pub(crate) fn send(&mut self, packet: String) {
        self.outbox.push_back(packet);
    }

    /// Begins no more requests.
    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// Whether nothing is under way any more.
    pub(crate) fn is_idle(&self) -> bool {
        let busy = |line: &Line<N>| matches!(line, Line::Busy(_));
        !busy(&self.down) && !busy(&self.up) && self.arrived.is_empty()
    }

    /// What was queued and not sent.
    pub(crate) fn into_outbox(self) -> VecDeque<String> {
        self.outbox
    }

    /// Sends what is queued and waits for the next packet; `None` when paused and idle. May be dropped and
    /// called again.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, TransportEnd> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<String>, TransportEnd>> {
        loop {
            self.begin();
            if let Poll::Ready(answer) = self.up.poll(cx) {
                packets(answer, "post").map_err(TransportEnd::Failed)?;
                continue;
            }
            if let Some(packet) = self.arrived.pop_front() {
                return Poll::Ready(if packet == "1" {
                    Err(TransportEnd::Closed)
                } else {
                    Ok(Some(packet))
                });
            }
            if let Poll::Ready(answer) = self.down.poll(cx) {
                self.arrived = packets(answer, "poll").map_err(TransportEnd::Failed)?;
                continue;
            }
            return if self.paused && self.is_idle() {
                Poll::Ready(Ok(None))
            } else {
                Poll::Pending
            };
        }
    }

    /// Begins the requests that are due.
    fn begin(&mut self) {
        if self.paused {
            return;
        }
        if self.arrived.is_empty() {
            let path = self.path.clone();
            self.down.begin(move |mut client| {
                Box::pin(async move {
                    let answer = client.ask(Method::GET, &path, &[], String::new()).await;
                    (client, answer)
                })
            });
        }
        if !self.outbox.is_empty() && matches!(self.up, Line::Free(_)) {
            let body = joined(std::mem::take(&mut self.outbox));
            let path = self.path.clone();
            self.up
                .begin(move |client| Box::pin(post(client, path, body)));
        }
    }

    /// Says goodbye in the background, and takes no more answers.
    pub(crate) fn close(mut self) {
        self.outbox.push_back("1".to_owned());
        let (path, body, up) = (self.path, joined(self.outbox), self.up);
        tokio::spawn(async move {
            let farewell = async {
                let client = match up {
                    Line::Free(client) => client,
                    Line::Busy(request) => request.await.0,
                    Line::Taken => return,
                };
                let _ = post(client, path, body).await;
            };
            // The other side may never answer, and then nobody waits.
            let _ = tokio::time::timeout(CLOSE_MAX, farewell).await;
        });
    }
}

async fn post<N: Net<Stream: Plugged>>(
    mut client: HttpClient<N>,
    path: String,
    body: String,
) -> (HttpClient<N>, Result<Answer, HttpError>) {
    let headers = [("content-type", "text/plain;charset=UTF-8")];
    let answer = client.ask(Method::POST, &path, &headers, body).await;
    (client, answer)
}

impl<N> Line<N> {
    fn begin(&mut self, request: impl FnOnce(HttpClient<N>) -> Request<N>) {
        *self = match std::mem::replace(self, Self::Taken) {
            Self::Free(client) => Self::Busy(request(client)),
            other @ (Self::Busy(_) | Self::Taken) => other,
        };
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, HttpError>> {
        let Self::Busy(request) = self else {
            return Poll::Pending;
        };
        let (client, answer) = std::task::ready!(request.as_mut().poll(cx));
        *self = Self::Free(client);
        Poll::Ready(answer)
    }
}

fn joined(packets: VecDeque<String>) -> String {
    let packets: Vec<String> = packets.into();
    packets.join(&SEPARATOR.to_string())
}

/// The packets of an answer. The error is what a client would log.
fn packets(answer: Result<Answer, HttpError>, what: &str) -> Result<VecDeque<String>, String> {
    let answer = answer.map_err(|error| format!("xhr {what} error: {error}"))?;
    if answer.status != StatusCode::OK {
        return Err(format!("xhr {what} error: {}", answer.status));
    }
    let text =
        std::str::from_utf8(&answer.body).map_err(|_| format!("xhr {what} error: not UTF-8"))?;
    Ok(text.split(SEPARATOR).map(str::to_owned).collect())
}
