//! Requests that take effect after who asked has given up: what a kernel still sends, and what a bus that
//! hung finds in its queue when it goes on.

use std::collections::VecDeque;

use rand::RngExt as _;
use tradewire_engine::bus::BusRequest;

use super::node::Life;
use super::world::{Event, World};
use crate::oracle::{Node, Situation, Verdict};

/// Requests that may still take effect after who asked has given up.
#[derive(Debug)]
pub(super) struct Stray {
    place: usize,
    node: Node,
    instance: u64,
    requests: Vec<BusRequest>,
}

impl World<'_> {
    /// What was on its way when contact was given up may arrive yet.
    pub(super) fn leave_strays(&mut self, place: usize, requests: VecDeque<(u64, BusRequest)>) {
        let Some(life) = self.places[place].life.as_deref() else {
            return;
        };
        let (node, instance) = (life.node, life.instance);
        if requests.is_empty() || self.places[place].chance.random_bool(0.5) {
            return;
        }
        let number = u32::try_from(self.strays.len()).unwrap_or(u32::MAX);
        let requests = requests.into_iter().map(|(_, request)| request).collect();
        self.strays.push(Some(Stray {
            place,
            node,
            instance,
            requests,
        }));
        self.after(100, Event::Stray(number));
    }

    /// The bus does what it was asked on a connection that is gone by now.
    pub(super) fn stray(&mut self, number: u32) -> Verdict {
        let Some(stray) = &self.strays[number as usize] else {
            return Ok(());
        };
        let (place, node) = (stray.place, stray.node);
        let life = self.places[place]
            .life
            .as_ref()
            .filter(|life| life.node == node);
        let stuck = life.is_some_and(|life| life.contact.stuck[0] > 0);
        if stuck || !self.trouble.bus_answers() {
            let ms = self.places[place].chance.random_range(50..400);
            self.after(ms, Event::Stray(number));
            return Ok(());
        }
        let Some(stray) = self.strays[number as usize].take() else {
            return Ok(());
        };
        for request in stray.requests {
            self.reached(Situation::LateRequest);
            // Nobody hears the answer.
            let _ = self.bus.take(self.now, stray.instance, request);
            self.spread_news()?;
        }
        Ok(())
    }

    /// A node's process is gone: what it had sent may still arrive.
    pub(super) fn orphan(&mut self, place: usize, life: &mut Life) {
        let requests = core::mem::take(&mut life.contact.to_bus);
        if !requests.is_empty() {
            let number = u32::try_from(self.strays.len()).unwrap_or(u32::MAX);
            let requests = requests.into_iter().map(|(_, request)| request).collect();
            let (node, instance) = (life.node, life.instance);
            self.strays.push(Some(Stray {
                place,
                node,
                instance,
                requests,
            }));
            self.after(self.plan.bus_ms, Event::Stray(number));
        }
    }
}
