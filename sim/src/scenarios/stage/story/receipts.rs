//! What an actor got in a scene, in sums: trades, values, subscriptions; and what became of what it published.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The sums of one actor.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    confirmed: BTreeSet<String>,
    /// Trades of this scene as they came, and all before.
    trades: Vec<u32>,
    before: BTreeSet<u32>,
    /// The number of each topic's latest in this scene, and before.
    values: BTreeMap<String, u32>,
    values_before: BTreeMap<String, u32>,
    /// What a Redis logged, by user.
    logged: BTreeMap<String, Vec<u32>>,
    /// What became of batches that are told of for the first time, in the order in which it first did.
    batches: Vec<(String, Batches)>,
    /// A batch that is under way was not taken at once, and that was told.
    turned: Option<(Turn, bool)>,
}

/// Batches of which the same became.
#[derive(Debug, Default)]
struct Batches {
    count: u32,
    /// Why some of them were tried again, and how many.
    turned: Option<(Turn, u32)>,
}

/// Why a batch is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Refused,
    Unanswered,
    Both,
}

impl Turn {
    fn words(self) -> &'static str {
        match self {
            Self::Refused => "refused for now (503)",
            Self::Unanswered => "not answered",
            Self::Both => "refused for now (503) or not answered",
        }
    }

    fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

impl Receipts {
    pub(super) fn confirmed(&mut self, payload: &str) {
        let confirmed: Value = serde_json::from_str(payload).unwrap_or_default();
        match confirmed.get("symbols").and_then(Value::as_array) {
            Some(symbols) => {
                let symbols = symbols.iter().filter_map(Value::as_str);
                self.confirmed.extend(symbols.map(str::to_owned));
            }
            None => {
                let kind = confirmed.get("type").and_then(Value::as_str);
                self.confirmed.extend(kind.map(str::to_owned));
            }
        }
    }

    /// It has a new connection, on which it is sent everything for the first time.
    pub(super) fn connected(&mut self) {
        self.values_before.clear();
    }

    pub(super) fn trade(&mut self, number: u32) {
        self.trades.push(number);
    }

    pub(super) fn value(&mut self, topic: String, number: u32) {
        self.values.insert(topic, number);
    }

    pub(super) fn logged(&mut self, user: &str, number: u32) {
        self.logged.entry(user.to_owned()).or_default().push(number);
    }

    pub(super) fn answered(&mut self, status: u16, degraded: bool) {
        match status {
            202 => {
                let taken = if degraded {
                    "taken for the node's own clients until Redis is back"
                } else {
                    "taken"
                };
                match self.turned.take() {
                    None => self.became(taken.to_owned(), None),
                    Some((_, true)) => self.became(format!("at last {taken}"), None),
                    Some((turn, false)) => self.became(taken.to_owned(), Some(turn)),
                }
            }
            503 => self.turn(Turn::Refused),
            _ => self.became(format!("answered {status}"), None),
        }
    }

    pub(super) fn unanswered(&mut self) {
        self.turn(Turn::Unanswered);
    }

    fn turn(&mut self, turn: Turn) {
        self.turned = match self.turned {
            None => Some((turn, false)),
            Some((before, told)) => Some((before.and(turn), told)),
        };
    }

    fn became(&mut self, what: String, turn: Option<Turn>) {
        let known = self.batches.iter().position(|(known, _)| *known == what);
        let index = known.unwrap_or_else(|| {
            self.batches.push((what, Batches::default()));
            self.batches.len() - 1
        });
        if let Some((_, batches)) = self.batches.get_mut(index) {
            batches.count += 1;
            if let Some(turn) = turn {
                let (before, count) = batches.turned.unwrap_or((turn, 0));
                batches.turned = Some((before.and(turn), count + 1));
            }
        }
    }

    /// The lines of this scene, which is over.
    pub(super) fn tell(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let confirmed = std::mem::take(&mut self.confirmed);
        if !confirmed.is_empty() {
            let confirmed: Vec<String> = confirmed.into_iter().collect();
            lines.push(format!("holds {}", confirmed.join(", ")));
        }
        let trades = std::mem::take(&mut self.trades);
        if !trades.is_empty() {
            let s = plural(&trades);
            lines.push(format!("got trade{s} {}", spans(&trades, &mut self.before)));
        }
        for (topic, number) in std::mem::take(&mut self.values) {
            // A node may show a value again.
            let before = self.values_before.insert(topic.clone(), number);
            if before != Some(number) {
                lines.push(format!("got {topic} up to value {number}"));
            }
        }
        for (user, numbers) in std::mem::take(&mut self.logged) {
            let s = plural(&numbers);
            let numbers = spans(&numbers, &mut BTreeSet::new());
            lines.push(format!("logs trade{s} {numbers} of {user}"));
        }
        for (what, Batches { count, turned }) in std::mem::take(&mut self.batches) {
            let es = if count == 1 { "" } else { "es" };
            let first = match turned {
                None => String::new(),
                Some((turn, turned)) if turned == count => format!(" {}, then", turn.words()),
                Some((turn, _)) => format!(", some of them at first {}, then", turn.words()),
            };
            lines.push(format!("{count} batch{es}{first} {what}"));
        }
        if let Some((turn, told @ false)) = &mut self.turned {
            *told = true;
            lines.push(format!("1 batch {}, and tried again", turn.words()));
        }
        lines
    }
}

fn plural(numbers: &[u32]) -> &'static str {
    if numbers.len() == 1 { "" } else { "s" }
}

/// Numbers as they came: "1 to 5, 7", and those that came before are marked.
fn spans(numbers: &[u32], before: &mut BTreeSet<u32>) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut span: Option<(u32, u32)> = None;
    let told = |(first, last): (u32, u32)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first} to {last}")
        }
    };
    for number in numbers {
        if !before.insert(*number) {
            words.extend(span.take().map(told));
            words.push(format!("{number} A SECOND TIME"));
            continue;
        }
        span = match span {
            Some((first, last)) if last + 1 == *number => Some((first, *number)),
            Some(done) => {
                words.push(told(done));
                Some((*number, *number))
            }
            None => Some((*number, *number)),
        };
    }
    words.extend(span.map(told));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_spans_and_doubles_are_shown() {
        let mut before = BTreeSet::new();
        assert_eq!(spans(&[1, 2, 3, 5], &mut before), "1 to 3, 5");
        assert_eq!(spans(&[6, 3, 7], &mut before), "6, 3 A SECOND TIME, 7");
    }

    #[test]
    fn a_batch_that_is_tried_again_is_told_when_it_is_taken() {
        let mut receipts = Receipts::default();
        receipts.answered(202, false);
        receipts.answered(503, false);
        assert_eq!(
            receipts.tell(),
            [
                "1 batch taken",
                "1 batch refused for now (503), and tried again"
            ]
        );
        receipts.answered(503, false);
        receipts.answered(202, false);
        assert_eq!(receipts.tell(), ["1 batch at last taken"]);
        receipts.unanswered();
        receipts.answered(202, false);
        assert_eq!(receipts.tell(), ["1 batch not answered, then taken"]);
    }
}
