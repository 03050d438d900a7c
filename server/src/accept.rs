//! The accept loop: our own, because `axum::serve` exposes neither a bound on connections nor a
//! limit on how long a request's head may take.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::Web;
use crate::metrics::Metrics;
use crate::net::Listener;
use crate::stream::Tracked;

/// The largest request head, and the most that hyper buffers of a connection, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// After a failed accept, which mostly means too many open files: how long to wait for better times.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the loop keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptLimits {
    /// TCP connections at once; one more is closed at once.
    pub(crate) streams_max: usize,
    /// How long a request's head may take to arrive, or a connection to send its next one.
    pub(crate) head_max: Duration,
    /// How long a write may wait for a client that takes nothing.
    pub(crate) stall_max: Duration,
}

/// The connections that carry HTTP, and how they are asked to end.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    asked: CancellationToken,
    connections: TaskTracker,
}

impl Ending {
    /// Lets requests under way be answered, within `limit`, and takes no more.
    pub(crate) async fn end(&self, limit: Duration) {
        self.asked.cancel();
        self.connections.close();
        // What takes longer ends with the process.
        let _ = tokio::time::timeout(limit, self.connections.wait()).await;
    }
}

/// Accepts until it is dropped; [`Ending::end`] then ends what was accepted.
pub(crate) async fn accept<L>(
    mut listener: L,
    web: Web,
    metrics: Arc<Metrics>,
    limits: AcceptLimits,
    ending: &Ending,
) where
    L: Listener,
    L::Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.streams_max));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            metrics.streams_refused.inc();
            continue;
        };
        let (web, asked) = (web.clone(), ending.asked.clone());
        ending.connections.spawn(async move {
            serve(stream, web, limits, asked).await;
            drop(place);
        });
    }
}

/// Serves one connection to its end, or until it is upgraded.
async fn serve<S>(stream: S, web: Web, limits: AcceptLimits, asked: CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let stream = Tracked::new(stream, limits.stall_max);
    let line = Arc::clone(stream.line());
    let service = service_fn(move |request: Request<Incoming>| {
        let (web, line) = (web.clone(), Arc::clone(&line));
        async move { Ok::<_, std::convert::Infallible>(web.serve(request.map(Body::new), line).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        biased;
        served = &mut connection => served,
        () = asked.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        // Clients that vanish or send nonsense are daily business.
        tracing::debug!(%error, "connection ended");
    }
}
