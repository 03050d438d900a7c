//! Which of a row of things are meant, as people write it: `0..3, 7, 9..`.

use core::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most ranges that a list may have.
const RANGES_MAX: usize = 100_000;

/// A set of numbers, as ranges in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Numbers {
    /// From the first to before the second. Before `u64::MAX` is without an end.
    ranges: Vec<(u64, u64)>,
}

/// Why a text is not a list of numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a list of numbers and ranges in rising order, as in 0..3, 7, 9..")]
pub struct NumbersError(String);

impl Numbers {
    /// All that there are.
    #[must_use]
    pub fn all() -> Self {
        Self {
            ranges: vec![(0, u64::MAX)],
        }
    }

    /// All but these, which must be in rising order.
    #[must_use]
    pub fn all_but(kept: &[u64]) -> Self {
        let mut ranges = Vec::new();
        let mut first = 0;
        for number in kept {
            if first < *number {
                ranges.push((first, *number));
            }
            first = number.saturating_add(1);
        }
        ranges.push((first, u64::MAX));
        Self { ranges }
    }

    /// Whether a number is among them.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let at = self.ranges.partition_point(|(_, end)| *end <= number);
        let range = self.ranges.get(at);
        range.is_some_and(|(first, _)| *first <= number)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, end)) in self.ranges.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            if *end == u64::MAX {
                write!(f, "{first}..")?;
            } else if *end == first + 1 {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}..{end}")?;
            }
        }
        Ok(())
    }
}

impl From<Numbers> for String {
    fn from(numbers: Numbers) -> Self {
        numbers.to_string()
    }
}

impl TryFrom<String> for Numbers {
    type Error = NumbersError;

    fn try_from(text: String) -> Result<Self, NumbersError> {
        text.parse()
    }
}

impl FromStr for Numbers {
    type Err = NumbersError;

    fn from_str(text: &str) -> Result<Self, NumbersError> {
        let mut ranges = Vec::new();
        let mut least = 0;
        for part in text.split(',').filter(|_| !text.trim().is_empty()) {
            let range = range(part.trim()).filter(|(first, end)| least <= *first && first < end);
            let Some(range) = range.filter(|_| ranges.len() < RANGES_MAX) else {
                return Err(NumbersError(part.trim().to_owned()));
            };
            least = range.1;
            ranges.push(range);
        }
        Ok(Self { ranges })
    }
}

fn range(part: &str) -> Option<(u64, u64)> {
    match part.split_once("..") {
        Some((first, "")) => Some((first.parse().ok()?, u64::MAX)),
        Some((first, end)) => Some((first.parse().ok()?, end.parse().ok()?)),
        None => {
            let number: u64 = part.parse().ok()?;
            Some((number, number.checked_add(1)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back_as_it_was_written() {
        for text in ["", "4", "0..3, 7, 9..", "0..", "1, 2..5"] {
            let numbers: Numbers = text.parse().unwrap();
            assert_eq!(numbers.to_string(), text);
        }
        let some: Numbers = "0..3, 7, 9..".parse().unwrap();
        let inside = (0..12).filter(|number| some.contains(*number));
        assert_eq!(inside.collect::<Vec<_>>(), [0, 1, 2, 7, 9, 10, 11]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            ",",
            "x",
            "3..1",
            "4, 2",
            "1..3, 2",
            "-1",
            "1 2",
            "18446744073709551616",
        ] {
            assert!(text.parse::<Numbers>().is_err(), "{text}");
        }
    }

    #[test]
    fn all_but_some_are_the_others() {
        let kept = [0, 3, 4, 9];
        let others = Numbers::all_but(&kept);
        assert_eq!(others.to_string(), "1..3, 5..9, 10..");
        assert!((0..20).all(|number| others.contains(number) != kept.contains(&number)));
        assert_eq!(Numbers::all_but(&[]), Numbers::all());
    }
}
