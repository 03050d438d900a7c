//! One client's life: the manager and the socket of `socket.io-client`, and the page above them.
//!
//! Decides when it connects, to which node, what it sends and when it stays away. What travels below
//! Socket.IO is the engine's.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until, timeout};
use tradewire_server::net::Net;

use crate::balancer::Balancer;
use crate::client::backoff::Backoff;
use crate::client::engine::{Engine, Way};
use crate::client::packet::{self, Packet};
use crate::client::{Call, Command, Profile};
use crate::http_client::Plugs;
use crate::journal::Journal;
use crate::net::Plugged;
use crate::observation::{Observation, Reason};

/// How long a stock client waits for a connection to open.
const OPEN_MAX: Duration = Duration::from_secs(20);

/// What comes after a connection.
enum Next {
    /// It comes back by itself, after a wait.
    Retry,
    /// It comes back when it is told to.
    Rest,
}

/// That the client is gone for good.
struct Gone;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Auth<'a> {
    #[serde(rename = "sessionID")]
    session_id: &'a str,
    user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscriptions: Option<Subscriptions<'a>>,
}

#[derive(Serialize)]
struct Subscriptions<'a> {
    portfolio: bool,
    trades: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    watchlist: Vec<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trade {
    event_id: Option<String>,
}

/// A client that runs.
pub(crate) struct Session<N: Net> {
    profile: Profile,
    who: Arc<str>,
    net: N,
    journal: Journal,
    balancer: Balancer,
    commands: UnboundedReceiver<Command>,
    plugs: Plugs,
    chance: StdRng,
    backoff: Backoff,
    /// What the page holds, in the order in which it asked.
    wants: Vec<Call>,
    /// Emitted while there was no connection.
    buffer: Vec<(u64, Call)>,
    calls: u64,
    last_event_id: Option<String>,
    previous: Option<String>,
    stalled: Option<Instant>,
}

/// What one connection knows.
struct Link<N: Net> {
    engine: Engine<N>,
    connected: bool,
    /// Events that came before CONNECT was answered.
    early: Vec<(String, String)>,
}

impl<N: Net<Stream: Plugged>> Session<N> {
    pub(crate) fn new(
        profile: Profile,
        net: N,
        journal: Journal,
        balancer: Balancer,
        commands: UnboundedReceiver<Command>,
    ) -> Self {
        let mut chance = StdRng::seed_from_u64(profile.seed);
        Self {
            who: Arc::from(profile.name.as_str()),
            net,
            journal,
            balancer,
            commands,
            plugs: Plugs::default(),
            backoff: Backoff::new(chance.random()),
            chance,
            wants: profile.wants.clone(),
            buffer: Vec::new(),
            calls: 0,
            last_event_id: None,
            previous: None,
            stalled: None,
            profile,
        }
    }

    fn see(&self, what: Observation) {
        self.journal.observe(&self.who, what);
    }

    /// Lives until it is gone for good.
    pub(crate) async fn run(mut self) {
        // How it went is in the journal.
        let Err(Gone) = self.live().await;
    }

    async fn live(&mut self) -> Result<std::convert::Infallible, Gone> {
        self.wait(Some(self.profile.after)).await?;
        loop {
            let next = self.connection().await?;
            self.plugs.clear();
            match next {
                Next::Retry => {
                    let wait = self.backoff.next();
                    self.wait(Some(wait)).await?;
                }
                Next::Rest => self.wait(None).await?,
            }
        }
    }

    /// Does what it is told without a connection, until it is time to connect. The timers of a frozen page
    /// fire once it is not frozen any more.
    async fn wait(&mut self, wait: Option<Duration>) -> Result<(), Gone> {
        let until = wait.map(|wait| Instant::now() + wait);
        loop {
            let stalled = self.stalled;
            let command = tokio::select! {
                biased;
                command = told(&mut self.commands) => command,
                () = at(stalled), if stalled.is_some() => {
                    self.thaw();
                    continue;
                }
                () = at(until), if stalled.is_none() => return Ok(()),
            };
            // A reconnect that is due anyway is not hurried by the page.
            if let Command::Connect = command {
                if until.is_none() {
                    return Ok(());
                }
                continue;
            }
            self.obey(command, None)?;
        }
    }

    /// Connects once and stays for as long as it lasts.
    async fn connection(&mut self) -> Result<Next, Gone> {
        let Some(node) = self.balancer.pick(&mut self.chance) else {
            self.see(Observation::Unreachable {
                node: "balancer".to_owned(),
                why: "no node takes clients".to_owned(),
            });
            return Ok(Next::Retry);
        };
        let engine = match self.open(&node).await? {
            Ok(engine) => engine,
            Err(why) => {
                self.see(Observation::Unreachable { node, why });
                return Ok(Next::Retry);
            }
        };
        self.backoff.reset();
        let mut link = Link {
            engine,
            connected: false,
            early: Vec::new(),
        };
        let auth = self.auth();
        link.engine.send(packet::connect(&auth));
        let sid = link.engine.sid().to_owned();
        self.see(Observation::Connecting { node, sid, auth });
        loop {
            let stalled = self.stalled;
            let message = tokio::select! {
                biased;
                command = told(&mut self.commands) => {
                    if let Command::Stop = command {
                        return Err(self.leave(link));
                    }
                    if let Command::Roam = command {
                        // As a stock client does when its browser says that it is offline.
                        self.plugs.pull();
                        self.see(Observation::Roamed);
                        return Ok(Next::Retry);
                    }
                    self.obey(command, Some(&mut link))?;
                    continue;
                }
                () = at(stalled), if stalled.is_some() => {
                    self.thaw();
                    continue;
                }
                message = link.engine.next(), if stalled.is_none() => message,
            };
            let reason = match message.map(|message| Packet::read(&message)) {
                Ok(Ok(packet)) => match self.take(packet, &mut link) {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(()) => {
                        link.engine.close();
                        return Ok(Next::Rest);
                    }
                },
                Ok(Err(_)) => Reason::ParseError,
                Err(reason) => reason,
            };
            link.engine.close();
            self.see(Observation::Disconnected { reason });
            return Ok(Next::Retry);
        }
    }

    /// Opens a connection, doing meanwhile what can be done without one.
    async fn open(&mut self, node: &str) -> Result<Result<Engine<N>, String>, Gone> {
        let (net, plugs, journal, who) = (
            self.net.clone(),
            self.plugs.clone(),
            self.journal.clone(),
            Arc::clone(&self.who),
        );
        let opening = timeout(
            OPEN_MAX,
            Engine::open(Way {
                net: &net,
                node,
                choice: self.profile.transport,
                plugs: &plugs,
                journal: &journal,
                who: &who,
            }),
        );
        tokio::pin!(opening);
        loop {
            let stalled = self.stalled;
            tokio::select! {
                biased;
                command = told(&mut self.commands) => {
                    self.obey(command, None)?;
                }
                () = at(stalled), if stalled.is_some() => self.thaw(),
                opened = &mut opening, if stalled.is_none() => {
                    return Ok(opened.unwrap_or_else(|_| Err("timeout".to_owned())));
                }
            }
        }
    }

    fn thaw(&mut self) {
        self.stalled = None;
        self.see(Observation::Resumed);
    }

    fn auth(&self) -> String {
        let resumes = self.profile.resumes;
        let held = |call: &Call| self.wants.contains(call);
        let watchlist = self.wants.iter().filter_map(|call| match call {
            Call::Watch(symbols) => Some(symbols),
            Call::Portfolio | Call::Trades | Call::Unwatch(_) => None,
        });
        let subscriptions = resumes.then(|| Subscriptions {
            portfolio: held(&Call::Portfolio),
            trades: held(&Call::Trades),
            watchlist: watchlist.flatten().map(String::as_str).collect(),
        });
        let auth = Auth {
            session_id: &self.profile.session,
            user_id: &self.profile.user,
            last_event_id: self.last_event_id.as_deref().filter(|_| resumes),
            replaces: self.previous.as_deref().filter(|_| resumes),
            subscriptions,
        };
        // Strings and booleans can always be written.
        serde_json::to_string(&auth).unwrap_or_default()
    }

    /// Takes a packet; the end is what a stock client does not come back from by itself.
    fn take(&mut self, packet: Packet, link: &mut Link<N>) -> ControlFlow<()> {
        match packet {
            Packet::Connect(sid) => {
                link.connected = true;
                self.previous = Some(sid.clone());
                self.see(Observation::Connected { sid });
                for (name, payload) in std::mem::take(&mut link.early) {
                    self.handle(name, payload);
                }
                for (id, call) in std::mem::take(&mut self.buffer) {
                    link.engine
                        .send(packet::event(id, call.name(), &call.payload()));
                }
                if !self.profile.resumes {
                    for call in self.wants.clone() {
                        self.emit(call, Some(link));
                    }
                }
            }
            Packet::Disconnect => {
                let reason = Reason::ServerDisconnect;
                self.see(Observation::Disconnected { reason });
                return ControlFlow::Break(());
            }
            Packet::ConnectError(message) => {
                self.see(Observation::ConnectError { message });
                return ControlFlow::Break(());
            }
            Packet::Event { name, payload } if link.connected => self.handle(name, payload),
            Packet::Event { name, payload } => link.early.push((name, payload)),
            Packet::Ack { id, answer } => {
                self.see(Observation::Acknowledged { call: id, answer });
            }
        }
        ControlFlow::Continue(())
    }

    /// Hands an event to the page.
    fn handle(&mut self, name: String, payload: String) {
        if name.starts_with("trade:")
            && let Ok(Trade { event_id: Some(id) }) = serde_json::from_str(&payload)
        {
            self.last_event_id = Some(id);
        }
        self.see(Observation::Event { name, payload });
    }

    fn emit(&mut self, call: Call, link: Option<&mut Link<N>>) {
        let id = self.calls;
        self.calls += 1;
        self.see(Observation::Emitted {
            call: id,
            name: call.name().to_owned(),
            payload: call.payload(),
        });
        match link {
            Some(link) if link.connected => {
                let event = packet::event(id, call.name(), &call.payload());
                link.engine.send(event);
            }
            Some(_) | None => self.buffer.push((id, call)),
        }
    }

    /// What the page holds from now on, for the next `auth`.
    fn want(&mut self, call: &Call) {
        match call {
            Call::Portfolio | Call::Trades | Call::Watch(_) => {
                if !self.wants.contains(call) {
                    self.wants.push(call.clone());
                }
            }
            Call::Unwatch(gone) => {
                for call in &mut self.wants {
                    if let Call::Watch(symbols) = call {
                        symbols.retain(|symbol| !gone.contains(symbol));
                    }
                }
                self.wants
                    .retain(|call| !matches!(call, Call::Watch(symbols) if symbols.is_empty()));
            }
        }
    }

    /// Does what it was told.
    fn obey(&mut self, command: Command, link: Option<&mut Link<N>>) -> Result<(), Gone> {
        match command {
            Command::Emit(call) => {
                self.want(&call);
                self.emit(call, link);
            }
            Command::Stall(span) => {
                self.see(Observation::Stalled);
                self.stalled = Some(Instant::now() + span);
            }
            // Without a connection there is none to lose.
            Command::Connect | Command::Roam => {}
            Command::Stop => {
                self.see(Observation::Stopped);
                return Err(Gone);
            }
            Command::Vanish => {
                self.plugs.pull();
                self.see(Observation::Vanished);
                return Err(Gone);
            }
        }
        Ok(())
    }

    /// Says goodbye, for good.
    fn leave(&self, mut link: Link<N>) -> Gone {
        if link.connected {
            link.engine.send(packet::disconnect());
            let reason = Reason::ClientDisconnect;
            self.see(Observation::Disconnected { reason });
        }
        link.engine.close();
        self.see(Observation::Stopped);
        Gone
    }
}

/// What it is told next; a client that nobody holds the remote of goes on by itself.
async fn told(commands: &mut UnboundedReceiver<Command>) -> Command {
    match commands.recv().await {
        Some(command) => command,
        None => std::future::pending().await,
    }
}

/// Waits until then, for ever without a time.
async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
