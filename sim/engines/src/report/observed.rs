//! What happens to a cluster of bare engines, told to a [`Recording`]: acts from outside, what was seen, what
//! engines were told and decided. It changes nothing.

use super::recording::{Changes, Recording, Step};
use crate::engines::Does;
use crate::oracle::{Call, Conn, Ended, Got, Node, Observation, Offer, Resume};

impl Recording {
    pub(crate) fn input(&mut self, now: u64, node: Node, words: String) {
        self.push(Step {
            t: now,
            k: "told",
            x: format!("{node}: {words}"),
            ..Step::default()
        });
    }

    pub(crate) fn decision(&mut self, words: String) {
        self.decided(words);
    }

    /// A node begins to live at a place.
    pub(crate) fn starts(&mut self, place: u32, node: Node) {
        self.places.insert(node, place);
    }

    pub(crate) fn act(&mut self, now: u64, does: &Does) {
        let words = does.to_string();
        self.push(Step {
            t: now,
            k: if does.is_fault() { "fault" } else { "act" },
            x: words.clone(),
            ..Step::default()
        });
        let place = does.place().map(|place| format!("place {place}"));
        let link = does.place().map(|place| format!("place {place} – bus"));
        let bus = || "bus".to_owned();
        let (lane, ms) = match does {
            Does::Publish { .. } | Does::Emit { .. } => (Some("publishers".to_owned()), 0),
            Does::Client { .. } | Does::Stall { .. } | Does::Vanish { .. } | Does::Herd { .. } => {
                (Some("clients".to_owned()), 0)
            }
            Does::Cut { ms, .. }
            | Does::RequestsStuck { ms, .. }
            | Does::AnswersStuck { ms, .. }
            | Does::PushesStuck { ms, .. } => (link, *ms),
            Does::SlowBus { ms, .. } | Does::HungBus { ms } => (Some(bus()), *ms),
            Does::BusCrash { ms } => (Some(bus()), (*ms).min(15_000)),
            Does::DataLoss | Does::ClockSet { .. } | Does::Trimmed { .. } => (Some(bus()), 0),
            Does::NodeCrash { .. } | Does::Restart { .. } | Does::PushesMissed { .. } => (place, 0),
            Does::SessionEnds { ms, .. } => (Some("sessions".to_owned()), *ms),
            Does::Garbage { ms } => (Some("clients".to_owned()), *ms),
        };
        if let Some(lane) = lane {
            let kind = match (does.is_fault(), ms) {
                (true, 0) => "blow",
                (true, _) => "wrong",
                (false, _) => "mark",
            };
            self.span(lane, (now, now + ms), kind, words);
        }
    }

    pub(crate) fn seen(&mut self, now: u64, observation: &Observation) {
        let mut changes = Changes::default();
        self.note(now, observation, &mut changes);
        self.push(Step {
            t: now,
            k: "seen",
            x: observation.to_string(),
            d: changes,
            ..Step::default()
        });
    }

    fn lane(&self, node: Node) -> String {
        let place = self.places.get(&node);
        place.map_or_else(|| node.to_string(), |place| format!("place {place}"))
    }

    fn offered(&mut self, offers: &[Offer], by: &str, changes: &mut Changes) {
        for offer in offers {
            self.targets.insert(offer.item, offer.target);
            changes.set(
                &offer.target,
                "offered last",
                format!("{} {by}", offer.item),
            );
        }
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "most observations change little, and what they say is in the step itself"
    )]
    fn note(&mut self, now: u64, observation: &Observation, changes: &mut Changes) {
        match observation {
            Observation::Dialled {
                conn,
                tab,
                user,
                node,
                resume,
                ..
            } => {
                self.tabs.insert(*conn, (*tab, *user));
                self.begins(
                    now,
                    &tab.to_string(),
                    "trying",
                    format!("{conn} of {user} tries {node}"),
                );
                changes.set(conn, "tab", tab);
                changes.set(conn, "user", user);
                changes.set(conn, "node", node);
                changes.set(conn, "state", "asks to be let in");
                if let Resume::After(id) = resume {
                    changes.set(conn, "resumes after", id);
                }
                changes.set(user, &conn.to_string(), format!("tries {node}"));
            }
            Observation::Admitted(conn) => self.of_conn(*conn, "counted", changes),
            Observation::Entered(conn) => {
                if let Some((tab, user)) = self.tabs.get(conn).copied() {
                    let lane = tab.to_string();
                    self.ends(now, &lane, "trying");
                    self.begins(now, &lane, "in", format!("{conn} of {user}"));
                }
                self.of_conn(*conn, "in", changes);
            }
            Observation::Refused { conn, .. } => self.of_conn(*conn, "refused", changes),
            Observation::Left(conn) => self.of_conn(*conn, "counted no more", changes),
            Observation::Ended { conn, how } => {
                if let Some((tab, user)) = self.tabs.get(conn).copied() {
                    for kind in ["trying", "in", "stalled"] {
                        self.ends(now, &tab.to_string(), kind);
                    }
                    changes.set(&user, &conn.to_string(), "");
                }
                changes.set(
                    conn,
                    "state",
                    match how {
                        Ended::Disconnected => "disconnected",
                        Ended::Own => "ended by its client",
                        Ended::Transport => "closed",
                    },
                );
            }
            Observation::Stalled { conn, on } => {
                if let Some((tab, _)) = self.tabs.get(conn).copied() {
                    let lane = tab.to_string();
                    if *on {
                        self.begins(now, &lane, "stalled", format!("{conn} does not read"));
                    } else {
                        self.ends(now, &lane, "stalled");
                    }
                }
                changes.set(conn, "reads", if *on { "no" } else { "yes" });
            }
            Observation::Called { conn, call, .. } => changes.set(conn, asked(*call), "asked for"),
            Observation::Got(conn, got) => got_by(conn, got, changes),
            Observation::Offered {
                node,
                offers,
                batch,
                ..
            } => self.offered(offers, &format!("in {batch} at {node}"), changes),
            Observation::Emitted { offers } => self.offered(offers, "by an emitter", changes),
            Observation::Took { item } => {
                if let Some(target) = self.targets.get(item) {
                    changes.set(target, "latest on the bus", item);
                }
            }
            Observation::Logged { item, id } => {
                if let Some(target) = self.targets.get(item) {
                    changes.set(target, "logged last", format!("{item} as {id}"));
                }
            }
            Observation::Session { user, there } => {
                changes.set(user, "session", if *there { "there" } else { "ended" });
            }
            Observation::Contact { node, reached } => {
                let lane = format!("{} – bus", self.lane(*node));
                if *reached {
                    self.ends(now, &lane, "away");
                } else {
                    self.begins(now, &lane, "away", format!("{node} has no contact"));
                }
                changes.set(node, "bus", if *reached { "reached" } else { "lost" });
            }
            Observation::Fault { node, on } => {
                changes.set(
                    node,
                    "way to the bus",
                    if *on { "disturbed" } else { "open" },
                );
            }
            Observation::NodeStarted(node) => {
                let lane = self.lane(*node);
                self.begins(now, &lane, "up", node.to_string());
                changes.set(node, "place", lane);
                changes.set(node, "state", "up");
            }
            Observation::NodeDraining { node, .. } => {
                let lane = self.lane(*node);
                self.begins(now, &lane, "leaving", format!("{node} leaves"));
                changes.set(node, "state", "leaving");
            }
            Observation::NodeExited(node) | Observation::NodeCrashed(node) => {
                let lane = self.lane(*node);
                for (lane, kind) in [
                    (lane.clone(), "up"),
                    (lane.clone(), "leaving"),
                    (format!("{lane} – bus"), "away"),
                ] {
                    self.ends(now, &lane, kind);
                }
                changes.set(node, "state", "gone");
            }
            _ => {}
        }
    }

    fn of_conn(&self, conn: Conn, state: &str, changes: &mut Changes) {
        changes.set(&conn, "state", state);
        if let Some((_, user)) = self.tabs.get(&conn) {
            changes.set(user, &conn.to_string(), state);
        }
    }
}

fn asked(call: Call) -> &'static str {
    match call {
        Call::Portfolio => "portfolio",
        Call::Trades => "trades",
        Call::Watchlist => "watchlist",
    }
}

fn got_by(conn: &Conn, got: &Got, changes: &mut Changes) {
    match got {
        Got::Confirmed { call, .. } => changes.set(conn, asked(*call), "confirmed"),
        Got::RateLimited { call } => changes.set(conn, asked(*call), "refused: too often"),
        Got::Trade { id, item } => changes.set(conn, "last trade", format!("{item}, {id}")),
        Got::Value { topic, item } => {
            changes.set(conn, &topic.to_string(), item);
            changes.set(topic, &conn.to_string(), item);
        }
        Got::Resumed { .. } | Got::Shutdown { .. } => changes.set(conn, "told", got),
        Got::Excess | Got::SessionExpired | Got::Error => changes.set(conn, "last error", got),
        Got::Unsubscribed { .. } => changes.set(conn, "watchlist", got),
    }
}
