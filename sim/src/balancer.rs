//! Which nodes clients and publishers are sent to, as a load balancer in front of them would.
//!
//! It only names nodes: whether one is alive is for whoever changes the rotation to know, as late as
//! a health check would.

use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt as _;
use rand::rngs::StdRng;

/// The nodes in rotation, by name.
#[derive(Clone, Debug, Default)]
pub struct Balancer(Arc<Mutex<Vec<String>>>);

impl Balancer {
    /// Takes a node into rotation.
    pub fn add(&self, node: &str) {
        self.with(|nodes| {
            if !nodes.iter().any(|known| known == node) {
                nodes.push(node.to_owned());
            }
        });
    }

    /// Takes a node out of rotation.
    pub fn remove(&self, node: &str) {
        self.with(|nodes| nodes.retain(|known| known != node));
    }

    /// How many nodes are in rotation.
    #[must_use]
    pub fn count(&self) -> usize {
        self.with(|nodes| nodes.len())
    }

    /// Any node in rotation.
    pub(crate) fn pick(&self, chance: &mut StdRng) -> Option<String> {
        self.with(|nodes| {
            if nodes.is_empty() {
                return None;
            }
            let index = chance.random_range(0..nodes.len());
            nodes.get(index).cloned()
        })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Vec<String>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
