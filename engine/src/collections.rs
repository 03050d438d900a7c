//! The two containers that the engine's state is made of.
//!
//! Both iterate in an order that depends only on what was done to them, and both serialise whole, so
//! that an engine restored from a checkpoint goes on exactly as the one that wrote it.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use indexmap::IndexMap;
use serde::de::Deserializer;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// Keys SipHash-1-3, so that outsiders who choose keys cannot make them collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Keyed(u64);

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, !self.0)
    }
}

/// A hash map whose order is part of its value: insertion order, changed by removals in a fixed way.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V> {
    map: IndexMap<K, V, Keyed>,
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// Makes an empty table whose hash is keyed by `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            map: IndexMap::with_hasher(Keyed(seed)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.map.get(key)
    }

    pub(crate) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.map.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.map.insert(key, value)
    }

    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.map.entry(key).or_insert_with(make)
    }

    /// Removes in constant time; the last entry takes the place of the removed one.
    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.map.swap_remove(key)
    }

    /// Removes every entry.
    pub(crate) fn clear(&mut self) {
        self.map.clear();
    }

    /// Removes the first entries, at most `count`, keeping the order of the rest.
    pub(crate) fn take_first(&mut self, count: usize) -> Vec<(K, V)> {
        let count = count.min(self.map.len());
        self.map.drain(..count).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.map.iter()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.map.keys()
    }
}

impl<K: Hash + Eq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.map.hasher() == other.map.hasher() && self.map.iter().eq(other.map.iter())
    }
}

impl<K: Hash + Eq, V: Eq> Eq for Table<K, V> {}

impl<K: Serialize, V: Serialize> Serialize for Table<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries: Vec<(&K, &V)> = self.map.iter().collect();
        (self.map.hasher(), entries).serialize(serializer)
    }
}

impl<'de, K, V> Deserialize<'de> for Table<K, V>
where
    K: Deserialize<'de> + Hash + Eq,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (keyed, entries) = <(Keyed, Vec<(K, V)>)>::deserialize(deserializer)?;
        let mut map = IndexMap::with_capacity_and_hasher(entries.len(), keyed);
        map.extend(entries);
        Ok(Self { map })
    }
}

/// Values under dense numbers; a freed number is the next to be used again.
///
/// Unlike the `slab` crate's, its order of reuse survives serialisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Stores `value` and tells its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.slots.get_mut(slot as usize)
        {
            *place = Some(value);
            return slot;
        }
        self.slots.push(Some(value));
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Every `step`th number from `first` on.
    pub(crate) fn every(&self, first: u32, step: u32) -> impl Iterator<Item = (u32, &T)> {
        self.iter_slots()
            .skip(first as usize)
            .step_by(step as usize)
            .filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.iter_slots()
            .filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }

    fn iter_slots(&self) -> impl Iterator<Item = (u32, &Option<T>)> {
        (0..).zip(&self.slots)
    }
}
