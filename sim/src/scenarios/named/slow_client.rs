//! A page stops reading, first for a moment and then for too much: what it is owed is bounded, what it gets
//! is the newest of each topic and every trade, and others do not notice.

use std::time::Duration;

use super::{portfolio, quotes, trades};
use crate::client::Command;
use crate::net::Network;
use crate::observation::Reason;
use crate::oracle::User;
use crate::scenarios::stage::{Played, Setup, Stage, Tab};

const ANN: User = User(0);
const BOB: User = User(1);

/// Bounds that a simulation comes to soon: the network holds 128 KiB before a server notices anything.
pub(in crate::scenarios) const SETUP: Setup = Setup {
    sessions: false,
    outbox_bytes: 60_000,
    congested_log: 32,
};

/// Bytes of a quote, and how many are more than the network and the outbox hold.
const QUOTE_BYTES: usize = 1_500;
const QUOTES: u32 = 200;

/// Shorter than a heartbeat may take.
const MOMENT: Duration = Duration::from_secs(8);

pub(in crate::scenarios) fn play<W: Network>(stage: &mut Stage<W>) -> Played {
    stage.scene("One node; a user with a slow page and a quick one, and another user")?;
    let town = stage.site("town")?;
    let node0 = stage.node("node0")?;
    let feed = stage.desk("feed", town, Some(node0));
    let desk = stage.desk("desk", town, Some(node0));
    let tab = |name, user| Tab::of(name, user).watching(&["S0", "S1"]);
    let tabs = [tab("slow", ANN), tab("quick", ANN), tab("bob", BOB)];
    stage.enter(node0, town, &tabs)?;
    let all = ["slow", "quick", "bob"];
    let others = ["quick", "bob"];

    stage.scene("All read")?;
    let quote = stage.publish(&feed, quotes(0), 3);
    stage.until_have(&all, quotes(0), quote, 5)?;
    let trade = stage.publish(&desk, trades(ANN), 3);
    stage.until_have(&["slow", "quick"], trades(ANN), trade, 5)?;

    stage.scene("The slow page freezes for a moment: once congested it is owed the newest quotes and all trades")?;
    stage.tell("slow", Command::Stall(MOMENT));
    let quote = stage.publish_large(&feed, quotes(0), QUOTES, QUOTE_BYTES);
    stage.until_have(&others, quotes(0), quote, 7)?;
    let other = stage.publish(&feed, quotes(1), 5);
    let worth = stage.publish(&feed, portfolio(ANN), 5);
    let trade = stage.publish(&desk, trades(ANN), 10);
    stage.until_have(&others, quotes(1), other, 3)?;
    stage.until_have(&["quick"], portfolio(ANN), worth, 3)?;
    stage.until_have(&["quick"], trades(ANN), trade, 3)?;
    stage.until_have(&["slow"], quotes(0), quote, 15)?;
    stage.until_have(&["slow"], quotes(1), other, 5)?;
    stage.until_have(&["slow"], portfolio(ANN), worth, 5)?;
    stage.until_have(&["slow"], trades(ANN), trade, 5)?;
    stage.until(5, "values were left out for it", |known| {
        known.node("node0").said("WebSocket value conflated") > 0
            && known.node("node0").said("WebSocket no longer congested") > 0
    })?;

    stage.scene("It freezes again, and is owed more trades than a server keeps: closed, it comes back and resumes")?;
    stage.tell("slow", Command::Stall(MOMENT));
    let quote = stage.publish_large(&feed, quotes(0), QUOTES, QUOTE_BYTES);
    stage.until_have(&others, quotes(0), quote, 7)?;
    let trade = stage.publish(&desk, trades(ANN), 50);
    stage.until_have(&["quick"], trades(ANN), trade, 5)?;
    stage.until(
        20,
        "the slow one has lost its connection and is back",
        |known| {
            let slow = known.client("slow");
            slow.ended.last() == Some(&Reason::TransportClose) && slow.is_in
        },
    )?;
    stage.until_have(&["slow"], trades(ANN), trade, 5)?;
    stage.until_have(&["slow"], quotes(0), quote, 5)?;

    stage.scene("All read again")?;
    let quote = stage.publish(&feed, quotes(0), 3);
    stage.until_have(&all, quotes(0), quote, 5)?;
    stage.until(1, "the others never lost anything", |known| {
        let mut names = others.iter();
        names.all(|name| known.client(name).ended.is_empty())
    })
}
