//! A stream: entries in order, kept in nodes as Redis keeps them, and trimmed by whole nodes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::listpack;

/// A place in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    pub(super) ms: u64,
    pub(super) seq: u64,
}

impl StreamId {
    pub(super) const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// Reads `ms` or `ms-seq`.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self {
            ms: ms.parse().ok()?,
            seq: seq.parse().ok()?,
        })
    }

    /// The id that Redis gives an entry at `now_ms` after one that has this id.
    pub(super) fn following(self, now_ms: u64) -> Option<Self> {
        if now_ms > self.ms {
            return Some(Self { ms: now_ms, seq: 0 });
        }
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { ms: self.ms, seq }),
            None => Some(Self {
                ms: self.ms.checked_add(1)?,
                seq: 0,
            }),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// When Redis begins another node.
#[derive(Clone, Copy, Debug)]
pub struct NodeBounds {
    /// Entries in a node; deleted ones count. 0 means any number.
    pub entries_max: usize,
    /// Bytes of a node. 0 means up to what a node may have at all.
    pub bytes_max: usize,
}

impl NodeBounds {
    /// Entries that a trimming by whole nodes drops at most.
    pub(super) fn trimmed_at_once(self) -> usize {
        match self.entries_max {
            0 => 10_000,
            max => max.saturating_mul(100).min(1_000_000),
        }
    }
}

/// The most that a node may have at all.
const NODE_BYTES_MAX: usize = 1 << 30;

/// One entry. What it says is shared with copies of the stream.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: StreamId,
    pub(super) pairs: Arc<[(Bytes, Bytes)]>,
}

#[derive(Clone, Debug)]
struct Node {
    /// The first id and its fields, by which the others are told.
    first: StreamId,
    fields: Vec<Bytes>,
    bytes: usize,
    /// Entries that it ever took.
    taken: usize,
    items: VecDeque<Item>,
}

impl Node {
    fn new(first: StreamId, pairs: &[(Bytes, Bytes)]) -> Self {
        let fields: Vec<_> = pairs.iter().map(|(field, _)| field.clone()).collect();
        Self {
            first,
            bytes: listpack::node(&fields),
            fields,
            taken: 0,
            items: VecDeque::new(),
        }
    }

    fn is_full(&self, bounds: NodeBounds, more_bytes: usize) -> bool {
        let bytes_max = match bounds.bytes_max {
            0 => NODE_BYTES_MAX,
            max => max.min(NODE_BYTES_MAX),
        };
        let many = bounds.entries_max != 0 && self.taken >= bounds.entries_max;
        many || self.bytes.saturating_add(more_bytes) >= bytes_max
    }

    fn push(&mut self, item: Item) {
        let apart = |from: u64, to: u64| to.wrapping_sub(from).cast_signed();
        let fields = item.pairs.iter().map(|(field, _)| field);
        let same_fields = fields.eq(&self.fields);
        self.bytes += listpack::entry(
            apart(self.first.ms, item.id.ms),
            apart(self.first.seq, item.id.seq),
            &item.pairs,
            same_fields,
        );
        self.taken += 1;
        self.items.push_back(item);
    }
}

/// A stream. A copy shares its nodes, so that it is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    nodes: VecDeque<Arc<Node>>,
    length: usize,
    last: StreamId,
}

impl Stream {
    /// The highest id that it ever had.
    pub(super) fn last(&self) -> StreamId {
        self.last
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Adds an entry, whose id must be higher than the last.
    pub(super) fn append(&mut self, id: StreamId, pairs: Vec<(Bytes, Bytes)>, bounds: NodeBounds) {
        let text: usize = pairs
            .iter()
            .map(|(field, value)| field.len() + value.len())
            .sum();
        if self
            .nodes
            .back()
            .is_none_or(|node| node.is_full(bounds, text))
        {
            self.nodes.push_back(Arc::new(Node::new(id, &pairs)));
        }
        if let Some(node) = self.nodes.back_mut() {
            let pairs = pairs.into();
            Arc::make_mut(node).push(Item { id, pairs });
            self.length += 1;
            self.last = id;
        }
    }

    /// Drops whole nodes from the oldest as long as `length_max` entries are left, at most
    /// `dropped_max` entries.
    pub(super) fn trim_nodes(&mut self, length_max: usize, dropped_max: usize) {
        let mut dropped = 0;
        while let Some(node) = self.nodes.front() {
            let items = node.items.len();
            if self.length < length_max.saturating_add(items) || dropped + items > dropped_max {
                return;
            }
            dropped += items;
            self.length -= items;
            self.nodes.pop_front();
        }
    }

    /// Drops the oldest until `length_max` entries are left.
    pub(super) fn trim(&mut self, length_max: usize) {
        self.trim_nodes(length_max, usize::MAX);
        if let Some(node) = self.nodes.front_mut() {
            let excess = self.length.saturating_sub(length_max);
            if excess > 0 {
                Arc::make_mut(node).items.drain(..excess);
                self.length -= excess;
            }
        }
    }

    /// The entries after `id`, oldest first.
    pub(super) fn after(&self, id: StreamId) -> impl Iterator<Item = &Item> {
        let later = self.nodes.partition_point(|node| node.first <= id);
        self.nodes
            .range(later.saturating_sub(1)..)
            .flat_map(|node| &node.items)
            .skip_while(move |item| item.id <= id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: NodeBounds = NodeBounds {
        entries_max: 3,
        bytes_max: 4_096,
    };

    fn id(ms: u64) -> StreamId {
        StreamId { ms, seq: 0 }
    }

    fn stream(entries: u64, bounds: NodeBounds) -> Stream {
        let mut stream = Stream::default();
        for ms in 1..=entries {
            let pair = (Bytes::from_static(b"f"), Bytes::from(vec![b'x'; 100]));
            stream.append(id(ms), vec![pair], bounds);
        }
        stream
    }

    fn ids(stream: &Stream, after: u64) -> Vec<u64> {
        stream.after(id(after)).map(|item| item.id.ms).collect()
    }

    #[test]
    fn reading_goes_on_after_an_id() {
        let stream = stream(10, BOUNDS);
        assert_eq!(ids(&stream, 0), (1..=10).collect::<Vec<_>>());
        for after in 0..=10 {
            assert_eq!(ids(&stream, after), (after + 1..=10).collect::<Vec<_>>());
        }
        assert_eq!(ids(&Stream::default(), 0), Vec::<u64>::new());
    }

    #[test]
    fn only_whole_nodes_are_dropped_and_no_more_than_allowed() {
        let mut stream = stream(10, BOUNDS);
        stream.trim_nodes(5, usize::MAX);
        assert_eq!(ids(&stream, 0), (4..=10).collect::<Vec<_>>());
        stream.trim_nodes(0, 5);
        assert_eq!(ids(&stream, 0), (7..=10).collect::<Vec<_>>());
        stream.trim_nodes(0, usize::MAX);
        assert_eq!((stream.length(), stream.last()), (0, id(10)));
    }

    #[test]
    fn a_node_is_full_by_its_bytes_too() {
        let bounds = NodeBounds {
            entries_max: 100,
            bytes_max: 500,
        };
        let mut stream = stream(10, bounds);
        stream.trim_nodes(5, usize::MAX);
        assert!((5..10).contains(&stream.length()), "{}", stream.length());
    }

    #[test]
    fn exact_trimming_leaves_what_was_asked_for_and_copies_alone() {
        let mut stream = stream(10, BOUNDS);
        let copy = stream.clone();
        stream.trim(4);
        assert_eq!(ids(&stream, 0), [7, 8, 9, 10]);
        stream.trim(3);
        assert_eq!(ids(&stream, 0), [8, 9, 10]);
        assert_eq!(copy.length(), 10);
    }

    #[test]
    fn ids_never_go_back() {
        assert_eq!(id(5).following(6), Some(id(6)));
        assert_eq!(id(5).following(4), Some(StreamId { ms: 5, seq: 1 }));
        let full = StreamId {
            ms: 5,
            seq: u64::MAX,
        };
        assert_eq!(full.following(4), Some(id(6)));
        assert_eq!(StreamId::MAX.following(4), None);
    }
}
