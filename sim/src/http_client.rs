//! An HTTP client over a simulated network: one connection that is kept and made anew when it is lost,
//! as each of a browser's is.
//!
//! It never retries what it sent; who asks decides that.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;
use tradewire_server::net::Net;

use crate::net::{Plug, Plugged};

/// The port that every node listens on.
pub const PORT: u16 = 3_000;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The node could not be connected to.
    #[error("{}", .0.kind())]
    Connect(io::Error),
    /// The connection ended before the answer did.
    #[error("{0}")]
    Broken(#[from] hyper::Error),
    /// The request cannot be written.
    #[error("{0}")]
    Request(#[from] http::Error),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The plugs of what one client has open, so that it can vanish.
#[derive(Clone, Default)]
pub(crate) struct Plugs(Arc<Mutex<Vec<Box<dyn Plug>>>>);

impl Plugs {
    pub(crate) fn add(&self, stream: &impl Plugged) {
        self.held().push(stream.plug());
    }

    pub(crate) fn pull(&self) {
        for plug in self.held().iter() {
            plug.pull();
        }
    }

    /// Forgets what was closed with a connection of Engine.IO.
    pub(crate) fn clear(&self) {
        self.held().clear();
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Plug>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection to one node.
pub(crate) struct HttpClient<N> {
    net: N,
    node: String,
    plugs: Plugs,
    connection: Option<(SendRequest<Full<Bytes>>, AbortOnDropHandle<()>)>,
}

impl<N: Net<Stream: Plugged>> HttpClient<N> {
    pub(crate) fn new(net: N, node: String, plugs: Plugs) -> Self {
        Self {
            net,
            node,
            plugs,
            connection: None,
        }
    }

    /// Asks, and waits for the whole answer.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, HttpError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, format!("{}:{PORT}", self.node));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let sender = self.sender().await?;
        let answer = sender.send_request(request).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// The connection that is kept, or a new one when it is gone.
    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, HttpError> {
        let kept = match self.connection.take() {
            Some(mut kept) => kept.0.ready().await.is_ok().then_some(kept),
            None => None,
        };
        let connection = match kept {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        Ok(&mut self.connection.insert(connection).0)
    }

    async fn connect(
        &self,
    ) -> Result<(SendRequest<Full<Bytes>>, AbortOnDropHandle<()>), HttpError> {
        let stream = self.net.connect(&self.node, PORT).await;
        let stream = stream.map_err(HttpError::Connect)?;
        self.plugs.add(&stream);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            // Whoever asked is told by the answer that does not come.
            let _ = connection.await;
        }));
        Ok((sender, task))
    }
}
