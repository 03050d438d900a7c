//! The server's network seam over the simulated stack of whichever host is running.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tradewire_server::net::{Listener, Net};
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};

use crate::net::directory::Directory;
use crate::net::{Plug, Plugged};

/// How much is read from the stack at once, in bytes: half of a receive buffer. The stack tells a
/// sender that there is room again only after a read this large, so that smaller ones would leave it
/// waiting for ever.
const READ_AHEAD: usize = 32 * 1_024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_AHEAD]);
}

/// The network as a host sees it.
#[derive(Clone, Debug, Default)]
pub struct StackNet {
    pub(super) directory: Directory,
    /// The ends of connections that lead nowhere.
    pulled: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

impl StackNet {
    pub(super) fn pulled(&self) -> MutexGuard<'_, BTreeSet<SocketAddr>> {
        // One thread runs everything, so the lock is never waited for.
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Net for StackNet {
    type Stream = Stream;
    type Listener = StackListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<StackListener> {
        Ok(StackListener {
            inner: TcpListener::bind(address).await?,
            net: self.clone(),
        })
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        let address = self.directory.resolve(host, port)?;
        let inner = TcpStream::connect(address).await?;
        Ok(Stream::new(inner, self.clone()))
    }
}

/// Where connections come in.
#[derive(Debug)]
pub struct StackListener {
    inner: TcpListener,
    net: StackNet,
}

impl Listener for StackListener {
    type Stream = Stream;

    async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        let (inner, peer) = self.inner.accept().await?;
        Ok((Stream::new(inner, self.net.clone()), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Stream {
    inner: TcpStream,
    /// Read from the stack and not asked for yet.
    ahead: BytesMut,
    net: StackNet,
}

impl Stream {
    fn new(inner: TcpStream, net: StackNet) -> Self {
        Self {
            inner,
            ahead: BytesMut::new(),
            net,
        }
    }
}

impl Plugged for Stream {
    fn plug(&self) -> Box<dyn Plug> {
        Box::new(StackPlug {
            end: self.inner.local_addr().ok(),
            net: self.net.clone(),
        })
    }
}

struct StackPlug {
    end: Option<SocketAddr>,
    net: StackNet,
}

impl Plug for StackPlug {
    fn pull(&self) {
        self.net.pulled().extend(self.end);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.is_empty() {
            if buf.remaining() >= READ_AHEAD {
                return Pin::new(&mut this.inner).poll_read(cx, buf);
            }
            ready!(SCRATCH.with_borrow_mut(|scratch| {
                let mut large = ReadBuf::new(scratch);
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut large))?;
                this.ahead.extend_from_slice(large.filled());
                Poll::Ready(io::Result::Ok(()))
            }))?;
        }
        let count = buf.remaining().min(this.ahead.len());
        buf.put_slice(this.ahead.get(..count).unwrap_or_default());
        this.ahead.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
