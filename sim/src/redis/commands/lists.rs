//! Commands about lists: LINDEX, LPUSH, LTRIM.

use std::collections::VecDeque;

use bytes::Bytes;

use super::super::core::{Caller, Core};
use super::super::keyspace::{Entry, Value};
use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::{arg, int, range};

/// Changes the list at `key`, which is of that type or was put there.
fn change<R>(
    core: &mut Core,
    caller: &Caller,
    key: &Bytes,
    change: impl FnOnce(&mut VecDeque<Bytes>) -> R,
) -> Result<R, Refusal> {
    let changed = core.change(caller.db, key, |value| match value {
        Value::List(items) => Ok(change(items)),
        Value::Hash(_) | Value::Stream(_) | Value::Text(_) => Err(Refusal::WrongType),
    });
    changed.unwrap_or(Err(Refusal::WrongType))
}

pub(super) fn lindex(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    let Some(items) = core.read(caller)?.list(arg(args, 1)?)? else {
        return Ok(Reply::Null);
    };
    let place = int(args, 2)?;
    let place = if place < 0 {
        let back = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX);
        items.len().checked_sub(back)
    } else {
        usize::try_from(place).ok()
    };
    let item = place.and_then(|place| items.get(place));
    Ok(item.map_or(Reply::Null, |item| Reply::Bulk(item.clone())))
}

pub(super) fn lpush(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    let key = arg(args, 1)?;
    if core.read(caller)?.list(key)?.is_none() {
        let value = Value::List(VecDeque::new());
        let expires = None;
        core.put(caller.db, key, Some(Entry { value, expires }));
    }
    change(core, caller, key, |items| {
        args.iter()
            .skip(2)
            .for_each(|item| items.push_front(item.clone()));
        Reply::count(items.len())
    })
}

pub(super) fn ltrim(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    let (from, to) = (int(args, 2)?, int(args, 3)?);
    let key = arg(args, 1)?;
    if core.read(caller)?.list(key)?.is_none() {
        return Ok(Reply::OK);
    }
    let empty = change(core, caller, key, |items| {
        let kept = range(from, to, items.len());
        items.truncate(kept.end);
        items.drain(..kept.start.min(items.len()));
        items.is_empty()
    })?;
    if empty {
        core.remove(caller.db, key);
    }
    Ok(Reply::OK)
}
