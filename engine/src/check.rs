//! Invariants across indexes, for tests, simulations and checkpoints that come from outside.
//!
//! Every index is held against the state that it stands for; nothing is mended.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use crate::connection::{Connection, Life, Member, Stage};
use crate::deadlines::Due;
use crate::engine::{Engine, Fetch, Spread};
use crate::event::Topic;
use crate::outbox::Replay;

/// Ends the check with a message unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

impl Engine {
    /// Holds every index against the state that it stands for.
    ///
    /// # Errors
    /// Describes the first contradiction.
    pub fn check(&self) -> Result<(), String> {
        let mut due = BTreeSet::new();
        let mut handshakes = BTreeSet::new();
        let (mut count, mut pending_bytes, mut live, mut watches) = (0, 0, 0, 0);
        let (mut members, mut congested, mut watched) = (0, 0, 0);
        let (mut claims, mut charges, mut awaited) = (0, 0, BTreeSet::new());
        for connection in self.crowd.iter() {
            count += 1;
            ensure!(
                self.crowd.get(connection.id) == Some(connection),
                "{} is in another's slot",
                connection.id
            );
            match &connection.stage {
                Stage::Handshaking => {
                    handshakes.insert((connection.handshake_until, connection.id));
                }
                Stage::LookingUp(look_up) => {
                    due.insert((look_up.until, Due::LookUp(look_up.request)));
                    ensure!(
                        self.lookups.get(&look_up.request) == Some(&connection.id),
                        "{}'s look-up is not known",
                        connection.id
                    );
                }
                Stage::Claiming(claiming) => {
                    due.insert((claiming.until, Due::Claim(claiming.request)));
                    ensure!(
                        self.claims.get(&claiming.request) == Some(&connection.id),
                        "{}'s claim is not known",
                        connection.id
                    );
                    claims += 1;
                }
                Stage::Admitted(member) => {
                    watched += u32::from(member.watched.is_some());
                    if let Some(waiting) = &member.waiting {
                        due.insert((waiting.until, Due::Charge(waiting.request)));
                        ensure!(
                            self.charges.get(&waiting.request) == Some(&connection.id),
                            "{}'s call is not known",
                            connection.id
                        );
                        charges += 1;
                    }
                    self.check_member(connection, member)?;
                    pending_bytes += member.outbox.pending.bytes;
                    live += usize::from(member.is_live());
                    members += 1;
                    congested += u32::from(member.outbox.congestion.is_some());
                    watches += member.watches.len();
                    if let Some(congestion) = &member.outbox.congestion {
                        due.insert((congestion.until, Due::Congested(connection.id)));
                        if let Some(Replay {
                            last,
                            awaits: Some(until),
                            ..
                        }) = congestion.replay
                        {
                            due.insert((until, Due::Resume(connection.id)));
                            awaited.insert((last, connection.id));
                        }
                    }
                    if let Life::Live {
                        drains_at: Some(at),
                        ..
                    } = member.life
                    {
                        due.insert((at, Due::DrainClose(connection.id)));
                    }
                }
                Stage::Leaving => {}
            }
        }
        ensure!(
            count == self.crowd.count(),
            "{} connections counted as {}",
            count,
            self.crowd.count()
        );
        ensure!(
            (members, congested) == (self.crowd.members, self.crowd.congested),
            "{members} members and {congested} congested, counted otherwise"
        );
        ensure!(
            watched == self.crowd.watched,
            "{watched} sessions looked after, counted otherwise"
        );
        ensure!(
            (claims, charges) == (self.claims.len(), self.charges.len()),
            "{claims} claims and {charges} charges wait, listed otherwise"
        );
        ensure!(awaited == self.awaited, "those who wait for events differ");
        ensure!(
            live == self.crowd.live.len(),
            "{live} live members, {} listed",
            self.crowd.live.len()
        );
        ensure!(
            pending_bytes == self.crowd.pending_bytes,
            "{pending_bytes} bytes pending, {} summed",
            self.crowd.pending_bytes
        );
        ensure!(
            handshakes == self.deadlines.handshakes,
            "handshakes are not those waited for"
        );
        for (until, conn) in &self.admissions {
            let on_the_way = self.crowd.get(*conn).is_some_and(|connection| {
                connection.handshake_until == *until
                    && !matches!(connection.stage, Stage::Admitted(_) | Stage::Leaving)
            });
            ensure!(on_the_way, "{conn} is not on its way in");
        }
        self.check_symbols(watches)?;
        self.check_users()?;
        self.check_requests(&mut due)?;
        self.check_contact(&mut due)?;
        if let Some(drain) = &self.drain
            && !drain.finished
        {
            due.insert((drain.end, Due::DrainEnd));
        }
        ensure!(
            due == self.deadlines.due,
            "due {:?}, set {:?}",
            due,
            self.deadlines.due
        );
        let (entries, bytes) = self.history.recount();
        ensure!(
            (entries, bytes) == (self.history.len(), self.history.bytes()),
            "history has {entries} entries of {bytes} bytes, counted otherwise"
        );
        ensure!(
            bytes <= self.config.limits.history_bytes_max,
            "history has {bytes} bytes, more than allowed"
        );
        Ok(())
    }

    fn check_member(&self, connection: &Connection, member: &Member) -> Result<(), String> {
        let conn = connection.id;
        let user = self.users.get(member.user);
        ensure!(
            user.is_some_and(|user| user.members.contains(&conn.slot())),
            "{conn} is not among its user's connections"
        );
        if let Life::Live { place, .. } = member.life {
            ensure!(
                self.crowd.live.get(place as usize) == Some(&conn.slot()),
                "{conn} is not at its place among the live"
            );
        } else {
            ensure!(
                member.watches.is_empty(),
                "{conn} holds symbols before it is live"
            );
        }
        ensure!(
            member.watches.len() <= self.config.limits.symbols_per_connection_max as usize,
            "{conn} holds too many symbols"
        );
        ensure!(
            member.watches.is_sorted_by(|a, b| a.symbol < b.symbol),
            "{conn}'s symbols are out of order"
        );
        for watch in &member.watches {
            let entry = self.symbols.get(watch.symbol);
            ensure!(
                entry.and_then(|entry| entry.subscribers.get(watch.place as usize))
                    == Some(&conn.slot()),
                "{conn} is not at its place among a symbol's subscribers"
            );
        }
        if let Some(congestion) = &member.outbox.congestion {
            ensure!(
                congestion.log_events <= self.config.limits.congested_log_events_max
                    && congestion.log_bytes <= self.config.limits.congested_log_bytes_max,
                "{conn} is owed more log than allowed"
            );
            for topic in congestion.topics.keys() {
                ensure!(
                    self.topic_named(conn, *topic).is_some(),
                    "{conn} is owed a topic that is gone"
                );
            }
        }
        Ok(())
    }

    fn check_symbols(&self, watches: usize) -> Result<(), String> {
        let mut subscribers = 0;
        for (number, entry) in self.symbols.iter() {
            ensure!(
                !entry.subscribers.is_empty(),
                "{} has no subscriber",
                entry.symbol
            );
            ensure!(
                self.symbol_numbers.get(&entry.symbol) == Some(&number),
                "{} has another number",
                entry.symbol
            );
            subscribers += entry.subscribers.len();
        }
        ensure!(
            self.symbols.len() == self.symbol_numbers.len(),
            "symbols and their numbers differ in count"
        );
        ensure!(
            subscribers == watches,
            "{subscribers} subscribers, {watches} symbols held"
        );
        Ok(())
    }

    fn check_users(&self) -> Result<(), String> {
        let mut idle = BTreeSet::new();
        for (number, user) in self.users.iter() {
            ensure!(
                self.user_numbers.get(&user.id) == Some(&number),
                "{} has another number",
                user.id
            );
            ensure!(
                user.members.len() <= self.config.limits.connections_per_user_max as usize,
                "{} has {} connections",
                user.id,
                user.members.len()
            );
            ensure!(
                user.members.is_empty() == user.idle_until.is_some(),
                "{} is idle with connections, or busy without",
                user.id
            );
            for slot in &user.members {
                let member = self.crowd.at(*slot).and_then(Connection::member);
                ensure!(
                    member.is_some_and(|member| member.user == number),
                    "{} counts a connection that is not its own",
                    user.id
                );
            }
            idle.extend(user.idle_until.map(|at| (at, number)));
        }
        ensure!(
            idle == self.deadlines.idle_users,
            "idle users are not those remembered"
        );
        ensure!(
            self.users.len() == self.user_numbers.len(),
            "users and numbers differ in count"
        );
        Ok(())
    }

    fn check_contact(
        &self,
        due: &mut BTreeSet<(crate::time::Timestamp, Due)>,
    ) -> Result<(), String> {
        let timers = [
            (self.link.probe_at, Due::Probe),
            (self.held.retry_at, Due::HandOver),
            (self.rounds.renew_at, Due::Renew),
            (self.rounds.check_at, Due::CheckSessions),
            (self.intake.ask_at, Due::Lead),
        ];
        due.extend(
            timers
                .into_iter()
                .filter_map(|(at, timer)| Some((at?, timer))),
        );
        due.extend(
            self.checks
                .iter()
                .map(|(request, check)| (check.until, Due::Check(*request))),
        );
        if let Some(handing) = &self.held.handing {
            due.insert((handing.until, Due::Share(handing.request)));
        }
        ensure!(
            self.held.is_counted_right(),
            "values are held and not counted"
        );
        ensure!(
            self.link.gathered.is_none(),
            "questions were gathered and not asked"
        );
        ensure!(
            self.is_reached()
                || (self.claims.is_empty()
                    && self.charges.is_empty()
                    && self.fetches.is_empty()
                    && self.publishes.is_empty()
                    && self.held.handing.is_none()),
            "the bus is away and owes answers"
        );
        Ok(())
    }

    fn check_requests(
        &self,
        due: &mut BTreeSet<(crate::time::Timestamp, Due)>,
    ) -> Result<(), String> {
        for (request, conn) in &self.lookups {
            let stage = self.crowd.get(*conn).map(|connection| &connection.stage);
            ensure!(
                matches!(stage, Some(Stage::LookingUp(look_up)) if look_up.request == *request),
                "{conn} does not wait for {request}"
            );
        }
        due.extend(
            self.fetches
                .iter()
                .map(|(request, (at, _))| (*at, Due::Fetch(*request))),
        );
        let portfolios = self.users.iter().map(|(_, user)| {
            let topic = Topic::Portfolio(user.id.clone());
            (topic, &user.portfolio)
        });
        let quotes = self.symbols.iter().map(|(_, entry)| {
            let topic = Topic::Quote(entry.symbol.clone());
            (topic, &entry.topic)
        });
        let topics = core::iter::once((Topic::Market, &self.market))
            .chain(portfolios)
            .chain(quotes);
        let to_ask: BTreeSet<&Topic> = self.link.refresh.iter().collect();
        for (name, topic) in topics {
            ensure!(
                topic.fetch != Fetch::Wanted
                    || !self.is_reached()
                    || to_ask.contains(&name)
                    || self.held.get(&name).is_some(),
                "{name} is wanted and will not be asked for"
            );
            ensure!(
                topic.spread == Spread::Everyone || topic.value.is_some(),
                "a topic without a value was sent to some"
            );
            ensure!(
                topic.spread != Spread::Nobody
                    || matches!(topic.fetch, Fetch::Asked(_) | Fetch::Wanted),
                "a topic's value is held back for an answer that nobody owes"
            );
            if let Fetch::Asked(request) = topic.fetch {
                ensure!(
                    self.fetches.contains_key(&request),
                    "{request} is waited for by a topic only"
                );
            }
        }
        let mut parts = 0;
        for (request, publish) in &self.publishes {
            due.insert((publish.until, Due::Publish(*request)));
            for part in publish.parts() {
                parts += 1;
                ensure!(
                    self.publish_parts.get(&part) == Some(request),
                    "{request:?}'s part {part} belongs to another"
                );
            }
        }
        ensure!(
            parts == self.publish_parts.len(),
            "parts of publishes that are gone"
        );
        Ok(())
    }
}
