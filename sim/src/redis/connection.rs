//! One client's connection: bytes to commands and replies to bytes, for as long as both sides want.
//!
//! Reading and writing go on side by side: who does not read its replies can still be disconnected, and
//! who waits for an entry can still leave.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::time::sleep_until;

use super::Redis;
use super::clients::Signals;
use super::faults::Activity;

use super::resp::{Parser, ProtocolError};

/// What is handed over to be written at once, at most.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// What is to be done after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next one.
    Command,
    /// Nothing until a blocking read is over.
    Wait,
    /// The connection is to be closed.
    End,
}

/// A client's place; gives it up when dropped.
struct Seat<'a> {
    redis: &'a Redis,
    id: u64,
    signals: Arc<Signals>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.redis.core().leave(self.id);
    }
}

impl Redis {
    /// Serves one client until either side ends the connection. Dropping the future ends it too.
    pub async fn serve<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send,
    {
        let Some((id, signals)) = self.enter() else {
            return;
        };
        let seat = Seat {
            redis: self,
            id,
            signals,
        };
        let (input, output) = tokio::io::split(stream);
        tokio::select! {
            biased;
            () = seat.signals.ended.notified() => {}
            () = write(&seat, output) => {}
            () = Incoming::new(&seat, input).serve() => {}
        }
    }
}

/// What a client says.
struct Incoming<'a, S> {
    seat: &'a Seat<'a>,
    stream: ReadHalf<S>,
    parser: Parser,
    /// The client says nothing more.
    ended: bool,
}

impl<'a, S: AsyncRead> Incoming<'a, S> {
    fn new(seat: &'a Seat<'a>, stream: ReadHalf<S>) -> Self {
        Self {
            seat,
            stream,
            parser: Parser::new(seat.redis.bounds()),
            ended: false,
        }
    }

    async fn serve(mut self) {
        loop {
            self.turn().await;
            match self.next_command() {
                Ok(Some(args)) => {
                    if !self.command(args).await {
                        return;
                    }
                }
                // What came together with the end is done, and answered as far as that goes at once.
                Ok(None) if self.ended => return tokio::task::yield_now().await,
                // What is too long to be read never is.
                Ok(None) if !self.parser.has_room() => return,
                Ok(None) => self.read().await,
                Err(error) => {
                    self.seat.redis.refuse(self.seat.id, &error);
                    // The writer ends it once that is written.
                    return core::future::pending().await;
                }
            }
        }
    }

    fn next_command(&mut self) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let logged_in = self.seat.redis.is_logged_in(self.seat.id);
        self.parser.next(logged_in)
    }

    /// Runs a command and sees what it waits for through. Says whether to go on.
    async fn command(&mut self, args: Vec<Bytes>) -> bool {
        let redis = self.seat.redis;
        if let Some(turn) = redis.take_turn() {
            sleep_until(turn).await;
            self.turn().await;
        }
        match redis.execute(self.seat.id, &args) {
            Next::Command => true,
            Next::End => false,
            Next::Wait => self.wait().await,
        }
    }

    /// Waits for a blocking read's end. Says whether the client is still there.
    async fn wait(&mut self) -> bool {
        let redis = self.seat.redis;
        loop {
            let changed = redis.shared.changed.notified();
            let ends = redis.core().wait_ends(self.seat.id);
            let timed_out = async {
                match ends {
                    Some(ends) => sleep_until(ends).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.seat.signals.answered.notified() => return true,
                () = timed_out => {
                    self.turn().await;
                    redis.core().time_out(self.seat.id);
                }
                () = changed => {}
                () = read_some(&mut self.stream, &mut self.parser, &mut self.ended) => {
                    if self.ended {
                        return false;
                    }
                }
            }
        }
    }

    /// Waits until commands are done, and reads on meanwhile unless even that is not done.
    async fn turn(&mut self) {
        let redis = self.seat.redis;
        loop {
            let changed = redis.shared.changed.notified();
            match redis.activity() {
                Activity::Serving(_) => return,
                Activity::Stopped | Activity::Paused => changed.await,
                Activity::Hanging => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = read_some(&mut self.stream, &mut self.parser, &mut self.ended) => {}
                    }
                }
            }
        }
    }

    /// Reads something, unless nothing is to be read any more.
    async fn read(&mut self) {
        let changed = self.seat.redis.shared.changed.notified();
        tokio::select! {
            biased;
            () = changed => {}
            () = read_some(&mut self.stream, &mut self.parser, &mut self.ended) => {}
        }
    }
}

/// Reads what is there, or waits until something is; for ever when there is no room or no more to come.
async fn read_some<S: AsyncRead>(stream: &mut ReadHalf<S>, parser: &mut Parser, ended: &mut bool) {
    if *ended || !parser.has_room() {
        return core::future::pending().await;
    }
    if let Ok(0) | Err(_) = stream.read_buf(parser.buffer()).await {
        *ended = true;
    }
}

/// Writes what is to be written, until that fails or nothing more is to come.
async fn write<S: AsyncWrite>(seat: &Seat<'_>, mut stream: WriteHalf<S>) {
    loop {
        let changed = seat.redis.shared.changed.notified();
        if !matches!(seat.redis.activity(), Activity::Serving(_)) {
            changed.await;
            continue;
        }
        let Some((taken, last)) = seat.redis.take_output(seat.id, WRITE_BYTES_MAX) else {
            return;
        };
        if taken.is_empty() {
            if last {
                return;
            }
            seat.signals.output.notified().await;
        } else if stream.write_all(&taken).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
