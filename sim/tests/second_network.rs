//! The world on the second network: the same server, clients and publishers behind the same trait.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::rig::rig_on_turmoil;
use common::seconds;
use tradewire_sim::client::TransportChoice;
use tradewire_sim::net::Network as _;
use tradewire_sim::observation::{Observation, Reason};

#[test]
fn clients_of_every_transport_receive() {
    for transport in [
        TransportChoice::Websocket,
        TransportChoice::Polling,
        TransportChoice::Upgrade,
    ] {
        let mut rig = rig_on_turmoil(1);
        rig.client("c", "alice", transport);
        rig.until_connected("c");
        rig.publish_trade("alice", 1);
        assert_eq!(rig.until_event("c", "trade:executed")["n"], 1);
        let log = rig.journal.text();
        assert!(
            log.contains("node0    INFO"),
            "lines name their host: {log}"
        );
    }
}

#[test]
fn a_partition_ends_in_a_ping_timeout_and_a_resume() {
    let mut rig = rig_on_turmoil(2);
    rig.client("c", "alice", TransportChoice::Websocket);
    rig.until_connected("c");
    rig.publish_trade("alice", 1);
    rig.until_event("c", "trade:executed");
    let node = rig.world.host_of(rig.node).unwrap();
    let clients = rig.host;
    rig.world.network().cut(node, clients);
    rig.world.network().cut(clients, node);
    rig.publish_trade("alice", 2);
    rig.until(seconds(30), "c", |what| {
        matches!(what, Observation::Disconnected { .. })
    });
    rig.world.network().heal(node, clients);
    let resumed = rig.until_event("c", "resume");
    assert_eq!(resumed["recovered"], true);
    let trades = rig.events("c", "trade:executed");
    assert_eq!(trades.len(), 2, "{trades:?}");
}

#[test]
fn a_killed_node_is_left_and_its_successor_found() {
    let mut rig = rig_on_turmoil(3);
    rig.client("c", "alice", TransportChoice::Websocket);
    rig.until_connected("c");
    rig.world.kill(rig.node);
    rig.until(seconds(30), "c", |what| {
        matches!(what, Observation::Disconnected { .. })
    });
    rig.world.start_node(rig.node).unwrap();
    rig.until_connected("c");
}

#[test]
fn a_drained_node_lets_its_clients_go() {
    let mut rig = rig_on_turmoil(4);
    rig.client("c", "alice", TransportChoice::Websocket);
    rig.until_connected("c");
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
