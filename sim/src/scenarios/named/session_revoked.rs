//! With sessions: one ends and its connections are closed; then Redis loses all of them, and nobody's are.

use super::trades;
use crate::client::{Command, TransportChoice};
use crate::net::Network;
use crate::observation::Reason;
use crate::oracle::User;
use crate::scenarios::stage::{Played, Stage, Tab};

const ANN: User = User(0);
const BOB: User = User(1);
const USERS: &[User] = &[ANN, BOB];

pub(in crate::scenarios) fn play<W: Network>(stage: &mut Stage<W>) -> Played {
    stage.scene("Two nodes that believe sessions alone; ann has a tab at each")?;
    for user in USERS {
        stage.set_session(*user, true);
    }
    let town = stage.site("town")?;
    let (node0, node1) = (stage.node("node0")?, stage.node("node1")?);
    let desk = stage.desk("desk", town, Some(node1));
    let ann_1 = Tab::of("ann-1", ANN).on(TransportChoice::Polling);
    stage.enter(node0, town, &[Tab::of("ann-0", ANN), Tab::of("bob", BOB)])?;
    stage.enter(node1, town, &[ann_1])?;
    let anns = ["ann-0", "ann-1"];
    let all = ["ann-0", "ann-1", "bob"];

    stage
        .scene("ann logs out: after two checks both of her tabs are told and closed; bob stays")?;
    stage.set_session(ANN, false);
    stage.until(40, "both tabs are closed for good", |known| {
        let mut names = anns.iter();
        names.all(|name| known.client(name).ended == [Reason::ServerDisconnect])
    })?;
    stage.until(1, "bob stays", |known| known.client("bob").is_in)?;

    stage.scene("She tries with the session that is gone")?;
    stage.tell("ann-0", Command::Connect);
    stage.until(10, "it is refused", |known| {
        known.client("ann-0").refused == 1
    })?;

    stage.scene("She logs in again")?;
    stage.set_session(ANN, true);
    stage.steer(Some(node1));
    for name in anns {
        stage.tell(name, Command::Connect);
    }
    stage.until(10, "both tabs are in", |known| {
        let mut names = anns.iter();
        names.all(|name| known.client(name).is_in && known.client(name).confirmed == 4)
    })?;
    let trade = stage.publish(&desk, trades(ANN), 3);
    stage.until_have(&anns, trades(ANN), trade, 5)?;

    stage.scene("Redis is emptied, and all sessions with it: nobody is closed for that")?;
    stage.empty_redis(USERS);
    stage.while_for(35, "everyone stays", |known| {
        let mut names = all.iter();
        names.all(|name| known.client(name).is_in)
    })?;

    stage.scene("The sessions are back")?;
    for user in USERS {
        stage.set_session(*user, true);
    }
    stage.while_for(25, "everyone stays", |known| {
        let mut names = all.iter();
        names.all(|name| known.client(name).is_in)
    })?;
    let trade = stage.publish(&desk, trades(ANN), 3);
    stage.until_have(&anns, trades(ANN), trade, 5)
}
