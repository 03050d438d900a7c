//! A run as a document: the cluster, its tabs, and every act from outside with its time. It is what a seed
//! is turned into before it runs, what shrinking takes pieces from, and what a test keeps.
//!
//! Nothing here may depend on how a run goes: an act that is taken out must not change what the others
//! are. What only answers to something (a balancer's choice, jitter) is drawn while it runs, from a
//! generator of its place or its tab, so that one of them less does not move the others.

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::oracle::{Symbol, Target, Topic, User};

/// Most of what a document may have, so that a wrong number does not take all memory.
const MANY: usize = 100_000;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What it is about, for people.
    pub(crate) words: String,
    /// What holds for the whole run.
    pub(crate) plan: Plan,
    /// Where nodes live.
    pub(crate) places: Vec<Seat>,
    /// The clients.
    pub(crate) tabs: Vec<Client>,
    /// What is done to the cluster, in order of time.
    pub(crate) acts: Vec<Act>,
}

/// A place where nodes live, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seat {
    /// Its name.
    pub(crate) place: u32,
    /// When the first node starts.
    pub(crate) starts_at: u64,
}

/// A client's tab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    /// Its name.
    pub(crate) tab: u32,
    /// Whose it is.
    pub(crate) user: User,
    /// When it connects for the first time.
    pub(crate) dials_at: u64,
    /// The way to a node, in milliseconds.
    pub(crate) latency: u64,
    /// It gives the id of the last event that it handled.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) resumes: bool,
    /// It names the connection that it had.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) replaces: bool,
    /// It has its subscriptions restored by the handshake.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) restores: bool,
    /// It reads so many packets at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) slow: Option<u32>,
    /// What it watches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) symbols: Vec<Symbol>,
}

/// Something that is done at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Act {
    /// Milliseconds from the beginning.
    pub(crate) at: u64,
    /// What.
    #[serde(rename = "do")]
    pub(crate) does: Does,
}

/// An item to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    /// To whom.
    pub(crate) to: Target,
    /// How long its payload is, at least.
    pub(crate) bytes: usize,
}

/// What a client can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wish {
    /// Subscribe to its portfolio.
    AskPortfolio,
    /// Subscribe to its trades.
    AskTrades,
    /// Watch one more symbol.
    Watch(Symbol),
    /// Watch one less.
    Unwatch(Symbol),
    /// Leave, and come back.
    Leave,
    /// Send so many events that nobody knows.
    Flood(u32),
}

/// What can be done to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) enum Does {
    /// A publisher hands a batch in, at this place if a node there can take it.
    Publish {
        place: u32,
        /// Each item has an id of the publisher's.
        #[serde(default, skip_serializing_if = "is_not")]
        keyed: bool,
        /// The balancer does not know yet which nodes leave.
        #[serde(default, skip_serializing_if = "is_not")]
        late: bool,
        items: Vec<Content>,
    },
    /// An emitter sends a message, with an item for each room.
    Emit { items: Vec<Content> },
    /// A client does something, if it is in.
    Client { tab: u32, does: Wish },
    /// A node and the bus cannot reach each other.
    Cut { place: u32, ms: u64 },
    /// What a node asks does not arrive.
    RequestsStuck { place: u32, ms: u64 },
    /// What the bus answers does not arrive.
    AnswersStuck { place: u32, ms: u64 },
    /// What the bus pushes does not arrive.
    PushesStuck { place: u32, ms: u64 },
    /// The bus takes so much longer for everything, each way.
    SlowBus { slow_ms: u64, ms: u64 },
    /// The bus does nothing for a while.
    HungBus { ms: u64 },
    /// The bus crashes and comes back with its data.
    BusCrash { ms: u64 },
    /// The bus loses its data.
    DataLoss,
    /// A process is gone at once, and comes back; with `power`, its clients learn of it late.
    NodeCrash {
        place: u32,
        #[serde(default, skip_serializing_if = "is_not")]
        power: bool,
        ms: u64,
    },
    /// A node leaves in good order, and comes back; with `hurried`, it is told twice.
    Restart {
        place: u32,
        #[serde(default, skip_serializing_if = "is_not")]
        hurried: bool,
        ms: u64,
    },
    /// Clients stop reading.
    Stall { tabs: Vec<u32>, ms: u64 },
    /// Clients are gone without a word, and come back elsewhere.
    Vanish { tabs: Vec<u32> },
    /// Clients leave at the same moment.
    Herd { tabs: Vec<u32> },
    /// The bus's clock is set.
    ClockSet { offset_ms: i64 },
    /// A user's session ends, and is there again later.
    SessionEnds { user: User, ms: u64 },
    /// A node's queue of pushes overflows.
    PushesMissed { place: u32 },
    /// Of the log no more than this is kept.
    Trimmed { keep: usize },
    /// Clients that come back may resume after what nobody said to them.
    Garbage { ms: u64 },
}

/// Why a document is not a run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It cannot be read.
    #[error("not a script: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It contradicts itself.
    #[error("the script does not make sense: {0}; mend it by hand or shrink its seed again")]
    Senseless(String),
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands the field over so"
)]
fn is_not(flag: &bool) -> bool {
    !flag
}

/// Whether there is such a user or symbol.
fn within(plan: &Plan, to: Target) -> bool {
    match to {
        Target::Trade(user) | Target::State(Topic::Portfolio(user)) => user.0 < plan.users,
        Target::State(Topic::Quote(symbol)) => symbol.0 < plan.symbols,
        Target::State(Topic::Market) => true,
    }
}

impl Does {
    /// The place it names.
    pub(crate) fn place(&self) -> Option<u32> {
        match self {
            Self::Publish { place, .. }
            | Self::Cut { place, .. }
            | Self::RequestsStuck { place, .. }
            | Self::AnswersStuck { place, .. }
            | Self::PushesStuck { place, .. }
            | Self::NodeCrash { place, .. }
            | Self::Restart { place, .. }
            | Self::PushesMissed { place } => Some(*place),
            Self::Emit { .. }
            | Self::Client { .. }
            | Self::SlowBus { .. }
            | Self::HungBus { .. }
            | Self::BusCrash { .. }
            | Self::DataLoss
            | Self::Stall { .. }
            | Self::Vanish { .. }
            | Self::Herd { .. }
            | Self::ClockSet { .. }
            | Self::SessionEnds { .. }
            | Self::Trimmed { .. }
            | Self::Garbage { .. } => None,
        }
    }

    /// The tabs it names.
    pub(crate) fn tabs(&self) -> &[u32] {
        match self {
            Self::Client { tab, .. } => core::slice::from_ref(tab),
            Self::Stall { tabs, .. } | Self::Vanish { tabs } | Self::Herd { tabs } => tabs,
            Self::Publish { .. }
            | Self::Emit { .. }
            | Self::Cut { .. }
            | Self::RequestsStuck { .. }
            | Self::AnswersStuck { .. }
            | Self::PushesStuck { .. }
            | Self::SlowBus { .. }
            | Self::HungBus { .. }
            | Self::BusCrash { .. }
            | Self::DataLoss
            | Self::NodeCrash { .. }
            | Self::Restart { .. }
            | Self::ClockSet { .. }
            | Self::SessionEnds { .. }
            | Self::PushesMissed { .. }
            | Self::Trimmed { .. }
            | Self::Garbage { .. } => &[],
        }
    }

    /// The items it has.
    pub(crate) fn items(&self) -> &[Content] {
        if let Self::Publish { items, .. } | Self::Emit { items } = self {
            items
        } else {
            &[]
        }
    }

    /// Whether it is something that goes wrong, and not what clients and publishers do.
    pub(crate) fn is_fault(&self) -> bool {
        !matches!(
            self,
            Self::Publish { .. } | Self::Emit { .. } | Self::Client { .. }
        )
    }
}

impl Script {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is none, or names what is not in it.
    pub fn read(text: &str) -> Result<Self, ScriptError> {
        let script: Self = serde_json::from_str(text)?;
        script.check().map_err(ScriptError::Senseless)?;
        Ok(script)
    }

    /// Whether it is a run.
    pub(crate) fn check(&self) -> Result<(), String> {
        let must = |holds: bool, words: &dyn Fn() -> String| {
            if holds { Ok(()) } else { Err(words()) }
        };
        self.plan.check()?;
        must(
            (1..=64).contains(&self.places.len()) && self.tabs.len() <= 1_000,
            &|| "there must be 1 to 64 places and at most 1000 tabs".to_owned(),
        )?;
        must(self.acts.len() <= MANY, &|| {
            format!("there are more than {MANY} acts")
        })?;
        let known = |user: User| user.0 < self.plan.users;
        let quoted = |symbol: Symbol| symbol.0 < self.plan.symbols;
        for (number, seat) in self.places.iter().enumerate() {
            let again = self.places.iter().take(number);
            must(
                again.clone().all(|other| other.place != seat.place),
                &|| format!("place {} is there twice", seat.place),
            )?;
            must(seat.starts_at <= self.plan.lasts_ms, &|| {
                format!("the node at place {} starts after the end", seat.place)
            })?;
        }
        for (number, client) in self.tabs.iter().enumerate() {
            let tab = client.tab;
            let mut again = self.tabs.iter().take(number);
            must(again.all(|other| other.tab != tab), &|| {
                format!("tab {tab} is there twice")
            })?;
            must(
                known(client.user)
                    && client.symbols.iter().all(|symbol| quoted(*symbol))
                    && client.latency <= 10_000
                    && client.dials_at <= self.plan.lasts_ms,
                &|| format!("tab {tab} has a user, a symbol or a time that the plan does not have"),
            )?;
        }
        let mut before = 0;
        for (number, act) in self.acts.iter().enumerate() {
            let wrong = |words: &str| format!("act {number}, at {} ms, {words}", act.at);
            must(act.at >= before, &|| wrong("is not in order of time"))?;
            before = act.at;
            must(act.at < self.plan.lasts_ms, &|| wrong("is after the end"))?;
            let place = act.does.place();
            must(
                place.is_none_or(|place| self.places.iter().any(|seat| seat.place == place)),
                &|| wrong("names a place that is not there"),
            )?;
            let mut tabs = act.does.tabs().iter();
            must(
                tabs.all(|tab| self.tabs.iter().any(|client| client.tab == *tab)),
                &|| wrong("names a tab that is not there"),
            )?;
            must(self.knows(&act.does), &|| {
                wrong("names a user, a symbol or an amount that the plan does not have")
            })?;
        }
        Ok(())
    }

    fn knows(&self, does: &Does) -> bool {
        let plan = &self.plan;
        match does {
            Does::Publish { items, .. } | Does::Emit { items } => {
                (1..=1_000).contains(&items.len())
                    && items
                        .iter()
                        .all(|item| item.bytes <= plan.payload_max && within(plan, item.to))
            }
            Does::Client { does, .. } => match does {
                Wish::Watch(symbol) | Wish::Unwatch(symbol) => symbol.0 < plan.symbols,
                Wish::Flood(events) => *events <= 10_000,
                Wish::AskPortfolio | Wish::AskTrades | Wish::Leave => true,
            },
            Does::SessionEnds { user, .. } => user.0 < plan.users,
            Does::ClockSet { offset_ms } => offset_ms.unsigned_abs() < 120_000_000,
            Does::Cut { .. }
            | Does::RequestsStuck { .. }
            | Does::AnswersStuck { .. }
            | Does::PushesStuck { .. }
            | Does::SlowBus { .. }
            | Does::HungBus { .. }
            | Does::BusCrash { .. }
            | Does::DataLoss
            | Does::NodeCrash { .. }
            | Does::Restart { .. }
            | Does::Stall { .. }
            | Does::Vanish { .. }
            | Does::Herd { .. }
            | Does::PushesMissed { .. }
            | Does::Trimmed { .. }
            | Does::Garbage { .. } => true,
        }
    }

    /// The document, with a line for each place, tab and act.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which a script always can.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        let mut text = format!(
            "{{\n\"words\": {},\n\"plan\": {}",
            serde_json::to_string(&self.words)?,
            serde_json::to_string_pretty(&self.plan)?
        );
        list(&mut text, "places", &self.places)?;
        list(&mut text, "tabs", &self.tabs)?;
        list(&mut text, "acts", &self.acts)?;
        text.push_str("\n}\n");
        Ok(text)
    }
}

fn list<T: Serialize>(text: &mut String, name: &str, items: &[T]) -> serde_json::Result<()> {
    text.push_str(&format!(",\n\"{name}\": ["));
    for (number, item) in items.iter().enumerate() {
        text.push_str(if number == 0 { "\n  " } else { ",\n  " });
        text.push_str(&serde_json::to_string(item)?);
    }
    text.push(']');
    Ok(())
}
