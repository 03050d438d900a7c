//! What every client was sent of events and values: theirs alone, in order, once, and never backwards.

use tradewire_engine::Delivery;
use tradewire_engine::effect::Message;
use tradewire_engine::event::Topic;
use tradewire_engine::ids::{ConnId, EventId};

use crate::cluster::Cluster;
use crate::oracle::{Conn, Oracle};

impl Oracle {
    /// The next event that a client is due.
    pub(crate) fn due(&self, state: &Conn) -> Option<(usize, EventId)> {
        let mut rest = (0..).zip(&self.arrivals).skip(state.cursor);
        rest.find(|(_, (user, _))| state.user.as_ref() == Some(user))
            .map(|(place, (_, id))| (place, *id))
    }

    /// Whether a client said that it has handled this event, and was told that nothing could be sent
    /// behind it: it need not be sent when it arrives after all.
    pub(crate) fn need_not_be_sent(state: &Conn, id: EventId) -> bool {
        state.handled.is_some_and(|handled| id <= handled)
    }

    /// Passes over what need not be sent, up to the event that was.
    fn skip_handled(&mut self, conn: ConnId, sent: EventId) {
        while let Some(state) = self.conns.get(&conn)
            && let Some((place, id)) = self.due(state)
            && id != sent
            && Self::need_not_be_sent(state, id)
        {
            self.conns.entry(conn).or_default().cursor = place + 1;
        }
    }

    pub(crate) fn delivered(
        &mut self,
        conn: ConnId,
        message: &Message,
        cluster: &Cluster,
    ) -> Result<(), String> {
        let state = self
            .conns
            .get(&conn)
            .ok_or("a delivery to one who is gone")?;
        ensure!(state.live, "{conn} is not in");
        if let Message::Log { id, .. } = message
            && let Some(cursor) = state.given_up
            && self.due(state).is_none_or(|(_, due)| due != *id)
        {
            let state = self.conns.entry(conn).or_default();
            (state.cursor, state.given_up) = (cursor, None);
        }
        if let Message::Log { id, .. } = message {
            self.skip_handled(conn, *id);
        }
        let state = self
            .conns
            .get(&conn)
            .ok_or("a delivery to one who is gone")?;
        match message {
            // G2
            Message::Log { id, .. } => {
                ensure!(self.wants_log(state), "{conn} did not subscribe to trades");
                let due = self.due(state);
                let Some((place, _)) = due.filter(|(_, due)| due == id) else {
                    return Err(format!("{conn} was due {due:?}, got {id}"));
                };
                self.conns.entry(conn).or_default().cursor = place + 1;
                Ok(())
            }
            Message::State { topic, payload } => {
                let all = self.delivery == Delivery::All;
                // G1
                let concerns = match topic {
                    Topic::Market => true,
                    Topic::Portfolio(user) => {
                        state.user.as_ref() == Some(user) && (all || state.portfolio)
                    }
                    Topic::Quote(symbol) => state.symbols.contains(symbol),
                };
                ensure!(concerns, "{topic} does not concern {conn}");
                self.shown(conn, topic, payload.text(), cluster)
            }
        }
    }

    /// G3: whether the client may be shown this value now.
    fn shown(
        &mut self,
        conn: ConnId,
        topic: &Topic,
        text: &str,
        cluster: &Cluster,
    ) -> Result<(), String> {
        let none = Vec::new();
        let taken = |text: &str| cluster.taken.get(text).unwrap_or(&none);
        let held_now = self.held_now.contains(topic);
        let seen = self.conns.entry(conn).or_default();
        let seen = seen.seen.entry(topic.clone()).or_default();
        if let Some(held) = seen.held.take() {
            let last = taken(&held).iter().max().copied();
            seen.order = seen.order.max(last.unwrap_or(0));
            if held == text && last.is_none() {
                seen.held = Some(held);
                return Ok(());
            }
            if let Some(order) = taken(text).iter().max()
                && !held_now
                && held != text
            {
                self.behind.push((held, *order));
            }
        }
        let order = taken(text)
            .iter()
            .copied()
            .find(|order| *order >= seen.order);
        seen.text = text.into();
        match order {
            Some(order) => {
                seen.order = order;
                Ok(())
            }
            None => {
                ensure!(
                    self.own.contains(text),
                    "{topic} at {conn}: {text} was never published here"
                );
                // One whose answer was lost may have been taken, and is published again.
                ensure!(
                    held_now || taken(text).is_empty() || self.excused.contains(text),
                    "{topic} went back from {} to {text} at {conn}",
                    seen.order
                );
                seen.held = Some(text.into());
                Ok(())
            }
        }
    }
}
