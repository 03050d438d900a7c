//! Sessions as connect-redis keeps them: `sess:<id>`, express-session's JSON, which ends with its key.
//!
//! Every look-up is a task of its own, so that one that waits delays no other. Answers go to the driver
//! through its queue of arrivals. A session id is a secret: none is ever logged, nor what a session says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, RedisResult};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tradewire_engine::Input;
use tradewire_engine::ids::{RequestId, SessionId};
use tradewire_engine::input::SessionVerdict;
use tradewire_engine::limits::ParseLimits;
use tradewire_engine::parse::SessionError;
use tradewire_engine::parse::session::{SESSION_BYTES_MAX, session as user_of};

use super::Sessions;

/// Look-ups that Redis is asked at once; what is beyond waits for its turn.
pub(super) const LOOKUPS_MAX: usize = 1_024;

/// Look-ups and checks that may be under way, waiting ones too. Over it: unavailable at once.
pub(super) const TASKS_MAX: usize = 16_384;

/// Sessions in one round trip of a check.
pub(super) const CHECKED_AT_ONCE: usize = 256;

/// What PTTL says of a key that is not there.
const NO_SUCH_KEY: i64 = -2;

/// How long a look-up waits after its first failure; doubled each time up to the most, and give or
/// take a half, so that they do not all come back together.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A connection that anyone may use, while there is one.
pub(crate) type Connections = watch::Receiver<Option<MultiplexedConnection>>;

/// How sessions are looked up.
#[derive(Clone, Debug)]
pub(crate) struct SessionSettings {
    /// What stands before a session's id in its key.
    pub(crate) prefix: String,
    /// How long a look-up or a check may take.
    pub(crate) lookup_max: Duration,
    /// Bounds of what a session may be.
    pub(crate) limits: ParseLimits,
    /// The seed of the pauses between tries.
    pub(crate) seed: u64,
}

/// The sessions in Redis. What is under way ends with it.
#[derive(Debug)]
pub(crate) struct RedisSessions {
    store: Arc<Store>,
    arrivals: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
}

/// What every task shares.
#[derive(Debug)]
struct Store {
    connections: Connections,
    places: Semaphore,
    settings: SessionSettings,
}

impl RedisSessions {
    /// Asks through `connections` and answers to `arrivals`.
    pub(crate) fn new(
        connections: Connections,
        arrivals: mpsc::Sender<Input>,
        settings: SessionSettings,
    ) -> Self {
        let store = Store {
            connections,
            places: Semaphore::new(LOOKUPS_MAX),
            settings,
        };
        Self {
            store: Arc::new(store),
            arrivals,
            tasks: JoinSet::new(),
        }
    }

    /// Whether another task may begin.
    fn has_room(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.len() < TASKS_MAX
    }
}

impl Sessions for RedisSessions {
    fn look_up(&mut self, request: RequestId, session: SessionId, answers: &mut VecDeque<Input>) {
        if !self.has_room() {
            let verdict = SessionVerdict::Unavailable;
            answers.push_back(Input::SessionLookedUp { request, verdict });
            return;
        }
        let (store, arrivals) = (Arc::clone(&self.store), self.arrivals.clone());
        self.tasks.spawn(async move {
            let verdict = store.look_up(request, &session).await;
            // A driver that is gone needs no answer.
            let _ = arrivals
                .send(Input::SessionLookedUp { request, verdict })
                .await;
        });
    }

    fn check(
        &mut self,
        request: RequestId,
        sessions: Vec<SessionId>,
        answers: &mut VecDeque<Input>,
    ) {
        if !self.has_room() {
            let present = None;
            answers.push_back(Input::SessionsChecked { request, present });
            return;
        }
        let (store, arrivals) = (Arc::clone(&self.store), self.arrivals.clone());
        self.tasks.spawn(async move {
            let present = store.check(&sessions).await;
            let _ = arrivals
                .send(Input::SessionsChecked { request, present })
                .await;
        });
    }
}

impl Store {
    /// Asks until there is an answer or no time left.
    async fn look_up(&self, request: RequestId, session: &SessionId) -> SessionVerdict {
        let mut refused = None;
        let lookup = self.persist(request, session, &mut refused);
        if let Ok(Some(verdict)) = timeout(self.settings.lookup_max, lookup).await {
            return verdict;
        }
        if let Some(error) = refused {
            tracing::warn!(
                code = error.code(),
                "Redis refuses a session look-up: NOPERM means that its user may not run GETRANGE and PTTL"
            );
        }
        SessionVerdict::Unavailable
    }

    /// `None` when no connection will come any more.
    async fn persist(
        &self,
        request: RequestId,
        session: &SessionId,
        refused: &mut Option<RedisError>,
    ) -> Option<SessionVerdict> {
        // It is never closed.
        let _place = self.places.acquire().await.ok()?;
        let mut connections = self.connections.clone();
        let mut chance = StdRng::seed_from_u64(self.settings.seed ^ request.number());
        let mut pause = PAUSE_MIN;
        loop {
            let connected = connections.wait_for(Option::is_some).await.ok()?.clone();
            let mut connection = connected?;
            match self.ask(&mut connection, session).await {
                Ok(verdict) => return Some(verdict),
                Err(error) => *refused = error.code().is_some().then_some(error),
            }
            let wait = pause.mul_f64(chance.random_range(0.5..1.5));
            tokio::select! {
                biased;
                changed = connections.changed() => changed.ok()?,
                () = sleep(wait) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        session: &SessionId,
    ) -> RedisResult<SessionVerdict> {
        let key = self.key(session);
        let mut pipeline = Pipeline::with_capacity(2);
        let read = pipeline.cmd("GETRANGE").arg(&key);
        // One byte more than is taken, so that a longer one shows.
        read.arg(0).arg(SESSION_BYTES_MAX);
        pipeline.cmd("PTTL").arg(&key);
        pipeline.ignore_errors();
        let (value, ttl): (RedisResult<Vec<u8>>, RedisResult<i64>) =
            pipeline.query_async(connection).await?;
        let value = match value {
            Err(error) if error.code() == Some("WRONGTYPE") => {
                tracing::warn!("A session's key holds no text: does something else write there?");
                return Ok(SessionVerdict::Unknown);
            }
            other => other?,
        };
        // A replica may still show what has expired.
        if ttl? == NO_SUCH_KEY || value.is_empty() {
            return Ok(SessionVerdict::Unknown);
        }
        Ok(match user_of(&value, &self.settings.limits) {
            Ok(user) => SessionVerdict::Found { user },
            Err(SessionError::NoUser) => SessionVerdict::Unknown,
            Err(error) => {
                tracing::warn!(%error, "A session cannot be read");
                SessionVerdict::Unknown
            }
        })
    }

    /// `None` unless there was an answer for each.
    async fn check(&self, sessions: &[SessionId]) -> Option<Vec<bool>> {
        let connection = self.connections.borrow().clone()?;
        timeout(self.settings.lookup_max, self.exist(connection, sessions))
            .await
            .ok()?
            .ok()
            .filter(|present| present.len() == sessions.len())
    }

    async fn exist(
        &self,
        mut connection: MultiplexedConnection,
        sessions: &[SessionId],
    ) -> RedisResult<Vec<bool>> {
        let mut present = Vec::with_capacity(sessions.len());
        for batch in sessions.chunks(CHECKED_AT_ONCE) {
            let mut pipeline = Pipeline::with_capacity(batch.len());
            for session in batch {
                pipeline.cmd("EXISTS").arg(self.key(session));
            }
            let found: Vec<bool> = pipeline.query_async(&mut connection).await?;
            present.extend(found);
        }
        Ok(present)
    }

    fn key(&self, session: &SessionId) -> String {
        format!("{}{session}", self.settings.prefix)
    }
}
