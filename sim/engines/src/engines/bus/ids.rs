//! Until when the bus remembers which id of a publish, as Redis keeps a key for each.
//!
//! Nearly all ids are a name and a count behind it: an item's number, or that of a life of a node. Those
//! are kept by count, which takes less than half the time of a table of names. It must hold for whatever
//! is an id, so any other is kept by its name.

use rustc_hash::FxHashMap;
use tradewire_engine::ids::PublishId;

/// What the ids begin with that the simulation's publishers give.
const GIVEN: &[u8] = b"key-";

/// Digits of a count; one that is longer is taken for a name.
const DIGITS_MAX: usize = 7;

/// Until when each id is remembered; 0 for one that never was.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// Of publishers, by count.
    given: Vec<u64>,
    /// Of nodes, by the 16 digits of a life and then by count.
    assigned: FxHashMap<[u8; 16], Vec<u64>>,
    others: FxHashMap<PublishId, u64>,
}

impl Ids {
    /// Whether an id is not remembered at `clock`; then it is from here on, for `life`.
    pub(super) fn take(&mut self, clock: u64, id: &PublishId, life: u64) -> bool {
        let until = self.place(id);
        let is_new = *until <= clock;
        if is_new {
            *until = clock + life;
        }
        is_new
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn place(&mut self, id: &PublishId) -> &mut u64 {
        let text = id.as_str().as_bytes();
        if let Some(count) = text.strip_prefix(GIVEN).and_then(count) {
            return at(&mut self.given, count);
        }
        if let Some((life, [b'-', digits @ ..])) = text.split_first_chunk()
            && let Some(count) = count(digits)
        {
            return at(self.assigned.entry(*life).or_default(), count);
        }
        self.others.entry(id.clone()).or_default()
    }
}

fn at(list: &mut Vec<u64>, count: usize) -> &mut u64 {
    if list.len() <= count {
        list.resize(count + 1, 0);
    }
    &mut list[count]
}

/// A count in the one way in which it is written.
fn count(digits: &[u8]) -> Option<usize> {
    let is_one = match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < DIGITS_MAX && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let value = |value, digit: &u8| value * 10 + usize::from(digit - b'0');
    is_one.then(|| digits.iter().fold(0, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_remembered_by_itself_and_for_its_life() {
        let mut ids = Ids::default();
        let all = [
            "key-0",
            "key-1",
            "key-01",
            "key-00",
            "key-",
            "key-1x",
            "key--1",
            "key-1234567",
            "key-12345678",
            "00000000000000af-1",
            "00000000000000af-2",
            "00000000000000af-02",
            "00000000000000aF-1",
            "10000000000000af-1",
            "00000000000000af_1",
            "00000000000000af-",
            "0000000000000af-1",
            "1",
        ];
        let all = all.map(|text| PublishId::new(text).unwrap());
        for id in &all {
            assert!(ids.take(10, id, 5), "{id}");
        }
        for id in &all {
            assert!(!ids.take(14, id, 5), "{id}");
            assert!(ids.take(15, id, 10), "{id}");
            assert!(!ids.take(24, id, 10), "{id}");
        }
        ids.clear();
        assert!(all.iter().all(|id| ids.take(16, id, 5)));
    }
}
