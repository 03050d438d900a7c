//! Three nodes are replaced one after the other while trades and quotes are published all the time.

use super::{quotes, trades};
use crate::client::TransportChoice;
use crate::net::Network;
use crate::oracle::User;
use crate::scenarios::stage::{Played, Stage, Tab};

const ANN: User = User(0);
const BOB: User = User(1);
const CAT: User = User(2);

const ALL: [&str; 6] = ["ann-1", "ann-2", "bob-1", "bob-2", "cat-1", "cat-2"];

/// Publishes of each target that a node's departure is accompanied by.
const BESIDE: u32 = 40;

pub(in crate::scenarios) fn play<W: Network>(stage: &mut Stage<W>) -> Played {
    stage.scene("Three nodes, with two clients each")?;
    let town = stage.site("town")?;
    let mut nodes = Vec::new();
    for name in ["node0", "node1", "node2"] {
        nodes.push(stage.node(name)?);
    }
    let feed = stage.desk("feed", town, None);
    let desk = stage.desk("desk", town, None);
    let tab = |name, user| Tab::of(name, user).watching(&["S0"]);
    let polling = TransportChoice::Polling;
    let upgrade = TransportChoice::Upgrade;
    let tabs = [
        [tab("ann-1", ANN), tab("bob-1", BOB).on(polling)],
        [tab("bob-2", BOB), tab("cat-1", CAT).on(upgrade)],
        [tab("cat-2", CAT), tab("ann-2", ANN).on(upgrade)],
    ];
    for (node, tabs) in nodes.iter().zip(&tabs) {
        stage.enter(*node, town, tabs)?;
    }
    let everyone = |stage: &mut Stage<W>, trade, quote| -> Played {
        stage.until_have(&ALL, trades(ANN), trade, 20)?;
        stage.until_have(&ALL, quotes(0), quote, 20)
    };
    let publish = |stage: &mut Stage<W>, count| {
        stage.publish(&desk, trades(BOB), count);
        stage.publish(&desk, trades(CAT), count);
        let trade = stage.publish(&desk, trades(ANN), count);
        (trade, stage.publish(&feed, quotes(0), count))
    };

    stage.scene("All is well")?;
    let (trade, quote) = publish(stage, 5);
    everyone(stage, trade, quote)?;

    stage.scene("Node by node leaves and is replaced, and trading goes on")?;
    for (node, count) in nodes.iter().zip(1..) {
        stage.drain(*node);
        let (trade, quote) = publish(stage, BESIDE);
        stage.until_gone(*node)?;
        stage.start(*node)?;
        everyone(stage, trade, quote)?;
        stage.until(15, "everyone is in and this node has left", |known| {
            let mut names = ALL.iter();
            names.all(|name| known.client(name).is_in)
                && known.node("node0").exited
                    + known.node("node1").exited
                    + known.node("node2").exited
                    == count
        })?;
    }

    stage.scene("Life goes on")?;
    let (trade, quote) = publish(stage, 5);
    everyone(stage, trade, quote)
}
