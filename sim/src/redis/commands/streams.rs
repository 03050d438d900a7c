//! Commands about streams: XADD, XREAD.

use bytes::Bytes;

use super::super::clients::Reading;
use super::super::core::{Caller, Core};
use super::super::keyspace::{Entry, Value};
use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::super::resp::integer;
use super::super::stream::{Stream, StreamId};
use super::super::tap::Wrote;
use super::{arg, int, is};

/// How a stream is kept short.
#[derive(Clone, Copy)]
struct MaxLen {
    length: usize,
    /// Whole nodes only, and not too many at once.
    about: bool,
}

/// An entry to be added.
struct Adding<'a> {
    max: Option<MaxLen>,
    /// None means that Redis makes one.
    id: Option<StreamId>,
    pairs: &'a [[Bytes; 2]],
}

impl<'a> Adding<'a> {
    fn read(args: &'a [Bytes]) -> Result<Self, Refusal> {
        let mut max = None;
        let mut place = 2;
        let id = loop {
            let word = arg(args, place)?;
            if *word == b"*"[..] {
                break None;
            }
            if is(word, "maxlen") && args.len() > place + 1 {
                let sign = arg(args, place + 1)?;
                let about = *sign == b"~"[..];
                if args.len() > place + 2 && (about || *sign == b"="[..]) {
                    place += 1;
                }
                let length = int(args, place + 1)?;
                let length = usize::try_from(length).map_err(|_| Refusal::MaxLen)?;
                max = Some(MaxLen { length, about });
                place += 2;
            } else {
                break Some(StreamId::parse(word).ok_or(Refusal::StreamId)?);
            }
            if args.len() <= place {
                return Err(Refusal::Arity("xadd"));
            }
        };
        match args.get(place + 1..).unwrap_or_default().as_chunks::<2>() {
            ([], _) | (_, [_, ..]) => Err(Refusal::Arity("xadd")),
            (pairs, []) => Ok(Self { max, id, pairs }),
        }
    }
}

pub(super) fn xadd(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let key = arg(args, 1)?;
    let Adding { max, id, pairs } = Adding::read(args)?;
    if id == Some(StreamId::default()) {
        return Err(Refusal::StreamIdZero);
    }
    let stream = core.read(caller)?.stream(key)?;
    let last = stream.map(Stream::last).unwrap_or_default();
    if last == StreamId::MAX {
        return Err(Refusal::StreamIdsExhausted);
    }
    let now = core.clock.now_ms();
    let id = id
        .or_else(|| last.following(now))
        .ok_or(Refusal::StreamIdsExhausted)?;
    if id <= last {
        return Err(Refusal::StreamIdSmall);
    }
    if stream.is_none() {
        let value = Value::Stream(Stream::default());
        let expires = None;
        core.put(caller.db, key, Some(Entry { value, expires }));
    }
    core.wrote(Wrote::Appended {
        stream: key,
        id,
        pairs,
    });
    let bounds = core.settings.stream_nodes;
    let pairs = pairs
        .iter()
        .map(|[field, value]| (field.clone(), value.clone()))
        .collect();
    core.change(caller.db, key, |value| {
        if let Value::Stream(stream) = value {
            stream.append(id, pairs, bounds);
            match max {
                Some(MaxLen {
                    length,
                    about: true,
                }) => {
                    stream.trim_nodes(length, bounds.trimmed_at_once());
                }
                Some(MaxLen {
                    length,
                    about: false,
                }) => stream.trim(length),
                None => {}
            }
        }
    });
    core.appended(caller.db, key);
    Ok(Reply::Bulk(Bytes::from(id.to_string())))
}

/// What is to be read.
struct Query<'a> {
    /// 0 means all.
    count: usize,
    /// For how many ms to wait; 0 means for ever.
    block: Option<u64>,
    keys: &'a [Bytes],
    ids: &'a [Bytes],
}

impl<'a> Query<'a> {
    fn read(args: &'a [Bytes]) -> Result<Self, Refusal> {
        let (mut count, mut block) = (0, None);
        let mut place = 1;
        loop {
            let word = args.get(place).ok_or(Refusal::Syntax)?;
            let has_more = args.len() > place + 1;
            if is(word, "block") && has_more {
                let wait = integer(arg(args, place + 1)?).ok_or(Refusal::TimeoutNotInteger)?;
                block = Some(u64::try_from(wait).map_err(|_| Refusal::TimeoutNegative)?);
            } else if is(word, "count") && has_more {
                // A negative count is none.
                count = usize::try_from(int(args, place + 1)?).unwrap_or(0);
            } else if is(word, "streams") && has_more {
                break;
            } else {
                return Err(Refusal::Syntax);
            }
            place += 2;
        }
        let named = args.get(place + 1..).unwrap_or_default();
        if named.len() % 2 != 0 {
            return Err(Refusal::Unbalanced);
        }
        let (keys, ids) = named.split_at(named.len() / 2);
        Ok(Self {
            count,
            block,
            keys,
            ids,
        })
    }
}

pub(super) fn xread(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    let Query {
        count,
        block,
        keys,
        ids,
    } = Query::read(args)?;
    let mut streams = Vec::with_capacity(keys.len());
    for (key, id) in keys.iter().zip(ids) {
        let stream = core.read(caller)?.stream(key)?;
        let after = if *id == b"$"[..] {
            stream.map(Stream::last).unwrap_or_default()
        } else if *id == b">"[..] {
            return Err(Refusal::GroupId);
        } else {
            StreamId::parse(id).ok_or(Refusal::StreamId)?
        };
        streams.push((key.clone(), after));
    }
    let mut found = Vec::new();
    for (key, after) in &streams {
        if let Some(stream) = core.read(caller)?.stream(key)?
            && stream.after(*after).next().is_some()
        {
            found.push(entries(key, stream, *after, count));
        }
    }
    if !found.is_empty() {
        return Ok(Reply::Pairs(found));
    }
    // A script never waits.
    let Some(block) = block.filter(|_| !caller.in_script) else {
        return Ok(Reply::NullArray);
    };
    let until = core.clock.now_ms().saturating_add(block);
    let reading = Reading {
        db: caller.db,
        streams,
        count,
        until: (block != 0).then_some(until),
    };
    core.wait(caller.client, reading);
    Ok(Reply::Each(Vec::new()))
}

/// A stream's name with its entries after an id; `count` of them at most, unless 0.
pub(in super::super) fn entries(
    key: &Bytes,
    stream: &Stream,
    after: StreamId,
    count: usize,
) -> (Reply, Reply) {
    let count = if count == 0 { usize::MAX } else { count };
    let items = stream.after(after).take(count).map(|item| {
        let pairs = item.pairs.iter();
        let texts = pairs.flat_map(|(field, value)| [field.clone(), value.clone()]);
        let id = Reply::Bulk(Bytes::from(item.id.to_string()));
        Reply::Array(vec![id, Reply::Array(texts.map(Reply::Bulk).collect())])
    });
    (Reply::Bulk(key.clone()), Reply::Array(items.collect()))
}
