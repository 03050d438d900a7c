//! Traces that were made up: an engine that decided otherwise, a crash, and a user with a hostile name.

use tradewire_engine::ids::{ConnId, RequestId, SessionId, SocketId, UserId};
use tradewire_engine::input::SessionVerdict;
use tradewire_engine::limits::Limits;
use tradewire_engine::parse::{Auth, UserClaim};
use tradewire_engine::time::{Timestamp, WallTime};
use tradewire_engine::{BusKind, Config, Delivery, Effects, Engine, Input};
use tradewire_trace::{Build, Encoder, Header, Segment};

use super::*;
use crate::trace::DIFFERS;

const HOSTILE: &str = "</script><img src=x onerror=alert(1)>";

/// What a node records that lets one client in and then, `tampered`, was told something whose effects it
/// did not write down as they are.
fn recorded(node: &str, started: u64, tampered: bool) -> Vec<u8> {
    let config = Config {
        limits: Limits::default(),
        delivery: Delivery::All,
        bus: BusKind::Embedded,
        seed: 7,
        instance: started,
    };
    let header = Header {
        build: Build::this(),
        node: node.to_owned(),
        started: WallTime::from_unix_ms(started),
        begun: WallTime::from_unix_ms(started),
        segment: 0,
        masked: false,
        config: config.clone(),
    };
    let mut engine = Engine::new(config).unwrap();
    let mut encoder = Encoder::new(false);
    let start = encoder.start(&engine, Timestamp::ZERO, 0);
    let mut segment = Segment::begin(Vec::new(), &header, &start).unwrap();
    let conn = ConnId::new(0, 0);
    let request = RequestId::new(1);
    let auth = Auth {
        session: SessionId::new("s").ok(),
        user: UserClaim::Claimed(UserId::new(HOSTILE).unwrap()),
        ..Auth::default()
    };
    let socket = SocketId::new("socket").unwrap();
    let cookie = None;
    let verdict = SessionVerdict::Trusted;
    let inputs = [
        Input::HandshakeStarted { conn },
        Input::ConnectRequested {
            conn,
            socket,
            auth,
            cookie,
        },
        Input::SessionLookedUp { request, verdict },
        Input::Connected { conn },
        Input::Disconnected { conn },
    ];
    let mut effects = Effects::new();
    for (number, input) in (1..).zip(inputs) {
        let now = Timestamp::from_ms(number * 10);
        let is_last = matches!(input, Input::Disconnected { .. });
        effects.clear();
        encoder.input(now, &input);
        engine.handle(now, input, &mut effects);
        if tampered && is_last {
            effects.clear();
        }
        encoder.effects(&effects);
    }
    segment.block(&encoder.take_block(Vec::new())).unwrap();
    segment.end().unwrap();
    std::mem::take(segment.out())
}

fn sheet(segments: &[Vec<u8>]) -> Sheet {
    let named = (0..).zip(segments.iter().cloned());
    let named: Vec<_> = named
        .map(|(number, bytes): (u32, _)| (format!("{number}.trace"), bytes))
        .collect();
    replayed(&named).0
}

fn data(sheet: Sheet) -> String {
    serde_json::to_string(&sheet.recording).unwrap()
}

#[test]
fn the_step_at_which_an_engine_decides_otherwise_is_marked_with_what_it_decides() {
    let kept = sheet(&[recorded("a", 1_000, false)]);
    assert_eq!((kept.steps, kept.end.is_none()), (5, true));
    let sheet = sheet(&[recorded("a", 1_000, true)]);
    let (end, code) = sheet.end.clone().unwrap();
    assert_eq!(
        (end.name.as_str(), end.at, code),
        ("The engine decides otherwise", 50, DIFFERS)
    );
    assert!(end.words.contains("was recorded"), "{}", end.words);
    let data = data(sheet);
    let marked = data
        .split("{\"t\":")
        .find(|step| step.contains("\"b\":true"));
    assert!(marked.unwrap().contains("note: c0 of "), "{marked:?}");
}

#[test]
fn lives_are_put_in_order_by_when_they_began_and_told_apart() {
    let sheet = sheet(&[
        recorded("b", 1_020, false),
        recorded("a", 1_000, true),
        recorded("a", 9_000, false),
    ]);
    assert_eq!((sheet.from, sheet.last), (Some(0), 8_050));
    let data = data(sheet);
    let at = |words: &str| data.find(words).unwrap_or_else(|| panic!("{words}"));
    assert!(
        at("#1 a: ") < at("#1 b: ")
            && at("#1 b: ") < at("#5 a: ")
            && at("#5 b: ") < at("#1 a, life 2: ")
    );
    assert!(data.contains("\"c0 of a, life 2\""));
}

#[test]
fn a_user_s_name_is_a_name_on_the_page_and_not_markup() {
    let sheet = sheet(&[recorded(HOSTILE, 1_000, false)]);
    let head = Head {
        words: HOSTILE.to_owned(),
        again: String::new(),
        is_recorded: true,
        end: None,
        well: String::new(),
        from: 0,
        lasts: sheet.last,
    };
    let page = report::page(sheet.recording, head).unwrap();
    assert!(!page.contains("<img") && page.contains("u003cimg"));
    assert_eq!(page.matches("</script>").count(), 2);
}
