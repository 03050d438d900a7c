//! Engine.IO over a websocket: a packet is a text message.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tradewire_server::net::Net;

use crate::client::transport::TransportEnd;
use crate::http_client::{PORT, Plugs};
use crate::net::Plugged;

/// How long a closing handshake may take before the stream is dropped all the same.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// An open websocket.
pub(crate) struct Websocket<S> {
    socket: WebSocketStream<S>,
    outbox: VecDeque<String>,
    flushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Plugged + Unpin + Send + 'static> Websocket<S> {
    /// Opens one, for a session that exists or a new one. The error is what a client would log.
    pub(crate) async fn open<N: Net<Stream = S>>(
        net: &N,
        node: &str,
        sid: Option<&str>,
        plugs: &Plugs,
    ) -> Result<Self, String> {
        let stream = net.connect(node, PORT).await;
        let stream = stream.map_err(|error| format!("websocket error: {}", error.kind()))?;
        plugs.add(&stream);
        let sid = sid.map_or_else(String::new, |sid| format!("&sid={sid}"));
        let url = format!("ws://{node}:{PORT}/socket.io/?EIO=4&transport=websocket{sid}");
        match client_async(url, stream).await {
            Ok((socket, _)) => Ok(Self {
                socket,
                outbox: VecDeque::new(),
                flushed: true,
            }),
            Err(Error::Http(response)) => Err(format!("websocket error: {}", response.status())),
            Err(error) => Err(format!("websocket error: {error}")),
        }
    }

    /// Queues a packet; [`Self::next`] writes it.
    pub(crate) fn send(&mut self, packet: String) {
        self.outbox.push_back(packet);
    }

    /// Writes what is queued and waits for the next packet. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<String, TransportEnd> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, TransportEnd>> {
        // A failure to write shows in reading, too, and reading still has what came before it.
        let _ = self.poll_write(cx);
        loop {
            return match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(Message::Text(text)))) => Poll::Ready(Ok(text.to_string())),
                // Answered by the websocket itself; and ours never sends binary ones.
                Poll::Ready(Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_),
                ))) => continue,
                Poll::Ready(None | Some(Ok(Message::Close(_)))) => {
                    Poll::Ready(Err(TransportEnd::Closed))
                }
                Poll::Ready(Some(Err(
                    Error::ConnectionClosed
                    | Error::AlreadyClosed
                    | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
                ))) => Poll::Ready(Err(TransportEnd::Closed)),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(TransportEnd::Failed(format!(
                    "websocket error: {error}"
                )))),
            };
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut socket = Pin::new(&mut self.socket);
        while let Some(packet) = self.outbox.pop_front() {
            match socket.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {
                    socket.as_mut().start_send(Message::text(packet))?;
                    self.flushed = false;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.outbox.push_front(packet);
                    break;
                }
            }
        }
        if !self.flushed && socket.poll_flush(cx)?.is_ready() {
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is queued, then closes; in the background, as a browser does.
    pub(crate) fn close(mut self) {
        tokio::spawn(async move {
            // The other side may never answer, and then nobody waits.
            let _ = tokio::time::timeout(CLOSE_MAX, async {
                let written = poll_fn(|cx| match self.poll_write(cx) {
                    Poll::Ready(Ok(())) if self.outbox.is_empty() && self.flushed => {
                        Poll::Ready(Ok(()))
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                });
                written.await?;
                self.socket.close(None).await?;
                while poll_fn(|cx| Pin::new(&mut self.socket).poll_next(cx))
                    .await
                    .is_some_and(|message| message.is_ok())
                {}
                Ok::<(), Error>(())
            })
            .await;
        });
    }

    /// Takes what was queued and not written.
    pub(crate) fn queue(&mut self, packets: VecDeque<String>) {
        self.outbox.extend(packets);
    }
}
