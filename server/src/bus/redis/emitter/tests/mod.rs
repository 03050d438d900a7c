//! Messages of the real emitter, and of others that speak the same, are understood.

mod heard;
mod hostile;

use tradewire_engine::event::{LogKind, Target, Topic};
use tradewire_engine::ids::{Symbol, UserId};

use super::*;
use heard::Heard;

const STAMP: &str = r#""timestamp":"2025-01-15T12:00:00.000Z""#;

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn read(channel: &str, body: &[u8]) -> Result<Vec<Publish>, EmitterError> {
    let wall = WallTime::from_unix_ms(1_736_942_400_000);
    decode(channel.as_bytes(), body, wall, &ParseLimits::default())
}

fn heard((channel, body): Heard) -> Result<Vec<Publish>, EmitterError> {
    read(channel, &bytes(body))
}

/// Targets and payloads, without the timestamp that is added.
fn taken(heard: Result<Vec<Publish>, EmitterError>) -> Vec<(Target, String)> {
    let item = |item: Publish| {
        let text = item.payload.text().replace(STAMP, "#");
        (item.target, text.replace(",#}", "}"))
    };
    heard.unwrap().into_iter().map(item).collect()
}

fn log(kind: LogKind, user: &str) -> Target {
    let user = UserId::new(user).unwrap();
    Target::Log { kind, user }
}

fn portfolio(user: &str) -> Target {
    Target::State(Topic::Portfolio(UserId::new(user).unwrap()))
}

/// A message as the emitter writes it, around these bytes of data and rooms.
fn message(data: &[u8], rooms: &[u8]) -> Vec<u8> {
    let pieces: [&[u8]; 7] = [
        b"\x93\xa7emitter\x83\xa4type\x02\xa4data",
        data,
        b"\xa3nsp\xa1/",
        b"\x83\xa5rooms",
        rooms,
        b"\xa5flags\x80",
        b"\xa6except\x90",
    ];
    pieces.concat()
}

/// What `market:status` with this argument becomes.
fn status(argument: &[u8]) -> Result<String, EmitterError> {
    let data = [b"\x92\xadmarket:status", argument].concat();
    let items = read("socket.io#/#", &message(&data, b"\x90"))?;
    let items = taken(Ok(items));
    Ok(items[0].1.clone())
}

#[test]
fn a_message_for_one_room_is_for_its_user() {
    let payload = r#"{"totalValue":125430.5,"positions":[{"symbol":"AAPL","quantity":100}]}"#;
    let items = taken(heard(heard::ONE_ROOM));
    assert_eq!(items, [(portfolio("ann"), payload.into())]);
}

#[test]
fn a_message_for_several_rooms_is_one_item_for_each() {
    let payload = r#"{"tradeId":"t-1","symbol":"AAPL","quantity":10,"price":175.25}"#;
    let of = |user| (log(LogKind::TradeExecuted, user), payload.to_owned());
    let items = taken(heard(heard::SEVERAL_ROOMS));
    assert_eq!(items, [of("ann"), of("bob"), of("12")]);
}

#[test]
fn a_quote_gets_the_symbol_of_its_room() {
    let items = heard(heard::ONE_SYMBOL).unwrap();
    let payload = format!(r#"{{"price":412.1,"symbol":"BRK.B",{STAMP}}}"#);
    assert_eq!(items[0].payload.text(), payload);
    assert_eq!(
        items[0].target,
        Target::State(Topic::Quote(Symbol::new("BRK.B").unwrap()))
    );
}

#[test]
fn a_message_for_all_is_the_markets() {
    let payload = r#"{"status":"open","holiday":null,"early":false,"late":true}"#;
    let items = taken(heard(heard::TO_ALL));
    assert_eq!(items, [(Target::State(Topic::Market), payload.into())]);
}

#[test]
fn flags_that_ask_for_less_change_nothing() {
    let payload = r#"{"error":"Insufficient funds","message":"Insufficient funds"}"#;
    let items = taken(heard(heard::FLAGS));
    assert_eq!(items, [(log(LogKind::TradeFailed, "ann"), payload.into())]);
}

#[test]
fn numbers_arrive_as_they_were_sent() {
    let payload = concat!(
        r#"{"a":[0,0,127,128,255,256,65535,65536,4294967295,4294967296,9007199254740991],"#,
        r#""b":[-1,-32,-33,-128,-129,-32768,-32769,-2147483648,-2147483649,-9007199254740991],"#,
        // The emitter itself sends 0 for a whole number that has no 64 bits.
        r#""c":[0.1,-0.1,1e-7,0,5e-324,1.5],"d":[null,null,null]}"#
    );
    let items = taken(heard(heard::NUMBERS));
    assert_eq!(items, [(portfolio("ann"), payload.into())]);
    // As others send them.
    for (packed, number) in [
        (
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff".as_slice(),
            "18446744073709551615",
        ),
        (
            b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
            "-9223372036854775808",
        ),
        (
            b"\xcb\x7f\xef\xff\xff\xff\xff\xff\xff",
            "1.7976931348623157e+308",
        ),
        (b"\xcb\x40\x62\xc0\x00\x00\x00\x00\x00", "150.0"),
        (b"\xca\x3e\x80\x00\x00", "0.25"),
        (b"\xca\x7f\x80\x00\x00", "null"),
    ] {
        let argument = [b"\x81\xa1x", packed].concat();
        assert_eq!(status(&argument), Ok(format!(r#"{{"x":{number}}}"#)));
    }
}

#[test]
fn text_arrives_as_it_was_sent() {
    let text = r#""žluťoučký 🐎 \"quoted\"\n\\ \u0001""#;
    let x = "x".repeat(40);
    let payload = format!(r#"{{"error":{text},"ключ":"{x}","message":{text}}}"#);
    let items = taken(heard(heard::UNICODE));
    assert_eq!(items, [(log(LogKind::TradeFailed, "zoë ☃"), payload)]);
}

#[test]
fn dates_become_what_node_makes_of_them() {
    // One date of the real message lies before 1970.
    let (channel, body) = heard::DATES;
    assert_eq!(
        read(channel, &bytes(body)),
        Err(UnpackError::Extension.into())
    );
    let body = body.replace(
        "c70cff1dcd6500ffffffffed300880",
        "c70cff1dcd6500000000006787c668",
    );
    let payload = concat!(
        r#"{"opens":"2025-01-15T14:30:00.000Z","closes":"2025-01-15T21:00:00.123Z","#,
        r#""past":"2025-01-15T14:30:00.500Z","list":[null]}"#
    );
    let items = taken(read(channel, &bytes(&body)));
    assert_eq!(items, [(Target::State(Topic::Market), payload.into())]);
    // As older emitters write a date and `undefined`.
    let old = [
        b"\x83\xa1d\xd7\x00".as_slice(),
        &1_736_951_400_000_u64.to_be_bytes(),
        b"\xa1u\xd4\x00\x00\xa1l\x91\xd4\x00\x00",
    ]
    .concat();
    assert_eq!(
        status(&old).unwrap(),
        r#"{"d":"2025-01-15T14:30:00.000Z","l":[null]}"#
    );
}

#[test]
fn what_a_publish_cannot_say_is_refused() {
    for (message, expected) in [
        (heard::EXCEPT, EmitterError::Except),
        (heard::BINARY, UnpackError::Binary.into()),
        (heard::TWO_ARGUMENTS, EmitterError::Arguments),
        (heard::NO_ARGUMENT, EmitterError::Arguments),
        (heard::NAMESPACE, EmitterError::Channel),
    ] {
        assert_eq!(heard(message), Err(expected), "{message:?}");
    }
    let (_, admin) = heard::NAMESPACE;
    let moved = read("socket.io#/#", &bytes(admin));
    assert_eq!(moved, Err(EmitterError::Namespace));
}

#[test]
fn a_message_reaches_no_further_than_its_channel() {
    let (_, one) = heard::ONE_ROOM;
    let (_, several) = heard::SEVERAL_ROOMS;
    let (_, all) = heard::TO_ALL;
    assert!(read("socket.io#/#", &bytes(one)).is_ok());
    for (channel, body) in [
        ("socket.io#/#user:bob#", one),
        ("socket.io#/#user:ann", one),
        ("socket.io#/##", one),
        ("socket.io#/#user:ann#", several),
        ("socket.io#/#user:ann#", all),
        ("socket.io#", all),
        ("tradewire:{state}:ch", all),
        ("", all),
    ] {
        let read = read(channel, &bytes(body));
        assert_eq!(read, Err(EmitterError::Channel), "{channel}");
    }
}

#[test]
fn what_other_programs_leave_out_or_add_is_no_matter() {
    let event = b"\x92\xadmarket:status\x80";
    let bodies: [Vec<u8>; 4] = [
        // No nsp, no flags, no except; `nil` for rooms.
        [
            b"\x93\xc0\x82\xa4type\x02\xa4data".as_slice(),
            event,
            b"\x81\xa5rooms\xc0",
        ]
        .concat(),
        // A number as a signed one, `nil` for the rest, fields of their own.
        [
            b"\x93\xa1x\x83\xa4data".as_slice(),
            event,
            b"\xa4type\xd1\x00\x02\xa2id\x91\x82\xa1a\xc4\x01\x00\xa1b\xd4\x05\x00",
            b"\x84\xa5flags\xc0\xa6except\xc0\xa5rooms\x90\xa4more\xca\x00\x00\x00\x00",
        ]
        .concat(),
        // The long forms of lengths.
        [
            b"\xdd\x00\x00\x00\x03\xc0\xdf\x00\x00\x00\x02\xdb\x00\x00\x00\x04type\xcf".as_slice(),
            b"\x00\x00\x00\x00\x00\x00\x00\x02\xda\x00\x04data",
            event,
            b"\xde\x00\x01\xd9\x05rooms\xdc\x00\x00",
        ]
        .concat(),
        // Of a field given twice the last one counts.
        [
            b"\x93\xc0\x83\xa4type\x03\xa4data".as_slice(),
            event,
            b"\xa4type\x02\x82\xa5rooms\x91\xa1x\xa5rooms\x90",
        ]
        .concat(),
    ];
    for body in bodies {
        let items = taken(read("socket.io#/#", &body));
        assert_eq!(items, [(Target::State(Topic::Market), "{#}".into())]);
    }
}

#[test]
fn a_message_for_the_senders_own_clients_is_refused() {
    let with = |flag: &[u8]| {
        let body = message(b"\x92\xadmarket:status\x80", b"\x90");
        let flags = [b"\xa5flags\x81\xa5local", flag].concat();
        let at = body.windows(7).position(|w| w == b"\xa5flags\x80").unwrap();
        let body = [&body[..at], &flags, &body[at + 7..]].concat();
        read("socket.io#/#", &body)
    };
    assert_eq!(with(b"\xc3"), Err(EmitterError::Local));
    assert!(with(b"\xc2").is_ok());
    assert!(with(b"\x91\xc3").is_ok());
}
