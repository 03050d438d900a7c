//! Commands about hashes: HDEL, HGET, HGETALL, HSET.

use bytes::Bytes;

use super::super::core::{Caller, Core};
use super::super::keyspace::{Entry, Fields, Value};
use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::super::tap::Wrote;
use super::arg;

/// Changes the hash at `key`, which is of that type or was put there.
fn change<R>(
    core: &mut Core,
    caller: &Caller,
    key: &Bytes,
    change: impl FnOnce(&mut Fields) -> R,
) -> Result<R, Refusal> {
    let changed = core.change(caller.db, key, |value| match value {
        Value::Hash(fields) => Ok(change(fields)),
        Value::List(_) | Value::Stream(_) | Value::Text(_) => Err(Refusal::WrongType),
    });
    changed.unwrap_or(Err(Refusal::WrongType))
}

pub(super) fn hget(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let fields = core.read(caller)?.hash(arg(args, 1)?)?;
    let value = fields.and_then(|fields| args.get(2).and_then(|field| fields.get(field)));
    Ok(value.map_or(Reply::Null, |value| Reply::Bulk(value.clone())))
}

pub(super) fn hgetall(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    let fields = core.read(caller)?.hash(arg(args, 1)?)?;
    let bulk = |bytes: &Bytes| Reply::Bulk(bytes.clone());
    let pairs = fields.into_iter().flatten();
    Ok(Reply::Map(
        pairs
            .map(|(field, value)| (bulk(field), bulk(value)))
            .collect(),
    ))
}

pub(super) fn hset(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let key = arg(args, 1)?;
    let (pairs, rest) = args.get(2..).unwrap_or_default().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Refusal::Arity("hset"));
    }
    if core.read(caller)?.hash(key)?.is_none() {
        let value = Value::Hash(Fields::default());
        let expires = None;
        core.put(caller.db, key, Some(Entry { value, expires }));
    }
    let added: Vec<_> = change(core, caller, key, |fields| {
        let added = pairs
            .iter()
            .filter(|[field, value]| fields.insert(field.clone(), value.clone()).is_none());
        added.collect()
    })?;
    for [field, value] in &added {
        let hash = key;
        core.wrote(Wrote::Added { hash, field, value });
    }
    Ok(Reply::count(added.len()))
}

pub(super) fn hdel(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let key = arg(args, 1)?;
    if core.read(caller)?.hash(key)?.is_none() {
        return Ok(Reply::Int(0));
    }
    let (removed, empty) = change(core, caller, key, |fields| {
        let named = args.iter().skip(2);
        let removed = named
            .filter(|field| fields.shift_remove(*field).is_some())
            .count();
        (removed, fields.is_empty())
    })?;
    if empty {
        core.remove(caller.db, key);
    }
    Ok(Reply::count(removed))
}
