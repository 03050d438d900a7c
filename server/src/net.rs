//! The network seam: how the server listens and connects, on a real network or a simulated one.
//!
//! Everything above it is generic over [`Net`]; nothing else in this crate names a socket type.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A network.
pub trait Net: Clone + Send + Sync + 'static {
    /// A connection between two hosts.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Where connections come in.
    type Listener: Listener<Stream = Self::Stream>;

    /// Listens on `address`; port 0 takes any free one.
    fn bind(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects to a host by name or address.
    fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Where connections come in.
pub trait Listener: Send + 'static {
    /// What comes in.
    type Stream;

    /// Waits for the next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Where it listens.
    ///
    /// # Errors
    /// When the network cannot tell.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// How many connections may wait to be accepted, as far as the kernel allows (`net.core.somaxconn`).
///
/// With the usual 128 a herd overflows the queue while the driver is busy, and each client whose first
/// packet was dropped comes a second later.
const BACKLOG: u32 = 4_096;

/// The real network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Net for Tcp {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // So that a restart need not wait for the connections of the run before to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        // Small packets must not wait for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}
