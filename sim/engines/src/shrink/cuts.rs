//! What can be taken from a run, from the coarse to the fine.

use std::collections::BTreeSet;
use std::mem::discriminant;

use tradewire_engine::Delivery;
use tradewire_engine::limits::Limits;

use super::Search;
use super::edits::{
    end_at, is_only_for, leave_place, lessen, moments, pull, retain_tabs, set_items, set_tabs,
    without_bytes, without_flags,
};
use super::split::smallest;
use crate::engines::{Act, Client, Does};
use crate::oracle::User;
use crate::swarm::Failure;

/// Acts up to which each is looked at for details.
const FEW: usize = 300;

/// Entries of a log that is never trimmed for its length.
const LOG_MAX: usize = 500_000;

impl<T: FnMut(&str)> Search<T> {
    /// Nothing after the failure, and the end of all faults sooner.
    pub(super) fn cut_end(&mut self) {
        if let Failure::Stuck(violation) | Failure::Violated(violation) = &self.failure {
            let at = violation.at;
            self.change(|script| script.acts.retain(|act| act.at <= at));
            self.change(|script| end_at(script, at + 1));
        }
        let last = self.script.acts.last().map_or(1, |act| act.at + 1);
        let mut least = last.max(1);
        while least < self.script.plan.lasts_ms && !self.change(|script| end_at(script, least)) {
            // Half of the way back to the end that is known to do.
            least += (self.script.plan.lasts_ms - least).div_ceil(2).max(100);
        }
    }

    /// Whole kinds of act, places, tabs and users.
    pub(super) fn cut_groups(&mut self) {
        let mut kinds = Vec::new();
        for act in &self.script.acts {
            let kind = discriminant(&act.does);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        for kind in kinds {
            self.change(|script| script.acts.retain(|act| discriminant(&act.does) != kind));
        }
        let users: BTreeSet<User> = self.script.tabs.iter().map(|client| client.user).collect();
        for user in users {
            self.change(|script| {
                retain_tabs(script, |client| client.user != user);
                script.acts.retain(|act| !is_only_for(&act.does, user));
            });
        }
        let places = self.script.places.clone();
        for seat in places {
            if self.script.places.len() > 1 {
                self.change(|script| {
                    script.places.retain(|other| *other != seat);
                    leave_place(script, seat.place);
                });
            }
        }
        let tabs = self.script.tabs.clone();
        smallest(tabs, |rest| {
            self.change(|script| retain_tabs(script, |client| rest.contains(client)))
        });
    }

    /// Acts, in large pieces at first.
    pub(super) fn cut_acts(&mut self) {
        let numbers: Vec<usize> = (0..self.script.acts.len()).collect();
        let acts = self.script.acts.clone();
        smallest(numbers, |rest| {
            let left = rest.iter().filter_map(|number| acts.get(*number));
            let left: Vec<Act> = left.cloned().collect();
            self.change(|script| script.acts = left)
        });
    }

    /// Whatever is not as simple as it could be.
    pub(super) fn cut_details(&mut self) {
        self.plainer_plan();
        self.plainer_tabs();
        if self.script.acts.len() <= FEW {
            let mut number = 0;
            while number < self.script.acts.len() {
                self.plainer_act(number);
                number += 1;
            }
        }
    }

    fn plainer_plan(&mut self) {
        self.change(|script| script.plan.whims = false);
        self.change(|script| script.plan.sessions = false);
        self.change(|script| script.plan.skew_permille = 0);
        self.change(|script| script.plan.bus_ms = 1);
        self.change(|script| script.plan.delivery = Delivery::All);
        self.change(|script| script.plan.log_max = LOG_MAX);
        if !self.change(|script| script.plan.limits = Limits::default()) {
            for name in self.script.plan.unusual_limits() {
                self.change(|script| script.plan.make_usual(&name));
            }
        }
        self.change(|script| {
            for seat in &mut script.places {
                seat.starts_at = 0;
            }
        });
    }

    fn plainer_tabs(&mut self) {
        let plainer: [fn(&mut Client); 8] = [
            |client| client.slow = None,
            |client| client.resumes = false,
            |client| client.replaces = false,
            |client| client.restores = false,
            |client| client.symbols.clear(),
            |client| client.latency = 1,
            |client| client.dials_at = 500,
            |client| client.symbols.truncate(1),
        ];
        for plain in plainer {
            if self.change(|script| script.tabs.iter_mut().for_each(plain)) {
                continue;
            }
            for number in 0..self.script.tabs.len() {
                self.change(|script| {
                    if let Some(client) = script.tabs.get_mut(number) {
                        plain(client);
                    }
                });
            }
        }
    }

    fn plainer_act(&mut self, number: usize) {
        let Some(act) = self.script.acts.get(number).cloned() else {
            return;
        };
        let items = act.does.items().to_vec();
        if items.len() > 1 {
            smallest(items, |rest| {
                !rest.is_empty() && self.change_act(number, |does| set_items(does, rest))
            });
        }
        let tabs = act.does.tabs().to_vec();
        if tabs.len() > 1 {
            smallest(tabs, |rest| {
                self.change_act(number, |does| set_tabs(does, rest))
            });
        }
        for plain in [without_flags, without_bytes] {
            self.change_act(number, plain);
        }
        // At once, or after half of the time, and half of that.
        if !self.change_act(number, |does| lessen(does, 0)) {
            while self.change_act(number, |does| lessen(does, 2)) {}
            while self.change_act(number, |does| lessen(does, 3)) {}
        }
    }

    fn change_act(&mut self, number: usize, change: impl FnOnce(&mut Does)) -> bool {
        self.change(|script| {
            if let Some(act) = script.acts.get_mut(number) {
                change(&mut act.does);
            }
        })
    }

    /// Less time between one thing and the next.
    pub(super) fn cut_gaps(&mut self) {
        let mut number = 0;
        while let Some(after) = moments(&self.script).get(number).copied() {
            let before = if number == 0 {
                0
            } else {
                moments(&self.script).get(number - 1).copied().unwrap_or(0)
            };
            let gap = after - before;
            for left in [0, 100, 1_000, 2_000, 5_000, 10_000, gap / 2, gap * 3 / 4] {
                // What is round is left alone: people read it.
                if left < gap && self.change(|script| pull(script, after, gap - left)) {
                    break;
                }
            }
            number += 1;
        }
    }
}
