//! G1: no client ever receives another user's portfolio or trades, nor a symbol it is not subscribed to.
//!
//! What a client asked for and what it was told reach it in one order, so from the moment it has read
//! `unsubscription:confirmed` a value of that symbol is wrong, unless it has asked for it since: a call
//! that was not answered by then came behind.

use std::collections::{BTreeSet, VecDeque};

use super::{Call, Conn, Facts, Got, Observation, Symbol, Target, Topic, Verdict, promised};

/// What each connection may be sent.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// By connection.
    asked: Vec<Asked>,
}

#[derive(Clone, Debug, Default)]
struct Asked {
    symbols: BTreeSet<Symbol>,
    /// Calls for symbols that were not answered yet, the oldest first.
    waiting: VecDeque<Vec<Symbol>>,
    portfolio: bool,
    trades: bool,
}

impl Isolation {
    fn asked(&mut self, conn: Conn) -> &mut Asked {
        if self.asked.len() <= conn.index() {
            self.asked.resize_with(conn.index() + 1, Asked::default);
        }
        &mut self.asked[conn.index()]
    }

    pub(super) fn observe(&mut self, facts: &Facts, observation: &Observation) -> Verdict {
        match observation {
            Observation::Called {
                conn,
                call,
                symbols,
            } => {
                let asked = self.asked(*conn);
                match call {
                    Call::Portfolio => asked.portfolio = true,
                    Call::Trades => asked.trades = true,
                    Call::Watchlist if symbols.is_empty() => {}
                    Call::Watchlist => asked.waiting.push_back(symbols.clone()),
                }
            }
            Observation::Got(conn, got) => return self.got(facts, *conn, got),
            Observation::Stray(conn) => {
                promised!(
                    facts,
                    G1,
                    false,
                    "{conn} was sent something after it had been let go"
                );
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn got(&mut self, facts: &Facts, conn: Conn, got: &Got) -> Verdict {
        let Some(of) = facts.conn(conn) else {
            return Ok(());
        };
        let (user, restricted) = (of.user, facts.promises.only_subscribers);
        promised!(
            facts,
            G1,
            of.entered_at.is_some() && of.ended_at.is_none(),
            "{conn} of {user} got {got:?} and is not in"
        );
        match got {
            Got::Trade { item, .. } => {
                let asked = self.asked(conn);
                let target = facts.item(*item).map(|item| item.target);
                promised!(
                    facts,
                    G1,
                    target == Some(Target::Trade(user)),
                    "{conn} of {user} got trade {item}, which is {target:?}"
                );
                promised!(
                    facts,
                    G1,
                    !restricted || asked.trades,
                    "{conn} of {user} got trade {item} without a subscription"
                );
            }
            Got::Value { topic, item } => {
                let asked = self.asked(conn);
                let target = facts.item(*item).map(|item| item.target);
                promised!(
                    facts,
                    G1,
                    target == Some(Target::State(*topic)),
                    "{conn} of {user} got {item} as {topic}, which is {target:?}"
                );
                let concerns = match topic {
                    Topic::Market => true,
                    Topic::Portfolio(of) => *of == user && (!restricted || asked.portfolio),
                    Topic::Quote(symbol) => {
                        asked.symbols.contains(symbol)
                            || asked.waiting.iter().any(|asked| asked.contains(symbol))
                    }
                };
                promised!(
                    facts,
                    G1,
                    concerns,
                    "{conn} of {user} got {item} of {topic}"
                );
            }
            Got::Unsubscribed { symbols } => {
                let asked = self.asked(conn);
                asked.symbols.retain(|symbol| !symbols.contains(symbol));
            }
            Got::Confirmed {
                call: Call::Watchlist,
                symbols,
                ..
            } => {
                let asked = self.asked(conn);
                asked.waiting.pop_front();
                asked.symbols.extend(symbols);
            }
            Got::RateLimited {
                call: Call::Watchlist,
            } => {
                self.asked(conn).waiting.pop_front();
            }
            Got::Confirmed { .. }
            | Got::Error
            | Got::Excess
            | Got::RateLimited { .. }
            | Got::Resumed { .. }
            | Got::SessionExpired
            | Got::Shutdown { .. } => {}
        }
        Ok(())
    }
}
