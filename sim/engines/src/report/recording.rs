//! A run as data for a page: steps, what each changed of whom, and what lasted from when to when.
//!
//! It is bounded: of a long run the oldest steps are left out, and what they changed is kept as the state
//! in which the rest begins.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::engines::Does;
use crate::oracle::{Call, Ended, Got, Item, Node, Observation, Offer, Resume, Tab, Target};

/// Bytes of steps that are kept, about as many as the page then has.
const STEPS_BYTES_MAX: usize = 7 << 20;

/// What is drawn at most.
const SPANS_MAX: usize = 12_000;

/// Bytes of a step beside its texts.
const STEP_BYTES: usize = 40;

/// One thing that happened; names are short, since there are many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    /// When, in milliseconds.
    t: u64,
    /// Of which kind: fault, act, seen, told, end.
    k: &'static str,
    /// What.
    x: String,
    /// What an engine decided of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    o: Vec<String>,
    /// What it changed: of whom, what, and to what; nothing means that it is no more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    d: Vec<(String, String, String)>,
}

impl Step {
    fn bytes(&self) -> usize {
        let decided: usize = self.o.iter().map(|line| line.len() + 3).sum();
        let changed = self.d.iter();
        let changed: usize = changed
            .map(|(of, what, to)| of.len() + what.len() + to.len() + 12)
            .sum();
        STEP_BYTES + self.x.len() + decided + changed
    }
}

/// Something that lasts, or a moment if it ends when it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Span {
    /// Of whom.
    lane: String,
    from: u64,
    to: u64,
    /// How it is drawn: up, leaving, wrong, away, in, trying, stalled, mark.
    kind: &'static str,
    words: String,
}

/// What was recorded.
#[derive(Debug, Default, Serialize)]
pub struct Recording {
    steps: VecDeque<Step>,
    spans: Vec<Span>,
    /// How everything stood before the first step that is kept.
    begin: BTreeMap<String, BTreeMap<String, String>>,
    /// Steps that were left out for their number.
    left_out: u64,
    #[serde(skip)]
    bytes: usize,
    /// What lasts now, by lane and kind.
    #[serde(skip)]
    open: BTreeMap<(String, &'static str), usize>,
    #[serde(skip)]
    targets: BTreeMap<Item, Target>,
    #[serde(skip)]
    places: BTreeMap<Node, u32>,
    #[serde(skip)]
    tabs: BTreeMap<crate::oracle::Conn, (Tab, crate::oracle::User)>,
}

impl Recording {
    fn push(&mut self, step: Step) {
        self.bytes += step.bytes();
        self.steps.push_back(step);
        while self.bytes > STEPS_BYTES_MAX
            && let Some(step) = self.steps.pop_front()
        {
            self.bytes -= step.bytes();
            self.left_out += 1;
            for (of, what, to) in step.d {
                let of = self.begin.entry(of).or_default();
                if to.is_empty() {
                    of.remove(&what);
                } else {
                    of.insert(what, to);
                }
            }
        }
    }

    fn span(&mut self, lane: String, (from, to): (u64, u64), kind: &'static str, words: String) {
        if self.spans.len() < SPANS_MAX {
            self.spans.push(Span {
                lane,
                from,
                to,
                kind,
                words,
            });
        }
    }

    fn begins(&mut self, now: u64, lane: &str, kind: &'static str, words: String) {
        self.ends(now, lane, kind);
        let number = self.spans.len();
        self.span(lane.to_owned(), (now, u64::MAX), kind, words);
        if number < self.spans.len() {
            self.open.insert((lane.to_owned(), kind), number);
        }
    }

    fn ends(&mut self, now: u64, lane: &str, kind: &'static str) {
        let number = self.open.remove(&(lane.to_owned(), kind));
        if let Some(span) = number.and_then(|number| self.spans.get_mut(number)) {
            span.to = now;
        }
    }

    /// When something happened last.
    pub(crate) fn last(&self) -> u64 {
        self.steps.back().map_or(0, |step| step.t)
    }

    /// Ends what still lasts.
    pub(super) fn finish(&mut self, now: u64) {
        for span in &mut self.spans {
            span.to = span.to.min(now).max(span.from);
        }
    }

    pub(crate) fn words(&mut self, now: u64, words: String) {
        self.push(Step {
            t: now,
            k: "end",
            x: words,
            ..Step::default()
        });
    }

    pub(crate) fn input(&mut self, now: u64, node: Node, words: String) {
        self.push(Step {
            t: now,
            k: "told",
            x: format!("{node}: {words}"),
            ..Step::default()
        });
    }

    pub(crate) fn decision(&mut self, words: String) {
        // What is seen while a decision is carried out comes between it and the next.
        let told = self.steps.iter_mut().rev().find(|step| step.k == "told");
        if let Some(step) = told {
            self.bytes += words.len() + 3;
            step.o.push(words);
        }
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
            d: changes.0,
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

    fn of_conn(&self, conn: crate::oracle::Conn, state: &str, changes: &mut Changes) {
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

fn got_by(conn: &crate::oracle::Conn, got: &Got, changes: &mut Changes) {
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

/// What a step changes.
#[derive(Debug, Default)]
struct Changes(Vec<(String, String, String)>);

impl Changes {
    fn set(&mut self, of: &dyn std::fmt::Display, what: &str, to: impl std::fmt::Display) {
        self.0
            .push((of.to_string(), what.to_owned(), to.to_string()));
    }
}
