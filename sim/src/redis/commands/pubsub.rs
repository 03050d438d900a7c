//! Commands about channels: PUBLISH, SUBSCRIBE, UNSUBSCRIBE and those with a P.

use bytes::Bytes;

use super::super::core::{Caller, Core};
use super::super::pubsub::Kind;
use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::arg;

pub(super) fn publish(core: &mut Core, _: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let (channel, message) = (arg(args, 1)?, arg(args, 2)?);
    Ok(Reply::count(core.publish(channel, message)))
}

pub(super) fn subscribe(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    begin(core, caller, args, Kind::Channel, "subscribe")
}

pub(super) fn psubscribe(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    begin(core, caller, args, Kind::Pattern, "psubscribe")
}

pub(super) fn unsubscribe(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    end(core, caller, args, Kind::Channel, "unsubscribe")
}

pub(super) fn punsubscribe(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    end(core, caller, args, Kind::Pattern, "punsubscribe")
}

fn begin(
    core: &mut Core,
    caller: &Caller,
    args: &[Bytes],
    kind: Kind,
    word: &'static str,
) -> Result<Reply, Refusal> {
    let mut told = Vec::new();
    for name in args.iter().skip(1) {
        let client = core.clients.get_mut(caller.client).ok_or(Refusal::NoAuth)?;
        let held = match kind {
            Kind::Channel => &mut client.channels,
            Kind::Pattern => &mut client.patterns,
        };
        if !held.contains(name) {
            held.push(name.clone());
            core.pubsub.add(kind, name.clone(), caller.client);
        }
        told.push(confirmation(
            word,
            Reply::Bulk(name.clone()),
            client.subscriptions(),
        ));
    }
    Ok(Reply::Each(told))
}

fn end(
    core: &mut Core,
    caller: &Caller,
    args: &[Bytes],
    kind: Kind,
    word: &'static str,
) -> Result<Reply, Refusal> {
    let client = core.clients.get_mut(caller.client).ok_or(Refusal::NoAuth)?;
    let named: Vec<Bytes> = match (args.get(1..).unwrap_or_default(), kind) {
        ([], Kind::Channel) => client.channels.clone(),
        ([], Kind::Pattern) => client.patterns.clone(),
        (named, _) => named.to_vec(),
    };
    let mut told = Vec::new();
    for name in named {
        let held = match kind {
            Kind::Channel => &mut client.channels,
            Kind::Pattern => &mut client.patterns,
        };
        held.retain(|other| *other != name);
        core.pubsub.remove(kind, &name, caller.client);
        told.push(confirmation(
            word,
            Reply::Bulk(name),
            client.subscriptions(),
        ));
    }
    if told.is_empty() {
        told.push(confirmation(word, Reply::Null, client.subscriptions()));
    }
    Ok(Reply::Each(told))
}

fn confirmation(word: &'static str, name: Reply, subscriptions: usize) -> Reply {
    Reply::Push(vec![Reply::text(word), name, Reply::count(subscriptions)])
}
