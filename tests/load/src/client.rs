//! One client: a websocket, the Socket.IO handshake, and a task that reads what comes. All clients of a
//! run share one thread and one buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::BenchError;
use crate::frame::{self, Front};
use crate::tally::Tally;

/// How long a server may take to let a client in.
const CONNECT_MAX: Duration = Duration::from_secs(60);

/// How long a subscription may take before it is asked for again, and how often it is: bare socketioxide
/// now and then drops what comes before its handlers are in place.
const SUBSCRIBE_MAX: Duration = Duration::from_secs(10);
const SUBSCRIBE_TRIES: u32 = 3;

/// What is read at once.
const READ_BYTES: usize = 256 * 1024;

/// What the clients of a run share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) server: SocketAddr,
    pub(crate) tally: Rc<RefCell<Tally>>,
    scratch: Rc<RefCell<Vec<u8>>>,
}

impl Shared {
    pub(crate) fn new(server: SocketAddr) -> Result<Self, BenchError> {
        Ok(Self {
            server,
            tally: Rc::new(RefCell::new(Tally::new()?)),
            scratch: Rc::new(RefCell::new(vec![0; READ_BYTES])),
        })
    }
}

/// A client that is let in.
#[derive(Debug)]
pub(crate) struct Client {
    number: usize,
    stream: TcpStream,
    /// The beginning of a frame whose end has not arrived.
    rest: Vec<u8>,
    shared: Shared,
}

impl Client {
    /// Connects as `user`, and tells how long it took from TCP to the CONNECT answer.
    pub(crate) async fn connect(
        shared: &Shared,
        number: usize,
        user: &str,
    ) -> Result<(Self, Duration), BenchError> {
        let begin = Instant::now();
        let connecting = Self::enter(shared, number, user);
        let client = timeout(CONNECT_MAX, connecting)
            .await
            .map_err(|_| refused(number, "it took more than a minute"))??;
        Ok((client, begin.elapsed()))
    }

    async fn enter(shared: &Shared, number: usize, user: &str) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(shared.server)
            .await
            .map_err(|error| refused(number, &error.to_string()))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            number,
            stream,
            rest: Vec::new(),
            shared: shared.clone(),
        };
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            shared.server
        );
        client.stream.write_all(request.as_bytes()).await?;
        client.upgraded().await?;
        client.starting("0").await?;
        let auth = format!(r#"40{{"sessionID":"bench","userId":"{user}","userName":"Bench"}}"#);
        client.send(&auth).await?;
        client.starting("40").await?;
        Ok(client)
    }

    /// Takes the symbols into its watchlist.
    pub(crate) async fn watch(&mut self, symbol: &str) -> Result<(), BenchError> {
        let call = format!(r#"42["subscribe:watchlist",["{symbol}"]]"#);
        for _ in 0..SUBSCRIBE_TRIES {
            self.send(&call).await?;
            let confirmed = self.starting(r#"42["subscription:confirmed""#);
            if let Ok(confirmed) = timeout(SUBSCRIBE_MAX, confirmed).await {
                return confirmed;
            }
        }
        Err(refused(self.number, "its subscription was not confirmed"))
    }

    /// Sends a text frame.
    pub(crate) async fn send(&mut self, text: &str) -> Result<(), BenchError> {
        Ok(self.stream.write_all(&frame::text(text)).await?)
    }

    /// Leaves in good order, without waiting for the server.
    pub(crate) async fn leave(mut self) -> Result<(), BenchError> {
        self.send("41").await?;
        Ok(self.stream.shutdown().await?)
    }

    /// Reads for as long as there is a connection.
    pub(crate) async fn listen(mut self) {
        self.read_on().await;
        self.shared.tally.borrow_mut().closed += 1;
    }

    /// Reads for a while, through which there must be a connection.
    pub(crate) async fn listen_for(mut self, span: Duration) -> Result<Self, BenchError> {
        match timeout(span, self.read_on()).await {
            Ok(()) => Err(refused(self.number, "it was closed while it listened")),
            Err(_) => Ok(self),
        }
    }

    async fn read_on(&mut self) {
        let mut next = 0;
        let scratch = Rc::clone(&self.shared.scratch);
        loop {
            let mut heartbeat = false;
            let read = poll_fn(|context| {
                let mut scratch = scratch.borrow_mut();
                let mut buffer = ReadBuf::new(&mut scratch);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
                Poll::Ready(Ok::<_, io::Error>(self.take_in(
                    buffer.filled(),
                    &mut next,
                    &mut heartbeat,
                )))
            });
            let open = read.await.unwrap_or(false);
            if !open || heartbeat && self.send("3").await.is_err() {
                return;
            }
        }
    }

    /// Takes in what was read; `false` at the end.
    fn take_in(&mut self, fresh: &[u8], next: &mut u64, heartbeat: &mut bool) -> bool {
        if fresh.is_empty() {
            return false;
        }
        let mut tally = self.shared.tally.borrow_mut();
        let now = tally.clock_us();
        let joined;
        let mut bytes = if self.rest.is_empty() {
            fresh
        } else {
            self.rest.extend_from_slice(fresh);
            joined = std::mem::take(&mut self.rest);
            &joined
        };
        loop {
            let taken = match frame::front(bytes) {
                Front::Partial => break,
                Front::Close => return false,
                Front::Other(taken) => taken,
                Front::Text(text, taken) => {
                    match text {
                        b"2" => *heartbeat = true,
                        b"41" => return false,
                        text => tally.event(text, next, now),
                    }
                    taken
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        self.rest = bytes.to_vec();
        true
    }

    /// Waits for the end of the 101.
    async fn upgraded(&mut self) -> Result<(), BenchError> {
        loop {
            self.more().await?;
            let Some(head) = self.rest.windows(4).position(|end| end == b"\r\n\r\n") else {
                continue;
            };
            if !self.rest.starts_with(b"HTTP/1.1 101") {
                let head = self.rest.get(..head).unwrap_or_default();
                let line = String::from_utf8_lossy(head);
                return Err(refused(
                    self.number,
                    line.lines().next().unwrap_or_default(),
                ));
            }
            self.rest.drain(..head + 4);
            return Ok(());
        }
    }

    /// Waits for a packet that starts so, and passes over others.
    async fn starting(&mut self, start: &str) -> Result<(), BenchError> {
        loop {
            let (found, taken, heartbeat) = match frame::front(&self.rest) {
                Front::Partial => {
                    self.more().await?;
                    continue;
                }
                Front::Close => return Err(refused(self.number, "it was closed")),
                Front::Other(taken) => (false, taken, false),
                Front::Text(text, taken) => {
                    if text.starts_with(b"44") {
                        let why = String::from_utf8_lossy(text).into_owned();
                        return Err(refused(self.number, &why));
                    }
                    (text.starts_with(start.as_bytes()), taken, text == b"2")
                }
            };
            self.rest.drain(..taken);
            if heartbeat {
                self.send("3").await?;
            }
            if found {
                return Ok(());
            }
        }
    }

    async fn more(&mut self) -> Result<(), BenchError> {
        loop {
            self.stream.readable().await?;
            let mut scratch = self.shared.scratch.borrow_mut();
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return Err(refused(self.number, "it was closed")),
                Ok(read) => {
                    self.rest
                        .extend_from_slice(scratch.get(..read).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn refused(client: usize, why: &str) -> BenchError {
    BenchError::Connect {
        client,
        why: why.to_owned(),
    }
}
