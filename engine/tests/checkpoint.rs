//! The whole state as bytes: what is restored goes on exactly as the engine that was written.

mod common;

use common::Node;
use common::make::*;
use tradewire_engine::ids::RequestId;
use tradewire_engine::input::{BusOutcome, GapCause, SessionVerdict};
use tradewire_engine::parse::ClientEvent::{SubscribePortfolio, SubscribeTrades};
use tradewire_engine::time::Timestamp;
use tradewire_engine::{CheckpointError, Effects, Engine, Input};

/// A node that has been through something of everything.
fn eventful() -> Node {
    let mut node = Node::with(|limits| limits.outbox_packets_max = 8);
    node.join_all(0..3, "ann");
    node.join(c(3), hello("bob").restoring(true, true, &["A", "B"]));
    node.emit(c(0), watch(&["B", "C"]));
    node.emit(c(0), SubscribePortfolio);
    node.emit_acked(c(0), SubscribePortfolio, 1);
    node.emit(c(1), SubscribeTrades);
    for number in 0..12 {
        node.jump(number * 100);
        let text = format!("{{\"n\":{number}}}");
        node.publish(vec![trade("ann", &text), quote("B", &text), market(&text)]);
    }
    node.measured(c(0), 900, 9);
    node.publish(vec![
        portfolio("ann", "{}"),
        trade("ann", "{}"),
        quote("B", "{}"),
    ]);
    node.gone(c(1));
    node.handshake(c(4));
    node.connect(c(4), hello("ann").resuming(event(100, 0)).replacing(c(2)));
    node.pending.insert(c(4), pending(400, 4));
    node.session(SessionVerdict::Trusted);
    node.connected(c(4));
    node.bus_answers = false;
    node.emit(c(3), watch(&["D"]));
    node.arrives(versioned(quote_of("D"), (0xe, 900), "{}"));
    node.publish(vec![market("{}"), trade("bob", "{}")]);
    node.handshake(c(5));
    node.handshake(c(6));
    node.connect(c(6), hello("cyd"));
    node.sleep_until(3_000);
    node.measured(c(4), 0, 0);
    node.drain();
    node.sleep_until(5_000);
    node.measured(c(0), 0, 0);
    node.gone(c(0));
    node.sleep_until(700_000);
    node
}

fn found(name: &str) -> SessionVerdict {
    SessionVerdict::Found { user: user(name) }
}

/// The same on a bus that is shared, lost and reached again, with something of everything waiting.
fn eventful_in_contact() -> Node {
    let mut node = Node::shared(|limits| limits.outbox_packets_max = 8);
    node.handshake(c(0));
    node.connect(c(0), hello("ann").restoring(true, true, &["A", "B"]));
    node.session(found("ann"));
    node.connected(c(0));
    node.publish(vec![
        quote("A", "{\"p\":1}"),
        market("{}"),
        trade("ann", "{}"),
    ]);
    let entries = vec![entry("ann", event(1, 0), "{}")];
    node.input(Input::LogLoaded { entries });
    node.reached();
    node.led(node.last_asked("bus lead"), Some(true));
    node.join_granted(c(1), hello("ann").resuming(event(9, 0)));
    node.handshake(c(2));
    node.connect(c(2), hello("bob"));
    node.session(found("bob"));
    node.grant();
    node.connected(c(2));
    node.knock(c(3), hello("cyd"));
    for _ in 0..2 {
        node.emit(c(0), watch(&["C"]));
    }
    node.emit(c(0), unwatch(&["A"]));
    node.publish(vec![
        keyed(quote("B", "{}"), "b"),
        keyed(trade("bob", "{}"), "t"),
    ]);
    let wall = common::words::wall(node.now);
    let items = vec![quote("A", "{}"), quote("B", "{}")];
    node.input(Input::Emitted { items, wall });
    node.arrives(versioned(quote_of("C"), (1, 7), "{}"));
    node.logged(vec![entry("ann", event(2, 0), "{}")]);
    node.sleep_until(700);
    let request = RequestId::new(node.last_asked("check"));
    let present = Some(vec![false]);
    node.input(Input::SessionsChecked { request, present });
    node.input(Input::StateMissed);
    node.sleep_until(3_000);
    node.publish(vec![
        keyed(quote("A", "{\"p\":2}"), "a"),
        portfolio("ann", "{}"),
    ]);
    node.jump(4_000);
    node.reached();
    node.took(node.last_asked("bus share"), BusOutcome::Failed);
    node.publish(vec![quote("A", "{\"p\":3}"), quote("D", "{}")]);
    node.arrives(versioned(quote_of("C"), (2, 1), "{}"));
    node.measured(c(0), 900, 9);
    node.log_gap(GapCause::DataLoss);
    node.logged(vec![entry("ann", event(3, 0), "{}")]);
    node.sleep_until(4_900);
    node.lost();
    node.sleep_until(20_000);
    node.drain();
    node.reached();
    node.sleep_until(100_000);
    node
}

fn handle(engine: &mut Engine, (now, input): &(Timestamp, Input)) -> Effects {
    let mut effects = Effects::new();
    engine.handle(*now, input.clone(), &mut effects);
    effects
}

#[test]
fn an_engine_restored_at_any_step_goes_on_the_same() {
    let node = eventful();
    assert!(node.inputs.len() > 100, "{}", node.inputs.len());
    let other = eventful_in_contact();
    assert!(other.inputs.len() > 50, "{}", other.inputs.len());
    for node in [node, other] {
        let mut engine = Engine::new(node.engine.config().clone()).unwrap();
        for (step, input) in node.inputs.iter().enumerate() {
            let mut restored = Engine::restore(&engine.checkpoint().unwrap()).unwrap();
            assert_eq!(restored, engine, "step {step}");
            let effects = handle(&mut engine, input);
            assert_eq!(handle(&mut restored, input), effects, "step {step}");
            assert_eq!(restored, engine, "step {step}");
            assert_eq!(restored.digest(), engine.digest(), "step {step}");
        }
        assert_eq!(engine, node.engine);
    }
}

#[test]
fn an_engine_restored_early_goes_on_the_same_to_the_end() {
    for node in [eventful(), eventful_in_contact()] {
        let mut engine = Engine::new(node.engine.config().clone()).unwrap();
        let mut copies = Vec::new();
        for (step, input) in node.inputs.iter().enumerate() {
            if step % 10 == 0 {
                copies.push(Engine::restore(&engine.checkpoint().unwrap()).unwrap());
            }
            let effects = handle(&mut engine, input);
            for copy in &mut copies {
                assert_eq!(handle(copy, input), effects, "step {step}");
            }
        }
        for copy in copies {
            assert_eq!(copy.digest(), engine.digest());
            assert_eq!(copy.next_deadline(), engine.next_deadline());
        }
    }
}

#[test]
fn two_engines_fed_the_same_have_the_same_digest_at_every_step() {
    let node = eventful();
    let mut twins = [(); 2].map(|()| Engine::new(node.engine.config().clone()).unwrap());
    for input in &node.inputs {
        let effects = twins.each_mut().map(|twin| handle(twin, input));
        assert_eq!(effects[0], effects[1]);
        assert_eq!(twins[0].digest(), twins[1].digest());
    }
    assert_eq!(twins[0].digest().unwrap(), node.digest());
}

#[test]
fn different_states_have_different_digests() {
    let node = eventful();
    let mut engine = Engine::new(node.engine.config().clone()).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut previous = engine.clone();
    for input in &node.inputs {
        handle(&mut engine, input);
        if engine != previous {
            assert!(seen.insert(engine.digest().unwrap()), "at {input:?}");
            previous = engine.clone();
        }
    }
}

#[test]
fn bytes_that_are_not_a_checkpoint_are_refused() {
    for node in [eventful(), eventful_in_contact()] {
        let bytes = node.engine.checkpoint().unwrap();
        assert_eq!(Engine::restore(&[]), Err(CheckpointError::Unreadable));
        assert_eq!(
            Engine::restore(&bytes[..bytes.len() - 1]),
            Err(CheckpointError::Unreadable)
        );
        let mut refused = 0;
        for place in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[place] ^= 1;
            // Some bytes are plain data, and no one can tell; nothing here may panic.
            refused += usize::from(Engine::restore(&broken).is_err());
        }
        assert!(refused > bytes.len() / 10, "{refused} of {}", bytes.len());
    }
}
