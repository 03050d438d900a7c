//! A simulated Redis: speaks RESP2 and RESP3 over any stream, and runs the server's own Lua scripts.
//!
//! It knows the commands that the server uses and answers them as Redis 7.0 does, byte for byte. It has
//! no listener, no clock but the runtime's, no chance and no order that is not defined: the same requests
//! at the same times get the same replies. What it knows of Redis beyond that, it does not pretend to.
//!
//! ```text
//! stream → resp → connection → commands → keyspace, stream, pubsub → reply → clients → stream
//!                              script (Lua) ↗                 faults, journal, clock
//! ```

mod clients;
mod clock;
mod commands;
mod connection;
mod core;
mod faults;
mod glob;
mod inline;
mod journal;
mod keyspace;
mod listpack;
mod plant;
mod pubsub;
mod refusal;
mod reply;
mod resp;
mod script;
mod script_values;
mod stream;
mod tap;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::clients::Signals;
use self::commands::Run;
use self::connection::Next;
use self::core::{Caller, Core};
use self::faults::Activity;
use self::reply::Reply;
use self::resp::{Bounds, ProtocolError};
use self::script::Scripts;

pub use self::clients::OutputLimit;
pub use self::faults::{Loss, WriteRefusal};
pub use self::script::SandboxError;
pub use self::stream::{NodeBounds, StreamId};
pub use self::tap::Wrote;

/// How a simulated Redis is set up. The defaults are those of Redis.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What its wall clock shows at the beginning, as time since the Unix epoch.
    pub now: Duration,
    /// What clients must know, if anything.
    pub password: Option<String>,
    /// The longest argument, `proto-max-bulk-len`.
    pub bulk_bytes_max: usize,
    /// The longest request, `client-query-buffer-limit`.
    pub request_bytes_max: usize,
    /// How far a subscriber may fall behind, `client-output-buffer-limit pubsub`.
    pub subscriber_limit: OutputLimit,
    /// How much a node of a stream holds, `stream-node-max-*`.
    pub stream_nodes: NodeBounds,
    /// How far back a stop can lose writes; zero saves the work of remembering.
    pub undo_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            now: Duration::from_secs(1_700_000_000),
            password: None,
            bulk_bytes_max: 512 << 20,
            request_bytes_max: 1 << 30,
            subscriber_limit: OutputLimit {
                hard_bytes: 32 << 20,
                soft_bytes: 8 << 20,
                soft_for: Duration::from_secs(60),
            },
            stream_nodes: NodeBounds {
                entries_max: 100,
                bytes_max: 4_096,
            },
            undo_max: Duration::from_secs(10),
        }
    }
}

/// A simulated Redis. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Redis {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Held for as long as a command runs, so that scripts are one piece.
    scripts: Mutex<Scripts>,
    /// Taken after `scripts`, never before.
    core: Arc<Mutex<Core>>,
    process: Mutex<Process>,
    /// The activity or the clock changed.
    changed: Notify,
}

#[derive(Debug)]
struct Process {
    activity: Activity,
    /// When the commands that it was given are done.
    busy_until: Option<Instant>,
}

impl Redis {
    /// A running Redis without data.
    ///
    /// # Errors
    /// The sandbox for scripts does not start.
    pub fn new(settings: Settings) -> Result<Self, SandboxError> {
        let core = Arc::new(Mutex::new(Core::new(settings)));
        let shared = Shared {
            scripts: Mutex::new(Scripts::new(&core)?),
            core,
            process: Mutex::new(Process {
                activity: Activity::Serving(Duration::ZERO),
                busy_until: None,
            }),
            changed: Notify::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.shared.core)
    }

    fn scripts(&self) -> MutexGuard<'_, Scripts> {
        lock(&self.shared.scripts)
    }

    fn activity(&self) -> Activity {
        lock(&self.shared.process).activity
    }

    fn set_activity(&self, activity: Activity) {
        lock(&self.shared.process).activity = activity;
        self.shared.changed.notify_waiters();
    }

    fn bounds(&self) -> Bounds {
        let core = self.core();
        Bounds {
            bulk_bytes_max: core.settings.bulk_bytes_max,
            request_bytes_max: core.settings.request_bytes_max,
        }
    }

    /// Takes a client in, unless there is nobody to do so.
    fn enter(&self) -> Option<(u64, Arc<Signals>)> {
        if self.activity() == Activity::Stopped {
            return None;
        }
        let mut core = self.core();
        let logged_in = core.settings.password.is_none();
        let id = core.clients.enter(logged_in);
        let signals = Arc::clone(&core.clients.get(id)?.signals);
        Some((id, signals))
    }

    /// When a command that is given now is done, if commands take time.
    fn take_turn(&self) -> Option<Instant> {
        let mut process = lock(&self.shared.process);
        let Activity::Serving(each) = process.activity else {
            return None;
        };
        if each.is_zero() {
            process.busy_until = None;
            return None;
        }
        let now = Instant::now();
        let begin = process.busy_until.map_or(now, |until| until.max(now));
        process.busy_until = Some(begin + each);
        process.busy_until
    }

    fn is_logged_in(&self, id: u64) -> bool {
        self.core()
            .clients
            .get(id)
            .is_some_and(|client| client.logged_in)
    }

    /// Runs one command and says its reply.
    fn execute(&self, id: u64, args: &[Bytes]) -> Next {
        // Whoever sends these is a browser that was made to.
        if args.first().is_some_and(|name| is_http(name)) {
            return Next::End;
        }
        let mut scripts = self.scripts();
        let (mut caller, run) = {
            let mut core = self.core();
            core.expire();
            let Some(client) = core.clients.get(id).filter(|client| !client.ended) else {
                return Next::End;
            };
            let caller = Caller {
                client: id,
                db: client.db,
                in_script: false,
            };
            match core.admit(id, args) {
                Ok(spec) => (caller, spec.run),
                Err(refusal) => {
                    core.clients.say(id, &refusal.into());
                    return Next::Command;
                }
            }
        };
        let reply = match run {
            Run::Data(run) => run(&mut self.core(), &mut caller, args),
            Run::EvalSha => scripts.run(&self.shared.core, caller, args),
            Run::ScriptLoad => Ok(scripts.load(args.get(2).map_or(&[], |text| text))),
        };
        let mut core = self.core();
        core.clients.say(id, &reply.unwrap_or_else(Reply::from));
        core.answer_waiting();
        let Some(client) = core.clients.get_mut(id) else {
            return Next::End;
        };
        client.db = caller.db;
        if client.reading.is_some() {
            Next::Wait
        } else {
            Next::Command
        }
    }

    /// Says why what a client sent is no request. The connection ends with that.
    fn refuse(&self, id: u64, error: &ProtocolError) {
        let mut core = self.core();
        if let Some(client) = core.clients.get_mut(id) {
            client.ends_after_output = true;
        }
        let said = error.said();
        if said.is_empty() {
            core.clients
                .get_mut(id)
                .into_iter()
                .for_each(clients::Client::end);
        } else {
            core.clients.say(id, &Reply::Error(said));
        }
    }

    /// What is to be written next, and whether nothing comes after it; nothing if the client is gone.
    fn take_output(&self, id: u64, bytes_max: usize) -> Option<(Bytes, bool)> {
        let mut core = self.core();
        let client = core.clients.get_mut(id).filter(|client| !client.ended)?;
        Some((client.take_output(bytes_max), client.ends_after_output))
    }
}

fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// A panic while it was held was a test's; the data is whole between commands.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
