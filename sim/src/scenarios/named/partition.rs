//! A node and its site are cut off from Redis and from the other site, twice: once briefly, and once for so
//! long that the log is trimmed meanwhile.

use super::{portfolio, quotes, trades};
use crate::client::TransportChoice;
use crate::net::Network;
use crate::oracle::User;
use crate::scenarios::stage::{Played, Spot, Stage, Tab};

const ANN: User = User(0);
const BOB: User = User(1);

pub(in crate::scenarios) fn play<W: Network>(stage: &mut Stage<W>) -> Played {
    stage.scene("Two sites with a node each; Redis is in the east. cat is in the east, and connected to the west")?;
    let (west, east) = (stage.site("west")?, stage.site("east")?);
    let (node0, node1) = (stage.node("node0")?, stage.node("node1")?);
    let west_feed = stage.desk("west-feed", west, Some(node0));
    let west_desk = stage.desk("west-desk", west, Some(node0));
    let east_feed = stage.desk("east-feed", east, Some(node1));
    let east_desk = stage.desk("east-desk", east, Some(node1));
    let tab = |name, user| Tab::of(name, user).watching(&["S0", "S1"]);
    let polls = tab("ann-polls", ANN).on(TransportChoice::Polling);
    stage.enter(node0, west, &[tab("ann-west", ANN), polls])?;
    stage.enter(node1, east, &[tab("ann-east", ANN), tab("bob", BOB)])?;
    stage.enter(node0, east, &[tab("cat", BOB)])?;
    let westerners = ["ann-west", "ann-polls"];
    let anns = ["ann-west", "ann-polls", "ann-east"];
    let all = ["ann-west", "ann-polls", "ann-east", "bob", "cat"];

    stage.scene("All is well: whatever is published anywhere reaches everyone it is for")?;
    let quote = stage.publish(&west_feed, quotes(0), 5);
    stage.until_have(&all, quotes(0), quote, 5)?;
    let quote = stage.publish(&east_feed, quotes(1), 5);
    stage.until_have(&all, quotes(1), quote, 5)?;
    let trade = stage.publish(&east_desk, trades(ANN), 5);
    stage.until_have(&anns, trades(ANN), trade, 5)?;
    let trade = stage.publish(&west_desk, trades(BOB), 5);
    stage.until_have(&["bob", "cat"], trades(BOB), trade, 5)?;

    let cut_off = |stage: &mut Stage<W>| -> Played {
        for (node, other) in [
            (node0, Spot::Redis),
            (node0, east.into()),
            (node1, west.into()),
        ] {
            stage.cut(node, other)?;
        }
        stage.until(15, "node0 says that it is cut off", |known| {
            !known.node("node0").reaches
        })
    };

    stage.scene("The sites are cut off from each other")?;
    cut_off(stage)?;

    stage.scene(
        "West's own clients get west's values; east gets east's; a trade in the west waits",
    )?;
    let own = stage.publish(&west_feed, quotes(0), 5);
    stage.until_have(&westerners, quotes(0), own, 5)?;
    let worth = stage.publish(&west_feed, portfolio(ANN), 3);
    stage.until_have(&westerners, portfolio(ANN), worth, 5)?;
    let other = stage.publish(&east_feed, quotes(1), 5);
    stage.until_have(&["ann-east", "bob"], quotes(1), other, 5)?;
    let trade = stage.publish(&east_desk, trades(ANN), 5);
    stage.until_have(&["ann-east"], trades(ANN), trade, 5)?;
    stage.publish(&west_desk, trades(BOB), 1);
    stage.until(5, "the west's trade is refused for now", |known| {
        known.publisher("west-desk").refused > 0
    })?;

    stage
        .scene("The way is open again: values are handed over, trades arrive once, cat goes on")?;
    stage.steer(Some(node0));
    stage.heal();
    stage.until(10, "node0 is back", |known| known.node("node0").reaches)?;
    stage.until_have(&all, quotes(0), own, 40)?;
    stage.until_have(&anns, portfolio(ANN), worth, 5)?;
    stage.until_have(&all, quotes(1), other, 5)?;
    stage.until_have(&anns, trades(ANN), trade, 5)?;
    stage.until_have(&["bob", "cat"], trades(BOB), 6, 40)?;

    stage.scene("They are cut off again, and so much is traded that the log is trimmed")?;
    cut_off(stage)?;
    let trade = stage.publish(&east_desk, trades(ANN), 10);
    stage.until_have(&["ann-east"], trades(ANN), trade, 10)?;
    stage.trim_log(2);

    stage.scene("The way is open again: who misses trades is told")?;
    stage.heal();
    stage.until_have(&westerners, trades(ANN), trade, 15)?;
    stage.until(60, "all at node0 are told of the gap", |known| {
        let mut names = ["ann-west", "ann-polls", "cat"].iter();
        names.all(|name| known.client(name).resumed.last() == Some(&false))
    })
}
