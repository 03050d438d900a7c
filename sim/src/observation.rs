//! What the parts of a run observe, as one vocabulary for the log and for oracles.
//!
//! These are facts as the observer knows them, not verdicts. Payloads stay the text that arrived.

use std::fmt;
use std::net::SocketAddr;

/// How a client's connection ended, in the words of `socket.io-client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The transport was closed by the other side.
    TransportClose,
    /// The transport failed.
    TransportError,
    /// The server was not heard for a ping interval and a ping timeout.
    PingTimeout,
    /// What came could not be read.
    ParseError,
    /// The server sent a Socket.IO disconnect: the client does not come back by itself.
    ServerDisconnect,
    /// The client was told to disconnect.
    ClientDisconnect,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ServerDisconnect => "io server disconnect",
            Self::ClientDisconnect => "io client disconnect",
        })
    }
}

/// What one part of a run saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A client sent CONNECT with this `auth`, on a transport to a node.
    Connecting {
        /// The node's name.
        node: String,
        /// The id of the transport's session, which is that of the socket to be.
        sid: String,
        /// The JSON of `auth`.
        auth: String,
    },
    /// A client was admitted.
    Connected {
        /// Its socket id.
        sid: String,
    },
    /// A client could not reach a node, or was refused below Socket.IO. It tries again.
    Unreachable {
        /// The node's name.
        node: String,
        /// Why, as the transport says.
        why: String,
    },
    /// A client was refused with CONNECT_ERROR. It does not try again by itself.
    ConnectError {
        /// What the server said.
        message: String,
    },
    /// An event reached a client.
    Event {
        /// Its name.
        name: String,
        /// The JSON of its first argument, empty without one.
        payload: String,
    },
    /// A client emitted an event, asking for an acknowledgement.
    Emitted {
        /// The acknowledgement's id, counted by the client.
        call: u64,
        /// The event.
        name: String,
        /// The JSON of its argument, empty without one.
        payload: String,
    },
    /// A client's event was acknowledged.
    Acknowledged {
        /// The id that it was emitted with.
        call: u64,
        /// The JSON of the answer.
        answer: String,
    },
    /// An admitted client's connection ended.
    Disconnected {
        /// How.
        reason: Reason,
    },
    /// A client is read from no more, for a while.
    Stalled,
    /// A client reads again.
    Resumed,
    /// A client found itself on another network, and its connection gone.
    Roamed,
    /// A client vanished without a word, for good.
    Vanished,
    /// A client stopped for good.
    Stopped,
    /// A publisher sent a request.
    Publishing {
        /// Which, counted by the publisher; tries of the same batch share it.
        batch: u64,
        /// Which try of it, from 1.
        attempt: u32,
        /// The node's name.
        node: String,
        /// The JSON of the request.
        body: String,
    },
    /// A publisher was answered.
    Answered {
        /// Which batch.
        batch: u64,
        /// The status.
        status: u16,
        /// The JSON of the answer.
        body: String,
    },
    /// A publisher had no answer: the batch may have been taken or not.
    Unanswered {
        /// Which batch.
        batch: u64,
        /// Why.
        why: String,
    },
    /// A publisher gave a batch up.
    GaveUp {
        /// Which batch.
        batch: u64,
    },
    /// A node's process was started.
    Started,
    /// A node listens.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// A node's process ended by itself.
    Exited {
        /// Why it did not start, if it did not.
        error: Option<String>,
    },
    /// A node was asked to drain.
    Draining,
    /// A node that drains was asked to be quick.
    Hurried,
    /// A node was killed.
    Killed,
    /// A host lost its power.
    PoweredOff,
    /// A node said how much it keeps.
    Measured {
        /// Of log events, for those who resume.
        history_bytes: u64,
        /// Handed over, and not known to be written.
        pending_bytes: u64,
    },
    /// A server's engine noted something, or the server did. The log has it as a line of the server.
    Noted {
        /// The line.
        message: String,
        /// What it says beside.
        fields: Vec<(&'static str, String)>,
    },
    /// A Redis put an event into the log.
    Logged {
        /// Its id, as clients are told it.
        id: String,
        /// Its user.
        user: String,
        /// What it says.
        payload: String,
    },
    /// A Redis took a value, and told the nodes.
    Took {
        /// The topic as it stands in messages.
        topic: String,
        /// What it says.
        payload: String,
    },
    /// A slot was taken in a Redis again that had ended there, or was lost.
    SlotRetaken,
    /// A Redis lost all its data.
    DataLost,
    /// The clock of a Redis was set.
    ClockSet,
    /// A user's session in Redis is there, or is there no more.
    Session {
        /// Whose.
        user: String,
        /// It is there.
        there: bool,
    },
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { node, auth, .. } => write!(f, "connecting to {node} with {auth}"),
            Self::Connected { sid } => write!(f, "connected as {sid}"),
            Self::Unreachable { node, why } => write!(f, "cannot reach {node}: {why}"),
            Self::ConnectError { message } => write!(f, "connect error: {message}"),
            Self::Event { name, payload } => write!(f, "event {name} {payload}"),
            Self::Emitted {
                call,
                name,
                payload,
            } => write!(f, "emit #{call} {name} {payload}"),
            Self::Acknowledged { call, answer } => write!(f, "ack #{call} {answer}"),
            Self::Disconnected { reason } => write!(f, "disconnected: {reason}"),
            Self::Stalled => f.write_str("stalled"),
            Self::Resumed => f.write_str("reads again"),
            Self::Roamed => f.write_str("is on another network"),
            Self::Vanished => f.write_str("vanished"),
            Self::Stopped => f.write_str("stopped"),
            Self::Publishing {
                batch,
                attempt,
                node,
                body,
            } => write!(f, "publish #{batch}.{attempt} to {node} {body}"),
            Self::Answered {
                batch,
                status,
                body,
            } => write!(f, "answer #{batch} {status} {body}"),
            Self::Unanswered { batch, why } => write!(f, "no answer #{batch}: {why}"),
            Self::GaveUp { batch } => write!(f, "gave up #{batch}"),
            Self::Started => f.write_str("starts"),
            Self::Listening { address } => write!(f, "listening on {address}"),
            Self::Exited { error: None } => f.write_str("exited"),
            Self::Exited { error: Some(error) } => write!(f, "exited: {error}"),
            Self::Draining => f.write_str("drains"),
            Self::Hurried => f.write_str("hurries"),
            Self::Killed => f.write_str("killed"),
            Self::PoweredOff => f.write_str("lost power"),
            Self::Measured {
                history_bytes,
                pending_bytes,
            } => write!(
                f,
                "keeps {history_bytes} bytes of history, {pending_bytes} pending"
            ),
            Self::Noted { message, .. } => f.write_str(message),
            Self::Logged { id, user, payload } => write!(f, "logged {id} of {user} {payload}"),
            Self::Took { topic, payload } => write!(f, "took {topic} {payload}"),
            Self::SlotRetaken => f.write_str("has a slot again"),
            Self::DataLost => f.write_str("lost its data"),
            Self::ClockSet => f.write_str("its clock was set"),
            Self::Session { user, there: true } => write!(f, "has the session of {user}"),
            Self::Session { user, there: false } => write!(f, "has no session of {user}"),
        }
    }
}
