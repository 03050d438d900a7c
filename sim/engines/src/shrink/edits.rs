//! Changes of a document that keep it one: what is taken out is named nowhere any more, and time goes on.

use crate::engines::{Client, Content, Does, Script, Wish};
use crate::oracle::{Target, Topic, User};

/// Only these tabs stay; acts that named others alone go.
pub(super) fn retain_tabs(script: &mut Script, stays: impl Fn(&Client) -> bool) {
    script.tabs.retain(|client| stays(client));
    let tabs: Vec<u32> = script.tabs.iter().map(|client| client.tab).collect();
    script.acts.retain_mut(|act| {
        let named = act.does.tabs();
        if named.iter().all(|tab| tabs.contains(tab)) {
            return true;
        }
        let left: Vec<u32> = named
            .iter()
            .copied()
            .filter(|tab| tabs.contains(tab))
            .collect();
        set_tabs(&mut act.does, &left);
        !left.is_empty()
    });
}

/// What names a place that is gone goes too; batches are handed in at the first that is left.
pub(super) fn leave_place(script: &mut Script, gone: u32) {
    let next = script.places.first().map_or(0, |seat| seat.place);
    script.acts.retain_mut(|act| {
        if let Does::Publish { place, .. } = &mut act.does
            && *place == gone
        {
            *place = next;
        }
        act.does.place() != Some(gone)
    });
}

/// The plan ends sooner.
pub(super) fn end_at(script: &mut Script, at: u64) {
    if at < script.plan.lasts_ms {
        script.plan.lasts_ms = at;
        script.acts.retain(|act| act.at < at);
        for client in &mut script.tabs {
            client.dials_at = client.dials_at.min(at);
        }
        for seat in &mut script.places {
            seat.starts_at = seat.starts_at.min(at);
        }
    }
}

/// When something is planned, in order.
pub(super) fn moments(script: &Script) -> Vec<u64> {
    let mut moments: Vec<u64> = script.acts.iter().map(|act| act.at).collect();
    moments.extend(script.tabs.iter().map(|client| client.dials_at));
    moments.extend(script.places.iter().map(|seat| seat.starts_at));
    moments.push(script.plan.lasts_ms);
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// What is planned from a moment on comes sooner.
pub(super) fn pull(script: &mut Script, from: u64, by: u64) {
    let sooner = |at: &mut u64| {
        if *at >= from {
            *at -= by;
        }
    };
    script.acts.iter_mut().for_each(|act| sooner(&mut act.at));
    script
        .tabs
        .iter_mut()
        .for_each(|client| sooner(&mut client.dials_at));
    script
        .places
        .iter_mut()
        .for_each(|seat| sooner(&mut seat.starts_at));
    sooner(&mut script.plan.lasts_ms);
}

/// Whether an act concerns this user and nobody else.
pub(super) fn is_only_for(does: &Does, user: User) -> bool {
    let own = |to: Target| match to {
        Target::Trade(of) | Target::State(Topic::Portfolio(of)) => of == user,
        Target::State(Topic::Market | Topic::Quote(_)) => false,
    };
    if let Does::SessionEnds { user: of, .. } = does {
        return *of == user;
    }
    let items = does.items();
    !items.is_empty() && items.iter().all(|item| own(item.to))
}

pub(super) fn set_tabs(does: &mut Does, left: &[u32]) {
    if let Does::Stall { tabs, .. } | Does::Vanish { tabs } | Does::Herd { tabs } = does {
        *tabs = left.to_vec();
    }
}

pub(super) fn set_items(does: &mut Does, left: &[Content]) {
    if let Does::Publish { items, .. } | Does::Emit { items } = does {
        *items = left.to_vec();
    }
}

/// Neither keyed nor late, without a power failure, and not hurried.
pub(super) fn without_flags(does: &mut Does) {
    if let Does::Publish { keyed, late, .. } = does {
        (*keyed, *late) = (false, false);
    }
    if let Does::NodeCrash { power: flag, .. } | Does::Restart { hurried: flag, .. } = does {
        *flag = false;
    }
}

/// Payloads as short as they can be.
pub(super) fn without_bytes(does: &mut Does) {
    if let Does::Publish { items, .. } | Does::Emit { items } = does {
        for item in items {
            item.bytes = 0;
        }
    }
}

/// A fault ends at once, or lasts half as long, or a third less; a flood is as much smaller.
pub(super) fn lessen(does: &mut Does, share: u64) {
    let less = |amount: u64| match share {
        0 => 0,
        2 => amount / 2,
        _ => amount * 2 / 3,
    };
    if let Does::Client {
        does: Wish::Flood(events),
        ..
    } = does
    {
        *events = u32::try_from(less(u64::from(*events)))
            .unwrap_or(*events)
            .max(1);
    }
    if let Does::Cut { ms, .. }
    | Does::RequestsStuck { ms, .. }
    | Does::AnswersStuck { ms, .. }
    | Does::PushesStuck { ms, .. }
    | Does::SlowBus { ms, .. }
    | Does::HungBus { ms }
    | Does::BusCrash { ms }
    | Does::NodeCrash { ms, .. }
    | Does::Restart { ms, .. }
    | Does::Stall { ms, .. }
    | Does::SessionEnds { ms, .. }
    | Does::Garbage { ms } = does
    {
        *ms = less(*ms);
    }
}
