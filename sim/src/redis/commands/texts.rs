//! Commands about texts: GET, GETRANGE, MGET, SET.

use bytes::Bytes;

use super::super::core::{Caller, Core};
use super::super::keyspace::{Entry, Value};
use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::{arg, int, is, range};

fn bulk(text: Option<&Bytes>) -> Reply {
    text.map_or(Reply::Null, |text| Reply::Bulk(text.clone()))
}

pub(super) fn get(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    Ok(bulk(core.read(caller)?.text(arg(args, 1)?)?))
}

pub(super) fn getrange(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    let (from, to) = (int(args, 2)?, int(args, 3)?);
    let text = core
        .read(caller)?
        .text(arg(args, 1)?)?
        .cloned()
        .unwrap_or_default();
    if from < 0 && to < from {
        return Ok(Reply::Bulk(Bytes::new()));
    }
    // An end before the first byte counts as the first byte, here and nowhere else.
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let to = if to < -length { 0 } else { to };
    Ok(Reply::Bulk(text.slice(range(from, to, text.len()))))
}

pub(super) fn mget(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let keys = core.read(caller)?;
    let named = args.iter().skip(1);
    // A key of another type is no text, and no error here.
    Ok(Reply::Array(
        named
            .map(|key| bulk(keys.text(key).ok().flatten()))
            .collect(),
    ))
}

/// What SET may be told.
#[derive(Default)]
struct Options {
    if_absent: bool,
    if_present: bool,
    /// How long it lives, and how many ms its unit has.
    life: Option<(i64, i64)>,
}

impl Options {
    fn read(mut rest: &[Bytes]) -> Result<Self, Refusal> {
        let mut options = Self::default();
        let mut life = None;
        while let [option, after @ ..] = rest {
            rest = match after {
                _ if is(option, "nx") && !options.if_present => {
                    options.if_absent = true;
                    after
                }
                _ if is(option, "xx") && !options.if_absent => {
                    options.if_present = true;
                    after
                }
                [time, after @ ..]
                    if is(option, "px") && life.is_none_or(|(_, unit)| unit == 1) =>
                {
                    life = Some((time, 1));
                    after
                }
                [time, after @ ..]
                    if is(option, "ex") && life.is_none_or(|(_, unit)| unit == 1_000) =>
                {
                    life = Some((time, 1_000));
                    after
                }
                [..] => return Err(Refusal::Syntax),
            };
        }
        if let Some((time, unit)) = life {
            let time = super::integer(time).ok_or(Refusal::NotInteger)?;
            options.life = Some((time, unit));
        }
        Ok(options)
    }

    fn expires(&self, now_ms: u64) -> Result<Option<u64>, Refusal> {
        const INVALID: Refusal = Refusal::ExpireTime("set");
        let Some((life, unit)) = self.life else {
            return Ok(None);
        };
        let life = life
            .checked_mul(unit)
            .filter(|life| *life > 0)
            .ok_or(INVALID)?;
        let expires = now_ms.cast_signed().checked_add(life).ok_or(INVALID)?;
        Ok(Some(expires.cast_unsigned()))
    }
}

pub(super) fn set(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let options = Options::read(args.get(3..).unwrap_or_default())?;
    let expires = options.expires(core.clock.now_ms())?;
    let (key, text) = (arg(args, 1)?, arg(args, 2)?);
    let there = core.read(caller)?.get(key).is_some();
    if (options.if_absent && there) || (options.if_present && !there) {
        return Ok(Reply::Null);
    }
    let value = Value::Text(text.clone());
    core.put(caller.db, key, Some(Entry { value, expires }));
    Ok(Reply::OK)
}
