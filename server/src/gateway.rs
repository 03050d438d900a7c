//! socketioxide's callbacks, turned into commands and notices; translation only.
//!
//! The event handler is registered in the connect middleware, before the CONNECT answer is sent:
//! an event for which no handler is there yet would be dropped in silence.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use socketioxide::adapter::Emitter;
use socketioxide::handler::{ConnectHandler, ConnectMiddleware, DisconnectHandler, MessageHandler};
use socketioxide::socket::{DisconnectReason, Socket};
use socketioxide_core::adapter::errors::SocketError;
use socketioxide_core::adapter::{
    BroadcastOptions, CoreAdapter, CoreLocalAdapter, DefinedAdapter, SocketEmitter,
};
use socketioxide_core::packet::Packet;
use socketioxide_core::{Sid, Value};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tradewire_engine::ids::SessionId;
use tradewire_engine::input::TransportFault;
use tradewire_engine::limits::ParseLimits;
use tradewire_engine::parse;

use crate::inbox::{Command, Inbox};
use crate::link::{Link, Notice, Presence};

/// What a handshake's request carries to the callbacks, for as long as the session lives.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    pub(crate) link: Arc<Link>,
    /// Held for their drops: the driver is told that the session is gone, and its place is free.
    pub(crate) _presence: Arc<(Presence, OwnedSemaphorePermit)>,
    /// The session id of a cookie with a good signature.
    pub(crate) cookie: Option<SessionId>,
}

/// The namespace's callbacks.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    inbox: Inbox,
    parse_limits: Arc<ParseLimits>,
}

impl Gateway {
    pub(crate) fn new(inbox: Inbox, parse_limits: ParseLimits) -> Self {
        Self {
            inbox,
            parse_limits: Arc::new(parse_limits),
        }
    }

    /// Asks the driver whether a CONNECT is let in.
    async fn connect(
        self,
        socket: Arc<Socket<Sender>>,
        auth: Option<String>,
    ) -> Result<(), Box<dyn Display + Send>> {
        let Some(Handshake { link, cookie, .. }) = handshake(&socket) else {
            // Every handshake passes the gate, which gives it one.
            return Err(Box::new("Handshake required"));
        };
        let conn = link.conn();
        socket.on_fallback(Events {
            link: Arc::clone(&link),
            gateway: self.clone(),
        });
        socket.on_disconnect(Farewell {
            link: Arc::clone(&link),
        });
        let auth = parse::auth(auth.as_deref(), &self.parse_limits);
        let (reply, verdict) = oneshot::channel();
        let command = Command::Connect {
            conn,
            sid: socket.id,
            auth,
            cookie,
            reply,
        };
        if self.inbox.commands.send(command).await.is_ok()
            && let Ok(verdict) = verdict.await
        {
            if verdict.is_ok() {
                // Told before the answer goes out: a client that has it may publish at once.
                link.notice(Notice::Connected(conn));
            }
            return verdict.map_err(|refusal| Box::new(refusal.message()) as _);
        }
        // Not refused but closed: the client is to come back by itself, so it must not see the
        // CONNECT_ERROR that socketioxide sends next. By then its transport is gone.
        tokio::time::sleep(CLOSED_BEFORE_ANSWER).await;
        Err(Box::new("Closed"))
    }
}

/// How long a transport that was told to end may take, of which it needs a few microseconds.
const CLOSED_BEFORE_ANSWER: Duration = Duration::from_secs(1);

fn handshake(socket: &Socket<Sender>) -> Option<Handshake> {
    socket.req_parts().extensions.get::<Handshake>().cloned()
}

impl ConnectMiddleware<Sender, ()> for Gateway {
    fn call<'a>(
        &'a self,
        socket: Arc<Socket<Sender>>,
        auth: &'a Option<Value>,
    ) -> impl Future<Output = Result<(), Box<dyn Display + Send>>> + Send {
        let auth = auth
            .as_ref()
            .and_then(Value::as_str)
            .map(|text| text.to_string());
        self.clone().connect(socket, auth)
    }
}

/// Called once the CONNECT answer is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Entered;

impl ConnectHandler<Sender, ()> for Entered {
    fn call(&self, socket: Arc<Socket<Sender>>, _: Option<Value>) {
        // A websocket's own queue knows which frames the answer goes before.
        if let Some(Handshake { link, .. }) = handshake(&socket)
            && !link.queue().is_open()
        {
            link.notice(Notice::Answered(link.conn()));
        }
    }
}

/// Takes every event of one socket.
struct Events {
    link: Arc<Link>,
    gateway: Gateway,
}

impl MessageHandler<Sender, ()> for Events {
    fn call(&self, _: Arc<Socket<Sender>>, arguments: Value, ack: Option<i64>) {
        let text = arguments.as_str().map_or("", |text| text.as_str());
        let event = parse::client_event(text, &self.gateway.parse_limits);
        let command = Command::Received {
            conn: self.link.conn(),
            event,
            ack,
        };
        if self.gateway.inbox.commands.try_send(command).is_err() {
            // Dropping the event would be silent; a client that is closed comes back.
            self.link.fail(TransportFault::Overloaded);
            self.link.abort();
        }
    }
}

/// Tells the driver that a socket left.
struct Farewell {
    link: Arc<Link>,
}

impl DisconnectHandler<Sender, ()> for Farewell {
    fn call_with_defer(
        &self,
        socket: Arc<Socket<Sender>>,
        _: DisconnectReason,
        defer: fn(Arc<Socket<Sender>>),
    ) {
        // `drop` tells the driver.
        defer(socket);
    }
}

impl Drop for Farewell {
    /// socketioxide calls the handler of a socket that was in, and drops that of one whose session
    /// ended while the driver was asked. Either way the handler goes.
    fn drop(&mut self) {
        self.link.notice(Notice::Disconnected(self.link.conn()));
    }
}

/// The adapter: socketioxide's way to reach one socket with a packet that is encoded already.
///
/// It keeps no rooms; who gets what is decided in the engine.
pub(crate) struct Sender {
    local: CoreLocalAdapter<Emitter>,
    slot: SenderSlot,
}

/// Where the adapter is found once socketioxide has made it.
pub(crate) type SenderSlot = Arc<OnceLock<Weak<Sender>>>;

impl Sender {
    /// Sends an EVENT or ACK to one socket; one that is gone is no error.
    pub(crate) fn send(&self, sid: Sid, packet: Packet) -> Result<(), SendError> {
        let sent = self.local.broadcast(packet, BroadcastOptions::new(sid));
        match sent.err().and_then(|errors| errors.into_iter().next()) {
            None | Some(SocketError::Closed) => Ok(()),
            Some(SocketError::InternalChannelFull) => Err(SendError),
        }
    }
}

/// The socket's buffer was full, which the engine's bounds should have prevented.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendError;

impl CoreAdapter<Emitter> for Sender {
    type Error = Infallible;
    type State = SenderSlot;
    type AckStream = <Emitter as SocketEmitter>::AckStream;
    type InitRes = ();

    fn new(slot: &SenderSlot, local: CoreLocalAdapter<Emitter>) -> Self {
        Self {
            local,
            slot: Arc::clone(slot),
        }
    }

    fn init(self: Arc<Self>, on_success: impl FnOnce() + Send + 'static) {
        // One namespace is declared, so the slot is empty.
        let _ = self.slot.set(Arc::downgrade(&self));
        on_success();
    }

    async fn broadcast_with_ack(
        &self,
        packet: Packet,
        options: BroadcastOptions,
        timeout: Option<Duration>,
    ) -> Result<Self::AckStream, Infallible> {
        Ok(self.local.broadcast_with_ack(packet, options, timeout).0)
    }

    fn get_local(&self) -> &CoreLocalAdapter<Emitter> {
        &self.local
    }
}

impl DefinedAdapter for Sender {}
