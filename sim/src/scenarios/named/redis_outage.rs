//! Redis is away and comes back as it was; later it is away and comes back with nothing.

use super::{portfolio, quotes, trades};
use crate::client::{Command, TransportChoice};
use crate::net::Network;
use crate::oracle::User;
use crate::redis::Loss;
use crate::scenarios::stage::{Played, Stage, Tab};

const ANN: User = User(0);
const BOB: User = User(1);

pub(in crate::scenarios) fn play<W: Network>(stage: &mut Stage<W>) -> Played {
    stage.scene("Two nodes on one Redis")?;
    let town = stage.site("town")?;
    let (node0, node1) = (stage.node("node0")?, stage.node("node1")?);
    let feed = stage.desk("feed", town, Some(node0));
    let desk = stage.desk("desk", town, Some(node1));
    let tab = |name, user| Tab::of(name, user).watching(&["S0"]);
    let ann_0 = tab("ann-0", ANN);
    let ann_1 = tab("ann-1", ANN).on(TransportChoice::Polling);
    let bob = tab("bob", BOB).on(TransportChoice::Upgrade);
    stage.enter(node0, town, &[ann_0, bob])?;
    stage.enter(node1, town, &[ann_1])?;
    let anns = ["ann-0", "ann-1"];
    let all = ["ann-0", "ann-1", "bob"];

    stage.scene("All is well")?;
    let quote = stage.publish(&feed, quotes(0), 3);
    let worth = stage.publish(&feed, portfolio(ANN), 3);
    stage.until_have(&all, quotes(0), quote, 5)?;
    stage.until_have(&anns, portfolio(ANN), worth, 5)?;
    let trade = stage.publish(&desk, trades(ANN), 3);
    stage.until_have(&anns, trades(ANN), trade, 5)?;

    let away = |stage: &mut Stage<W>, loss| -> Played {
        stage.stop_redis(loss)?;
        stage.until(15, "both nodes say that Redis is away", |known| {
            !known.node("node0").reaches && !known.node("node1").reaches
        })
    };
    let back = |stage: &mut Stage<W>| -> Played {
        stage.start_redis();
        stage.until(15, "both nodes are back", |known| {
            known.node("node0").reaches && known.node("node1").reaches
        })
    };

    stage
        .scene("Redis stops: clients of node0 get what is published there; a trade has to wait")?;
    away(stage, Loss::Nothing)?;
    let own = stage.publish(&feed, quotes(0), 3);
    let own_worth = stage.publish(&feed, portfolio(ANN), 3);
    stage.until_have(&["ann-0", "bob"], quotes(0), own, 5)?;
    stage.until_have(&["ann-0"], portfolio(ANN), own_worth, 5)?;
    let trade = stage.publish(&desk, trades(ANN), 3);
    stage.until(5, "trades are refused for now", |known| {
        known.publisher("desk").refused > 0
    })?;

    stage.scene(
        "Redis is back with its data: the newest values reach everyone, trades arrive once",
    )?;
    back(stage)?;
    stage.until_have(&all, quotes(0), own, 10)?;
    stage.until_have(&anns, portfolio(ANN), own_worth, 10)?;
    stage.until_have(&anns, trades(ANN), trade, 40)?;

    stage.scene("Redis stops and loses everything")?;
    away(stage, Loss::Everything)?;
    let own = stage.publish(&feed, quotes(0), 3);
    stage.until_have(&["ann-0", "bob"], quotes(0), own, 5)?;

    stage.scene(
        "Redis is back without data: everyone is told that trades may be missing, and has the newest values",
    )?;
    back(stage)?;
    stage.until(20, "all are told that trades may be missing", |known| {
        let mut names = all.iter();
        names.all(|name| known.client(name).resumed == [false])
    })?;
    stage.until_have(&all, quotes(0), own, 10)?;

    stage.scene("ann-0 loses its connection, and comes back with an id of the life that ended")?;
    stage.steer(Some(node1));
    stage.tell("ann-0", Command::Roam);
    stage.until(20, "it is told once more", |known| {
        known.client("ann-0").resumed == [false, false]
    })?;

    stage.scene("Life goes on")?;
    let trade = stage.publish(&desk, trades(ANN), 3);
    stage.until_have(&anns, trades(ANN), trade, 10)?;
    let quote = stage.publish(&feed, quotes(0), 3);
    stage.until_have(&all, quotes(0), quote, 5)
}
