//! What can be left out of a run, from the coarse to the fine.

use super::{Search, ShrinkError};
use crate::scenarios::random::{Document, FaultKind, Numbers, Tally};
use crate::shrink::smallest;

/// Least milliseconds by which an end is drawn nearer.
const STEP_MS: u64 = 500;

impl Search {
    /// Nothing more begins after the failure, or sooner.
    pub(super) fn cut_time(&mut self) -> Result<(), ShrinkError> {
        let ends = self.failed.size.as_ref().map(|size| size.ms);
        if let Some(ms) = ends.filter(|ms| *ms < self.document.busy_ms()) {
            self.change(|document| document.busy_ms = Some(ms))?;
        }
        let mut least = 0;
        while least + STEP_MS < self.document.busy_ms() {
            let ms = least.midpoint(self.document.busy_ms());
            if !self.change(|document| document.busy_ms = Some(ms))? {
                least = ms;
            }
            if self.is_enough() {
                break;
            }
        }
        Ok(())
    }

    /// Whole kinds of fault.
    pub(super) fn cut_kinds(&mut self) -> Result<(), ShrinkError> {
        let kinds = self.document.kinds();
        self.cut(kinds.clone(), |document, rest| {
            for kind in kinds.iter().filter(|kind| !rest.contains(kind)) {
                document.without.faults.insert(*kind, Numbers::all());
            }
        })
    }

    pub(super) fn cut_clients(&mut self) -> Result<(), ShrinkError> {
        let tally = self.failed.size.as_ref().map(|size| size.clients);
        let left = left(tally, 0, &self.document.without.clients);
        self.cut(left, |document, rest| {
            document.without.clients = Numbers::all_but(rest);
        })
    }

    pub(super) fn cut_nodes(&mut self) -> Result<(), ShrinkError> {
        let tally = self.failed.size.as_ref().map(|size| size.nodes);
        let left = left(tally, 0, &self.document.without.nodes);
        self.cut(left, |document, rest| {
            document.without.nodes = Numbers::all_but(rest);
        })
    }

    pub(super) fn cut_calls(&mut self) -> Result<(), ShrinkError> {
        let tally = self.failed.size.as_ref().map(|size| size.calls);
        let left = left(tally, 0, &self.document.without.calls);
        self.cut(left, |document, rest| {
            document.without.calls = Numbers::all_but(rest);
        })
    }

    pub(super) fn cut_items(&mut self) -> Result<(), ShrinkError> {
        let tally = self.failed.size.as_ref().map(|size| size.items);
        let left = left(tally, 1, &self.document.without.items);
        self.cut(left, |document, rest| {
            document.without.items = Numbers::all_but(rest);
        })
    }

    /// Single faults.
    pub(super) fn cut_faults(&mut self) -> Result<(), ShrinkError> {
        let Some(size) = self.failed.size.clone() else {
            return Ok(());
        };
        let mut faults: Vec<(FaultKind, u64)> = Vec::new();
        for kind in self.document.kinds() {
            let numbers = self.document.without.faults.get(&kind);
            let left = left(
                size.faults.get(&kind).copied(),
                0,
                &numbers.cloned().unwrap_or_default(),
            );
            faults.extend(left.into_iter().map(|number| (kind, number)));
        }
        let kinds = self.document.kinds();
        self.cut(faults, |document, rest| {
            for kind in &kinds {
                let of_kind = rest.iter().filter(|(other, _)| other == kind);
                let kept: Vec<u64> = of_kind.map(|(_, number)| *number).collect();
                let numbers = Numbers::all_but(&kept);
                document.without.faults.insert(*kind, numbers);
            }
        })
    }

    /// Leaves out as much of a list as can be; `leave` is told what is to stay.
    fn cut<T: Clone>(
        &mut self,
        list: Vec<T>,
        leave: impl Fn(&mut Document, &[T]),
    ) -> Result<(), ShrinkError> {
        let mut error = None;
        smallest(list, |rest| {
            if error.is_some() {
                return false;
            }
            let kept = self.change(|document| leave(document, rest));
            kept.unwrap_or_else(|why| {
                error = Some(why);
                false
            })
        });
        error.map_or(Ok(()), Err)
    }
}

/// The numbers of what is there, of which the first is `first`.
fn left(tally: Option<Tally>, first: u64, without: &Numbers) -> Vec<u64> {
    let drawn = tally.unwrap_or_default().drawn;
    let numbers = first..first + drawn;
    numbers
        .filter(|number| !without.contains(*number))
        .collect()
}
