//! What happened, written down plainly: the guarantees judge by it.
//!
//! Facts are taken over before any guarantee looks at an observation. Nothing here judges.

use smallvec::SmallVec;
use tradewire_engine::ids::EventId;

use super::observation::{
    Call, Conn, Got, Item, Node, Observation, Offer, Resume, Tab, Target, Topic, User,
};
use super::rows::Rows;

/// What this cluster promises, in figures.
#[derive(Clone, Debug)]
pub struct Promises {
    /// Only subscribers get a user's portfolio and trades.
    pub only_subscribers: bool,
    /// Connections of one user.
    pub connections_max: usize,
    /// Calls of each kind in a window.
    pub calls_max: [usize; 3],
    /// That window.
    pub calls_window_ms: u64,
    /// How long the bus may take for an answer.
    pub bus_request_max_ms: u64,
    /// How far apart two checks of a session are.
    pub session_check_ms: u64,
    /// Pending bytes of one connection that are not congestion yet.
    pub outbox_bytes_max: u64,
    /// Pending packets of one connection that are not congestion yet.
    pub outbox_packets_max: usize,
    /// How long a connection may be congested.
    pub congested_ms: u64,
    /// Log events that a congested connection is owed.
    pub congested_log_max: usize,
    /// Pending bytes of one node.
    pub pending_bytes_max: u64,
    /// Bytes of history of one node.
    pub history_bytes_max: u64,
    /// The longest payload in bytes.
    pub payload_bytes_max: u64,
    /// Over how long a drain is spread.
    pub drain_window_ms: u64,
    /// By when a drain is over.
    pub drain_deadline_ms: u64,
    /// By how much clocks of nodes run fast or slow, in thousandths.
    pub skew_permille: u64,
    /// How long a message may be under way between a server and a client that reads.
    pub transit_ms: u64,
}

/// A node's life.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// Faults between it and the bus.
    faults: u32,
    reached: bool,
    /// Since when it says that it can use the bus.
    pub reached_since: Option<u64>,
    /// Since when it can use the bus without a fault.
    pub well_since: Option<u64>,
    /// When it was not well last.
    pub unwell_at: u64,
    /// When it was asked to leave.
    pub draining: Option<u64>,
    /// When it was asked to hurry.
    pub hurried: Option<u64>,
    /// When it ended.
    pub ended: Option<u64>,
    /// It ended without a goodbye.
    pub crashed: bool,
    /// Connections that entered and did not end.
    pub present: Vec<Conn>,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct ConnFacts {
    /// Whose.
    pub tab: Tab,
    /// Whose.
    pub user: User,
    /// Where.
    pub node: Node,
    /// From where it resumes.
    pub resume: Resume,
    /// When it sent CONNECT.
    pub dialled_at: u64,
    /// When the server let it in.
    pub admitted_at: Option<u64>,
    /// When the server let it go.
    pub left_at: Option<u64>,
    /// When it learned that it is in.
    pub entered_at: Option<u64>,
    /// When it ended for its client.
    pub ended_at: Option<u64>,
    /// It was refused.
    pub refused: bool,
    /// It was told why it may not stay.
    pub dismissed: bool,
    /// Another connection took its place, or wanted to.
    pub replaced: bool,
    /// When one that was let in took its slot.
    pub taken_at: Option<u64>,
    /// Whose place it takes.
    pub replaces: Option<Conn>,
    /// It does not read.
    pub stalled: bool,
    /// When it did not read last.
    pub stalled_at: Option<u64>,
    /// When its server found it too slow last, or it sent too much.
    pub unfit_at: Option<u64>,
    /// When its subscription was confirmed, by topic.
    pub subscribed: Vec<(Topic, u64)>,
    /// When its trades were.
    pub trades: Option<u64>,
    /// The last value of each topic, by number, and when it came.
    pub values: Vec<Option<(Item, u64)>>,
    /// Messages to several rooms of which it got one.
    pub groups: Vec<u32>,
}

impl ConnFacts {
    /// Whether it is in for its client and reads.
    #[must_use]
    pub fn is_able(&self) -> bool {
        self.entered_at.is_some() && self.ended_at.is_none() && !self.stalled
    }

    /// Whether it has read all the time since.
    #[must_use]
    pub fn reads_since(&self, at: u64) -> bool {
        self.is_able() && self.stalled_at.is_none_or(|stalled| stalled < at)
    }

    /// Whether it has read all the time since, and fast enough for its server.
    #[must_use]
    pub fn able_since(&self, at: u64) -> bool {
        self.reads_since(at) && self.unfit_at.is_none_or(|unfit| unfit < at)
    }

    /// Since when it is to be sent this topic; the market without asking.
    #[must_use]
    pub fn subscribed_at(&self, topic: Topic) -> Option<u64> {
        match topic {
            Topic::Market => self.entered_at,
            Topic::Portfolio(_) | Topic::Quote(_) => self
                .subscribed
                .iter()
                .find(|(of, _)| *of == topic)
                .map(|(_, at)| *at),
        }
    }

    /// The last value of a topic and when it came.
    #[must_use]
    pub fn value(&self, topic: Topic) -> Option<(Item, u64)> {
        self.values.get(topic.index()).copied().flatten()
    }
}

/// An item; nearly all are handed in once and taken once.
#[derive(Clone, Debug)]
pub struct ItemFacts {
    /// Where it goes.
    pub target: Target,
    /// When it was handed in first.
    pub offered_at: u64,
    /// Its publisher gave it an id.
    pub keyed: bool,
    /// An emitter sent it.
    pub emitted: bool,
    /// One message to several rooms.
    pub group: Option<u32>,
    /// To which nodes it was handed in.
    pub nodes: SmallVec<[Node; 1]>,
    /// Its places among all values that the bus took, with the life of the data and the time.
    pub taken: SmallVec<[(u64, u32, u64); 1]>,
    /// Its places in its user's log, with the life of the data.
    pub logged: SmallVec<[(usize, u32); 1]>,
}

/// An entry of a user's log.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its id.
    pub id: EventId,
    /// When.
    pub at: u64,
}

/// A batch.
#[derive(Clone, Debug, Default)]
pub(super) struct BatchFacts {
    /// What is in it.
    pub offers: Vec<Offer>,
    /// When the attempt under way began, and with which node.
    pub asked: Option<(u64, Node)>,
    /// Which attempt that is, from 0.
    pub attempt: u32,
}

/// Everything that happened.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The time in milliseconds.
    pub now: u64,
    /// What is promised.
    pub promises: Promises,
    /// By number.
    pub nodes: Vec<NodeFacts>,
    /// By number; `None` until it sent CONNECT.
    pub conns: Vec<Option<ConnFacts>>,
    /// Connections of each user, ended ones too.
    pub of_user: Vec<Vec<Conn>>,
    /// By number.
    items: Rows<ItemFacts>,
    /// By number.
    pub(super) batches: Rows<BatchFacts>,
    /// By user.
    pub logs: Vec<Vec<Entry>>,
    /// The latest value of each topic in this life of the data, and when.
    pub latest: Vec<Option<(Item, u64)>>,
    /// How many values the bus took.
    pub order: u64,
    /// Which life of the bus's data this is.
    pub life: u32,
    /// When data was lost last.
    pub data_lost_at: Option<u64>,
    /// When the bus's clock was set last.
    pub clock_set_at: Option<u64>,
    groups: u32,
}

fn grow<T: Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize_with(index + 1, T::default);
    }
    &mut list[index]
}

impl Facts {
    /// Nothing happened yet.
    #[must_use]
    pub fn new(promises: Promises) -> Self {
        Self {
            now: 0,
            promises,
            nodes: Vec::new(),
            conns: Vec::new(),
            of_user: Vec::new(),
            items: Rows::default(),
            batches: Rows::default(),
            logs: Vec::new(),
            latest: Vec::new(),
            order: 0,
            life: 0,
            data_lost_at: None,
            clock_set_at: None,
            groups: 0,
        }
    }

    /// A connection that sent CONNECT.
    #[must_use]
    pub fn conn(&self, conn: Conn) -> Option<&ConnFacts> {
        self.conns.get(conn.index())?.as_ref()
    }

    /// An item that was handed in.
    #[must_use]
    pub fn item(&self, item: Item) -> Option<&ItemFacts> {
        self.items.get(item.index())
    }

    /// A user's log.
    #[must_use]
    pub fn log(&self, user: User) -> &[Entry] {
        self.logs.get(user.index()).map_or(&[], Vec::as_slice)
    }

    /// A user's connections, ended ones too.
    #[must_use]
    pub fn conns_of(&self, user: User) -> &[Conn] {
        self.of_user.get(user.index()).map_or(&[], Vec::as_slice)
    }

    /// The connections that every server together counts of a user.
    pub fn admitted(&self, user: User) -> impl Iterator<Item = (Conn, &ConnFacts)> {
        self.conns_of(user).iter().filter_map(|conn| {
            let facts = self.conn(*conn)?;
            (facts.admitted_at.is_some() && facts.left_at.is_none()).then_some((*conn, facts))
        })
    }

    /// Since when every node that lives can use the bus, and the bus forgot nothing.
    #[must_use]
    pub fn all_well_since(&self) -> Option<u64> {
        let mut since = self.data_lost_at.max(self.clock_set_at).unwrap_or(0);
        for node in self.nodes.iter().filter(|node| node.ended.is_none()) {
            since = since.max(node.well_since?);
        }
        Some(since)
    }

    /// Whether a node was well all the time from then until now.
    #[must_use]
    pub fn well_since(&self, node: Node, at: u64) -> bool {
        let well = self
            .nodes
            .get(node.index())
            .and_then(|node| node.well_since);
        well.is_some_and(|since| since <= at) && self.data_lost_at.is_none_or(|lost| lost < at)
    }

    pub(super) fn note(&mut self, now: u64, observation: &Observation) {
        self.now = now;
        match observation {
            Observation::Admitted(conn) => self.admit(*conn),
            Observation::ClockSet => self.clock_set_at = Some(now),
            Observation::Contact { node, reached } => {
                let node = grow(&mut self.nodes, node.index());
                node.reached = *reached;
                node.reached_since = reached.then_some(now);
                node.judge(now);
            }
            Observation::DataLost => {
                self.data_lost_at = Some(now);
                self.life += 1;
                self.latest.iter_mut().for_each(|latest| *latest = None);
            }
            Observation::Dialled { .. } => self.dialled(observation),
            Observation::Emitted { offers } => {
                self.groups += 1;
                let group = (offers.len() > 1).then_some(self.groups);
                for offer in offers {
                    self.offered(offer, None, group);
                }
            }
            Observation::Ended { conn, .. } => self.ended(*conn),
            Observation::Entered(conn) => {
                self.with(*conn, |facts| facts.entered_at = Some(now));
                if let Some(node) = self.conn(*conn).map(|facts| facts.node) {
                    self.nodes[node.index()].present.push(*conn);
                }
            }
            Observation::Fault { node, on } => {
                let node = grow(&mut self.nodes, node.index());
                node.faults = if *on {
                    node.faults + 1
                } else {
                    node.faults.saturating_sub(1)
                };
                node.judge(now);
            }
            Observation::Got(conn, got) => self.got(*conn, got),
            Observation::Left(conn) => self.with(*conn, |facts| {
                facts.left_at.get_or_insert(now);
            }),
            Observation::Logged { item, id } => self.logged(*item, *id),
            Observation::NodeCrashed(node) | Observation::NodeExited(node) => {
                let crashed = matches!(observation, Observation::NodeCrashed(_));
                let facts = &mut self.nodes[node.index()];
                (facts.ended, facts.crashed) = (Some(now), crashed);
                for conn in 0..self.conns.len() {
                    if let Some(facts) = &mut self.conns[conn]
                        && facts.node == *node
                    {
                        facts.left_at.get_or_insert(now);
                    }
                }
            }
            Observation::NodeDraining { node, hurried } => {
                let node = grow(&mut self.nodes, node.index());
                node.draining.get_or_insert(now);
                if *hurried {
                    node.hurried.get_or_insert(now);
                }
            }
            Observation::NodeStarted(node) => {
                grow(&mut self.nodes, node.index()).judge(now);
            }
            Observation::Offered {
                batch,
                node,
                offers,
                attempt,
            } => {
                let facts = self.batches.place(batch.index()).get_or_insert_default();
                facts.offers.clone_from(offers);
                facts.asked = Some((now, *node));
                facts.attempt = *attempt;
                for offer in offers {
                    self.offered(offer, Some(*node), None);
                }
            }
            Observation::Refused { conn, .. } => self.with(*conn, |facts| facts.refused = true),
            Observation::Stalled { conn, on } => self.with(*conn, |facts| {
                facts.stalled = *on;
                facts.stalled_at = Some(now);
            }),
            Observation::Took { item } => self.took(*item),
            Observation::Unfit(conn) => self.with(*conn, |facts| facts.unfit_at = Some(now)),
            Observation::Answered { .. }
            | Observation::Called { .. }
            | Observation::Memory { .. }
            | Observation::Pending { .. }
            | Observation::Quiet { .. }
            | Observation::Session { .. }
            | Observation::Stray(_)
            | Observation::TooSlow(_)
            | Observation::Unanswered(_) => {}
        }
    }

    fn with(&mut self, conn: Conn, change: impl FnOnce(&mut ConnFacts)) {
        if let Some(Some(facts)) = self.conns.get_mut(conn.index()) {
            change(facts);
        }
    }

    fn admit(&mut self, conn: Conn) {
        let now = self.now;
        self.with(conn, |facts| facts.admitted_at = Some(now));
        if let Some(replaced) = self.conn(conn).and_then(|facts| facts.replaces) {
            self.with(replaced, |facts| {
                facts.taken_at.get_or_insert(now);
            });
        }
    }

    fn dialled(&mut self, observation: &Observation) {
        let Observation::Dialled {
            conn,
            tab,
            user,
            node,
            resume,
            replaces,
        } = observation
        else {
            return;
        };
        if let Some(replaced) = replaces {
            self.with(*replaced, |facts| facts.replaced = true);
        }
        *grow(&mut self.conns, conn.index()) = Some(ConnFacts {
            tab: *tab,
            user: *user,
            node: *node,
            resume: *resume,
            dialled_at: self.now,
            admitted_at: None,
            left_at: None,
            entered_at: None,
            ended_at: None,
            refused: false,
            dismissed: false,
            replaced: false,
            taken_at: None,
            replaces: *replaces,
            stalled: false,
            stalled_at: None,
            unfit_at: None,
            subscribed: Vec::new(),
            trades: None,
            values: Vec::new(),
            groups: Vec::new(),
        });
        grow(&mut self.of_user, user.index()).push(*conn);
    }

    fn offered(&mut self, offer: &Offer, node: Option<Node>, group: Option<u32>) {
        let now = self.now;
        let facts = self.items.place(offer.item.index());
        let facts = facts.get_or_insert_with(|| ItemFacts {
            target: offer.target,
            offered_at: now,
            keyed: offer.keyed,
            emitted: node.is_none(),
            group,
            nodes: SmallVec::new(),
            taken: SmallVec::new(),
            logged: SmallVec::new(),
        });
        facts.nodes.extend(node);
    }

    fn ended(&mut self, conn: Conn) {
        let now = self.now;
        self.with(conn, |facts| facts.ended_at = Some(now));
        if let Some(node) = self.conn(conn).map(|facts| facts.node) {
            self.nodes[node.index()].present.retain(|at| *at != conn);
        }
    }

    fn got(&mut self, conn: Conn, got: &Got) {
        let now = self.now;
        let Some(Some(facts)) = self.conns.get_mut(conn.index()) else {
            return;
        };
        match got {
            Got::Value { topic, item } => {
                let group = self.items.get(item.index()).and_then(|item| item.group);
                facts.groups.extend(group);
                *grow(&mut facts.values, topic.index()) = Some((*item, now));
            }
            Got::Confirmed { call, symbols, .. } => {
                let user = facts.user;
                let mut subscribe = |topic| {
                    if facts.subscribed.iter().all(|(of, _)| *of != topic) {
                        facts.subscribed.push((topic, now));
                    }
                };
                match call {
                    Call::Portfolio => subscribe(Topic::Portfolio(user)),
                    Call::Watchlist => {
                        symbols
                            .iter()
                            .for_each(|symbol| subscribe(Topic::Quote(*symbol)));
                    }
                    Call::Trades => {
                        facts.trades.get_or_insert(now);
                    }
                }
            }
            Got::Unsubscribed { symbols } => facts
                .subscribed
                .retain(|(topic, _)| !symbols.iter().any(|symbol| *topic == Topic::Quote(*symbol))),
            Got::Excess | Got::SessionExpired => facts.dismissed = true,
            Got::Error
            | Got::RateLimited { .. }
            | Got::Resumed { .. }
            | Got::Shutdown { .. }
            | Got::Trade { .. } => {}
        }
    }

    fn logged(&mut self, item: Item, id: EventId) {
        let (now, life) = (self.now, self.life);
        let Some(facts) = self.items.get_mut(item.index()) else {
            return;
        };
        let Target::Trade(user) = facts.target else {
            return;
        };
        let log = grow(&mut self.logs, user.index());
        facts.logged.push((log.len(), life));
        log.push(Entry { id, at: now });
    }

    fn took(&mut self, item: Item) {
        self.order += 1;
        let place = (self.order, self.life, self.now);
        let Some(facts) = self.items.get_mut(item.index()) else {
            return;
        };
        facts.taken.push(place);
        if let Target::State(topic) = facts.target {
            *grow(&mut self.latest, topic.index()) = Some((item, place.2));
        }
    }
}

impl NodeFacts {
    /// Until when it was not well, as far as it has come.
    #[must_use]
    pub fn unwell_until(&self) -> u64 {
        match (self.well_since, self.ended) {
            (None, Some(ended)) => ended,
            _ => self.unwell_at,
        }
    }

    fn judge(&mut self, now: u64) {
        if self.faults == 0 && self.reached {
            self.well_since.get_or_insert(now);
        } else {
            self.well_since = None;
        }
        self.unwell_at = if self.well_since == Some(now) || self.well_since.is_none() {
            now
        } else {
            self.unwell_at
        };
    }
}
