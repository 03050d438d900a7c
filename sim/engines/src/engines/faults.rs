//! What the script does to the cluster, and what goes wrong for how long; at the end of the plan everything
//! is mended at once.

use super::script::{Act, Does};
use super::world::{Event, World};
use crate::oracle::{Conn, Observation, Situation, User, Verdict};

/// What is wrong now.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    list: Vec<Option<Ongoing>>,
    /// The bus does nothing.
    hung: u32,
    /// Its process is gone.
    down: u32,
    /// It takes so much longer, each way.
    pub(super) slow_ms: u64,
    /// Clients send what does not fit.
    pub(super) garbage: bool,
    /// Whoever loses a node now learns of it late.
    pub(super) power_failure: bool,
}

/// Something that ends.
#[derive(Clone, Copy, Debug)]
enum Ongoing {
    Stuck { place: usize, ways: [bool; 3] },
    Slow,
    Hung { since: u64 },
    Down,
    Session(User),
    Garbage,
}

impl Trouble {
    /// Whether the bus does what it is asked.
    pub(super) fn bus_answers(&self) -> bool {
        self.hung == 0 && self.down == 0
    }

    /// Whether something is wrong with the bus as a whole.
    pub(super) fn bus_disturbed(&self) -> bool {
        !self.bus_answers() || self.slow_ms > 0
    }
}

impl World<'_> {
    fn begin(&mut self, ongoing: Ongoing, ms: u64) {
        let number = u32::try_from(self.trouble.list.len()).unwrap_or(u32::MAX);
        self.trouble.list.push(Some(ongoing));
        let at = (self.now + ms).min(self.busy_until);
        self.at(at, Event::TroubleEnds(number));
    }

    fn tell_faults(&mut self) -> Verdict {
        (0..self.places.len()).try_for_each(|place| self.tell_fault(place))
    }

    /// Does what the script says; places and tabs are those that have these names.
    pub(super) fn act(&mut self) -> Verdict {
        let Some(Act { does, .. }) = self.acts.next() else {
            return Ok(());
        };
        self.plan_act();
        if self.story.is_told() {
            self.story.act(self.now, &does);
        }
        let place = does.place().and_then(|name| self.place_named(name));
        let tabs = does.tabs().iter().filter_map(|name| self.tab_named(*name));
        let tabs: Vec<usize> = tabs.collect();
        let place = place.unwrap_or_default();
        match does {
            Does::Publish {
                keyed, late, items, ..
            } => self.publish(place, keyed, late, &items),
            Does::Emit { items } => self.emit(&items),
            Does::Client { does, .. } => {
                self.each_client(&tabs, |world, conn| world.client_does(conn, does))
            }
            Does::Cut { ms, .. } => self.stick(place, [true; 3], ms),
            Does::RequestsStuck { ms, .. } => self.stick(place, [true, false, false], ms),
            Does::AnswersStuck { ms, .. } => self.stick(place, [false, true, false], ms),
            Does::PushesStuck { ms, .. } => self.stick(place, [false, false, true], ms),
            Does::SlowBus { slow_ms, ms } => {
                if self.trouble.slow_ms == 0 {
                    self.trouble.slow_ms = slow_ms;
                    self.begin(Ongoing::Slow, ms);
                }
                self.tell_faults()
            }
            Does::HungBus { ms } => {
                self.trouble.hung += 1;
                self.begin(Ongoing::Hung { since: self.now }, ms);
                self.tell_faults()
            }
            Does::BusCrash { ms } => self.crash_bus(ms),
            Does::DataLoss => {
                self.see(&Observation::DataLost)?;
                self.bus.lose_data();
                Ok(())
            }
            Does::NodeCrash { power, ms, .. } => self.crash_node(place, power, ms),
            Does::Restart { hurried, ms, .. } => self.restart(place, hurried, ms),
            Does::Stall { ms, .. } => self.each_client(&tabs, |world, conn| world.stall(conn, ms)),
            Does::Vanish { .. } => self.each_client(&tabs, Self::vanish),
            Does::Herd { .. } => self.each_client(&tabs, Self::hang_up),
            Does::ClockSet { offset_ms } => {
                self.bus.set_clock(offset_ms);
                self.see(&Observation::ClockSet)
            }
            Does::SessionEnds { user, ms } => self.session_ends(user, ms),
            Does::PushesMissed { .. } => self.miss_pushes(place),
            Does::Trimmed { keep } => {
                self.bus.trim(keep);
                Ok(())
            }
            Does::Garbage { ms } => {
                if !core::mem::replace(&mut self.trouble.garbage, true) {
                    self.begin(Ongoing::Garbage, ms);
                }
                Ok(())
            }
        }
    }

    fn stick(&mut self, place: usize, ways: [bool; 3], ms: u64) -> Verdict {
        let Some(life) = self.places[place].life.as_deref_mut() else {
            return Ok(());
        };
        for (stuck, on) in life.contact.stuck.iter_mut().zip(ways) {
            *stuck += u32::from(on);
        }
        self.begin(Ongoing::Stuck { place, ways }, ms);
        self.tell_fault(place)
    }

    fn crash_bus(&mut self, ms: u64) -> Verdict {
        self.trouble.down += 1;
        self.begin(Ongoing::Down, ms.min(15_000));
        self.tell_faults()?;
        for place in 0..self.places.len() {
            // Its connections are gone with it, and what was under way on them.
            self.lose_contact(place, false)?;
        }
        Ok(())
    }

    fn crash_node(&mut self, place: usize, power: bool, ms: u64) -> Verdict {
        let Some(life) = self.places[place].life.as_deref() else {
            return Ok(());
        };
        let node = life.node;
        self.see(&Observation::NodeCrashed(node))?;
        self.trouble.power_failure = power;
        self.bury(place)?;
        self.trouble.power_failure = false;
        self.come_back(place, ms);
        Ok(())
    }

    fn come_back(&mut self, place: usize, ms: u64) {
        if !core::mem::replace(&mut self.places[place].returns, true) {
            let at = (self.now + ms).min(self.busy_until.max(self.now + 100));
            self.at(at, Event::NodeStarts(place));
        }
    }

    fn restart(&mut self, place: usize, hurried: bool, ms: u64) -> Verdict {
        if self.places[place].life.is_none() {
            return Ok(());
        }
        self.drain(place, false)?;
        if hurried {
            self.drain(place, true)?;
        }
        self.come_back(place, 12_000 + ms.min(5_000));
        Ok(())
    }

    fn session_ends(&mut self, user: User, ms: u64) -> Verdict {
        if core::mem::replace(&mut self.sessions[user.index()], false) {
            self.begin(Ongoing::Session(user), ms);
            self.see(&Observation::Session { user, there: false })?;
        }
        Ok(())
    }

    /// Those of these tabs that have a connection.
    fn each_client(
        &mut self,
        tabs: &[usize],
        mut hit: impl FnMut(&mut Self, Conn) -> Verdict,
    ) -> Verdict {
        for tab in tabs {
            if let Some(conn) = self.tabs[*tab].conn {
                hit(self, conn)?;
            }
        }
        Ok(())
    }

    pub(super) fn trouble_ends(&mut self, number: u32) -> Verdict {
        let Some(ongoing) = self.trouble.list[number as usize].take() else {
            return Ok(());
        };
        if self.story.is_told() {
            self.story
                .tell(self.now, format_args!("== over: {ongoing:?}"));
        }
        match ongoing {
            Ongoing::Stuck { place, ways } => {
                if let Some(life) = self.places[place].life.as_deref_mut() {
                    for (stuck, on) in life.contact.stuck.iter_mut().zip(ways) {
                        *stuck = stuck.saturating_sub(u32::from(on));
                    }
                }
            }
            Ongoing::Slow => self.trouble.slow_ms = 0,
            Ongoing::Hung { since } => {
                self.trouble.hung -= 1;
                if since + super::millis(self.plan.limits.bus_request_max) < self.now {
                    self.reached(Situation::BusHung);
                }
            }
            Ongoing::Down => self.trouble.down -= 1,
            Ongoing::Session(user) => {
                self.sessions[user.index()] = true;
                self.see(&Observation::Session { user, there: true })?;
            }
            Ongoing::Garbage => self.trouble.garbage = false,
        }
        self.tell_faults()?;
        for place in 0..self.places.len() {
            self.resume_ways(place);
        }
        Ok(())
    }
}
