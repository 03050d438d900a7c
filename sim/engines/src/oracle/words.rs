//! Observations in words, for whoever reads a run. Nothing is judged here.

use core::fmt;

use super::{Answer, Call, Ended, Got, Observation, Offer, Refused, Resume, Symbol, Target};

/// Several things, with commas between them.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, item) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(topic) => topic.fmt(f),
            Self::Trade(user) => write!(f, "trade({user})"),
        }
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = if self.keyed { " with an id" } else { "" };
        write!(f, "{} to {}{with}", self.item, self.target)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portfolio => "portfolio",
            Self::Trades => "trades",
            Self::Watchlist => "watchlist",
        })
    }
}

/// A call and its symbols.
struct Asked<'a>(Call, &'a [Symbol]);

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(call, symbols) = self;
        if symbols.is_empty() {
            write!(f, "{call}")
        } else {
            write!(f, "{call} of {}", List(symbols))
        }
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed {
                call,
                symbols,
                restored,
            } => {
                let how = if *restored { ", restored" } else { "" };
                write!(f, "subscription:confirmed {}{how}", Asked(*call, symbols))
            }
            Self::Excess => f.write_str("error: too many connections"),
            Self::SessionExpired => f.write_str("error: session expired"),
            Self::Error => f.write_str("an error"),
            Self::RateLimited { call } => write!(f, "error: too many calls for {call}"),
            Self::Resumed {
                recovered,
                replayed,
                last,
            } => {
                write!(f, "resume recovered:{recovered} replayed:{replayed}")?;
                match last {
                    Some(id) => write!(f, " lastEventId:{id}"),
                    None => Ok(()),
                }
            }
            Self::Shutdown { reconnect_in_ms } => {
                write!(f, "server:shutdown reconnectInMs:{reconnect_in_ms}")
            }
            Self::Trade { id, item } => write!(f, "trade {item}, eventId {id}"),
            Self::Unsubscribed { symbols } => {
                write!(f, "unsubscription:confirmed {}", List(symbols))
            }
            Self::Value { topic, item } => write!(f, "{topic} = {item}"),
        }
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admitted(conn) => write!(f, "{conn} is counted as a connection of its user"),
            Self::Answered {
                batch,
                node,
                answer,
            } => {
                let answer = match answer {
                    Answer::Accepted { degraded: false } => "202",
                    Answer::Accepted { degraded: true } => "202, degraded: values are here only",
                    Answer::Draining => "503, this node leaves",
                    Answer::Unavailable => "503, try all of it again",
                };
                write!(f, "{node} answers {batch}: {answer}")
            }
            Self::Called {
                conn,
                call,
                symbols,
            } => write!(f, "{conn} subscribes to {}", Asked(*call, symbols)),
            Self::ClockSet => f.write_str("the bus's clock was set"),
            Self::Contact { node, reached } => {
                let word = if *reached { "reaches" } else { "has lost" };
                write!(f, "{node} {word} the bus")
            }
            Self::DataLost => f.write_str("the bus has lost its data"),
            Self::Dialled {
                conn,
                tab,
                user,
                node,
                resume,
                replaces,
            } => {
                write!(f, "{conn}: {tab} of {user} sends CONNECT to {node}")?;
                match resume {
                    Resume::No => {}
                    Resume::After(id) => write!(f, ", resumes after {id}")?,
                    Resume::Forged => f.write_str(", resumes after what nobody said")?,
                }
                match replaces {
                    Some(other) => write!(f, ", takes the slot of {other}"),
                    None => Ok(()),
                }
            }
            Self::Emitted { offers } => write!(f, "an emitter sends {}", List(offers)),
            Self::Ended { conn, how } => {
                let how = match how {
                    Ended::Disconnected => "was sent a DISCONNECT or a CONNECT_ERROR",
                    Ended::Own => "was ended by its client",
                    Ended::Transport => "was closed at the transport",
                };
                write!(f, "{conn} {how}")
            }
            Self::Entered(conn) => write!(f, "{conn} is in"),
            Self::Fault { node, on } => {
                let word = if *on { "disturbed" } else { "open again" };
                write!(f, "the way between {node} and the bus is {word}")
            }
            Self::Got(conn, got) => write!(f, "{conn} gets {got}"),
            Self::Left(conn) => write!(f, "{conn} is counted no more"),
            Self::Logged { item, id } => write!(f, "the bus logs {item} as {id}"),
            Self::Memory {
                node,
                history_bytes,
                pending_bytes,
            } => write!(
                f,
                "{node} keeps {history_bytes} bytes of history and {pending_bytes} pending"
            ),
            Self::NodeCrashed(node) => write!(f, "{node} crashes"),
            Self::NodeDraining { node, hurried } => {
                let word = if *hurried {
                    ", for the second time"
                } else {
                    ""
                };
                write!(f, "{node} is asked to leave{word}")
            }
            Self::NodeExited(node) => write!(f, "{node} has left"),
            Self::NodeStarted(node) => write!(f, "{node} starts"),
            Self::Offered {
                batch,
                node,
                offers,
                attempt,
            } => {
                write!(f, "{batch} is handed in at {node}: {}", List(offers))?;
                if *attempt > 0 {
                    write!(f, ", attempt {}", attempt + 1)?;
                }
                Ok(())
            }
            Self::Pending { conn, bytes } => write!(f, "{bytes} bytes are pending to {conn}"),
            Self::Quiet { for_ms } => write!(f, "nothing was wrong for {for_ms} ms"),
            Self::Refused { conn, why } => {
                let why = match why {
                    Refused::TooMany => "too many connections",
                    Refused::UnknownSession => "its session is not there",
                    Refused::Other => "it does not say who it is",
                };
                write!(f, "{conn} is refused: {why}")
            }
            Self::Session { user, there } => {
                let word = if *there { "is there" } else { "has ended" };
                write!(f, "the session of {user} {word}")
            }
            Self::Stalled { conn, on } => {
                let word = if *on { "stops reading" } else { "reads again" };
                write!(f, "{conn} {word}")
            }
            Self::Stray(conn) => write!(f, "{conn}, which had been ended, is sent something"),
            Self::Took { item } => write!(f, "the bus takes {item}: it is its topic's latest"),
            Self::Unanswered(batch) => write!(f, "{batch} will not be answered"),
            Self::TooSlow(conn) => write!(f, "{conn} is closed because it reads too slowly"),
            Self::Unfit(conn) => write!(f, "{conn} is slow, or sends too much"),
        }
    }
}
