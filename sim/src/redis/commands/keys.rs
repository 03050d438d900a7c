//! Commands about any key: DEL, EXISTS, PEXPIRE, PTTL.

use bytes::Bytes;

use super::super::core::{Caller, Core};
use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::{arg, int};

pub(super) fn del(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let keys = args.iter().skip(1);
    Ok(Reply::count(
        keys.filter(|key| core.remove(caller.db, key)).count(),
    ))
}

pub(super) fn exists(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    let keys = core.read(caller)?;
    let named = args.iter().skip(1);
    Ok(Reply::count(
        named.filter(|key| keys.get(key).is_some()).count(),
    ))
}

pub(super) fn pexpire(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    let key = arg(args, 1)?;
    // Options are read before the time.
    if let Some(option) = args.get(3) {
        return Err(Refusal::echo(&[b"ERR Unsupported option ", option]));
    }
    let life = int(args, 2)?;
    let now = core.clock.now_ms().cast_signed();
    let expires = now
        .checked_add(life)
        .ok_or(Refusal::ExpireTime("pexpire"))?;
    let there = if expires <= now {
        core.remove(caller.db, key)
    } else {
        core.set_expiry(caller.db, key, expires.cast_unsigned())
    };
    Ok(Reply::Int(i64::from(there)))
}

pub(super) fn pttl(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let now = core.clock.now_ms();
    let entry = core.read(caller)?.get(arg(args, 1)?);
    Ok(Reply::Int(match entry.map(|entry| entry.expires) {
        None => -2,
        Some(None) => -1,
        Some(Some(expires)) => expires.saturating_sub(now).cast_signed(),
    }))
}
