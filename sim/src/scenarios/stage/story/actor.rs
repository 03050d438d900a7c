//! What one actor came through in a scene.

use serde_json::Value;

use super::receipts::Receipts;

/// The longest course of events that is told once when it repeats itself.
const COURSE_MAX: usize = 8;

/// Somebody in a story.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) name: String,
    lines: Vec<String>,
    pub(super) receipts: Receipts,
    /// What it will be when it is in.
    entry: String,
    was_in: bool,
    /// The life of the data that its last event was of.
    epoch: Option<String>,
}

impl Actor {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            lines: Vec::new(),
            receipts: Receipts::default(),
            entry: String::new(),
            was_in: false,
            epoch: None,
        }
    }

    pub(super) fn line(&mut self, line: String) {
        self.lines.push(line);
    }

    /// What is told once in a scene, however often it was.
    pub(super) fn line_once(&mut self, line: String) {
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    /// It asks to be let in, at this node if all are sent there.
    pub(super) fn dials(&mut self, node: Option<&str>, auth: &str) {
        let auth: Value = serde_json::from_str(auth).unwrap_or_default();
        let mut entry = if self.was_in {
            "connected again".to_owned()
        } else {
            "connected".to_owned()
        };
        if let Some(node) = node {
            entry.push_str(&format!(" to {node}"));
        }
        if auth.get("replaces").is_some() {
            entry.push_str(", in place of its last connection");
        }
        self.entry = entry;
    }

    /// It is in.
    pub(super) fn enters(&mut self) {
        self.was_in = true;
        self.receipts.connected();
        self.lines.push(std::mem::take(&mut self.entry));
    }

    /// It got an event of the log.
    pub(super) fn log_goes_on(&mut self, id: &str) {
        let epoch = id.split('-').next().unwrap_or_default();
        if self.epoch.as_deref().is_some_and(|before| before != epoch) {
            self.lines.push("its log begins anew".to_owned());
        }
        self.epoch = Some(epoch.to_owned());
    }

    /// What there is to tell of this scene, which is over.
    pub(super) fn tell(&mut self) -> Vec<String> {
        let mut lines = folded(&std::mem::take(&mut self.lines));
        lines.extend(self.receipts.tell());
        lines
    }
}

/// Tells once what happens again and again: a script says what does, and how often is the seed's.
fn folded(lines: &[String]) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut rest = lines;
    while let Some((first, others)) = rest.split_first() {
        let courses = (1..=COURSE_MAX).filter_map(|length| {
            let course = rest.get(..length)?;
            let times = rest.chunks(length).take_while(|chunk| *chunk == course);
            let times = times.count();
            (times > 1).then_some((course, times))
        });
        if let Some((course, times)) = courses.into_iter().next() {
            told.extend_from_slice(course);
            if let ([_], Some(last)) = (course, told.last_mut()) {
                last.push_str(", again and again");
            }
            rest = rest.get(course.len() * times..).unwrap_or_default();
        } else {
            told.push(first.clone());
            rest = others;
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(text: &str) -> String {
        let lines: Vec<String> = text.split(' ').map(str::to_owned).collect();
        folded(&lines).join(" ")
    }

    #[test]
    fn what_repeats_itself_is_told_once() {
        assert_eq!(fold("a b c"), "a b c");
        assert_eq!(fold("a a a b"), "a, again and again b");
        assert_eq!(fold("x a b a b y"), "x a b y");
        assert_eq!(fold("a b a"), "a b a");
    }
}
