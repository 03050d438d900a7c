//! What goes wrong, when, to whom, and for how long; after the last of it everything is mended.

use std::time::Duration;

use rand::RngExt as _;

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

    pub(super) fn fault_begins(&mut self, number: usize) -> Result<Verdict, RunError> {
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
        let again = self.about(every_ms);
        self.after(again, Act::FaultBegins(number));
        let ms = self.chance.random_range(lasts_ms / 10..=lasts_ms);
        let place = self.chance.random_range(0..self.nodes.len());
        let host = self.chance.random_range(0..self.hosts.len());
        self.world.journal().line(
            "world",
            format_args!("== {kind:?}, node{place}, clients{host}, {ms} ms"),
        );
        Ok(self.bring_about(kind, place, host, ms))
    }

    fn bring_about(&mut self, kind: FaultKind, place: usize, host: usize, ms: u64) -> Verdict {
        match kind {
            FaultKind::ClientCut => self.disturb_clients(Way::Cut, place, host, ms),
            FaultKind::ClientCutUp => self.disturb_clients(Way::CutUp, place, host, ms),
            FaultKind::ClientCutDown => self.disturb_clients(Way::CutDown, place, host, ms),
            FaultKind::ClientHold => self.disturb_clients(Way::Hold, place, host, ms),
            FaultKind::ClientLatency => self.disturb_clients(Way::Latency, place, host, ms),
            FaultKind::ClientLoss => self.disturb_clients(Way::Loss, place, host, ms),
            FaultKind::RedisCut => self.disturb_redis(Way::Cut, place, ms),
            FaultKind::RedisCutUp => self.disturb_redis(Way::CutUp, place, ms),
            FaultKind::RedisCutDown => self.disturb_redis(Way::CutDown, place, ms),
            FaultKind::RedisHold => self.disturb_redis(Way::Hold, place, ms),
            FaultKind::RedisLatency => self.disturb_redis(Way::Latency, place, ms),
            FaultKind::RedisLoss => self.disturb_redis(Way::Loss, place, ms),
            FaultKind::RedisHang => self.hang(ms, Redis::hang),
            FaultKind::RedisPause => self.hang(ms, Redis::pause),
            FaultKind::RedisSlow => {
                let each = Duration::from_millis(self.chance.random_range(1..200));
                self.trouble_redis(ms, None, move |redis| redis.slow(each))
            }
            FaultKind::RedisRefuses => {
                let why = if self.percent(50) {
                    WriteRefusal::ReadOnly
                } else {
                    WriteRefusal::OutOfMemory
                };
                self.trouble_redis(ms, None, move |redis| redis.refuse_writes(Some(why)))
            }
            FaultKind::RedisStop => self.stop_redis(ms, false),
            FaultKind::DataLost => self.stop_redis(ms, true),
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
                let by = self.chance.random_range(-120_000..120_000);
                self.set_clock(by);
                Ok(())
            }
            FaultKind::Trim => {
                let keep = self.chance.random_range(0..10);
                self.with_redis(move |redis, _| {
                    redis.trim(store::LOG, keep);
                });
                Ok(())
            }
            FaultKind::Garbage => {
                self.garbage();
                Ok(())
            }
            FaultKind::SessionEnds => {
                let user = User(self.chance.random_range(0..self.plan.users));
                let gone = self.ongoing.values().any(|ongoing| {
                    matches!(ongoing, Ongoing::Sessions | Ongoing::RedisDown { .. })
                        || matches!(ongoing, Ongoing::Session(other) if *other == user)
                });
                if self.plan.sessions && !gone {
                    self.set_session(user, false);
                    // Long enough, now and then, for it to be found out, also in the quiet before the end.
                    let more = if self.percent(50) { 40_000 } else { 0 };
                    self.begin_for(Ongoing::Session(user), ms + more + 1_000);
                }
                Ok(())
            }
            FaultKind::Stall => {
                self.some_clients(20, |run, client| {
                    run.tell(client, Command::Stall(Duration::from_millis(ms)));
                });
                Ok(())
            }
            FaultKind::Roam => {
                self.some_clients(20, |run, client| run.tell(client, Command::Roam));
                Ok(())
            }
            FaultKind::Vanish => {
                self.some_clients(10, Self::vanishes);
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
                self.restart(place);
                Ok(())
            }
            FaultKind::Deploy => {
                self.rolls_on(0);
                Ok(())
            }
        }
    }

    fn some_clients(&mut self, percent: u32, mut hit: impl FnMut(&mut Self, usize)) {
        for client in 0..self.clients.len() {
            if self.percent(percent) {
                hit(self, client);
            }
        }
    }

    /// Does something to what two hosts send each other.
    fn disturb(&mut self, way: Way, a: HostId, b: HostId) {
        let loss = super::plan::pick(&mut self.chance, &LOST_PER_MILLION);
        let slow = super::plan::pick(&mut self.chance, &SLOW_MS);
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

    fn disturb_clients(&mut self, way: Way, place: usize, host: usize, ms: u64) -> Verdict {
        let (Some(clients), Some(node)) = (self.hosts.get(host).copied(), self.host_of(place))
        else {
            return Ok(());
        };
        let link = Link {
            host,
            node: format!("node{place}"),
        };
        self.judge.disturb(&link)?;
        self.disturb(way, clients, node);
        let ends = (clients, node);
        self.begin(Ongoing::Client { ends, link }, ms);
        Ok(())
    }

    fn disturb_redis(&mut self, way: Way, place: usize, ms: u64) -> Verdict {
        let Some(node) = self.host_of(place) else {
            return Ok(());
        };
        let trouble = self.judge.trouble(Some(&format!("node{place}")))?;
        let ends = (node, self.redis_host);
        self.disturb(way, ends.0, ends.1);
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

    fn stop_redis(&mut self, ms: u64, lost: bool) -> Verdict {
        let trouble = self.judge.trouble(None)?;
        if lost {
            self.lose_data(|redis| redis.stop(Loss::Everything));
        } else {
            self.with_redis(|redis, _| redis.stop(Loss::Nothing));
        }
        self.begin(Ongoing::RedisDown { trouble, lost }, ms);
        Ok(())
    }

    fn garbage(&mut self) {
        const GARBAGE: [&[u8]; 6] = [
            b"",
            b"\xff\xfe",
            b"v 0123456789abcdef\n1 5 9\nm{}",
            b"h zz 1",
            b"[1,2,3]",
            b"\x93\xa7emitter\x83\xa4type\xc1",
        ];
        let (first, second) = (
            super::plan::pick(&mut self.chance, &GARBAGE),
            super::plan::pick(&mut self.chance, &GARBAGE),
        );
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
            Ongoing::RedisDown { trouble, lost } => {
                let loading = self.chance.random_range(0..1_500);
                self.with_redis(move |redis, _| redis.start(Duration::from_millis(loading)));
                if lost {
                    self.begin(Ongoing::Sessions, 500);
                }
                self.after(MENDED_MS + loading, Act::TroubleOver(trouble));
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
        let node = self.nodes.get(place)?;
        self.world.host_of(*node)
    }

    /// Ends a node at once; it comes back.
    fn end(&mut self, place: usize, ms: u64, how: fn(&mut World<W>, NodeId)) {
        if let Some(node) = self.nodes.get(place).copied()
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

    fn restart(&mut self, place: usize) {
        let hurried = self.percent(20);
        if let Some(node) = self.nodes.get(place).copied()
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
    pub(super) fn rolls_on(&mut self, place: usize) {
        if place < self.nodes.len() && self.is_busy() {
            self.restart(place);
            self.after(GONE_MS + 2_000, Act::RollsOn(place + 1));
        }
    }

    pub(super) fn node_starts(&mut self, place: usize) -> Result<(), RunError> {
        if let Some(node) = self.nodes.get(place) {
            self.world.start_node(*node)?;
        }
        Ok(())
    }
}
