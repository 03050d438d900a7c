//! Where users are drawn on the timeline: a lane for each connection that a user has at once, for as many
//! users as fit on a page.

use std::collections::BTreeMap;

/// How many users have lanes of their own.
const USERS_MAX: usize = 60;

/// Where the others are.
pub(super) const OTHERS: &str = "other users";

/// Lanes by user, and who is in each.
#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<String, Vec<bool>>);

impl Lanes {
    /// A lane that is free from here on only after [`Self::leave`]; none for a user who has none.
    pub(super) fn enter(&mut self, user: &str) -> Option<Lane> {
        if !self.0.contains_key(user) && self.0.len() >= USERS_MAX {
            return None;
        }
        let lanes = self.0.entry(user.to_owned()).or_default();
        let number = lanes.iter().position(|taken| !taken).unwrap_or(lanes.len());
        if number == lanes.len() {
            lanes.push(true);
        } else if let Some(taken) = lanes.get_mut(number) {
            *taken = true;
        }
        let name = match number {
            0 => format!("user {user}"),
            _ => format!("user {user} ({})", number + 1),
        };
        let user = user.to_owned();
        Some(Lane { name, user, number })
    }

    /// The lane may be used by another connection of the user.
    pub(super) fn leave(&mut self, lane: &Lane) {
        let lanes = self.0.get_mut(&lane.user);
        if let Some(taken) = lanes.and_then(|lanes| lanes.get_mut(lane.number)) {
            *taken = false;
        }
    }
}

/// Where a connection is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) name: String,
    user: String,
    number: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_a_user_at_once_have_lanes_of_their_own_and_users_are_bounded() {
        let mut lanes = Lanes::default();
        let one = lanes.enter("ann").unwrap();
        let two = lanes.enter("ann").unwrap();
        assert_eq!(
            (one.name.as_str(), two.name.as_str()),
            ("user ann", "user ann (2)")
        );
        lanes.leave(&one);
        assert_eq!(lanes.enter("ann"), Some(one));
        for number in 1..USERS_MAX {
            assert!(lanes.enter(&format!("u{number}")).is_some());
        }
        assert_eq!(lanes.enter("one too many"), None);
    }
}
