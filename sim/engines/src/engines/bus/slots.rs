//! Leases of connection slots, as the scripts `claim` and `renew` keep them by Redis' clock.

use tradewire_engine::bus::{Renewal, Slot};
use tradewire_engine::ids::UserId;
use tradewire_engine::input::{ClaimVerdict, SlotLoss};

use super::{Bus, News, User};
use crate::engines::millis;
use crate::engines::names::user_of;

/// The span in which admitted connects are counted.
const MINUTE_MS: u64 = 60_000;

/// A slot that is held.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) slot: Slot,
    admitted: u64,
    ends: u64,
}

impl User {
    /// Drops what has ended, or was written before the clock was set back.
    fn read(&mut self, clock: u64, lease: u64) -> bool {
        let before = self.slots.len();
        self.slots
            .retain(|held| held.ends > clock && held.ends <= clock + lease);
        for held in &mut self.slots {
            held.admitted = held.admitted.min(clock);
        }
        self.replaced
            .retain(|(_, ends)| *ends > clock && *ends <= clock + lease);
        self.connects.retain(|at| clock.abs_diff(*at) < MINUTE_MS);
        self.slots.len() < before
    }
}

impl Bus {
    pub(super) fn claim(
        &mut self,
        clock: u64,
        user: usize,
        slot: Slot,
        replaces: Option<Slot>,
    ) -> ClaimVerdict {
        let lease = millis(self.limits.slot_lease);
        let (slots_max, connects_max) = (
            self.limits.connections_per_user_max as usize,
            self.limits.connects_per_user_minute_max as usize,
        );
        let user = &mut self.users[user];
        let ended = user.read(clock, lease);
        let ends = clock + lease;
        if let Some(held) = user.slots.iter_mut().find(|held| held.slot == slot) {
            held.ends = ends;
            return ClaimVerdict::Granted;
        }
        if user.connects.len() >= connects_max {
            return ClaimVerdict::TooOften;
        }
        let taken_over = replaces
            .as_ref()
            .is_some_and(|replaced| user.slots.iter().any(|held| held.slot == *replaced));
        if !taken_over && user.slots.len() >= slots_max {
            return ClaimVerdict::Full;
        }
        if let Some(replaced) = replaces.filter(|replaced| *replaced != slot) {
            user.slots.retain(|held| held.slot != replaced);
            user.replaced.push((replaced, ends));
        }
        user.connects.push_back(clock);
        user.slots.push(Held {
            slot,
            admitted: clock,
            ends,
        });
        if taken_over {
            self.news.push(News::Replaced);
        }
        if ended {
            self.news.push(News::LeaseRetaken);
        }
        ClaimVerdict::Granted
    }

    pub(super) fn renew(&mut self, clock: u64, renewal: Renewal) -> Vec<(UserId, Slot, SlotLoss)> {
        let Renewal { user: name, slots } = renewal;
        let lease = millis(self.limits.slot_lease);
        let renewed_every = millis(self.limits.slot_renew_every);
        let alive = lease.saturating_sub(renewed_every + renewed_every / 4);
        let slots_max = self.limits.connections_per_user_max as usize;
        let user = &mut self.users[user_of(&name).index()];
        user.read(clock, lease);
        let mut lost = Vec::new();
        let mut mine = Vec::new();
        for (slot, age) in slots {
            if user.replaced.iter().any(|(replaced, _)| *replaced == slot) {
                lost.push((name.clone(), slot, SlotLoss::Replaced));
                continue;
            }
            let ends = clock + lease;
            match user.slots.iter_mut().find(|held| held.slot == slot) {
                Some(held) => held.ends = ends,
                None => {
                    let admitted = clock.saturating_sub(millis(age));
                    user.slots.push(Held {
                        slot: slot.clone(),
                        admitted,
                        ends,
                    });
                    self.news.push(News::LeaseRetaken);
                }
            }
            mine.push(slot);
        }
        // A node that does not renew is gone or cut off: its slots cost nobody else theirs.
        let mut living: Vec<&Held> = user
            .slots
            .iter()
            .filter(|held| held.ends - clock >= alive)
            .collect();
        living.sort_by(|a, b| {
            (a.admitted, a.slot.to_string()).cmp(&(b.admitted, b.slot.to_string()))
        });
        for held in living.iter().skip(slots_max) {
            if mine.contains(&held.slot) {
                lost.push((name.clone(), held.slot.clone(), SlotLoss::Excess));
            }
        }
        lost
    }
}
