//! Nodes, clients and publishers together: that each behaves as the real one does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::rig::{TOKEN, rig, rig_set, rig_with};
use common::{Notes, millis, seconds, stack};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tracing::Level;
use tradewire_sim::client::{Call, Command, TransportChoice};
use tradewire_sim::net::{HostTime, Network as _};
use tradewire_sim::observation::{Observation, Reason};
use tradewire_sim::publisher::Publishing;
use tradewire_sim::world::{NodeSettings, World};

fn disconnected(reason: Reason) -> impl Fn(&Observation) -> bool {
    move |what| *what == Observation::Disconnected { reason }
}

const TRANSPORTS: [TransportChoice; 3] = [
    TransportChoice::Websocket,
    TransportChoice::Polling,
    TransportChoice::Upgrade,
];

#[test]
fn every_transport_connects_subscribes_and_receives() {
    for transport in TRANSPORTS {
        let mut rig = rig(1);
        let remote = rig.client("c", "alice", transport);
        rig.until_connected("c");
        rig.publish_trade("alice", 1);
        let trade = rig.until_event("c", "trade:executed");
        assert_eq!(trade["n"], 1, "{transport:?}");
        remote.tell(Command::Emit(Call::Watch(vec!["TSLA".to_owned()])));
        rig.until(seconds(1), "c", |what| {
            matches!(what, Observation::Acknowledged { answer, .. } if answer.contains("\"ok\":true"))
        });
        remote.tell(Command::Stop);
        rig.until(seconds(1), "c", |what| *what == Observation::Stopped);
        rig.world.run_for(seconds(1));
        assert!(
            rig.journal.text().contains("WebSocket disconnected"),
            "{transport:?}: the server heard the goodbye"
        );
    }
}

#[test]
fn an_upgrade_ends_on_a_websocket() {
    let mut rig = rig(2);
    rig.client("c", "alice", TransportChoice::Upgrade);
    rig.until_connected("c");
    rig.world.run_for(seconds(5));
    let log = rig.journal.text();
    assert!(
        log.lines().any(|line| line.ends_with("c        > 5")),
        "{log}"
    );
    rig.publish_trade("alice", 1);
    assert_eq!(rig.until_event("c", "trade:executed")["n"], 1);
}

#[test]
fn a_client_answers_heartbeats_for_as_long_as_it_lives() {
    for transport in TRANSPORTS {
        let mut rig = rig(3);
        rig.client("c", "alice", transport);
        rig.until_connected("c");
        rig.world.run_for(seconds(180));
        let ends = rig.count("c", |what| matches!(what, Observation::Disconnected { .. }));
        assert_eq!(ends, 0, "{transport:?}");
    }
}

#[test]
fn a_killed_node_is_seen_at_once_and_clients_come_back_to_the_next() {
    for transport in TRANSPORTS {
        let mut rig = rig(4);
        rig.client("c", "alice", transport);
        rig.until_connected("c");
        rig.world.run_for(seconds(3));
        rig.world.kill(rig.node);
        let from = rig.world.now();
        let at = rig.until(seconds(1), "c", |what| {
            matches!(
                what,
                Observation::Disconnected {
                    reason: Reason::TransportClose | Reason::TransportError
                }
            )
        });
        assert!(at - from <= millis(100), "{transport:?}");
        rig.until(seconds(5), "c", |what| {
            matches!(what, Observation::Unreachable { why, .. } if why.contains("connection refused"))
        });
        rig.world.start_node(rig.node).unwrap();
        rig.until_connected("c");
    }
}

#[test]
fn a_node_without_power_is_missed_only_after_the_ping_timeout() {
    let mut rig = rig(5);
    rig.client("c", "alice", TransportChoice::Websocket);
    let connected = rig.until_connected("c");
    rig.world.run_for(seconds(1));
    rig.world.power_off_node(rig.node);
    let at = rig.until(seconds(30), "c", disconnected(Reason::PingTimeout));
    // 15 s of interval and 10 s of timeout since the last ping, which came right after the handshake.
    assert!(at > connected + seconds(24) && at < connected + seconds(26));
    rig.world.start_node(rig.node).unwrap();
    rig.until_connected("c");
}

#[test]
fn a_client_that_vanishes_keeps_its_slot_until_the_server_misses_it() {
    let mut rig = rig(6);
    let remotes: Vec<_> = (0..5)
        .map(|index| rig.client(&format!("c{index}"), "alice", TransportChoice::Websocket))
        .collect();
    rig.until_connected("c4");
    rig.world.run_for(seconds(1));
    remotes[0].tell(Command::Vanish);
    rig.until(seconds(1), "c0", |what| *what == Observation::Vanished);
    let sixth = rig.client("c5", "alice", TransportChoice::Websocket);
    let refused = |what: &Observation| matches!(what, Observation::ConnectError { message } if message == "Too many connections (max 5)");
    rig.until(seconds(1), "c5", refused);
    // A stock client does not come back from that by itself.
    rig.world.run_for(seconds(40));
    assert_eq!(
        rig.count("c5", |what| matches!(what, Observation::Connecting { .. })),
        1
    );
    sixth.tell(Command::Connect);
    rig.until_connected("c5");
}

#[test]
fn a_drained_node_tells_its_clients_and_they_come_back_by_themselves() {
    for transport in TRANSPORTS {
        let mut rig = rig(7);
        rig.client("c", "alice", transport);
        rig.until_connected("c");
        rig.world.run_for(seconds(2));
        rig.world.drain(rig.node);
        rig.until_event("c", "server:shutdown");
        rig.until(seconds(10), "c", |what| {
            matches!(what, Observation::Disconnected { reason } if *reason != Reason::ServerDisconnect)
        });
        rig.until_ever(seconds(10), "node0", |what| {
            *what == Observation::Exited { error: None }
        });
        rig.world.start_node(rig.node).unwrap();
        rig.until_connected("c");
    }
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let mut rig = rig(15);
    for index in 0..4 {
        rig.client(&format!("c{index}"), "alice", TransportChoice::Websocket);
    }
    rig.until_connected("c3");
    rig.world.run_for(seconds(1));
    rig.world.drain(rig.node);
    rig.world.run_for(millis(100));
    rig.world.hurry(rig.node);
    rig.until_ever(seconds(1), "node0", |what| {
        *what == Observation::Exited { error: None }
    });
}

#[test]
fn a_refused_handshake_is_tried_again() {
    let mut rig = rig(8);
    rig.client("first", "alice", TransportChoice::Websocket);
    rig.until_connected("first");
    rig.world.drain(rig.node);
    // As a balancer that has not noticed yet.
    rig.world.balancer().add("node0");
    for (name, transport) in [("w", TRANSPORTS[0]), ("p", TRANSPORTS[1])] {
        rig.client(name, "bob", transport);
    }
    for name in ["w", "p"] {
        rig.until(
            seconds(2),
            name,
            |what| matches!(what, Observation::Unreachable { why, .. } if why.contains("503")),
        );
    }
    rig.until_ever(seconds(10), "node0", |what| {
        *what == Observation::Exited { error: None }
    });
    rig.world.start_node(rig.node).unwrap();
    rig.until_connected("w");
    rig.until_connected("p");
}

#[test]
fn a_frozen_page_reads_nothing_and_then_everything() {
    let mut rig = rig(9);
    let remote = rig.client("c", "alice", TransportChoice::Websocket);
    rig.until_connected("c");
    remote.tell(Command::Stall(seconds(8)));
    rig.until(seconds(1), "c", |what| *what == Observation::Stalled);
    for number in 0..100 {
        rig.publish_trade("alice", number);
    }
    rig.world.run_for(seconds(7));
    assert_eq!(
        rig.count(
            "c",
            |what| matches!(what, Observation::Event { name, .. } if name == "trade:executed")
        ),
        0
    );
    rig.until(seconds(2), "c", |what| *what == Observation::Resumed);
    rig.world.run_for(seconds(2));
    rig.count("c", |_| true);
    let numbers: Vec<_> = rig.events("c", "trade:executed");
    let numbers: Vec<_> = numbers
        .iter()
        .map(|trade| trade["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_page_frozen_for_too_long_has_lost_its_connection_and_resumes() {
    let mut rig = rig(10);
    let remote = rig.client("c", "alice", TransportChoice::Websocket);
    rig.until_connected("c");
    rig.publish_trade("alice", 1);
    rig.until_event("c", "trade:executed");
    remote.tell(Command::Stall(seconds(40)));
    rig.until(seconds(1), "c", |what| *what == Observation::Stalled);
    rig.world.run_for(seconds(30));
    rig.publish_trade("alice", 2);
    rig.until(seconds(20), "c", disconnected(Reason::PingTimeout));
    let resumed = rig.until_event("c", "resume");
    assert_eq!(resumed["recovered"], true);
    let trades = rig.events("c", "trade:executed");
    assert_eq!(trades.last().unwrap()["n"], 2);
}

#[test]
fn a_publisher_sends_again_what_was_not_answered() {
    let mut rig = rig(11);
    rig.client("c", "alice", TransportChoice::Websocket);
    rig.until_connected("c");
    let node = rig.world.host_of(rig.node).unwrap();
    // The node takes it, and its answer is lost.
    let feeds = rig.world.add_host("other").unwrap();
    let feed = rig.world.add_publisher(
        feeds,
        Publishing {
            name: "cut".to_owned(),
            token: TOKEN.to_owned(),
            attempts_max: 60,
            seed: 1,
        },
    );
    let item = |number: u32| {
        json!([{"event": "trade:executed", "id": format!("x{number}"), "userId": "alice",
            "data": {"n": number}}])
        .to_string()
    };
    feed.publish(item(1));
    rig.until_event("c", "trade:executed");
    rig.world.run_for(seconds(1));
    rig.world.network().cut(node, feeds);
    feed.publish(item(2));
    rig.until_event("c", "trade:executed");
    rig.until(
        seconds(11),
        "cut",
        |what| matches!(what, Observation::Unanswered { batch: 1, why } if why == "timeout"),
    );
    rig.world.network().heal(node, feeds);
    rig.until(seconds(15), "cut", |what| {
        matches!(
            what,
            Observation::Answered {
                batch: 1,
                status: 202,
                ..
            }
        )
    });
    rig.world.run_for(seconds(1));
    rig.count("c", |_| true);
    assert_eq!(rig.events("c", "trade:executed").len(), 2, "delivered once");
}

#[test]
fn a_nodes_wall_is_its_own() {
    let hour_ahead = HostTime::new(0, 3_600_000);
    let mut rig = rig_with(12, hour_ahead.clone());
    rig.client("c", "alice", TransportChoice::Websocket);
    rig.until_connected("c");
    rig.publish_trade("alice", 1);
    let trade = rig.until_event("c", "trade:executed");
    // The simulation begins at 14:30.
    assert!(
        trade["timestamp"]
            .as_str()
            .unwrap()
            .starts_with("2026-01-15T15:30:0"),
        "{trade}"
    );
    hour_ahead.set_ahead(-3_600_000);
    rig.publish_trade("alice", 2);
    let trade = rig.until_event("c", "trade:executed");
    assert!(
        trade["timestamp"]
            .as_str()
            .unwrap()
            .starts_with("2026-01-15T13:30:0"),
        "{trade}"
    );
}

#[test]
fn a_node_looks_for_its_redis_on_the_network() {
    let mut rig = rig_set(14, &["--redis-url=redis://redis:6379".to_owned()]);
    let redis = rig.world.add_host("redis").unwrap();
    let (said, heard) = (Notes::new(), Notes::new());
    let (noted, read) = (said.clone(), heard.clone());
    rig.world.run_for(seconds(5));
    rig.world.serve(redis, 6_379, move |mut stream| {
        noted.add(());
        let read = read.clone();
        async move {
            let mut buffer = [0; 1_000];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                read.add(String::from_utf8_lossy(&buffer[..count]).into_owned());
            }
        }
    });
    rig.world.run_for(seconds(10));
    assert!(said.len() > 0, "it connects once somebody listens");
    let heard = heard.all().concat();
    assert!(
        heard.contains("HELLO") || heard.contains("PING"),
        "{heard:?}"
    );
}

#[test]
fn settings_that_no_server_takes_stop_the_start() {
    let (network, _) = stack(13);
    let mut world = World::new(13, network, Level::INFO);
    let error = world
        .add_node(NodeSettings {
            name: "node0".to_owned(),
            publish_token: TOKEN.to_owned(),
            flags: vec!["--ping-interval-ms=soon".to_owned()],
            time: HostTime::default(),
        })
        .unwrap_err();
    assert!(error.to_string().contains("ping-interval-ms"), "{error}");
}
