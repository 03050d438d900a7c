//! A node and the machine in front of it lose their power: five connections of one user are still counted, and
//! nobody renews them.

use super::{quotes, trades};
use crate::client::Command;
use crate::net::Network;
use crate::oracle::User;
use crate::scenarios::stage::{Played, Stage, Tab};

const ANN: User = User(0);
const BOB: User = User(1);

const TABS: [&str; 5] = ["ann-1", "ann-2", "ann-3", "ann-4", "ann-5"];

pub(in crate::scenarios) fn play<W: Network>(stage: &mut Stage<W>) -> Played {
    stage
        .scene("ann has five tabs at node0, which is all she may have; bob has one at each node")?;
    let (office, home) = (stage.site("office")?, stage.site("home")?);
    let (node0, node1) = (stage.node("node0")?, stage.node("node1")?);
    let feed = stage.desk("feed", home, Some(node1));
    let desk = stage.desk("desk", home, Some(node1));
    stage.enter(node0, office, &TABS.map(|name| Tab::of(name, ANN)))?;
    let tab = |name| Tab::of(name, BOB).watching(&["S0"]);
    stage.enter(node0, home, &[tab("bob-0")])?;
    stage.enter(node1, home, &[tab("bob-1")])?;
    let bobs = ["bob-0", "bob-1"];

    stage.scene("All is well")?;
    let quote = stage.publish(&feed, quotes(0), 3);
    stage.until_have(&bobs, quotes(0), quote, 5)?;
    let trade = stage.publish(&desk, trades(BOB), 3);
    stage.until_have(&bobs, trades(BOB), trade, 5)?;
    let trade = stage.publish(&desk, trades(ANN), 3);
    stage.until_have(&TABS, trades(ANN), trade, 5)?;

    stage.scene("ann's phone is one too many, at the other node, too")?;
    stage.steer(Some(node1));
    stage.add(home, &Tab::of("ann-phone", ANN).crowded());
    stage.until(5, "the phone is refused", |known| {
        known.client("ann-phone").refused == 1
    })?;

    stage
        .scene("The office loses its power: node0 and all of ann's tabs are gone without a word")?;
    stage.power_off(node0);
    for name in TABS {
        stage.tell(name, Command::Vanish);
    }
    let trade = stage.publish(&desk, trades(BOB), 3);
    stage.until_have(&["bob-1"], trades(BOB), trade, 5)?;

    stage.scene("The phone is refused for as long as the leases last, and let in within 60 s; bob-0 comes to node1")?;
    stage.tell("ann-phone", Command::Connect);
    stage.until_let_in("ann-phone", 60)?;
    stage.until(1, "the leases were still counted", |known| {
        known.client("ann-phone").refused > 1
    })?;
    stage.until_have(&bobs, trades(BOB), trade, 40)?;
    stage.until_have(&bobs, quotes(0), quote, 5)?;

    stage.scene("node0 is back")?;
    stage.start(node0)?;
    stage.steer(None);
    let trade = stage.publish(&desk, trades(ANN), 3);
    stage.until_have(&["ann-phone"], trades(ANN), trade, 5)?;
    let quote = stage.publish(&feed, quotes(0), 3);
    stage.until_have(&bobs, quotes(0), quote, 5)
}
