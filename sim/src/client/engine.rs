//! One Engine.IO connection as `engine.io-client` keeps it: handshake, heartbeat, upgrade.
//!
//! It knows nothing of Socket.IO: messages are text. How long a handshake may take, and what happens
//! after the end, is for the session above.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tradewire_server::net::Net;

use crate::client::TransportChoice;
use crate::client::polling::Polling;
use crate::client::transport::{Transport, TransportEnd};
use crate::client::websocket::Websocket;
use crate::http_client::Plugs;
use crate::journal::Journal;
use crate::net::Plugged;
use crate::observation::Reason;

/// What the server says of itself in the handshake.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Handshake {
    sid: String,
    upgrades: Vec<String>,
    ping_interval: u64,
    ping_timeout: u64,
}

/// A websocket that is tried while polling goes on; it fails in silence.
type Probe<N> = Pin<Box<dyn Future<Output = Option<Box<Websocket<<N as Net>::Stream>>>> + Send>>;

/// Where an upgrade stands.
enum Upgrade<N: Net> {
    None,
    Probing(Probe<N>),
    /// The websocket works; what polling has under way comes to its end.
    Pausing(Box<Websocket<N::Stream>>),
}

/// What a connection is made with.
pub(crate) struct Way<'a, N> {
    pub(crate) net: &'a N,
    pub(crate) node: &'a str,
    pub(crate) choice: TransportChoice,
    pub(crate) plugs: &'a Plugs,
    pub(crate) journal: &'a Journal,
    pub(crate) who: &'a Arc<str>,
}

/// An open connection.
pub(crate) struct Engine<N: Net> {
    transport: Transport<N>,
    sid: String,
    upgrade: Upgrade<N>,
    heartbeat: Duration,
    deadline: Instant,
    journal: Journal,
    who: Arc<str>,
}

impl<N: Net<Stream: Plugged>> Engine<N> {
    /// Connects and shakes hands. The error is what a client would log.
    pub(crate) async fn open(way: Way<'_, N>) -> Result<Self, String> {
        let Way {
            net,
            node,
            choice,
            plugs,
            journal,
            who,
        } = way;
        let (mut transport, open) = match choice {
            TransportChoice::Websocket => {
                let mut websocket = Box::new(Websocket::open(net, node, None, plugs).await?);
                let open = websocket.next().await;
                let open = open.map_err(|end| format!("websocket error: {end:?}"))?;
                (Transport::Websocket(websocket), open)
            }
            TransportChoice::Polling | TransportChoice::Upgrade => {
                let (polling, open) = Polling::open(net, node, plugs).await?;
                (Transport::Polling(Box::new(polling)), open)
            }
        };
        journal.line(who, format_args!("< {open}"));
        let handshake: Handshake = open
            .strip_prefix('0')
            .and_then(|open| serde_json::from_str(open).ok())
            .ok_or_else(|| "no handshake".to_owned())?;
        let mut upgrade = Upgrade::None;
        if let Transport::Polling(polling) = &mut transport {
            polling.set_sid(&handshake.sid);
            let offered = handshake.upgrades.iter().any(|name| name == "websocket");
            if choice == TransportChoice::Upgrade && offered {
                upgrade = Upgrade::Probing(Box::pin(probe(
                    net.clone(),
                    node.to_owned(),
                    handshake.sid.clone(),
                    plugs.clone(),
                )));
            }
        }
        let heartbeat = Duration::from_millis(handshake.ping_interval + handshake.ping_timeout);
        Ok(Self {
            transport,
            sid: handshake.sid,
            upgrade,
            heartbeat,
            deadline: Instant::now() + heartbeat,
            journal: journal.clone(),
            who: Arc::clone(who),
        })
    }

    /// The session's id.
    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }

    /// Queues a message, type digit included; [`Self::next`] sends it.
    pub(crate) fn send(&mut self, packet: String) {
        self.journal.line(&self.who, format_args!("> {packet}"));
        self.transport.send(packet);
    }

    /// Waits for the next message, or the end. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<String, Reason> {
        loop {
            // A timer that is overdue fires before what arrived meanwhile, as after a frozen page.
            let packet = tokio::select! {
                biased;
                () = sleep_until(self.deadline) => return Err(Reason::PingTimeout),
                websocket = probed(&mut self.upgrade) => {
                    self.begin_pause(websocket);
                    continue;
                }
                packet = self.transport.next() => packet,
            };
            match packet {
                Ok(Some(packet)) => {
                    self.journal.line(&self.who, format_args!("< {packet}"));
                    if let Some(message) = packet.strip_prefix('4') {
                        return Ok(message.to_owned());
                    }
                    if packet == "2" {
                        self.send("3".to_owned());
                        self.deadline = Instant::now() + self.heartbeat;
                    }
                }
                Ok(None) => self.switch(),
                Err(TransportEnd::Closed) => return Err(Reason::TransportClose),
                Err(TransportEnd::Failed(why)) => {
                    self.journal.line(&self.who, format_args!("{why}"));
                    return Err(Reason::TransportError);
                }
            }
        }
    }

    /// Begins to leave polling, if the websocket that was tried works.
    fn begin_pause(&mut self, websocket: Option<Box<Websocket<N::Stream>>>) {
        self.upgrade = Upgrade::None;
        if let (Some(websocket), Transport::Polling(polling)) = (websocket, &mut self.transport) {
            polling.pause();
            self.upgrade = Upgrade::Pausing(websocket);
        }
    }

    /// Leaves polling, which is idle, for the websocket.
    fn switch(&mut self) {
        let Upgrade::Pausing(mut websocket) = std::mem::replace(&mut self.upgrade, Upgrade::None)
        else {
            return;
        };
        self.journal.line(&self.who, format_args!("> 5"));
        websocket.send("5".to_owned());
        let polling = std::mem::replace(&mut self.transport, Transport::Websocket(websocket));
        if let (Transport::Polling(polling), Transport::Websocket(websocket)) =
            (polling, &mut self.transport)
        {
            websocket.queue(polling.into_outbox());
        }
    }

    /// Sends what is queued and says goodbye, in the background.
    pub(crate) fn close(self) {
        self.transport.close();
    }
}

async fn probe<N: Net<Stream: Plugged>>(
    net: N,
    node: String,
    sid: String,
    plugs: Plugs,
) -> Option<Box<Websocket<N::Stream>>> {
    let websocket = Websocket::open(&net, &node, Some(&sid), &plugs).await;
    let mut websocket = Box::new(websocket.ok()?);
    websocket.send("2probe".to_owned());
    (websocket.next().await.ok()? == "3probe").then_some(websocket)
}

/// Waits for the probe, for ever when there is none.
async fn probed<N: Net>(upgrade: &mut Upgrade<N>) -> Option<Box<Websocket<N::Stream>>> {
    match upgrade {
        Upgrade::Probing(probe) => probe.await,
        Upgrade::None | Upgrade::Pausing(_) => std::future::pending().await,
    }
}
