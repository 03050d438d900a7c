//! Everyone's network changes at once: twelve connections are gone without a word, and twelve more come
//! while the servers still count the old ones.

use super::{quotes, trades};
use crate::client::{Command, TransportChoice};
use crate::net::Network;
use crate::oracle::User;
use crate::scenarios::stage::{Played, Stage, Tab};

const ANN: User = User(0);
const BOB: User = User(1);
const CAT: User = User(2);

const ANNS: [&str; 5] = ["ann-1", "ann-2", "ann-3", "ann-4", "ann-5"];
const BOBS: [&str; 5] = ["bob-1", "bob-2", "bob-3", "bob-4", "bob-5"];
const CATS: [&str; 2] = ["cat-1", "cat-2"];

pub(in crate::scenarios) fn play<W: Network>(stage: &mut Stage<W>) -> Played {
    stage.scene(
        "Two nodes; ann and bob have all the connections they may have, cat's pages resume nothing",
    )?;
    let town = stage.site("town")?;
    let (node0, node1) = (stage.node("node0")?, stage.node("node1")?);
    let feed = stage.desk("feed", town, None);
    let desk = stage.desk("desk", town, None);
    let tab = |name, user| Tab::of(name, user).watching(&["S0"]);
    let anns = ANNS.map(|name| tab(name, ANN));
    let bobs = BOBS.map(|name| tab(name, BOB).on(TransportChoice::Upgrade));
    let cats = CATS.map(|name| tab(name, CAT).plain());
    stage.enter(node0, town, &anns)?;
    stage.enter(node1, town, &bobs)?;
    stage.enter(node0, town, &cats)?;
    let everyone: Vec<&str> = [&ANNS[..], &BOBS, &CATS].concat();

    stage.scene("All is well")?;
    let quote = stage.publish(&feed, quotes(0), 3);
    stage.until_have(&everyone, quotes(0), quote, 5)?;
    for (user, names) in [(ANN, &ANNS[..]), (BOB, &BOBS), (CAT, &CATS)] {
        let trade = stage.publish(&desk, trades(user), 3);
        stage.until_have(names, trades(user), trade, 5)?;
    }

    stage.scene(
        "All lose their connections at once; trades are published meanwhile; all are back",
    )?;
    for name in &everyone {
        stage.tell(name, Command::Roam);
    }
    // cat's come first, before anybody can be back.
    stage.publish(&desk, trades(CAT), 3);
    stage.publish(&desk, trades(ANN), 3);
    stage.publish(&desk, trades(BOB), 3);
    stage.until(5, "the trades are taken", |known| {
        known.publisher("desk").taken == 18
    })?;
    stage.until(20, "everyone is back", |known| {
        let mut names = everyone.iter();
        names.all(|name| known.client(name).is_in && known.client(name).confirmed == 6)
    })?;
    stage.until_have(&ANNS, trades(ANN), 6, 5)?;
    stage.until_have(&BOBS, trades(BOB), 6, 5)?;
    stage.until_have(&everyone, quotes(0), quote, 5)?;

    stage.scene("Life goes on; the servers find out that the old connections are gone")?;
    let quote = stage.publish(&feed, quotes(0), 3);
    stage.until_have(&everyone, quotes(0), quote, 5)?;
    for (user, names) in [(ANN, &ANNS[..]), (BOB, &BOBS), (CAT, &CATS)] {
        let trade = stage.publish(&desk, trades(user), 3);
        stage.until_have(names, trades(user), trade, 5)?;
    }
    stage.while_for(30, "nobody is refused or closed", |known| {
        let mut names = everyone.iter();
        names.all(|name| {
            let client = known.client(name);
            client.is_in && client.entered == 2 && client.refused == 0
        })
    })
}
