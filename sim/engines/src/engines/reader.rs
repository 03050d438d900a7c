//! The log as a node reads it: everything once, in order, and never a gap in silence.

use tradewire_engine::Input;
use tradewire_engine::bus::ARRIVALS_MAX;
use tradewire_engine::event::LogEntry;
use tradewire_engine::ids::Epoch;
use tradewire_engine::input::GapCause;

use super::contact::Stage;
use super::millis;
use super::world::World;
use crate::oracle::{Node, Verdict};

/// What was read last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    epoch: Epoch,
    /// Where to read on, among all entries that ever were.
    pub(super) next: usize,
    /// The running number of the last entry; `None` when any may come next.
    number: Option<u64>,
}

/// Reads the log; outlives contacts.
#[derive(Debug, Default)]
pub(super) struct Reader {
    loaded: bool,
    pub(super) mark: Option<Mark>,
    state_epoch: Option<Epoch>,
}

impl World<'_> {
    /// Reads all there is: at first the recent past, later what came since.
    pub(super) fn catch_up(&mut self, place: usize, node: Node) -> Verdict {
        let since = self
            .bus
            .clock(self.now)
            .saturating_sub(millis(self.plan.limits.history_max));
        let begin = self.bus.log_begin;
        let recent = self.bus.log[begin..]
            .iter()
            .position(|entry| entry.ms > since);
        let next = recent.map_or(self.bus.log.len(), |at| begin + at);
        let (log_epoch, state_epoch) = (self.bus.log_epoch, self.bus.state_epoch);
        let Some(life) = self.life(place, node) else {
            return Ok(());
        };
        let reader = &mut life.contact.reader;
        reader.state_epoch = Some(state_epoch);
        let loaded = reader.loaded;
        reader.mark.get_or_insert(Mark {
            epoch: log_epoch,
            next,
            number: None,
        });
        self.check_log_epoch(place, node)?;
        self.read_all(place, node, !loaded)?;
        if let Some(life) = self.life(place, node) {
            life.contact.reader.loaded = true;
        }
        Ok(())
    }

    /// Reads what has come.
    pub(super) fn read_log(&mut self, place: usize, node: Node) -> Verdict {
        let answers = self.trouble.bus_answers();
        let Some(life) = self.life(place, node) else {
            return Ok(());
        };
        if life.contact.stage != Stage::Up
            || life.contact.stuck[0] > 0
            || life.contact.stuck[1] > 0
            || !answers
        {
            return Ok(());
        }
        self.check_log_epoch(place, node)?;
        self.read_all(place, node, false)
    }

    /// Asks whether the data began another life.
    pub(super) fn check_epochs(&mut self, place: usize, node: Node) -> Verdict {
        let (state_epoch, answers) = (self.bus.state_epoch, self.trouble.bus_answers());
        let Some(life) = self.life(place, node) else {
            return Ok(());
        };
        if life.contact.stuck[0] > 0 || life.contact.stuck[1] > 0 || !answers {
            return Ok(());
        }
        let missed = life.contact.reader.state_epoch.replace(state_epoch) != Some(state_epoch);
        if missed {
            self.input(place, Input::StateMissed)?;
        }
        self.read_log(place, node)
    }

    fn check_log_epoch(&mut self, place: usize, node: Node) -> Verdict {
        let (epoch, next) = (self.bus.log_epoch, self.bus.log_begin);
        let Some(life) = self.life(place, node) else {
            return Ok(());
        };
        let Some(mark) = &mut life.contact.reader.mark else {
            return Ok(());
        };
        if mark.epoch == epoch {
            return Ok(());
        }
        *mark = Mark {
            epoch,
            next,
            number: None,
        };
        let cause = GapCause::DataLoss;
        self.input(place, Input::LogGap { cause })
    }

    fn read_all(&mut self, place: usize, node: Node, loading: bool) -> Verdict {
        loop {
            let (begin, count) = (self.bus.log_begin, self.bus.log_count);
            let Some(life) = self.places[place]
                .life
                .as_deref_mut()
                .filter(|life| life.node == node)
            else {
                return Ok(());
            };
            let Some(mark) = &mut life.contact.reader.mark else {
                return Ok(());
            };
            mark.next = mark.next.max(begin);
            let rest = &self.bus.log[mark.next..];
            let Some(first) = rest.first() else {
                // Fewer came than were counted: the rest is gone. What went before it listened is no gap.
                let gone = mark.number.is_some_and(|number| number < count) && !loading;
                mark.number = Some(mark.number.unwrap_or(0).max(count));
                if gone {
                    let cause = GapCause::Trimmed;
                    return self.input(place, Input::LogGap { cause });
                }
                return Ok(());
            };
            if let Some(number) = mark.number
                && number + 1 != first.number
            {
                mark.number = Some(first.number - 1);
                let cause = GapCause::Trimmed;
                self.input(place, Input::LogGap { cause })?;
                continue;
            }
            let together = rest.iter().take(ARRIVALS_MAX);
            let entries: Vec<LogEntry> = together.map(|entry| entry.entry.clone()).collect();
            mark.next += entries.len();
            mark.number = Some(first.number + entries.len() as u64 - 1);
            let input = if loading {
                Input::LogLoaded { entries }
            } else {
                Input::LogArrived { entries }
            };
            self.input(place, input)?;
        }
    }
}
