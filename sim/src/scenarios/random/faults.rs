//! What goes wrong, when, to whom, and for how long; after the last of it everything is mended.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::chance::{Draws, about, percent, pick};
use super::plan::{Fault, FaultKind};
use super::{Act, Random};
use crate::client::Command;
use crate::judge::Link;
use crate::net::{HostId, Latency, Network};
use crate::oracle::{Situation, User, Verdict};
use crate::redis::{Loss, Redis, WriteRefusal};
use crate::scenarios::{RunError, store};
use crate::world::{NodeId, World};

/// How long after the way to Redis is open again what was lost is still to be sent again.
const MENDED_MS: u64 = 3_000;

/// By when a node that was asked to leave is gone, and a little later it is started again.
const GONE_MS: u64 = 12_000;

/// What a link is when nothing is wrong, and packets lost in a million and the latency when something is.
const USUAL: Latency = Latency {
    min: Duration::from_millis(1),
    max: Duration::from_millis(15),
};
const LOST_PER_MILLION: [u32; 3] = [1_000, 20_000, 200_000];
const SLOW_MS: [u64; 3] = [40, 150, 500];

/// What becomes of what two hosts send each other.
#[derive(Clone, Copy, Debug)]
enum Way {
    Cut,
    CutUp,
    CutDown,
    Hold,
    Latency,
    Loss,
}

/// One time that something goes wrong.
#[derive(Clone, Copy, Debug)]
struct Hit {
    kind: FaultKind,
    ordinal: u64,
    place: usize,
    host: usize,
    ms: u64,
}

/// Something that ends.
#[derive(Clone, Debug)]
pub(super) enum Ongoing {
    Client {
        ends: (HostId, HostId),
        link: Link,
    },
    RedisLink {
        ends: (HostId, HostId),
        trouble: u32,
    },
    Redis {
        trouble: u32,
        hung_since: Option<Duration>,
    },
    RedisDown {
        trouble: u32,
        lost: bool,
        loading_ms: u64,
    },
    Session(User),
    Sessions,
}

impl<W: Network> Random<W> {
    /// Something begins, which is over when faults are at the latest.
    fn begin(&mut self, ongoing: Ongoing, ms: u64) {
        let left = self.busy_until.saturating_sub(self.world.now());
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        self.begin_for(ongoing, ms.min(left));
    }

    fn begin_for(&mut self, ongoing: Ongoing, ms: u64) {
        self.ongoings += 1;
        self.ongoing.insert(self.ongoings, ongoing);
        self.after(ms, Act::FaultEnds(self.ongoings));
    }

    pub(super) fn fault_begins(
        &mut self,
        number: usize,
        ordinal: u64,
    ) -> Result<Verdict, RunError> {
        let Some(Fault {
            kind,
            every_ms,
            lasts_ms,
        }) = self
            .plan
            .faults
            .get(number)
            .copied()
            .filter(|_| self.is_busy())
        else {
            return Ok(Ok(()));
        };
        let mut chance = self.chance_of(Draws::Fault(kind), ordinal + 1);
        let again = about(&mut chance, every_ms);
        self.after(again, Act::FaultBegins(number, ordinal + 1));
        let left_out = self.without.fault(kind, ordinal);
        if !self.size.faults.entry(kind).or_default().counts(left_out) {
            return Ok(Ok(()));
        }
        let ms = chance.random_range(lasts_ms / 10..=lasts_ms);
        let place = chance.random_range(0..self.nodes.len());
        let host = chance.random_range(0..self.hosts.len());
        self.world.journal().line(
            "world",
            format_args!("== {kind:?} {ordinal}, node{place}, clients{host}, {ms} ms"),
        );
        let hit = Hit {
            kind,
            ordinal,
            place,
            host,
            ms,
        };
        Ok(self.bring_about(&hit, &mut chance))
    }

    fn bring_about(&mut self, hit: &Hit, chance: &mut StdRng) -> Verdict {
        let Hit {
            kind,
            ordinal,
            place,
            host,
            ms,
        } = *hit;
        match kind {
            FaultKind::ClientCut => self.disturb_clients(Way::Cut, place, host, ms, chance),
            FaultKind::ClientCutUp => self.disturb_clients(Way::CutUp, place, host, ms, chance),
            FaultKind::ClientCutDown => self.disturb_clients(Way::CutDown, place, host, ms, chance),
            FaultKind::ClientHold => self.disturb_clients(Way::Hold, place, host, ms, chance),
            FaultKind::ClientLatency => self.disturb_clients(Way::Latency, place, host, ms, chance),
            FaultKind::ClientLoss => self.disturb_clients(Way::Loss, place, host, ms, chance),
            FaultKind::RedisCut => self.disturb_redis(Way::Cut, place, ms, chance),
            FaultKind::RedisCutUp => self.disturb_redis(Way::CutUp, place, ms, chance),
            FaultKind::RedisCutDown => self.disturb_redis(Way::CutDown, place, ms, chance),
            FaultKind::RedisHold => self.disturb_redis(Way::Hold, place, ms, chance),
            FaultKind::RedisLatency => self.disturb_redis(Way::Latency, place, ms, chance),
            FaultKind::RedisLoss => self.disturb_redis(Way::Loss, place, ms, chance),
            FaultKind::RedisHang => self.hang(ms, Redis::hang),
            FaultKind::RedisPause => self.hang(ms, Redis::pause),
            FaultKind::RedisSlow => {
                let each = Duration::from_millis(chance.random_range(1..200));
                self.trouble_redis(ms, None, move |redis| redis.slow(each))
            }
            FaultKind::RedisRefuses => {
                let why = if percent(chance, 50) {
                    WriteRefusal::ReadOnly
                } else {
                    WriteRefusal::OutOfMemory
                };
                self.trouble_redis(ms, None, move |redis| redis.refuse_writes(Some(why)))
            }
            FaultKind::RedisStop => self.stop_redis(ms, false, chance),
            FaultKind::DataLost => self.stop_redis(ms, true, chance),
            FaultKind::DataFlushed => {
                self.lose_data(Redis::remove_all);
                self.begin(Ongoing::Sessions, ms + 1_000);
                Ok(())
            }
            FaultKind::ScriptsForgotten => {
                self.with_redis(|redis, _| redis.forget_scripts());
                Ok(())
            }
            FaultKind::ClockSet => {
                let by = chance.random_range(-120_000..120_000);
                self.set_clock(by);
                Ok(())
            }
            FaultKind::Trim => {
                let keep = chance.random_range(0..10);
                self.with_redis(move |redis, _| {
                    redis.trim(store::LOG, keep);
                });
                Ok(())
            }
            FaultKind::Garbage => {
                self.garbage(chance);
                Ok(())
            }
            FaultKind::SessionEnds => {
                let user = User(chance.random_range(0..self.plan.users));
                let gone = self.ongoing.values().any(|ongoing| {
                    matches!(ongoing, Ongoing::Sessions | Ongoing::RedisDown { .. })
                        || matches!(ongoing, Ongoing::Session(other) if *other == user)
                });
                if self.plan.sessions && !gone {
                    self.set_session(user, false);
                    // Long enough, now and then, for it to be found out, also in the quiet before the end.
                    let more = if percent(chance, 50) { 40_000 } else { 0 };
                    self.begin_for(Ongoing::Session(user), ms + more + 1_000);
                }
                Ok(())
            }
            FaultKind::Stall => {
                self.some_clients(chance, 20, |run, client| {
                    run.tell(client, Command::Stall(Duration::from_millis(ms)));
                });
                Ok(())
            }
            FaultKind::Roam => {
                self.some_clients(chance, 20, |run, client| run.tell(client, Command::Roam));
                Ok(())
            }
            FaultKind::Vanish => {
                self.some_clients(chance, 10, Self::vanishes);
                Ok(())
            }
            FaultKind::NodeKill => {
                self.end(place, ms, World::kill);
                Ok(())
            }
            FaultKind::NodePower => {
                self.end(place, ms, World::power_off_node);
                Ok(())
            }
            FaultKind::Blackout => {
                for place in 0..self.nodes.len() {
                    self.end(place, ms, World::kill);
                }
                Ok(())
            }
            FaultKind::Restart => {
                self.restart(place, chance);
                Ok(())
            }
            FaultKind::Deploy => {
                self.rolls_on(0, ordinal);
                Ok(())
            }
        }
    }

    fn some_clients(
        &mut self,
        chance: &mut StdRng,
        share: u32,
        mut hit: impl FnMut(&mut Self, usize),
    ) {
        for client in 0..self.clients.len() {
            if percent(chance, share) {
                hit(self, client);
            }
        }
    }

    /// Does something to what two hosts send each other.
    fn disturb(&mut self, way: Way, a: HostId, b: HostId, chance: &mut StdRng) {
        let loss = pick(chance, &LOST_PER_MILLION);
        let slow = pick(chance, &SLOW_MS);
        let network = self.world.network();
        match way {
            Way::Cut => {
                network.cut(a, b);
                network.cut(b, a);
            }
            Way::CutUp => network.cut(a, b),
            Way::CutDown => network.cut(b, a),
            Way::Hold => network.hold(a, b),
            Way::Latency => {
                let latency = Latency {
                    min: Duration::from_millis(slow / 2),
                    max: Duration::from_millis(slow),
                };
                network.set_latency(a, b, latency);
            }
            Way::Loss => {
                network.set_loss(a, b, loss);
                network.set_loss(b, a, loss);
            }
        }
    }

    fn mend(&mut self, (a, b): (HostId, HostId)) {
        let network = self.world.network();
        network.set_loss(a, b, 0);
        network.set_loss(b, a, 0);
        network.set_latency(a, b, USUAL);
        network.heal(a, b);
    }

    fn disturb_clients(
        &mut self,
        way: Way,
        place: usize,
        host: usize,
        ms: u64,
        chance: &mut StdRng,
    ) -> Verdict {
        let (Some(clients), Some(node)) = (self.hosts.get(host).copied(), self.host_of(place))
        else {
            return Ok(());
        };
        let link = Link {
            host,
            node: format!("node{place}"),
        };
        self.judge.disturb(&link)?;
        self.disturb(way, clients, node, chance);
        let ends = (clients, node);
        self.begin(Ongoing::Client { ends, link }, ms);
        Ok(())
    }

    fn disturb_redis(&mut self, way: Way, place: usize, ms: u64, chance: &mut StdRng) -> Verdict {
        let Some(node) = self.host_of(place) else {
            return Ok(());
        };
        let trouble = self.judge.trouble(Some(&format!("node{place}")))?;
        let ends = (node, self.redis_host);
        self.disturb(way, ends.0, ends.1, chance);
        self.begin(Ongoing::RedisLink { ends, trouble }, ms);
        Ok(())
    }

    fn hang(&mut self, ms: u64, how: fn(&Redis)) -> Verdict {
        let now = self.world.now();
        self.trouble_redis(ms, Some(now), how)
    }

    fn trouble_redis(
        &mut self,
        ms: u64,
        hung_since: Option<Duration>,
        how: impl FnOnce(&Redis) + Send + 'static,
    ) -> Verdict {
        let trouble = self.judge.trouble(None)?;
        self.with_redis(move |redis, _| how(redis));
        self.begin(
            Ongoing::Redis {
                trouble,
                hung_since,
            },
            ms,
        );
        Ok(())
    }

    fn stop_redis(&mut self, ms: u64, lost: bool, chance: &mut StdRng) -> Verdict {
        let trouble = self.judge.trouble(None)?;
        if lost {
            self.lose_data(|redis| redis.stop(Loss::Everything));
        } else {
            self.with_redis(|redis, _| redis.stop(Loss::Nothing));
        }
        let down = Ongoing::RedisDown {
            trouble,
            lost,
            loading_ms: chance.random_range(0..1_500),
        };
        self.begin(down, ms);
        Ok(())
    }

    fn garbage(&mut self, chance: &mut StdRng) {
        const GARBAGE: [&[u8]; 6] = [
            b"",
            b"\xff\xfe",
            b"v 0123456789abcdef\n1 5 9\nm{}",
            b"h zz 1",
            b"[1,2,3]",
            b"\x93\xa7emitter\x83\xa4type\xc1",
        ];
        let (first, second) = (pick(chance, &GARBAGE), pick(chance, &GARBAGE));
        self.with_redis(move |redis, _| {
            redis.publish(store::STATE, first);
            redis.publish("socket.io#/#", second);
            redis.publish("socket.io#/#user:u0#", first);
            redis.set("tradewire:{state}:v:q:ZZZ", second, None);
            redis.set("sess:stranger", first, None);
        });
    }

    pub(super) fn fault_ends(&mut self, number: u32) -> Verdict {
        let Some(ongoing) = self.ongoing.remove(&number) else {
            return Ok(());
        };
        self.world
            .journal()
            .line("world", format_args!("== over: {ongoing:?}"));
        match ongoing {
            Ongoing::Client { ends, link } => {
                self.mend(ends);
                self.judge.mend(&link);
            }
            Ongoing::RedisLink { ends, trouble } => {
                self.mend(ends);
                self.after(MENDED_MS, Act::TroubleOver(trouble));
            }
            Ongoing::Redis {
                trouble,
                hung_since,
            } => {
                let now = self.world.now();
                if hung_since.is_some_and(|since| since + Duration::from_secs(1) < now) {
                    self.judge.reached(Situation::BusHung);
                }
                self.with_redis(|redis, _| {
                    redis.resume();
                    redis.refuse_writes(None);
                });
                self.after(MENDED_MS, Act::TroubleOver(trouble));
            }
            Ongoing::RedisDown {
                trouble,
                lost,
                loading_ms,
            } => {
                self.with_redis(move |redis, _| redis.start(Duration::from_millis(loading_ms)));
                if lost {
                    self.begin(Ongoing::Sessions, 500);
                }
                self.after(MENDED_MS + loading_ms, Act::TroubleOver(trouble));
            }
            Ongoing::Session(user) => self.restore(user),
            Ongoing::Sessions => (0..self.plan.users).for_each(|user| self.restore(User(user))),
        }
        Ok(())
    }

    fn restore(&mut self, user: User) {
        if self.plan.sessions {
            self.set_session(user, true);
        }
    }

    fn host_of(&self, place: usize) -> Option<HostId> {
        self.world.host_of(self.node(place)?)
    }

    /// Ends a node at once; it comes back.
    fn end(&mut self, place: usize, ms: u64, how: fn(&mut World<W>, NodeId)) {
        if let Some(node) = self.node(place)
            && self.host_of(place).is_some()
        {
            how(&mut self.world, node);
            let at = self.world.now() + Duration::from_millis(ms + 500);
            let at = at.min(
                self.busy_until
                    .max(self.world.now() + Duration::from_millis(500)),
            );
            self.at(at, Act::NodeStarts(place));
        }
    }

    fn restart(&mut self, place: usize, chance: &mut StdRng) {
        let hurried = percent(chance, 20);
        if let Some(node) = self.node(place)
            && self.host_of(place).is_some()
        {
            self.world.drain(node);
            if hurried {
                self.world.hurry(node);
            }
            self.after(GONE_MS, Act::NodeStarts(place));
        }
    }

    /// The next node of a rolling deploy.
    pub(super) fn rolls_on(&mut self, place: usize, deploy: u64) {
        if place < self.nodes.len() && self.is_busy() {
            let which = deploy * self.nodes.len() as u64 + place as u64;
            let mut chance = self.chance_of(Draws::Rolls, which);
            self.restart(place, &mut chance);
            self.after(GONE_MS + 2_000, Act::RollsOn(place + 1, deploy));
        }
    }

    pub(super) fn node_starts(&mut self, place: usize) -> Result<(), RunError> {
        if let Some(node) = self.node(place) {
            self.world.start_node(node)?;
        }
        Ok(())
    }
}
