//! G4: at most so many connections of a user, in the cluster while all is well and on each node always;
//! what is in excess after an outage is closed within 15 s, the newest first; a refusal has a reason.

use super::{Conn, Facts, Got, Observation, Refused, User, Verdict, promised};

/// By when what is in excess is closed after contact returned.
const CLOSED_MS: u64 = 15_000;

/// How long the node of a connection whose slot was taken on another may keep it: it learns of that when it
/// renews.
const TAKEN_MS: u64 = 15_000;

/// From when on the bus's count is right: every lease that nobody renews has ended.
const COUNTED_MS: u64 = 30_000;

/// By when the slots of a node that crashed, or was cut off, are free.
const FREE_MS: u64 = 60_000;

/// How long a slot that was given up in good order may take to be free.
const GIVEN_BACK_MS: u64 = 2_500;

/// Judges from the facts alone.
#[derive(Debug, Default)]
pub(super) struct Connections;

impl Connections {
    pub(super) fn observe(&mut self, facts: &Facts, observation: &Observation) -> Verdict {
        match observation {
            Observation::Admitted(conn) => admitted(facts, *conn),
            Observation::Got(conn, Got::Excess) => newest(facts, *conn),
            Observation::Refused {
                conn,
                why: Refused::TooMany,
            } => refused(facts, *conn),
            Observation::Quiet { for_ms } if *for_ms >= CLOSED_MS => excess_closed(facts),
            _ => Ok(()),
        }
    }

    pub(super) fn finish(&self, facts: &Facts) -> Verdict {
        (0..)
            .map(User)
            .take(facts.of_user.len())
            .try_for_each(|user| within(facts, user))
    }
}

fn admitted(facts: &Facts, conn: Conn) -> Verdict {
    let Some(of) = facts.conn(conn) else {
        return Ok(());
    };
    let max = facts.promises.connections_max;
    let here = facts
        .admitted(of.user)
        .filter(|(_, other)| other.node == of.node)
        .count();
    promised!(
        facts,
        G4,
        here <= max,
        "{} has {here} connections on {}, the last is {conn}",
        of.user,
        of.node
    );
    if facts
        .all_well_since()
        .is_some_and(|since| since + COUNTED_MS < facts.now)
    {
        within(facts, of.user)?;
    }
    Ok(())
}

/// What was too much when contact returned is closed.
fn excess_closed(facts: &Facts) -> Verdict {
    let Some(since) = facts
        .all_well_since()
        .filter(|since| since + CLOSED_MS < facts.now)
    else {
        return Ok(());
    };
    for user in (0..).map(User).take(facts.of_user.len()) {
        let before = facts
            .admitted(user)
            .filter(|(_, of)| of.admitted_at.is_some_and(|at| at <= since));
        let count = before.count();
        promised!(
            facts,
            G4,
            count <= facts.promises.connections_max,
            "{user} has {count} connections of before contact returned at {since} ms, and the excess is not closed"
        );
    }
    Ok(())
}

fn within(facts: &Facts, user: User) -> Verdict {
    let taken = |of: &super::ConnFacts| of.taken_at.is_some_and(|at| at + TAKEN_MS > facts.now);
    let count = facts.admitted(user).filter(|(_, of)| !taken(of)).count();
    promised!(
        facts,
        G4,
        count <= facts.promises.connections_max,
        "{user} has {count} connections in the cluster, which has been well since {:?}: {:?}",
        facts.all_well_since(),
        facts
            .admitted(user)
            .map(|(conn, of)| (conn, of.node))
            .collect::<Vec<_>>()
    );
    Ok(())
}

/// Connections that may hold a slot without being in.
fn may_hold(facts: &Facts, of: &super::ConnFacts) -> bool {
    let node = &facts.nodes[of.node.index()];
    // Admitted at a node that could not ask, or given back by one that could not say so.
    let disturbed = node.ended.is_some() || node.unwell_at + FREE_MS > facts.now;
    let grace = if disturbed {
        FREE_MS + GIVEN_BACK_MS
    } else {
        GIVEN_BACK_MS
    };
    let since = of
        .left_at
        .or(of.ended_at)
        .unwrap_or(of.dialled_at)
        .max(node.ended.unwrap_or(0));
    let since = if disturbed {
        since.max(node.unwell_at.min(since + FREE_MS))
    } else {
        since
    };
    since + grace > facts.now
}

fn refused(facts: &Facts, conn: Conn) -> Verdict {
    let Some(of) = facts.conn(conn) else {
        return Ok(());
    };
    // What was asked while the bus could not be reached may take effect much later.
    let since = facts
        .all_well_since()
        .filter(|since| since + FREE_MS + GIVEN_BACK_MS < facts.now);
    if since.is_none() {
        return Ok(());
    }
    let holders = facts
        .conns_of(of.user)
        .iter()
        // The place of one that it replaces is there for it.
        .filter(|other| **other != conn && Some(**other) != of.replaces);
    let holders = holders.filter(|other| {
        facts.conn(**other).is_some_and(|other| {
            let is_in = other.admitted_at.is_some() && other.left_at.is_none();
            is_in || (!other.refused && may_hold(facts, other))
        })
    });
    let count = holders.count();
    let max = facts.promises.connections_max;
    promised!(
        facts,
        G4,
        count >= max,
        "{conn} of {} was refused for too many connections, and {count} of {max} are taken at most",
        of.user
    );
    Ok(())
}

fn newest(facts: &Facts, conn: Conn) -> Verdict {
    let Some(of) = facts.conn(conn) else {
        return Ok(());
    };
    let Some(admitted_at) = of.admitted_at else {
        return Ok(());
    };
    // The bus dates slots by its own clock: once that was set, who came first cannot be told from outside.
    if facts
        .clock_set_at
        .is_some_and(|set_at| set_at >= admitted_at)
    {
        return Ok(());
    }
    let left_at = of.left_at.unwrap_or(facts.now);
    // Ages are told by the nodes' own clocks.
    let age = left_at.saturating_sub(admitted_at);
    let apart = 2_000 + age * facts.promises.skew_permille * 2 / 1000;
    let older = facts
        .conns_of(of.user)
        .iter()
        .filter(|other| **other != conn);
    let older = older.filter_map(|other| facts.conn(*other));
    let older = older.filter(|other| {
        other
            .admitted_at
            .is_some_and(|at| at <= admitted_at + apart)
            && other.left_at.is_none_or(|at| at + FREE_MS > left_at)
    });
    let count = older.count();
    promised!(
        facts,
        G4,
        count >= facts.promises.connections_max,
        "{conn} of {} was closed as one too many, and only {count} were there before it",
        of.user
    );
    Ok(())
}
