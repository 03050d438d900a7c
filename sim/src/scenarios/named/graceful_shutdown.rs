//! A node is asked to leave while trades are taken there; later another is asked twice.

use super::{quotes, trades};
use crate::client::TransportChoice;
use crate::net::Network;
use crate::oracle::User;
use crate::scenarios::stage::{Played, Stage, Tab};

const ANN: User = User(0);
const BOB: User = User(1);

pub(in crate::scenarios) fn play<W: Network>(stage: &mut Stage<W>) -> Played {
    stage.scene("Two nodes; everyone but bob-2 is on the first")?;
    let town = stage.site("town")?;
    let (node0, node1) = (stage.node("node0")?, stage.node("node1")?);
    let feed = stage.desk("feed", town, Some(node1));
    stage.steer(Some(node0));
    let desk = stage.desk("desk", town, None);
    let tab = |name, user| Tab::of(name, user).watching(&["S0"]);
    let tabs = [
        tab("ann-1", ANN),
        tab("ann-2", ANN).on(TransportChoice::Polling),
        tab("ann-3", ANN).on(TransportChoice::Upgrade),
        tab("bob-1", BOB),
    ];
    stage.enter(node0, town, &tabs)?;
    stage.enter(node1, town, &[tab("bob-2", BOB)])?;
    let anns = ["ann-1", "ann-2", "ann-3"];
    let leavers = ["ann-1", "ann-2", "ann-3", "bob-1"];
    let all = ["ann-1", "ann-2", "ann-3", "bob-1", "bob-2"];

    stage.scene("All is well")?;
    stage.steer(Some(node0));
    let trade = stage.publish(&desk, trades(ANN), 3);
    stage.until_have(&anns, trades(ANN), trade, 5)?;
    stage.steer(None);
    let quote = stage.publish(&feed, quotes(0), 3);
    stage.until_have(&all, quotes(0), quote, 5)?;

    stage.scene("The first node is asked to leave right behind ten trades")?;
    let trade = stage.publish(&desk, trades(ANN), 10);
    stage.until(5, "the node has taken one of them", |known| {
        known.publisher("desk").taken > 3
    })?;
    stage.drain(node0);
    stage.until(2, "all of its clients are told within 2 s", |known| {
        let mut names = leavers.iter();
        names.all(|name| known.client(name).told == 1)
    })?;
    let quote = stage.publish(&feed, quotes(0), 3);
    stage.until_gone(node0)?;
    stage.until(10, "all of its clients are in elsewhere", |known| {
        let mut names = leavers.iter();
        known.node("node0").exited == 1
            && names.all(|name| known.client(name).is_in && known.client(name).entered == 2)
    })?;
    stage.until_have(&anns, trades(ANN), trade, 15)?;
    stage.until_have(&all, quotes(0), quote, 5)?;

    stage.scene("It is back; the other one is asked to leave, and asked again at once")?;
    stage.start(node0)?;
    stage.drain(node1);
    stage.until(2, "all are told", |known| {
        let mut names = all.iter();
        names.all(|name| known.client(name).told > 0) && known.client("ann-1").told == 2
    })?;
    stage.hurry(node1);
    stage.until_gone(node1)?;
    stage.until(10, "all are in at the first one again", |known| {
        let mut names = all.iter();
        known.node("node1").exited == 1
            && names.all(|name| known.client(name).is_in)
            && known.client("bob-2").entered == 2
    })?;
    let trade = stage.publish(&desk, trades(ANN), 3);
    stage.until_have(&anns, trades(ANN), trade, 40)
}
