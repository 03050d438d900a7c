//! What the bus makes of a Redis that goes away, loses data, or says what no node wrote.

use std::time::Duration;

use tokio::time::Instant;
use tradewire_engine::Input;
use tradewire_engine::bus::BusRequest;
use tradewire_engine::input::{BusOutcome, GapCause};
use tradewire_engine::limits::Limits;

use super::rig::{
    Node, RedisServer, STREAM, Told, append_by_hand, arrived, cut_off_while, owned, words,
};

#[tokio::test]
async fn a_redis_killed_and_restarted_costs_nothing_that_was_appended() {
    let mut redis = RedisServer::start();
    let mut one = Node::reached(redis.url()).await;
    let mut two = Node::reached(redis.url()).await;
    one.append(&["a", "b"]);
    assert_eq!(two.log_until("b").await, arrived(&["a", "b"]));

    redis.kill();
    two.until_lost().await;
    one.until_lost().await;
    assert!(!one.status.reached() && one.status.ever_reached());
    assert!(one.commands.borrow().is_none());
    // While it is away the answer is no, at once.
    let request = one.append(&["c"]);
    let outcome = BusOutcome::Failed;
    one.until(|input| (input == Input::Appended { request, outcome }).then_some(()))
        .await;

    redis.restart();
    one.until_reached().await;
    assert!(one.status.reached() && one.commands.borrow().is_some());
    one.append(&["c", "d"]);
    // No gap, and nothing twice.
    assert_eq!(two.log_until("d").await, arrived(&["c", "d"]));
}

#[tokio::test]
async fn what_came_while_a_node_was_cut_off_arrives_before_it_counts_as_back() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    node.append(&["a"]);
    node.log_until("a").await;
    cut_off_while(&redis, &[append_by_hand(&["b", "c"])]).await;
    node.until_lost().await;
    assert_eq!(node.log_until("c").await, arrived(&["b", "c"]));
    assert_eq!(node.next().await, Input::BusReached);
}

#[tokio::test]
async fn a_log_trimmed_while_a_node_was_cut_off_is_told_as_a_gap() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    node.append(&["a"]);
    node.log_until("a").await;
    let trim_to = |length| owned(&["XTRIM", STREAM, "MAXLEN", length]);
    let appended = append_by_hand(&["b", "c", "d"]);
    cut_off_while(&redis, &[appended, trim_to("1")]).await;
    let mut told = vec![Told::Gap(GapCause::Trimmed)];
    told.extend(arrived(&["d"]));
    assert_eq!(node.log_until("d").await, told);
    assert_eq!(node.next().await, Input::BusReached);
    // Also when nothing is left of it.
    let appended = append_by_hand(&["e"]);
    cut_off_while(&redis, &[appended, trim_to("0")]).await;
    node.until_lost().await;
    let cause = GapCause::Trimmed;
    assert_eq!(node.next().await, Input::LogGap { cause });
    assert_eq!(node.next().await, Input::BusReached);
    node.append(&["f"]);
    assert_eq!(node.log_until("f").await, arrived(&["f"]));
}

#[tokio::test]
async fn a_log_emptied_under_a_reading_node_is_told_as_a_gap() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    let client = redis.client().await;
    // In one go, so that the reader never sees the entry.
    client.run(&["MULTI"]).await;
    client.run(&words(&append_by_hand(&["a"]))).await;
    client.run(&["XTRIM", STREAM, "MAXLEN", "0"]).await;
    client.run(&["EXEC"]).await;
    let cause = GapCause::Trimmed;
    assert_eq!(node.next().await, Input::LogGap { cause });
    node.append(&["b"]);
    assert_eq!(node.log_until("b").await, arrived(&["b"]));
}

#[tokio::test]
async fn a_redis_emptied_under_its_nodes_begins_a_new_life() {
    let redis = RedisServer::start();
    let mut one = Node::reached(redis.url()).await;
    let mut two = Node::reached(redis.url()).await;
    one.append(&["a"]);
    two.log_until("a").await;
    redis.client().await.run(&["FLUSHALL"]).await;
    let (mut gap, mut missed) = (0, 0);
    while gap == 0 || missed == 0 {
        match two.next().await {
            Input::LogGap { cause } => {
                assert_eq!(cause, GapCause::DataLoss);
                gap += 1;
            }
            Input::StateMissed => missed += 1,
            Input::BusLost => panic!("the contact itself was not lost"),
            _ => {}
        }
    }
    // What went before is not told again, and ids are free again.
    one.append(&["a", "b"]);
    assert_eq!(two.log_until("b").await, arrived(&["a", "b"]));
    assert_eq!((gap, missed), (1, 1));
    assert_eq!(two.next_before_answer().await, None);
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_told_as_data_loss_once() {
    let mut redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    node.append(&["a", "b"]);
    node.log_until("b").await;
    redis.kill();
    redis.forget();
    redis.restart();
    node.until_lost().await;
    let cause = GapCause::DataLoss;
    assert_eq!(node.next().await, Input::LogGap { cause });
    assert_eq!(node.next().await, Input::BusReached);
    node.append(&["a"]);
    assert_eq!(node.log_until("a").await, arrived(&["a"]));
}

#[tokio::test]
async fn a_redis_that_went_back_to_an_older_copy_is_told_as_data_loss() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    node.append(&["a", "b", "c"]);
    node.log_until("c").await;
    let back = owned(&["HSET", "tradewire:{log}:clock", "n", "1"]);
    cut_off_while(&redis, &[back]).await;
    node.until_lost().await;
    let cause = GapCause::DataLoss;
    assert_eq!(node.next().await, Input::LogGap { cause });
    assert_eq!(node.next().await, Input::BusReached);
    node.append(&["d"]);
    assert_eq!(node.log_until("d").await, arrived(&["d"]));
}

#[tokio::test]
async fn a_paused_redis_is_noticed_within_seconds_and_found_again() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    redis.signal("STOP");
    let paused = Instant::now();
    node.until_lost().await;
    assert!(
        paused.elapsed() < Duration::from_millis(3_500),
        "{:?}",
        paused.elapsed()
    );
    redis.signal("CONT");
    node.until_reached().await;
    node.append(&["a"]);
    assert_eq!(node.log_until("a").await, arrived(&["a"]));
}

#[tokio::test]
async fn a_node_that_starts_before_its_redis_finds_it() {
    let mut redis = RedisServer::start();
    redis.kill();
    let mut node = Node::start(redis.url());
    let request = node.next_request();
    node.submit(BusRequest::Lead { request });
    let held = None;
    assert_eq!(node.next().await, Input::Led { request, held });
    assert!(!node.status.ever_reached());
    redis.restart();
    assert_eq!(node.next().await, Input::BusReached);
}

#[tokio::test]
async fn garbage_is_counted_and_skipped() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    let client = redis.client().await;
    for body in [
        "",
        "h ",
        "h x y",
        "v ",
        "v 0000000000000001\n1 9 9\nq",
        "\u{0}\u{1}",
        "hello",
    ] {
        client.run(&["PUBLISH", "tradewire:{state}:ch", body]).await;
    }
    client.run(&["XADD", STREAM, "*", "e", "?", "n", "-"]).await;
    client.run(&["XADD", STREAM, "*", "f", "v"]).await;
    node.append(&["a"]);
    node.share("AAPL", 1);
    let (mut log, mut state) = (false, false);
    while !(log && state) {
        match node.next().await {
            Input::LogArrived { .. } => log = true,
            Input::StateArrived { .. } => state = true,
            Input::Appended { .. } | Input::Shared { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(node.status.garbage.get(), 9);
    assert!(node.status.reached());
}

#[tokio::test]
async fn a_foreign_epoch_in_the_log_is_not_believed() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    let client = redis.client().await;
    node.append(&["a"]);
    node.log_until("a").await;
    client
        .run(&[
            "XADD",
            STREAM,
            "*",
            "e",
            "00000000000000ff",
            "n",
            "7",
            "k",
            "executed",
            "u",
            "u",
            "p",
            "{}",
        ])
        .await;
    node.append(&["b"]);
    assert_eq!(node.log_until("b").await, arrived(&["b"]));
}

#[tokio::test]
async fn scripts_that_were_flushed_are_loaded_again() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    redis.client().await.run(&["SCRIPT", "FLUSH"]).await;
    node.until_lost().await;
    node.until_reached().await;
    node.append(&["a"]);
    assert_eq!(node.log_until("a").await, arrived(&["a"]));
}

#[tokio::test]
async fn a_subscription_that_falls_silent_ends_the_contact() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    let client = redis.client().await;
    // From here on nobody may publish: requests are answered, heartbeats are not heard.
    client
        .run(&["ACL", "SETUSER", "default", "resetchannels"])
        .await;
    node.until_lost().await;
    client
        .run(&["ACL", "SETUSER", "default", "allchannels"])
        .await;
    node.until_reached().await;
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_contacts_are_cut_at_any_moment() {
    const BATCHES: usize = 60;
    let redis = RedisServer::start();
    let mut publisher = Node::reached(redis.url()).await;
    // Its driver has room for one input only, so that it is cut off in the middle of telling, too.
    let mut reader = Node::start_with(redis.url(), Limits::default(), 1);
    reader.until_reached().await;
    let publishing = async {
        for batch in 0..BATCHES {
            let ids: Vec<String> = (0..50).map(|n| format!("{batch}-{n}")).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            // As publishers do: the whole batch again, until it is taken.
            loop {
                let request = publisher.append(&ids);
                let outcome = publisher
                    .until(|input| match input {
                        Input::Appended {
                            request: r,
                            outcome,
                        } if r == request => Some(outcome),
                        _ => None,
                    })
                    .await;
                if outcome == BusOutcome::Done {
                    break;
                }
                publisher.until_reached().await;
            }
            if batch % 10 == 5 {
                cut_off_while(&redis, &[]).await;
            }
        }
    };
    let last = format!("{}-49", BATCHES - 1);
    let ((), told) = tokio::join!(publishing, reader.log_until(&last));
    let all = (0..BATCHES).flat_map(|batch| (0..50).map(move |n| format!("{batch}-{n}")));
    let all: Vec<_> = all.map(Told::Arrived).collect();
    assert_eq!(told, all);
}
