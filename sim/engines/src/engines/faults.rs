//! What goes wrong, when, to whom, and for how long; after the last of it everything is mended at once.

use rand::RngExt as _;

use super::plan::{Fault, FaultKind};
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
    pub(super) fn schedule_faults(&mut self) {
        for fault in 0..self.plan.faults.len() {
            let ms = self.about(self.plan.faults[fault].every_ms) + 5_000;
            self.at(ms, Event::FaultBegins(fault));
        }
    }

    fn begin(&mut self, ongoing: Ongoing, ms: u64) {
        let number = u32::try_from(self.trouble.list.len()).unwrap_or(u32::MAX);
        self.trouble.list.push(Some(ongoing));
        let at = (self.now + ms).min(self.busy_until);
        self.at(at, Event::TroubleEnds(number));
    }

    fn tell_faults(&mut self) -> Verdict {
        (0..self.places.len()).try_for_each(|place| self.tell_fault(place))
    }

    pub(super) fn fault_begins(&mut self, number: usize) -> Verdict {
        if !self.is_busy() {
            return Ok(());
        }
        let Fault {
            kind,
            every_ms,
            lasts_ms,
        } = self.plan.faults[number];
        let again = self.about(every_ms);
        self.after(again, Event::FaultBegins(number));
        let ms = self.chance.random_range(lasts_ms / 10..=lasts_ms);
        let place = self.chance.random_range(0..self.places.len());
        if self.story.is_told() {
            self.story.tell(
                self.now,
                format_args!("== {kind:?}, place {place}, {ms} ms"),
            );
        }
        match kind {
            FaultKind::Cut => self.stick(place, [true; 3], ms),
            FaultKind::RequestsStuck => self.stick(place, [true, false, false], ms),
            FaultKind::AnswersStuck => self.stick(place, [false, true, false], ms),
            FaultKind::PushesStuck => self.stick(place, [false, false, true], ms),
            FaultKind::SlowBus => {
                if self.trouble.slow_ms == 0 {
                    self.trouble.slow_ms = self.chance.random_range(20..900);
                    self.begin(Ongoing::Slow, ms);
                }
                self.tell_faults()
            }
            FaultKind::HungBus => {
                self.trouble.hung += 1;
                self.begin(Ongoing::Hung { since: self.now }, ms);
                self.tell_faults()
            }
            FaultKind::BusCrash => self.crash_bus(ms),
            FaultKind::DataLoss => {
                self.see(&Observation::DataLost)?;
                self.bus.lose_data();
                if self.plan.sessions {
                    for user in 0..self.plan.users {
                        self.session_ends(User(user), ms)?;
                    }
                }
                if self.chance.random_bool(0.6) {
                    self.crash_bus(ms)
                } else {
                    Ok(())
                }
            }
            FaultKind::NodeCrash => self.crash_node(place, ms),
            FaultKind::Restart => self.restart(place, ms),
            FaultKind::Deploy => self.roll_on(0),
            FaultKind::StalledClients => self.each_client(30, |world, conn| world.stall(conn, ms)),
            FaultKind::VanishedClients => self.each_client(20, Self::vanish),
            FaultKind::Herd => self.each_client(100, Self::hang_up),
            FaultKind::ClockSet => {
                // Less than the life of a publisher's id, which ends by this clock.
                let offset_ms = self.chance.random_range(-120_000..120_000);
                self.bus.set_clock(offset_ms);
                self.see(&Observation::ClockSet)
            }
            FaultKind::SessionEnds => {
                let user = User(self.chance.random_range(0..self.plan.users));
                if self.plan.sessions {
                    self.session_ends(user, ms)
                } else {
                    Ok(())
                }
            }
            FaultKind::PushesMissed => self.miss_pushes(place),
            FaultKind::Trimmed => {
                let keep = self.chance.random_range(0..10);
                self.bus.trim(keep);
                Ok(())
            }
            FaultKind::Garbage => {
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

    fn crash_node(&mut self, place: usize, ms: u64) -> Verdict {
        let Some(life) = self.places[place].life.as_deref() else {
            return Ok(());
        };
        let node = life.node;
        self.see(&Observation::NodeCrashed(node))?;
        self.trouble.power_failure = self.chance.random_bool(0.3);
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

    fn restart(&mut self, place: usize, ms: u64) -> Verdict {
        if self.places[place].life.is_none() {
            return Ok(());
        }
        let hurried = self.chance.random_bool(0.2);
        self.drain(place, false)?;
        if hurried {
            self.drain(place, true)?;
        }
        self.come_back(place, 12_000 + ms.min(5_000));
        Ok(())
    }

    /// The next node of a rolling deploy.
    pub(super) fn roll_on(&mut self, place: usize) -> Verdict {
        if place >= self.places.len() || !self.is_busy() {
            return Ok(());
        }
        self.restart(place, 0)?;
        self.after(14_000, Event::RollOn(place + 1));
        Ok(())
    }

    fn session_ends(&mut self, user: User, ms: u64) -> Verdict {
        if core::mem::replace(&mut self.sessions[user.index()], false) {
            // Long enough, now and then, for it to be found out.
            let ms = if self.chance.random_bool(0.5) {
                ms
            } else {
                ms + 30_000
            };
            self.begin(Ongoing::Session(user), ms + 1_000);
            self.see(&Observation::Session { user, there: false })?;
        }
        Ok(())
    }

    fn each_client(
        &mut self,
        percent: u32,
        mut hit: impl FnMut(&mut Self, Conn) -> Verdict,
    ) -> Verdict {
        for tab in 0..self.tabs.len() {
            if let Some(conn) = self.tabs[tab].conn
                && self.percent(percent)
            {
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
