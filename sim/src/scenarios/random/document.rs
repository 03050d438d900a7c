//! A random run as a document: a seed, and what is left out of what it brings.
//!
//! It is what `shrink` makes smaller, and what a person reads and changes. What is left out moves nothing
//! that stays: numbers count what is left out, too. Nothing can be added to what a seed brings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::numbers::Numbers;
use super::plan::{FaultKind, Plan};

/// Most clients that a run may begin with.
pub const CLIENTS_MAX: u16 = 1_000;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What it is about, for people.
    pub words: String,
    /// What decides everything.
    pub seed: u64,
    /// How many clients the seed is given.
    pub clients: u16,
    /// Faults, calls and publishes end so many milliseconds after the beginning, and not later than the
    /// seed has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_ms: Option<u64>,
    /// What is left out.
    #[serde(default)]
    pub without: Without,
}

/// What is left out of a run, by the numbers that things have in the whole of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Without {
    /// Nodes, as in `node0`.
    #[serde(skip_serializing_if = "Numbers::is_empty")]
    pub nodes: Numbers,
    /// Clients, as in `c07`, those that come for others included.
    #[serde(skip_serializing_if = "Numbers::is_empty")]
    pub clients: Numbers,
    /// Of each kind of fault, which times.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub faults: BTreeMap<FaultKind, Numbers>,
    /// What clients do beside connecting, in order of time.
    #[serde(skip_serializing_if = "Numbers::is_empty")]
    pub calls: Numbers,
    /// Items that are published or emitted, as in `k12`.
    #[serde(skip_serializing_if = "Numbers::is_empty")]
    pub items: Numbers,
}

/// Why a document is not a run.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no such document.
    #[error("this is no run of real servers: {0}")]
    Form(#[from] serde_json::Error),
    /// There must be someone.
    #[error("{0} clients: say 1 to {CLIENTS_MAX}")]
    Clients(u16),
    /// There must be a node.
    #[error("no node is left of {0}: leave fewer out")]
    NoNode(usize),
    /// It cannot be busier than its seed has it.
    #[error("busy for {0} ms: the seed has {1} ms, say less")]
    Busy(u64, u64),
    /// There is nothing of that to be left out.
    #[error("the seed has no faults of the kind {0:?}: take it from the list of what is left out")]
    NoFault(FaultKind),
}

impl Document {
    /// The whole run of a seed.
    #[must_use]
    pub fn of_seed(seed: u64, clients: u16) -> Self {
        Self {
            words: format!("seed {seed}"),
            seed,
            clients,
            busy_ms: None,
            without: Without::default(),
        }
    }

    /// Reads one that was written down.
    ///
    /// # Errors
    /// When it is none, or makes no sense.
    pub fn read(text: &str) -> Result<Self, DocumentError> {
        let document: Self = serde_json::from_str(text)?;
        document.check()?;
        Ok(document)
    }

    /// Writes it down.
    ///
    /// # Errors
    /// None that comes of what is in it.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// Says why it does not.
    pub fn check(&self) -> Result<(), DocumentError> {
        if !(1..=CLIENTS_MAX).contains(&self.clients) {
            return Err(DocumentError::Clients(self.clients));
        }
        let plan = self.plan();
        if (0..plan.nodes).all(|node| self.without.nodes.contains(node as u64)) {
            return Err(DocumentError::NoNode(plan.nodes));
        }
        if let Some(ms) = self.busy_ms.filter(|ms| *ms > plan.lasts_ms) {
            return Err(DocumentError::Busy(ms, plan.lasts_ms));
        }
        let has = |kind: &FaultKind| plan.faults.iter().any(|fault| fault.kind == *kind);
        match self.without.faults.keys().find(|kind| !has(kind)) {
            Some(kind) => Err(DocumentError::NoFault(*kind)),
            None => Ok(()),
        }
    }

    /// How long the run is busy.
    #[must_use]
    pub fn busy_ms(&self) -> u64 {
        self.busy_ms.unwrap_or_else(|| self.plan().lasts_ms)
    }

    /// The kinds of fault that are not left out altogether.
    #[must_use]
    pub fn kinds(&self) -> Vec<FaultKind> {
        let kinds = self.plan().faults.into_iter().map(|fault| fault.kind);
        let out = |kind: &FaultKind| self.without.faults.get(kind) == Some(&Numbers::all());
        kinds.filter(|kind| !out(kind)).collect()
    }

    pub(super) fn plan(&self) -> Plan {
        Plan::new(self.seed, usize::from(self.clients))
    }
}

impl Without {
    pub(super) fn fault(&self, kind: FaultKind, number: u64) -> bool {
        let numbers = self.faults.get(&kind);
        numbers.is_some_and(|numbers| numbers.contains(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_back_as_it_was_written() {
        let mut document = Document::of_seed(7, 20);
        document.busy_ms = Some(5_000);
        document.without.items = Numbers::all_but(&[3]);
        if let Some(fault) = document.plan().faults.first() {
            document.without.faults.insert(fault.kind, Numbers::all());
        }
        let text = document.write().unwrap();
        assert_eq!(Document::read(&text).unwrap(), document, "{text}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let none = FaultKind::ALL.into_iter().find(|kind| {
            let plan = Document::of_seed(7, 20).plan();
            plan.faults.iter().all(|fault| fault.kind != *kind)
        });
        let none = format!("{:?}", none.unwrap());
        for (text, words) in [
            (
                r#"{"words":"","seed":7}"#.to_owned(),
                "missing field `clients`",
            ),
            (
                r#"{"words":"","seed":7,"clients":0}"#.to_owned(),
                "say 1 to 1000",
            ),
            (with("\"nodes\":\"0..\""), "no node is left"),
            (with("\"calls\":\"2..1\""), "rising order"),
            (with("\"faults\":{\"Rain\":\"0\"}"), "unknown variant"),
            (
                with(&format!("\"faults\":{{\"{none}\":\"0\"}}")),
                "has no faults",
            ),
            (with("\"users\":\"0\""), "unknown field"),
            (
                r#"{"words":"","seed":7,"clients":9,"busy_ms":900000}"#.to_owned(),
                "say less",
            ),
        ] {
            let error = Document::read(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    fn with(without: &str) -> String {
        format!(r#"{{"words":"","seed":7,"clients":9,"without":{{{without}}}}}"#)
    }
}
