//! What the engine allocates: nothing per recipient, little per input, and no more in a large crowd.
//!
//! `cargo test -p tradewire-engine-bench -- --nocapture` prints the figures that README.md has.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use allocation_counter::measure;
use tradewire_engine::Input;
use tradewire_engine::event::Topic;
use tradewire_engine::ids::Symbol;
use tradewire_engine::parse::{ClientEvent, LastEventId};
use tradewire_engine_bench::{Client, Stage, payload, published, unwatch, watch};

/// How often something is done before it is counted, so that buffers which are kept have their size.
const WARM: u32 = 3;

/// What an input may allocate at the most, with the driver's answers to it.
const INPUT_MAX: u64 = 8;

/// Allocations of the last of a few inputs.
fn allocations(stage: &mut Stage, mut make: impl FnMut(&mut Stage) -> Input) -> u64 {
    for _ in 0..WARM {
        stage.pass(6_000);
        let input = make(stage);
        stage.give(input);
    }
    stage.pass(6_000);
    let input = make(stage);
    measure(|| {
        stage.give(input);
    })
    .count_total
}

/// A stage on which so many clients hold one symbol.
fn watched_by(recipients: u32) -> (Stage, Vec<Client>, Topic) {
    let (mut stage, clients) = Stage::with_crowd(recipients).unwrap();
    let symbol = Symbol::new("AAPL").unwrap();
    for client in &clients {
        stage.give(client.sends(watch(&symbol)));
    }
    (stage, clients, Topic::Quote(symbol))
}

#[test]
fn a_value_allocates_nothing_per_recipient() {
    let counts = [10, 10_000].map(|recipients| {
        let (mut stage, _, topic) = watched_by(recipients);
        let payload = payload();
        let quote = allocations(&mut stage, |stage| stage.value(&topic, &payload));
        let market = allocations(&mut stage, |stage| stage.value(&Topic::Market, &payload));
        let input = stage.value(&topic, &payload);
        assert_eq!(stage.give(input), recipients as usize);
        [quote, market]
    });
    assert_eq!(counts, [[0, 0], [0, 0]]);
}

#[test]
fn a_conflated_value_allocates_nothing_per_connection() {
    let counts = [10, 10_000].map(|connections| {
        let (mut stage, clients, topic) = watched_by(connections);
        for client in &clients {
            stage.give(client.is_full());
        }
        let payload = payload();
        let count = allocations(&mut stage, |stage| stage.value(&topic, &payload));
        let input = stage.value(&topic, &payload);
        assert_eq!(stage.give(input), 0, "not everyone is congested");
        count
    });
    assert_eq!(counts, [0, 0]);
}

#[test]
fn a_log_event_allocates_nothing_per_recipient() {
    let counts = [1, 5].map(|tabs| {
        let (mut stage, _) = Stage::with_crowd(10).unwrap();
        let client = Client::new(10, 10).unwrap();
        for slot in 10..10 + tabs {
            stage.enter(&Client::new(slot, 10).unwrap());
        }
        let payload = payload();
        let count = allocations(&mut stage, |stage| stage.trade(&client.user, &payload).1);
        let (_, input) = stage.trade(&client.user, &payload);
        assert_eq!(stage.give(input), tabs as usize);
        count
    });
    assert_eq!(counts, [0, 0]);
}

/// What one input of each kind allocates, the driver's answers to it included.
fn per_input(connections: u32) -> Vec<(&'static str, u64)> {
    let (mut stage, clients) = Stage::with_crowd(connections).unwrap();
    let client = &clients[clients.len() / 2];
    let symbol = Symbol::new("AAPL").unwrap();
    // Somebody holds it, so that it is known.
    stage.give(clients[0].sends(watch(&symbol)));
    let mut counts = Vec::new();
    let newcomer = Client::new(connections, connections).unwrap();
    let visit = |stage: &mut Stage| {
        let ways = newcomer
            .comes(LastEventId::Absent)
            .into_iter()
            .chain(newcomer.goes());
        ways.map(|input| {
            measure(|| {
                stage.give(input);
            })
            .count_total
        })
        .collect::<Vec<_>>()
    };
    visit(&mut stage);
    let names = [
        "handshake",
        "connect and look-up",
        "entered",
        "left",
        "closed",
    ];
    counts.extend(names.into_iter().zip(visit(&mut stage)));
    let count = allocations(&mut stage, |stage| {
        stage.give(client.sends(watch(&symbol)));
        client.sends(unwatch(&symbol))
    });
    counts.push(("unwatch", count));
    stage.pass(120_000);
    let count = allocations(&mut stage, |_| client.sends(watch(&symbol)));
    counts.push(("watch", count));
    let count = allocations(&mut stage, |_| {
        client.sends(ClientEvent::SubscribePortfolio)
    });
    counts.push(("refused call", count));
    let payload = payload();
    let count = allocations(&mut stage, |_| published(7, &Topic::Market, &payload));
    counts.push(("publish", count));
    counts
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures of the README")]
fn an_input_allocates_little_and_no_more_in_a_large_crowd() {
    let small = per_input(1_000);
    for (name, count) in &small {
        println!("{name}: {count}");
        assert!(*count <= INPUT_MAX, "{name} allocates {count} times");
    }
    assert_eq!(small, per_input(100_000));
}
