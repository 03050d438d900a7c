//! Contact with Redis: made, kept, given up as a whole, and made again.
//!
//! A contact is three connections: for requests, for what is pushed, and for reading the log, which
//! blocks. Any of them gone or silent ends all three, so that the engine never has half a bus. All of a
//! contact's work is one future: when it is dropped, nothing of it goes on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tradewire_engine::Input;
use tradewire_engine::limits::ParseLimits;

use super::arrivals::Arrivals;
use super::backoff::Backoff;
use super::codec::{Codec, Unreadable};
use super::commands::Desk;
use super::hearing::{Hearing, beat};
use super::log::{Reader, Reading};
use super::pushes::Pushes;
use super::state::Follower;
use super::status::BusStatus;
use crate::clock::Clock;
use crate::net::Net;
use crate::redis::{ConnectError, ConnectOptions, Connected, PushSender, RedisUrl, connect};

/// How long TCP, TLS and login may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long a contact has to last for the next attempt to come at once.
const STEADY: Duration = Duration::from_secs(2);

/// How long requests that are there already are still answered after a stop.
const FLUSH_MAX: Duration = Duration::from_millis(500);

/// Why a contact ended or did not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// It was told to.
    #[error("the server ends")]
    Stopped,
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A connection failed, or Redis refused what every node needs.
    #[error("{0}; if Redis runs and can be reached, its log and its access rules tell more")]
    Redis(redis::RedisError),
    /// A connection ended.
    #[error(
        "a connection was closed; see Redis' log, and its timeout and client-output-buffer-limit"
    )]
    Closed,
    /// No answer in time.
    #[error("Redis does not answer in time; see whether it is paused, overloaded or cut off")]
    Silent,
    /// Heartbeats are answered, and do not come back.
    #[error(
        "heartbeats are published and not heard; see whether the user in REDIS_URL may publish and \
         subscribe, and whether it is one Redis that answers"
    )]
    Unheard,
    /// A reply of another shape.
    #[error("Redis' answer about the log: {0}")]
    Unreadable(#[from] Unreadable),
    /// Fewer replies than commands.
    #[error("replies are missing; see whether it is Redis that answers")]
    Short,
    /// Scripts are gone, or Redis takes no writes.
    #[error("Redis cannot do what it is asked as it is now, as after SCRIPT FLUSH or a failover")]
    Unfit,
}

/// What makes contacts, one after the other.
pub(super) struct Session<N, C> {
    pub(super) net: N,
    pub(super) clock: C,
    pub(super) url: RedisUrl,
    pub(super) instance: u64,
    pub(super) codec: Arc<Codec>,
    pub(super) parse_limits: ParseLimits,
    /// How long Redis may take for an answer.
    pub(super) answer_max: Duration,
    pub(super) arrivals: Arrivals,
    pub(super) status: Arc<BusStatus>,
    /// The connection for requests, for others who have some.
    pub(super) commands: watch::Sender<Option<MultiplexedConnection>>,
    /// Whether the engine wants to hear emitters.
    pub(super) listen: watch::Sender<bool>,
    pub(super) stop: CancellationToken,
}

/// The connections, and what is pushed on one of them.
struct Contact {
    commands: Connected,
    pushed: Connected,
    log: Connected,
    pushes: Arc<Pushes>,
    hearing: Arc<Hearing>,
}

impl<N: Net, C: Clock> Session<N, C> {
    /// Makes contacts until it is told to stop, or nobody can ask for anything any more.
    pub(super) async fn run(self, mut desk: Desk, mut reader: Reader, mut backoff: Backoff) {
        let flushed = async {
            self.stop.cancelled().await;
            sleep(FLUSH_MAX).await;
        };
        tokio::select! {
            biased;
            () = self.make_contacts(&mut desk, &mut reader, &mut backoff) => {}
            () = flushed => {}
        }
        self.set_commands(None);
    }

    async fn make_contacts(&self, desk: &mut Desk, reader: &mut Reader, backoff: &mut Backoff) {
        let mut told = String::new();
        loop {
            let set_up = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = desk.refuse(&self.arrivals) => return,
                set_up = self.set_up(reader) => set_up,
            };
            match set_up {
                Ok(contact) => {
                    told.clear();
                    let begun = Instant::now();
                    let end = self.serve(contact, desk, reader).await;
                    if matches!(end, End::Stopped) {
                        return;
                    }
                    tracing::warn!(%end, "Redis lost");
                    if begun.elapsed() >= STEADY {
                        backoff.reset();
                    }
                }
                Err(end) => {
                    self.status.failures.inc();
                    // One line for each reason, not for each attempt.
                    let reason = end.to_string();
                    if reason != told {
                        tracing::warn!(reason, "Redis cannot be used and is tried again");
                        told = reason;
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = desk.refuse(&self.arrivals) => return,
                () = sleep(backoff.next_wait()) => {}
            }
        }
    }

    /// Connects, and reads all there is of the log.
    async fn set_up(&self, reader: &mut Reader) -> Result<Contact, End> {
        let pushes = Arc::new(Pushes::default());
        let hearing = Arc::new(Hearing::new(self.instance));
        // The engine's own deadline for an answer is half of this and decides.
        let response_max = Some(self.answer_max * 2);
        let (commands, pushed, log) = tokio::try_join!(
            biased;
            self.connect(response_max, None),
            self.connect(response_max, Some(self.push_sender(&pushes, &hearing))),
            self.connect(None, None),
        )?;
        let contact = Contact {
            commands,
            pushed,
            log,
            pushes,
            hearing,
        };
        self.load_scripts(&contact.commands.connection).await?;
        // Before anything is read: what comes between a read and a subscription would be missed.
        contact
            .pushed
            .connection
            .clone()
            .subscribe(self.codec.state_channel())
            .await
            .map_err(End::Redis)?;
        reader
            .catch_up(self.reading(&contact.log.connection))
            .await?;
        Ok(contact)
    }

    async fn connect(
        &self,
        response_max: Option<Duration>,
        pushes: Option<PushSender>,
    ) -> Result<Connected, End> {
        let options = ConnectOptions {
            connect_max: CONNECT_MAX,
            response_max,
            pushes,
        };
        Ok(connect(&self.net, &self.url, options).await?)
    }

    fn push_sender(&self, pushes: &Arc<Pushes>, hearing: &Arc<Hearing>) -> PushSender {
        let (pushes, hearing) = (Arc::clone(pushes), Arc::clone(hearing));
        let (codec, status) = (Arc::clone(&self.codec), Arc::clone(&self.status));
        Arc::new(move |push: PushInfo| pushes.push(push, &codec, &hearing, &status))
    }

    async fn load_scripts(&self, connection: &MultiplexedConnection) -> Result<(), End> {
        let mut pipeline = redis::Pipeline::new();
        for script in self.codec.scripts() {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(script);
        }
        let mut connection = connection.clone();
        let replies = connection.send_packed_commands(&pipeline, 0, pipeline.len());
        for reply in replies.await.map_err(End::Redis)? {
            Value::extract_error(reply).map_err(End::Redis)?;
        }
        Ok(())
    }

    fn reading<'a>(&'a self, connection: &'a MultiplexedConnection) -> Reading<'a> {
        Reading {
            connection,
            codec: &self.codec,
            arrivals: &self.arrivals,
            status: &self.status,
            answer_max: self.answer_max,
        }
    }

    /// Uses a contact until it ends, and tells the engine when it begins and that it is over.
    async fn serve(&self, mut contact: Contact, desk: &mut Desk, reader: &mut Reader) -> End {
        // The engine asks for it anew at each contact.
        self.listen.send_replace(false);
        let listen = self.listen.subscribe();
        self.status.set_reached(true);
        self.set_commands(Some(contact.commands.connection.clone()));
        tracing::info!(redis = %self.url, "Redis reached");
        self.arrivals.send(Input::BusReached).await;
        let end = self.work(&mut contact, listen, desk, reader).await;
        drop(contact);
        self.set_commands(None);
        self.status.set_reached(false);
        if !matches!(end, End::Stopped) {
            desk.give_up(&self.arrivals).await;
            self.arrivals.send(Input::BusLost).await;
        }
        end
    }

    async fn work(
        &self,
        contact: &mut Contact,
        listen: watch::Receiver<bool>,
        desk: &mut Desk,
        reader: &mut Reader,
    ) -> End {
        let Contact {
            commands,
            pushed,
            log,
            pushes,
            hearing,
        } = contact;
        let follower = Follower {
            codec: &self.codec,
            parse_limits: &self.parse_limits,
            clock: &self.clock,
            pushes,
            arrivals: &self.arrivals,
            status: &self.status,
        };
        let requests = &commands.connection;
        // Each gets its turn to be the first, so that none keeps another from its work.
        let Err(end) = tokio::try_join!(
            desk.serve(
                requests,
                &self.codec,
                &self.arrivals,
                &self.status,
                &self.stop
            ),
            follower.follow(&pushed.connection, listen),
            reader.follow(self.reading(&log.connection)),
            beat(
                requests,
                &self.codec,
                hearing,
                self.answer_max,
                &self.status
            ),
            closed(&mut commands.ended, &mut pushed.ended, &mut log.ended),
        );
        end
    }

    fn set_commands(&self, connection: Option<MultiplexedConnection>) {
        self.commands.send_replace(connection);
    }
}

/// Waits until a connection has ended.
async fn closed(
    commands: &mut Ended,
    pushed: &mut Ended,
    log: &mut Ended,
) -> Result<Infallible, End> {
    // How its task ended does not matter.
    tokio::select! {
        biased;
        _ = commands => {}
        _ = pushed => {}
        _ = log => {}
    }
    Err(End::Closed)
}

type Ended = tokio_util::task::AbortOnDropHandle<()>;
