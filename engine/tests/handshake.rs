//! From the handshake to being admitted: who comes in, who is refused for good, who is told to come
//! back.

mod common;

use common::make::*;
use common::{NOTHING, Node};
use tradewire_engine::Input;
use tradewire_engine::bus::Slot;
use tradewire_engine::ids::{ConnId, RequestId};
use tradewire_engine::input::{ChargeVerdict, ClaimVerdict, SessionVerdict, SlotLoss};
use tradewire_engine::parse::{Auth, UserClaim};

#[test]
fn a_client_with_a_session_comes_in() {
    let mut node = Node::new();
    assert_eq!(node.handshake(c(0)), ["allow c0"]);
    assert_eq!(node.connect(c(0), hello("ann")), ["look up s-ann r1"]);
    assert_eq!(
        node.session(SessionVerdict::Trusted),
        ["admit c0", "note admitted c0 ann"]
    );
    assert_eq!(node.connected(c(0)), ["bus fetch r2: market:status"]);
    assert_eq!(
        node.connected(c(0)),
        NOTHING,
        "being connected twice is no news"
    );
}

#[test]
fn without_a_session_id_a_client_is_refused_and_may_try_again() {
    let mut node = Node::new();
    node.handshake(c(0));
    let nobody = Auth {
        session: None,
        ..hello("ann")
    };
    assert_eq!(
        node.connect(c(0), nobody.clone()),
        [
            "refuse c0 \"Authentication required: No session ID provided\"",
            "note refused c0 no_session",
        ]
    );
    assert_eq!(
        node.connect_with(c(0), nobody, Some(session("cookie"))),
        ["look up cookie r1"]
    );
}

#[test]
fn the_session_id_of_auth_wins_over_the_cookie() {
    let mut node = Node::new();
    node.handshake(c(0));
    assert_eq!(
        node.connect_with(c(0), hello("ann"), Some(session("cookie"))),
        ["look up s-ann r1"]
    );
}

#[test]
fn each_verdict_leads_to_its_refusal_or_admission() {
    use SessionVerdict::{Found, Trusted, Unavailable, Unknown};
    let ann = || Found { user: user("ann") };
    let claimed = |name: &str| UserClaim::Claimed(user(name));
    let refused = |words: &str, name: &str| {
        vec![
            format!("refuse c0 \"{words}\""),
            format!("note refused c0 {name}"),
        ]
    };
    let admitted = vec!["admit c0".to_string(), "note admitted c0 ann".to_string()];
    let no_user = || refused("Authentication failed: No user ID provided", "no_user");
    let malformed = || refused("Authentication failed: Invalid user ID", "malformed_user");
    let unknown = || {
        refused(
            "Authentication failed: Invalid or expired session",
            "unknown_session",
        )
    };
    let mismatch = || {
        refused(
            "Authentication failed: User does not match session",
            "user_mismatch",
        )
    };
    for (verdict, claim, expected) in [
        (Trusted, UserClaim::Absent, no_user()),
        (Trusted, UserClaim::Malformed, malformed()),
        (Trusted, claimed("ann"), admitted.clone()),
        (ann(), UserClaim::Absent, admitted.clone()),
        (ann(), UserClaim::Malformed, malformed()),
        (ann(), claimed("ann"), admitted.clone()),
        (ann(), claimed("bob"), mismatch()),
        (Unknown, claimed("ann"), unknown()),
        (Unknown, UserClaim::Absent, unknown()),
        (
            Unavailable,
            claimed("ann"),
            vec![
                "note closing c0 - session_store".to_string(),
                "close c0 session_store flush 0.000s".to_string(),
            ],
        ),
    ] {
        let mut node = Node::new();
        node.handshake(c(0));
        node.connect(
            c(0),
            Auth {
                user: claim.clone(),
                ..hello("ann")
            },
        );
        assert_eq!(
            node.session(verdict.clone()),
            expected,
            "{verdict:?} {claim:?}"
        );
        let is_in = expected == admitted;
        assert_eq!(node.engine.stats().connections, u32::from(is_in));
        assert_eq!(node.engine.stats().users, u32::from(is_in));
    }
}

#[test]
fn a_sixth_connection_is_refused_and_a_freed_slot_is_taken() {
    let mut node = Node::new();
    node.join_all(0..5, "ann");
    assert_eq!(
        node.knock(c(5), hello("ann")),
        [
            "refuse c5 \"Too many connections (max 5)\"",
            "note refused c5 too_many_connections"
        ]
    );
    assert_eq!(
        node.knock(c(6), hello("bob")),
        ["admit c6", "note admitted c6 bob"],
        "another user has slots of its own"
    );
    assert_eq!(node.gone(c(2)), ["note disconnected c2 ann", "release c2"]);
    node.connect(c(5), hello("ann"));
    assert_eq!(
        node.session(SessionVerdict::Trusted),
        ["admit c5", "note admitted c5 ann"],
        "the same transport may try again"
    );
}

#[test]
fn a_refused_connect_leaks_no_slot() {
    let mut node = Node::with(|limits| limits.connections_per_user_max = 1);
    node.join(c(0), hello("ann"));
    for slot in 1..20 {
        node.knock(c(slot), hello("ann"));
        node.gone(c(slot));
    }
    node.gone(c(0));
    assert_eq!(
        node.knock(c(20), hello("ann")),
        ["admit c20", "note admitted c20 ann"]
    );
    assert_eq!(
        node.knock(c(21), hello("ann"))[0],
        "refuse c21 \"Too many connections (max 1)\""
    );
}

#[test]
fn connects_are_counted_exactly_over_a_minute_and_only_when_admitted() {
    let mut node = Node::with(|limits| {
        limits.connects_per_user_minute_max = 3;
        limits.connections_per_user_max = 1;
    });
    for (slot, ms) in [(0, 0), (1, 10), (2, 20)] {
        node.jump(ms);
        node.join(c(slot), hello("ann"));
        // Refused since there is one already: not counted.
        node.knock(c(100 + slot), hello("ann"));
        node.gone(c(slot));
    }
    let over = [
        "note closing c3 - connect_rate",
        "close c3 connect_rate flush 0.000s",
    ];
    node.jump(59_999);
    assert_eq!(node.knock(c(3), hello("ann")), over);
    node.gone(c(3));
    node.jump(60_000);
    assert_eq!(
        node.knock(c(3), hello("ann")),
        ["admit c3", "note admitted c3 ann"]
    );
    node.gone(c(3));
    node.jump(60_009);
    assert_eq!(node.knock(c(3), hello("ann")), over);
    node.gone(c(3));
    node.jump(60_010);
    assert_eq!(
        node.knock(c(3), hello("ann")),
        ["admit c3", "note admitted c3 ann"]
    );
}

#[test]
fn transports_in_all_are_bounded_whatever_their_stage() {
    let mut node = Node::with(|limits| limits.connections_max = 3);
    node.join(c(0), hello("ann"));
    node.handshake(c(1));
    node.handshake(c(2));
    let full = [
        "503 c3 full retry 5.000s",
        "note handshake refused full",
        "release c3",
    ];
    assert_eq!(node.handshake(c(3)), full);
    node.input(Input::Disconnected { conn: c(0) });
    assert_eq!(
        node.handshake(c(3)),
        full,
        "a transport counts until it is gone"
    );
    node.gone(c(0));
    assert_eq!(node.handshake(c(3)), ["allow c3"]);
}

#[test]
fn while_as_many_as_allowed_are_on_their_way_in_others_are_told_to_come_back() {
    let busy = |conn: &str| {
        vec![
            format!("503 {conn} busy retry 2.000s"),
            "note handshake refused busy".to_string(),
            format!("release {conn}"),
        ]
    };
    let mut node = Node::with(|limits| limits.admissions_pending_max = 2);
    node.handshake(c(0));
    node.jump(400);
    node.handshake(c(1));
    assert_eq!(node.handshake(c(2)), busy("c2"));
    // Whoever waits for an answer of the server's is on its way too.
    node.connect(c(0), hello("ann"));
    assert_eq!(node.handshake(c(3)), busy("c3"));
    node.session(SessionVerdict::Trusted);
    assert_eq!(node.handshake(c(4)), ["allow c4"], "one was admitted");
    node.gone(c(1));
    assert_eq!(node.handshake(c(5)), ["allow c5"], "one went away");
    assert_eq!(node.handshake(c(6)), busy("c6"));
    node.jump(1_399);
    assert_eq!(node.handshake(c(7)), busy("c7"));
    node.jump(1_400);
    assert_eq!(
        node.handshake(c(8)),
        ["allow c8"],
        "who takes longer than a second does not count"
    );
}

#[test]
fn handshakes_are_bounded_and_the_oldest_goes() {
    let mut node = Node::with(|limits| limits.handshakes_max = 2);
    node.handshake(c(0));
    node.jump(1);
    node.handshake(c(1));
    assert_eq!(
        node.handshake(c(2)),
        [
            "allow c2",
            "note closing c0 - handshakes_full",
            "close c0 handshakes_full flush 0.000s",
        ]
    );
    assert_eq!(node.engine.stats().handshakes, 2);
}

#[test]
fn a_refused_client_counts_as_a_handshake_again() {
    let mut node = Node::with(|limits| limits.handshakes_max = 1);
    node.handshake(c(0));
    node.connect(c(0), hello("ann"));
    node.jump(1);
    node.handshake(c(1));
    assert_eq!(
        node.session(SessionVerdict::Unknown),
        [
            "refuse c0 \"Authentication failed: Invalid or expired session\"",
            "note refused c0 unknown_session",
            "note closing c0 - handshakes_full",
            "close c0 handshakes_full flush 0.000s",
        ]
    );
    assert_eq!(node.engine.stats().handshakes, 1);
}

#[test]
fn a_handshake_without_connect_ends_at_its_deadline() {
    let mut node = Node::new();
    node.handshake(c(0));
    assert_eq!(node.deadline(), Some((20_000, "Handshake".into())));
    assert_eq!(node.sleep_until(19_999), NOTHING);
    assert_eq!(
        node.sleep_until(20_000),
        [
            "note closing c0 - handshake_timeout",
            "close c0 handshake_timeout flush 1.000s",
        ]
    );
    assert_eq!(node.deadline(), None);
    assert_eq!(node.gone(c(0)), ["release c0"]);
}

#[test]
fn a_refused_connect_does_not_move_the_handshakes_deadline() {
    let mut node = Node::new();
    node.handshake(c(0));
    node.jump(19_000);
    node.connect(c(0), hello("ann"));
    node.jump(21_000);
    assert_eq!(
        node.input(Input::Woke),
        NOTHING,
        "the look-up has its own deadline"
    );
    assert_eq!(node.session(SessionVerdict::Unknown).len(), 2);
    assert_eq!(node.deadline(), Some((20_000, "Handshake".into())));
    assert_eq!(
        node.input(Input::Woke),
        [
            "note closing c0 - handshake_timeout",
            "close c0 handshake_timeout flush 1.000s",
        ]
    );
}

#[test]
fn a_session_look_up_without_answer_closes_the_transport() {
    let mut node = Node::new();
    node.handshake(c(0));
    node.connect(c(0), hello("ann"));
    assert_eq!(node.deadline(), Some((5_000, "SessionLookUp".into())));
    assert_eq!(node.sleep_until(4_999), NOTHING);
    assert_eq!(
        node.sleep_until(5_000),
        [
            "note timed out r1 sessions",
            "note closing c0 - session_store",
            "close c0 session_store flush 0.000s",
        ]
    );
    let digest = node.digest();
    assert_eq!(
        node.session(SessionVerdict::Trusted),
        NOTHING,
        "an answer that came too late"
    );
    assert_eq!(node.digest(), digest);
}

#[test]
fn a_second_connect_while_the_session_is_looked_up_is_ignored() {
    let mut node = Node::new();
    node.handshake(c(0));
    node.connect(c(0), hello("ann"));
    let digest = node.digest();
    assert_eq!(node.connect(c(0), hello("bob")), NOTHING);
    assert_eq!(node.digest(), digest);
    assert_eq!(
        node.session(SessionVerdict::Trusted),
        ["admit c0", "note admitted c0 ann"]
    );
    assert_eq!(
        node.connect(c(0), hello("bob")),
        NOTHING,
        "nor once it is in"
    );
}

#[test]
fn a_replaced_connection_gives_its_slot() {
    let mut node = Node::new();
    node.join_all(0..5, "ann");
    assert_eq!(
        node.knock(c(5), hello("ann").replacing(c(1))),
        [
            "note closing c1 ann replaced",
            "close c1 replaced flush 0.000s",
            "admit c5",
            "note admitted c5 ann",
        ]
    );
    assert_eq!(node.engine.stats().connections, 5);
    assert_eq!(node.gone(c(1)), ["release c1"]);
}

#[test]
fn only_the_same_user_and_session_replace_a_connection() {
    let mut node = Node::with(|limits| limits.connections_per_user_max = 1);
    node.join(c(0), hello("ann"));
    let full = |slot: u32| {
        vec![
            format!("refuse c{slot} \"Too many connections (max 1)\""),
            format!("note refused c{slot} too_many_connections"),
        ]
    };
    let other_session = hello("ann").session_of("stolen").replacing(c(0));
    assert_eq!(node.knock(c(1), other_session), full(1));
    let other_user = hello("bob").session_of("s-ann").replacing(c(0));
    assert_eq!(
        node.knock(c(2), other_user),
        ["admit c2", "note admitted c2 bob"]
    );
    assert_eq!(
        node.knock(c(3), hello("ann").replacing(c(9))),
        full(3),
        "no such socket"
    );
    assert_eq!(node.engine.stats().connections, 2, "c0 was left alone");
}

#[test]
fn a_replaced_connection_that_was_the_only_one_does_not_lose_its_user() {
    // Users without a connection are forgotten at once here: between the two, there must be none.
    let mut node = Node::with(|limits| limits.idle_users_max = 0);
    node.join(c(0), hello("ann").restoring(true, false, &[]));
    node.publish(vec![portfolio("ann", "{\"v\":1}")]);
    assert_eq!(
        node.knock(c(1), hello("ann").replacing(c(0))),
        [
            "note closing c0 ann replaced",
            "close c0 replaced flush 0.000s",
            "admit c1",
            "note admitted c1 ann",
        ]
    );
    node.connected(c(1));
    assert_eq!(
        node.delivers(portfolio("ann", "{\"v\":2}")),
        ["deliver portfolio:update ann {\"v\":2} to c1"]
    );
}

#[test]
fn one_over_its_connect_rate_does_not_cost_the_connection_that_it_would_replace() {
    let mut node = Node::with(|limits| limits.connects_per_user_minute_max = 1);
    node.join(c(0), hello("ann"));
    assert_eq!(
        node.knock(c(1), hello("ann").replacing(c(0))),
        [
            "note closing c1 - connect_rate",
            "close c1 connect_rate flush 0.000s"
        ]
    );
    assert_eq!(node.engine.stats().connections, 1);
}

#[test]
fn a_client_that_leaves_is_closed_and_then_released() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    assert_eq!(
        node.input(Input::Disconnected { conn: c(0) }),
        ["note disconnected c0 ann", "close c0 left flush 0.000s"]
    );
    assert_eq!(node.input(Input::Disconnected { conn: c(0) }), NOTHING);
    assert_eq!(node.gone(c(0)), ["release c0"]);
    assert_eq!(node.gone(c(0)), NOTHING);
}

#[test]
fn inputs_about_connections_and_requests_that_are_gone_change_nothing() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.gone(c(0));
    node.handshake(ConnId::new(0, 1));
    // The bus's epoch is known from here on.
    node.arrives(versioned(quote_of("A"), (1, 1), "{}"));
    let digest = node.digest();
    let (conn, request) = (c(0), RequestId::new(999));
    let socket = socket(conn);
    for input in [
        Input::Closed { conn },
        Input::Connected { conn },
        Input::Disconnected { conn },
        Input::ConnectRequested {
            conn,
            socket: socket.clone(),
            auth: hello("ann"),
            cookie: None,
        },
        Input::Received {
            conn,
            event: watch(&["A"]),
            ack: Some(1),
        },
        Input::OutboxMeasured {
            conn,
            pending: pending(1, 1),
        },
        Input::OutboxesMeasured {
            pending: vec![(conn, pending(1, 1))],
        },
        Input::SessionLookedUp {
            request,
            verdict: SessionVerdict::Trusted,
        },
        Input::Fetched {
            request,
            values: Some(vec![versioned(quote_of("A"), (1, 1), "{}")]),
        },
        Input::Fetched {
            request,
            values: None,
        },
        Input::Appended {
            request,
            outcome: tradewire_engine::input::BusOutcome::Done,
        },
        Input::Shared {
            request,
            outcome: tradewire_engine::input::BusOutcome::Failed,
        },
        Input::StateArrived {
            values: vec![versioned(quote_of("A"), (1, 1), "{}")],
            once: false,
        },
        Input::StateArrived {
            values: vec![versioned(portfolio_of("ann"), (1, 1), "{}")],
            once: false,
        },
        Input::Charged {
            request,
            verdict: ChargeVerdict::Admitted,
        },
        Input::Claimed {
            request,
            verdict: ClaimVerdict::Granted,
        },
        Input::Led {
            request,
            held: Some(true),
        },
        Input::SessionsChecked {
            request,
            present: Some(vec![false]),
        },
        Input::SlotsLost {
            slots: vec![(
                user("ann"),
                Slot::new(socket, &session("s-ann")),
                SlotLoss::Excess,
            )],
        },
        Input::DrainHurried,
        Input::Woke,
    ] {
        assert_eq!(node.input(input.clone()), NOTHING, "{input:?}");
        assert_eq!(node.digest(), digest, "{input:?}");
    }
}

#[test]
#[should_panic(expected = "c0.1 came into the slot of Some(c0)")]
fn a_slot_that_was_not_released_is_a_fault_of_the_driver() {
    let mut node = Node::new();
    node.handshake(c(0));
    node.handshake(ConnId::new(0, 1));
}

#[test]
#[should_panic(expected = "time went back from 0.002s to 0.001s")]
fn time_that_goes_back_is_a_fault_of_the_driver() {
    let mut node = Node::new();
    node.jump(2);
    node.input(Input::Woke);
    node.jump(1);
    node.input(Input::Woke);
}

#[test]
fn a_transport_that_sends_connect_for_the_eleventh_time_is_closed() {
    let mut node = Node::new();
    node.handshake(c(0));
    let nobody = Auth {
        session: None,
        ..hello("ann")
    };
    for _ in 0..10 {
        let refused = node.connect(c(0), nobody.clone());
        assert_eq!(refused[1], "note refused c0 no_session");
    }
    assert_eq!(
        node.connect(c(0), nobody),
        ["note closing c0 - flood", "close c0 flood flush 1.000s"]
    );
}
