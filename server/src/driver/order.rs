//! What is delivered around a CONNECT: nothing that is published once a client has the answer is missed, and nothing
//! overtakes the answer.

use tradewire_engine::event::{LogKind, Payload, Publish, Target, Topic};
use tradewire_engine::ids::{SessionId, UserId};
use tradewire_engine::parse::{Auth, UserClaim};
use tradewire_engine::time::WallTime;

use super::rig::Rig;
use super::*;

fn publish(text: &str) -> PublishCommand {
    publish_to(Target::State(Topic::Market), text)
}

fn publish_to(target: Target, text: &str) -> PublishCommand {
    PublishCommand {
        items: vec![Publish {
            id: None,
            target,
            payload: Payload::new(text),
        }],
        wall: WallTime::from_unix_ms(0),
        reply: oneshot::channel().0,
    }
}

/// A session that was let in, and whose answer is not on its way yet.
fn let_in(driver: &mut Driver<crate::clock::SystemClock>, websocket: bool) -> Arc<Link> {
    let (reply, mut admitted) = oneshot::channel();
    driver.command(Command::Handshake { reply });
    let Admitted { link, presence } = admitted.try_recv().unwrap().unwrap();
    // The session goes on beyond the test.
    std::mem::forget(presence);
    if websocket {
        link.queue().open();
    }
    let (reply, mut verdict) = oneshot::channel();
    driver.command(Command::Connect {
        conn: link.conn(),
        sid: Sid::new(),
        auth: Auth {
            session: SessionId::new("s").ok(),
            user: UserClaim::Claimed(UserId::new("u").unwrap()),
            ..Auth::default()
        },
        cookie: None,
        reply,
    });
    assert!(verdict.try_recv().unwrap().is_ok());
    link
}

#[tokio::test]
async fn what_a_polling_client_is_sent_waits_for_its_connect_answer() {
    let mut driver = Rig::new(None).driver;
    driver.publish(publish("{}"));
    let link = let_in(&mut driver, false);
    let conn = link.conn();
    driver.notice(Notice::Connected(conn));
    driver.publish(publish("{\"n\":2}"));
    assert_eq!(driver.seats.get(conn).unwrap().early.len(), 2);
    assert_eq!(link.pending().packets, 2);
    driver.notice(Notice::Answered(conn));
    driver.publish(publish("{\"n\":3}"));
    assert!(driver.seats.get(conn).unwrap().early.is_empty());
    // It has no socket behind it, so what was handed over stays pending.
    assert_eq!(link.pending().packets, 3);
}

#[tokio::test]
async fn what_a_websocket_is_sent_follows_its_connect_answer() {
    let mut driver = Rig::new(None).driver;
    driver.publish(publish("{}"));
    let link = let_in(&mut driver, true);
    driver.notice(Notice::Connected(link.conn()));
    let mut taken = VecDeque::new();
    link.queue().take(0, &mut taken);
    assert!(taken.is_empty());
    link.queue().take(1, &mut taken);
    assert_eq!(taken.len(), 1);
}

#[tokio::test]
async fn that_a_client_is_in_is_known_before_what_it_publishes() {
    let Rig {
        mut driver,
        inbox,
        mut outlets,
        mut notices,
        ..
    } = Rig::new(None);
    let link = let_in(&mut driver, true);
    link.notice(Notice::Connected(link.conn()));
    let trade = Target::Log {
        kind: LogKind::TradeExecuted,
        user: UserId::new("u").unwrap(),
    };
    inbox.publishes.try_send(publish_to(trade, "{}")).unwrap();
    let mut batch = Batch::default();
    batch.fill(&mut outlets, &mut notices);
    driver.handle_batch(&mut batch);
    let mut taken = VecDeque::new();
    link.queue().take(1, &mut taken);
    assert_eq!(taken.len(), 1);
}
