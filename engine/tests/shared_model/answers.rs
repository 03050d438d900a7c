//! What clients and publishers were answered: each once, in order, and truly.

use tradewire_engine::Delivery;
use tradewire_engine::effect::{Control, PublishOutcome};
use tradewire_engine::event::{Publish, Target};
use tradewire_engine::ids::{ConnId, EventId, RequestId, UserId};
use tradewire_engine::parse::LastEventId;
use tradewire_engine::reason::{Call, ClientError};

use crate::cluster::Cluster;
use crate::oracle::{Oracle, Reply};

impl Oracle {
    pub(crate) fn sent(&mut self, conn: ConnId, control: &Control) -> Result<(), String> {
        let Some(state) = self.conns.get(&conn).filter(|state| state.live) else {
            return Err(format!("{conn} is told something and is not in"));
        };
        match control {
            Control::Resumed {
                recovered: true,
                last,
                ..
            } => {
                let LastEventId::Given(Some(id)) = state.auth.last_event_id else {
                    return Err(format!("{conn} resumed without asking"));
                };
                let mine = |(user, _): &&(UserId, EventId)| state.user.as_ref() == Some(user);
                let since = self.arrivals.iter().skip(self.gap_at);
                ensure!(
                    since.filter(mine).any(|(_, at)| *at == id),
                    "{conn} resumed behind {id}, which is not hers or lost"
                );
                let before = self.arrivals.iter().take(state.cursor);
                let newest = before.filter(mine).map(|(_, at)| *at).next_back();
                ensure!(
                    newest == *last,
                    "{conn} goes on from {last:?}, not {newest:?}"
                );
                let late = state.given_up.is_some();
                self.conns.entry(conn).or_default().given_up = None;
                self.count(if late { "recovered late" } else { "recovered" });
            }
            Control::Resumed { .. } => {
                // What comes before the event that it waited for, it has handled.
                let due = self.due(state).filter(|(_, id)| Some(*id) > state.awaits);
                ensure!(
                    self.in_gap || state.awaits.is_none() || due.is_none(),
                    "{conn} was told before it got all"
                );
                let kind = if state.awaits.is_some() || state.given_up.is_some() {
                    "resumed in vain"
                } else {
                    "unrecovered"
                };
                self.count(kind);
                let end = self.arrivals.len();
                let state = self.conns.entry(conn).or_default();
                state.handled = state.awaits.or(state.handled);
                (state.cursor, state.awaits, state.given_up) = (end, None, None);
            }
            Control::Subscribed { call, symbols } => {
                let symbols = symbols.clone();
                self.subscribed(conn, *call)?;
                self.conns.entry(conn).or_default().symbols.extend(symbols);
            }
            Control::Unsubscribed { symbols } => {
                let state = self.conns.entry(conn).or_default();
                let reply = state.replies.pop_front();
                ensure!(
                    reply == Some((Reply::Unwatch, false)),
                    "{conn}: {reply:?} was answered as an unsubscription"
                );
                state.symbols.retain(|symbol| !symbols.contains(symbol));
            }
            Control::Error(error) => {
                let state = self.conns.entry(conn).or_default();
                match error {
                    ClientError::RateLimited { call, .. } => {
                        let reply = state.replies.pop_front();
                        ensure!(
                            reply == Some((Reply::Call(*call), false)),
                            "{conn}: {reply:?} was limited as {call:?}"
                        );
                        ensure!(
                            !state.called.insert(*call),
                            "the first {call:?} was limited"
                        );
                    }
                    ClientError::InvalidSymbols => {
                        let reply = state.replies.pop_front();
                        let (call, user) = (Call::Watchlist, state.user.clone());
                        ensure!(
                            reply == Some((Reply::Call(call), false)),
                            "{conn}: {reply:?} had invalid symbols"
                        );
                        let first = state.called.insert(call);
                        self.admitted(user, call, first)?;
                    }
                    _ => {}
                }
            }
            Control::Shutdown { .. } => return Err("nobody leaves".into()),
        }
        Ok(())
    }

    fn subscribed(&mut self, conn: ConnId, call: Call) -> Result<(), String> {
        let end = self.arrivals.len();
        let only_subscribers = self.delivery == Delivery::Subscribed;
        let state = self.conns.entry(conn).or_default();
        let reply = state.replies.pop_front();
        ensure!(
            matches!(reply, Some((Reply::Call(asked), _)) if asked == call),
            "{conn}: {reply:?} was answered as {call:?}"
        );
        let restored = reply.is_some_and(|(_, restored)| restored);
        match call {
            Call::Portfolio => state.portfolio = true,
            Call::Trades => {
                if !core::mem::replace(&mut state.trades, true) && only_subscribers && !restored {
                    state.cursor = end;
                }
            }
            Call::Watchlist => {}
        }
        if restored {
            return Ok(());
        }
        let first = state.called.insert(call);
        let user = state.user.clone();
        self.admitted(user, call, first)
    }

    /// G5, as far as one node knows.
    fn admitted(&mut self, user: Option<UserId>, call: Call, first: bool) -> Result<(), String> {
        let user = user.ok_or("a call of nobody")?;
        let (now, window) = (self.now, self.limits.calls_window);
        let limit = self.limits.calls_max(call) as usize;
        let calls = self.calls.entry((user, call)).or_default();
        calls.retain(|at| now.since(*at) < window);
        // Those admitted out of grace aside: one may be while another waits for the bus.
        if !first {
            ensure!(calls.len() < limit, "too many {call:?} were admitted");
            calls.push(now);
        }
        Ok(())
    }

    /// G9
    pub(crate) fn answered(
        &mut self,
        request: RequestId,
        outcome: &PublishOutcome,
        cluster: &Cluster,
    ) -> Result<(), String> {
        let asked = self.publishes.remove(&request);
        let (_, items) = asked.ok_or_else(|| format!("{request} is answered and was not asked"))?;
        let logs = |item: &&Publish| matches!(item.target, Target::Log { .. });
        let texts = items.iter().map(|item| item.payload.text().to_string());
        match outcome {
            PublishOutcome::Accepted { degraded, .. } => {
                for item in items.iter().filter(logs) {
                    let text = item.payload.text();
                    ensure!(
                        cluster.logged.contains(text),
                        "{text} is accepted and not logged"
                    );
                }
                if *degraded {
                    self.excused.extend(texts);
                    self.count("degraded");
                    return Ok(());
                }
                for item in items.iter().filter(|item| !logs(item)) {
                    let text = item.payload.text();
                    let taken = cluster.taken.contains_key(text);
                    ensure!(
                        taken || self.excused.contains(text),
                        "{text} is accepted and not taken"
                    );
                }
            }
            PublishOutcome::Unavailable { ids } => {
                ensure!(items.iter().any(|item| logs(&item)), "values are refused");
                ensure!(ids.len() == items.len(), "{} ids", ids.len());
                self.excused.extend(texts);
                self.count("unavailable");
            }
            PublishOutcome::Draining => return Err("nobody leaves".into()),
        }
        Ok(())
    }
}
