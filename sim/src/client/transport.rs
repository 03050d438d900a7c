//! What carries Engine.IO packets: the two transports of a stock client, behind one face.

use tradewire_server::net::Net;

use crate::client::polling::Polling;
use crate::client::websocket::Websocket;
use crate::net::Plugged;

/// How a transport ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TransportEnd {
    /// Closed by the other side.
    Closed,
    /// Failed, with what a client would log.
    Failed(String),
}

/// A transport that is open.
pub(crate) enum Transport<N: Net> {
    Websocket(Box<Websocket<N::Stream>>),
    Polling(Box<Polling<N>>),
}

impl<N: Net<Stream: Plugged>> Transport<N> {
    /// Queues a packet; [`Self::next`] sends it.
    pub(crate) fn send(&mut self, packet: String) {
        match self {
            Self::Websocket(transport) => transport.send(packet),
            Self::Polling(transport) => transport.send(packet),
        }
    }

    /// Sends what is queued and waits for the next packet; `None` when it is paused and idle. May be
    /// dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, TransportEnd> {
        match self {
            Self::Websocket(transport) => transport.next().await.map(Some),
            Self::Polling(transport) => transport.next().await,
        }
    }

    /// Says goodbye in the background.
    pub(crate) fn close(self) {
        match self {
            Self::Websocket(transport) => transport.close(),
            Self::Polling(transport) => transport.close(),
        }
    }
}
