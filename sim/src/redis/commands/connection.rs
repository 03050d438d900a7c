//! Commands about the connection and the server: HELLO, AUTH, SELECT, PING, TIME.

use bytes::Bytes;

use super::super::core::{Caller, Core};
use super::super::refusal::Refusal;
use super::super::reply::{Protocol, Reply};
use super::super::resp::integer;
use super::{DATABASES, arg, is};

/// The only user there is.
const USER: &str = "default";

/// The Redis that this one behaves as.
const VERSION: &str = "7.0.15";

pub(super) fn hello(
    core: &mut Core,
    caller: &mut Caller,
    args: &[Bytes],
) -> Result<Reply, Refusal> {
    let wanted = match args.get(1) {
        None => None,
        Some(version) => match integer(version) {
            Some(2) => Some(Protocol::Resp2),
            Some(3) => Some(Protocol::Resp3),
            Some(_) => return Err(Refusal::NoProtocol),
            None => return Err(Refusal::ProtocolNotInteger),
        },
    };
    let mut login = None;
    let mut rest = args.get(2..).unwrap_or_default();
    while let [option, after @ ..] = rest {
        rest = match after {
            [user, password, after @ ..] if is(option, "auth") => {
                login = Some((user, password));
                after
            }
            [name, after @ ..] if is(option, "setname") => {
                if !name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
                    return Err(Refusal::ClientName);
                }
                after
            }
            [..] => {
                return Err(Refusal::echo(&[
                    b"ERR Syntax error in HELLO option '",
                    option,
                    b"'",
                ]));
            }
        };
    }
    if let Some((user, password)) = login {
        log_in(core, caller, user, password)?;
    }
    let client = core.clients.get_mut(caller.client).ok_or(Refusal::NoAuth)?;
    if !client.logged_in {
        return Err(Refusal::NoAuthHello);
    }
    client.protocol = wanted.unwrap_or(client.protocol);
    let number = match client.protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    let id = i64::try_from(caller.client).unwrap_or(i64::MAX);
    Ok(Reply::Map(vec![
        (Reply::text("server"), Reply::text("redis")),
        (Reply::text("version"), Reply::text(VERSION)),
        (Reply::text("proto"), Reply::Int(number)),
        (Reply::text("id"), Reply::Int(id)),
        (Reply::text("mode"), Reply::text("standalone")),
        (Reply::text("role"), Reply::text("master")),
        (Reply::text("modules"), Reply::Array(Vec::new())),
    ]))
}

pub(super) fn auth(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    match args {
        [_, _] if core.settings.password.is_none() => return Err(Refusal::NoPassword),
        [_, password] => log_in(core, caller, USER.as_bytes(), password)?,
        [_, user, password] => log_in(core, caller, user, password)?,
        [..] => return Err(Refusal::Syntax),
    }
    Ok(Reply::OK)
}

fn log_in(core: &mut Core, caller: &Caller, user: &[u8], password: &[u8]) -> Result<(), Refusal> {
    // Without a password any will do.
    let fits = core
        .settings
        .password
        .as_ref()
        .is_none_or(|expected| expected.as_bytes() == password);
    if user != USER.as_bytes() || !fits {
        return Err(Refusal::WrongPassword);
    }
    if let Some(client) = core.clients.get_mut(caller.client) {
        client.logged_in = true;
    }
    Ok(())
}

pub(super) fn select(_: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let db = i32::try_from(super::int(args, 1)?).map_err(|_| Refusal::NotInt32)?;
    let db = usize::try_from(db).ok().filter(|db| *db < DATABASES);
    caller.db = db.ok_or(Refusal::Database)?;
    Ok(Reply::OK)
}

pub(super) fn ping(core: &mut Core, caller: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let text = match args {
        [_] => None,
        [_, text] => Some(text),
        [..] => return Err(Refusal::Arity("ping")),
    };
    let client = core.clients.get(caller.client);
    let as_push = client
        .is_some_and(|client| client.protocol == Protocol::Resp2 && client.subscriptions() > 0);
    Ok(match text {
        text if as_push => {
            let text = text.cloned().unwrap_or_default();
            Reply::Array(vec![Reply::text("pong"), Reply::Bulk(text)])
        }
        None => Reply::Status(Bytes::from_static(b"PONG")),
        Some(text) => Reply::Bulk(text.clone()),
    })
}

pub(super) fn time(core: &mut Core, _: &mut Caller, args: &[Bytes]) -> Result<Reply, Refusal> {
    let _name = arg(args, 0)?;
    let now = core.clock.now_us();
    let part = |number: u64| Reply::Bulk(Bytes::from(number.to_string()));
    Ok(Reply::Array(vec![
        part(now / 1_000_000),
        part(now % 1_000_000),
    ]))
}
