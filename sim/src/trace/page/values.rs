//! Which values of topics a node has heard of, to tell which one a client is sent. Bounded.

use std::collections::BTreeMap;

use tradewire_engine::event::{Payload, StateValue, Topic, Version};

/// Of how many topics the version is remembered.
const TOPICS_MAX: usize = 100_000;

/// The latest of each topic.
#[derive(Debug, Default)]
pub(super) struct Values(BTreeMap<Topic, (Version, u64)>);

impl Values {
    /// The bus told this one; whether it is newer than what was known.
    pub(super) fn heard(&mut self, value: &StateValue) -> bool {
        let known = self.0.get(&value.topic);
        let is_new = known.is_none_or(|(held, _)| value.version.supersedes(*held));
        if is_new && (known.is_some() || self.0.len() < TOPICS_MAX) {
            let latest = (value.version, value.payload.hash());
            self.0.insert(value.topic.clone(), latest);
        }
        is_new
    }

    /// What a value that is sent is called.
    pub(super) fn name(&self, topic: &Topic, payload: &Payload) -> String {
        let latest = self.0.get(topic);
        match latest.filter(|(_, hash)| *hash == payload.hash()) {
            Some((version, _)) => called(version),
            None => "one that the bus has not told of".to_owned(),
        }
    }
}

/// What a version is called.
pub(super) fn called(version: &Version) -> String {
    format!("value {} of {}", version.counter, version.epoch)
}
