//! What happened to servers and between them and Redis, and what their engines noted.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Judge;
use crate::observation::Observation as Saw;
use crate::oracle::{Conn, Guarantee, Node, Observation, Situation, Verdict};

/// One life of a node.
#[derive(Debug)]
pub(super) struct Life {
    name: String,
    ended: bool,
    /// It went without a word: whoever talks to it does not know.
    dark: bool,
    draining: Option<u64>,
    /// Connections that are congested.
    congested: BTreeSet<String>,
}

/// Something that is wrong between Redis and nodes.
#[derive(Debug)]
pub(super) struct Trouble {
    /// All nodes, also those that start meanwhile.
    all: bool,
    nodes: Vec<Node>,
}

impl Judge {
    /// The latest life of a node.
    pub(super) fn latest(&self, name: &str) -> Option<Node> {
        let lives = (0..).map(Node).zip(&self.lives);
        lives
            .filter(|(_, life)| life.name == name)
            .map(|(node, _)| node)
            .last()
    }

    /// Whether who talks to it goes on doing so until it finds out.
    pub(super) fn is_kept(&self, node: Node) -> bool {
        self.lives
            .get(node.index())
            .is_some_and(|life| !life.ended || life.dark)
    }

    pub(super) fn node(&mut self, who: &Arc<str>, what: &Saw) -> Verdict {
        if *what == Saw::Started {
            return self.started(who);
        }
        let Some(node) = self.latest(who) else {
            return Ok(());
        };
        let now = self.now;
        let Some(life) = self.lives.get_mut(node.index()) else {
            return Ok(());
        };
        match what {
            Saw::Measured {
                history_bytes,
                pending_bytes,
            } => self.see(&Observation::Memory {
                node,
                history_bytes: *history_bytes,
                pending_bytes: *pending_bytes,
            }),
            Saw::Draining | Saw::Hurried => {
                life.draining.get_or_insert(now);
                let hurried = *what == Saw::Hurried;
                self.see(&Observation::NodeDraining { node, hurried })
            }
            Saw::Killed | Saw::PoweredOff => {
                (life.ended, life.dark) = (true, *what == Saw::PoweredOff);
                self.see(&Observation::NodeCrashed(node))
            }
            Saw::Exited { error } => {
                life.ended = true;
                let begun = life.draining;
                if let Some(error) = error {
                    let facts = format!("{who} ended by itself: {error}");
                    return self.broken(Guarantee::G6, facts);
                }
                let deadline = self.oracle.facts().promises.drain_deadline_ms;
                if begun.is_some_and(|begun| begun + deadline <= now) {
                    self.reached(Situation::DrainDeadline);
                }
                self.see(&Observation::NodeExited(node))
            }
            _ => Ok(()),
        }
    }

    fn started(&mut self, who: &Arc<str>) -> Verdict {
        let node = Node(u32::try_from(self.lives.len()).unwrap_or(u32::MAX));
        self.lives.push(Life {
            name: who.to_string(),
            ended: false,
            dark: false,
            draining: None,
            congested: BTreeSet::new(),
        });
        self.see(&Observation::NodeStarted(node))?;
        let mut disturbed = 0;
        for trouble in self.troubles.values_mut().filter(|trouble| trouble.all) {
            trouble.nodes.push(node);
            disturbed += 1;
        }
        for _ in 0..disturbed {
            self.see(&Observation::Fault { node, on: true })?;
        }
        Ok(())
    }

    /// Something is wrong between Redis and a node of this name, or all nodes.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn trouble(&mut self, node: Option<&str>) -> Result<u32, crate::oracle::Violation> {
        let nodes: Vec<Node> = match node {
            Some(name) => self.latest(name).into_iter().collect(),
            None => {
                let lives = (0..).map(Node).zip(&self.lives);
                lives
                    .filter(|(_, life)| !life.ended)
                    .map(|(node, _)| node)
                    .collect()
            }
        };
        for node in &nodes {
            self.see(&Observation::Fault {
                node: *node,
                on: true,
            })?;
        }
        self.last_trouble += 1;
        let all = node.is_none();
        self.troubles
            .insert(self.last_trouble, Trouble { all, nodes });
        Ok(self.last_trouble)
    }

    /// It is over, and what it held up is through.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn trouble_over(&mut self, trouble: u32) -> Verdict {
        let nodes = self.troubles.remove(&trouble).map(|trouble| trouble.nodes);
        for node in nodes.unwrap_or_default() {
            self.see(&Observation::Fault { node, on: false })?;
        }
        Ok(())
    }

    pub(super) fn noted(
        &mut self,
        who: &Arc<str>,
        message: &str,
        fields: &[(&'static str, String)],
    ) -> Verdict {
        let Some(node) = self.latest(who) else {
            return Ok(());
        };
        let field = |name| fields.iter().find(|(field, _)| *field == name);
        let field = |name| field(name).map_or("", |(_, text)| text.as_str());
        let seat = (node, field("conn").to_owned());
        let conn = self.seats.get(&seat).copied();
        if message.starts_with("WebSocket connected: ") {
            let Some(conn) = self.sids.get(field("sid")).copied() else {
                let facts = format!("{who} let in {}, which never asked", field("sid"));
                return self.broken(Guarantee::G4, facts);
            };
            self.seats.insert(seat, conn);
            return self.see(&Observation::Admitted(conn));
        }
        match message {
            "not degraded: this node goes on with the others" => {
                let reached = true;
                self.see(&Observation::Contact { node, reached })
            }
            "degraded: this node goes on by itself, and refuses to take trades" => {
                let reached = false;
                self.see(&Observation::Contact { node, reached })
            }
            "WebSocket closing" => {
                if let Some(life) = self.lives.get_mut(node.index()) {
                    life.congested.remove(&seat.1);
                }
                if let Some(conn) = conn {
                    self.see(&Observation::Left(conn))?;
                }
                self.closing(conn, field("reason"))
            }
            "WebSocket disconnected" => {
                self.seats.remove(&seat);
                if let Some(life) = self.lives.get_mut(node.index()) {
                    life.congested.remove(&seat.1);
                }
                match conn {
                    Some(conn) => self.see(&Observation::Left(conn)),
                    None => Ok(()),
                }
            }
            "WebSocket congested: sending only the newest of each topic" => {
                if let Some(life) = self.lives.get_mut(node.index()) {
                    life.congested.insert(seat.1);
                }
                self.reached(Situation::Congested);
                self.unfit(conn)
            }
            "WebSocket no longer congested" => {
                if let Some(life) = self.lives.get_mut(node.index()) {
                    life.congested.remove(&seat.1);
                }
                Ok(())
            }
            "WebSocket server draining: clients told" => {
                let life = self.lives.get(node.index());
                if life.is_some_and(|life| !life.congested.is_empty()) {
                    self.reached(Situation::ShutdownFull);
                }
                Ok(())
            }
            "the values in Redis began anew" => self.counted(Situation::StateMissed),
            "WebSocket value conflated" => self.counted(Situation::Conflated),
            "emitter messages lost" => self.counted(Situation::EmitterLost),
            "values handed over to Redis" if field("values") != "0" => {
                self.counted(Situation::HandedOver)
            }
            "WebSocket handshake refused" => self.counted(Situation::AdmissionRefusedBelow),
            "WebSocket connection slot lost" if field("loss") == "Replaced" => {
                self.counted(Situation::ReplacedAcross)
            }
            "this node takes in emitter messages" => {
                let before = self.intake.replace(node);
                if before.is_some_and(|before| before != node) {
                    self.reached(Situation::EmitterChanged);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn counted(&mut self, situation: Situation) -> Verdict {
        self.reached(situation);
        Ok(())
    }

    fn unfit(&mut self, conn: Option<Conn>) -> Verdict {
        match conn {
            Some(conn) => self.see(&Observation::Unfit(conn)),
            None => Ok(()),
        }
    }

    fn closing(&mut self, conn: Option<Conn>, reason: &str) -> Verdict {
        match reason {
            "slow_log" | "slow_time" => {
                if let Some(conn) = conn.filter(|_| reason == "slow_time") {
                    self.see(&Observation::TooSlow(conn))?;
                }
                self.reached(Situation::CongestedClosed);
                self.unfit(conn)
            }
            "slow_total" => {
                self.reached(Situation::TotalBound);
                self.unfit(conn)
            }
            // What the sockets themselves found, which only a client that does not read brings about.
            "buffer_full" | "stalled" | "unread" | "flood" => self.unfit(conn),
            "connect_rate" => self.counted(Situation::AdmissionRefusedBelow),
            _ => Ok(()),
        }
    }
}
