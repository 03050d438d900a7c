//! Who listens to what, and who is told first: whoever subscribed first.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::glob;

/// Subscribers by channel and by pattern, each in the order of subscription.
#[derive(Debug, Default)]
pub(super) struct PubSub {
    channels: BTreeMap<Bytes, Vec<u64>>,
    patterns: BTreeMap<Bytes, Vec<u64>>,
}

/// Whether a channel is named or matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Channel,
    Pattern,
}

impl PubSub {
    fn of(&mut self, kind: Kind) -> &mut BTreeMap<Bytes, Vec<u64>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    pub(super) fn add(&mut self, kind: Kind, name: Bytes, client: u64) {
        self.of(kind).entry(name).or_default().push(client);
    }

    pub(super) fn remove(&mut self, kind: Kind, name: &[u8], client: u64) {
        let of = self.of(kind);
        if let Some(clients) = of.get_mut(name) {
            clients.retain(|other| *other != client);
            if clients.is_empty() {
                of.remove(name);
            }
        }
    }

    /// Who is told of a message on `channel`, in order, and by which pattern.
    pub(super) fn listeners(&self, channel: &[u8]) -> Vec<(u64, Option<Bytes>)> {
        let named = self.channels.get(channel).into_iter().flatten();
        let mut listeners: Vec<_> = named.map(|client| (*client, None)).collect();
        for (pattern, clients) in &self.patterns {
            if glob::matches(pattern, channel) {
                listeners.extend(
                    clients
                        .iter()
                        .map(|client| (*client, Some(pattern.clone()))),
                );
            }
        }
        listeners
    }

    pub(super) fn clear(&mut self) {
        self.channels.clear();
        self.patterns.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_subscribed_first_is_told_first() {
        let mut pubsub = PubSub::default();
        let (channel, pattern) = (Bytes::from_static(b"ab"), Bytes::from_static(b"a*"));
        pubsub.add(Kind::Pattern, pattern.clone(), 1);
        pubsub.add(Kind::Channel, channel.clone(), 3);
        pubsub.add(Kind::Channel, channel.clone(), 2);
        let expected = [(3, None), (2, None), (1, Some(pattern.clone()))];
        assert_eq!(pubsub.listeners(b"ab"), expected);
        pubsub.remove(Kind::Channel, b"ab", 3);
        pubsub.remove(Kind::Pattern, b"a*", 1);
        assert_eq!(pubsub.listeners(b"ab"), [(2, None)]);
        assert_eq!(pubsub.listeners(b"b"), []);
    }
}
