//! The log: appended once, numbered, read on, and honest about its losses.

use std::time::Duration;

use redis::Value;
use tradewire_engine::Input;
use tradewire_engine::bus::{BusRequest, LogPublish};
use tradewire_engine::event::LogKind;
use tradewire_engine::input::BusOutcome;
use tradewire_engine::limits::Limits;
use tradewire_engine::time::WallTime;

use super::super::{Codec, Read, StreamId, Unreadable};
use super::server::{Node, Redis, codec};
use super::{id, payload, request, user};

const STREAM: &str = "tradewire:{log}:stream";
const CLOCK: &str = "tradewire:{log}:clock";

fn append(ids: &[&str]) -> BusRequest {
    let entries = ids.iter().map(|text| LogPublish {
        id: id(text),
        lasting: true,
        kind: if text.starts_with('f') {
            LogKind::TradeFailed
        } else {
            LogKind::TradeExecuted
        },
        user: user("ü {1}"),
        payload: payload(&format!(
            r#"{{"id":"{text}","price":0.10000000000000000001}}"#
        )),
    });
    BusRequest::Append {
        request: request(),
        entries: entries.collect(),
        wall: WallTime::from_unix_ms(1),
    }
}

fn appended(outcome: BusOutcome) -> Option<Input> {
    Some(Input::Appended {
        request: request(),
        outcome,
    })
}

async fn read(node: &mut Node, after: StreamId) -> Vec<Read> {
    let command = node.codec.read_log(after, 100, None);
    let reply = node.send(&command).await;
    node.codec.log_entries(reply).unwrap()
}

/// Number and id, as the payload tells it, of every readable entry.
async fn numbered(node: &mut Node) -> Vec<(u64, String)> {
    let entries = read(node, StreamId::ZERO).await;
    let entries = entries.into_iter().filter_map(|read| read.entry.ok());
    entries
        .map(|(number, entry)| {
            let text = entry.payload.text().split('"').nth(3);
            (number, text.unwrap_or_default().to_owned())
        })
        .collect()
}

fn numbers(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    let expected = expected.iter();
    expected.map(|(n, id)| (*n, (*id).to_owned())).collect()
}

#[tokio::test]
async fn an_event_is_appended_once_however_often_it_is_handed_in() {
    let redis = Redis::start();
    let (mut one, mut other) = (redis.node(codec(1)).await, redis.node(codec(2)).await);
    assert_eq!(
        one.ask(&append(&["a", "f", "a"])).await,
        appended(BusOutcome::Done)
    );
    assert_eq!(
        other.ask(&append(&["f", "b"])).await,
        appended(BusOutcome::Done)
    );
    assert_eq!(
        one.ask(&append(&["a", "f", "b"])).await,
        appended(BusOutcome::Done)
    );
    assert_eq!(
        numbered(&mut one).await,
        numbers(&[(1, "a"), (2, "f"), (3, "b")])
    );
    assert_eq!(one.open().await.log_count, 3);
    let kept = one.count(&["PTTL", "tradewire:{log}:id:a"]).await;
    assert!((590_000..=600_000).contains(&kept), "{kept}");
}

#[tokio::test]
async fn an_entry_reads_back_as_it_was_appended() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    node.ask(&append(&["f1"])).await;
    let opened = node.open().await;
    let [Read { id, entry }] = read(&mut node, StreamId::ZERO).await.try_into().unwrap();
    let (number, entry) = entry.unwrap();
    assert_eq!(number, 1);
    assert_eq!(
        (entry.id.epoch, entry.id.ms, entry.id.seq),
        (opened.log_epoch, id.ms, id.seq)
    );
    assert!(opened.now_ms.abs_diff(id.ms) < 60_000);
    assert_eq!(
        (entry.kind, entry.user),
        (LogKind::TradeFailed, user("ü {1}"))
    );
    assert_eq!(
        entry.payload,
        payload(r#"{"id":"f1","price":0.10000000000000000001}"#)
    );
}

#[tokio::test]
async fn reading_goes_on_behind_the_last_entry_and_ends_when_there_is_none() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    assert_eq!(read(&mut node, StreamId::ZERO).await, []);
    let wait = node
        .codec
        .read_log(StreamId::ZERO, 1, Some(Duration::from_millis(1)));
    let reply = node.send(&wait).await;
    assert_eq!(node.codec.log_entries(reply), Ok(Vec::new()));
    node.ask(&append(&["a", "b", "c"])).await;
    let all = read(&mut node, StreamId::ZERO).await;
    assert_eq!(all.len(), 3);
    assert_eq!(read(&mut node, all[0].id).await, all[1..]);
    assert_eq!(read(&mut node, all[2].id).await, []);
    let page = node.codec.read_log(StreamId::ZERO, 2, None);
    let reply = node.send(&page).await;
    assert_eq!(node.codec.log_entries(reply).unwrap(), all[..2]);
    node.run(&["DEL", STREAM]).await;
    node.run(&["SET", STREAM, "garbage"]).await;
    let reply = node.send(&page).await;
    assert_eq!(node.codec.log_entries(reply), Err(Unreadable::Refused));
}

#[tokio::test]
async fn a_waiting_reader_is_told_of_what_another_appends() {
    let redis = Redis::start();
    let (mut reader, mut writer) = (redis.node(codec(1)).await, redis.node(codec(2)).await);
    let wait = reader
        .codec
        .read_log(StreamId::ZERO, 10, Some(Duration::from_secs(30)));
    let request = append(&["a"]);
    let (reply, _) = tokio::join!(reader.send(&wait), writer.ask(&request));
    assert_eq!(reader.codec.log_entries(reply).unwrap().len(), 1);
}

#[tokio::test]
async fn every_loss_of_the_clock_begins_an_epoch_of_its_own() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    let mut epochs = vec![node.open().await.log_epoch];
    node.ask(&append(&["a", "b"])).await;
    assert_eq!(node.open().await.log_epoch, epochs[0]);

    node.run(&["DEL", CLOCK]).await;
    node.ask(&append(&["c"])).await;
    // What is there stays, and its epoch tells it apart.
    assert_eq!(
        numbered(&mut node).await,
        numbers(&[(1, "a"), (2, "b"), (1, "c")])
    );
    let entries = read(&mut node, StreamId::ZERO).await;
    assert_eq!(entries[0].entry.as_ref().unwrap().1.id.epoch, epochs[0]);
    epochs.push(entries[2].entry.as_ref().unwrap().1.id.epoch);
    assert_eq!(node.open().await.log_epoch, epochs[1]);

    node.run(&["FLUSHALL"]).await;
    let opened = node.open().await;
    assert_eq!(opened.log_count, 0);
    epochs.push(opened.log_epoch);

    node.run(&["HSET", CLOCK, "e", "not an epoch"]).await;
    epochs.push(node.open().await.log_epoch);
    epochs.push(node.open().await.state_epoch);
    epochs.sort_unstable();
    epochs.dedup();
    assert_eq!(epochs.len(), 5);
}

#[tokio::test]
async fn the_first_of_two_nodes_makes_the_epoch_and_the_other_takes_it() {
    let redis = Redis::start();
    let (mut one, mut other) = (redis.node(codec(1)).await, redis.node(codec(2)).await);
    let (first, second) = (one.open().await, other.open().await);
    assert_eq!(first.state_epoch, second.state_epoch);
    assert_eq!(first.log_epoch, second.log_epoch);
}

#[tokio::test]
async fn the_stream_does_not_outgrow_its_bound_by_much() {
    let redis = Redis::start();
    let mut node = redis.node(Codec::new(Limits::default(), 200, 1, 1)).await;
    for batch in 0..10 {
        let ids: Vec<_> = (0..100).map(|n| format!("{batch}-{n}")).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        node.ask(&append(&ids)).await;
    }
    let length = node.count(&["XLEN", STREAM]).await;
    assert!((200..400).contains(&length), "{length}");
    assert_eq!(node.open().await.log_count, 1000);
}

#[tokio::test]
async fn a_failed_append_uses_up_neither_ids_nor_numbers() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    node.run(&["SET", STREAM, "garbage"]).await;
    let answer = node.answer(&append(&["a"])).await;
    assert_eq!(
        (answer.input, answer.broken),
        (appended(BusOutcome::Failed), false)
    );
    assert!(answer.refused.unwrap().contains("WRONGTYPE"));
    node.run(&["DEL", STREAM]).await;
    node.ask(&append(&["a"])).await;
    assert_eq!(numbered(&mut node).await, numbers(&[(1, "a")]));

    node.run(&["DEL", CLOCK]).await;
    node.run(&["RPUSH", CLOCK, "garbage"]).await;
    let answer = node.answer(&append(&["b"])).await;
    assert_eq!(answer.input, appended(BusOutcome::Failed));
}

#[tokio::test]
async fn an_id_key_of_another_type_counts_as_taken() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    node.run(&["SADD", "tradewire:{log}:id:a", "garbage"]).await;
    node.ask(&append(&["a", "b"])).await;
    assert_eq!(numbered(&mut node).await, numbers(&[(1, "b")]));
}

#[tokio::test]
async fn strangers_entries_are_told_with_their_place_and_cost_no_other() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    node.ask(&append(&["a"])).await;
    let epoch = "0123456789abcdef";
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    let strange: [(&[&str], Unreadable); 7] = [
        (&["x", "y"], Unreadable::Shape),
        (
            &["e", "no", "n", "1", "k", "failed", "u", "1", "p", "{}"],
            Unreadable::Shape,
        ),
        (
            &["e", epoch, "n", "-1", "k", "failed", "u", "1", "p", "{}"],
            Unreadable::Shape,
        ),
        (
            &["e", epoch, "n", "1", "k", "new", "u", "1", "p", "{}"],
            Unreadable::Kind,
        ),
        (
            &["e", epoch, "n", "1", "k", "failed", "u", "a\nb", "p", "{}"],
            Unreadable::User,
        ),
        (
            &["e", epoch, "n", "1", "k", "failed", "u", "1", "p", "{]"],
            Unreadable::Payload,
        ),
        (
            &["e", epoch, "n", "1", "k", "failed", "u", "1", "p", &long],
            Unreadable::TooLong,
        ),
    ];
    for (fields, _) in &strange {
        node.run(&[&["XADD", STREAM, "*"], *fields].concat()).await;
    }
    node.ask(&append(&["b"])).await;
    let entries = read(&mut node, StreamId::ZERO).await;
    assert_eq!(entries.len(), 9);
    for (read, (_, fault)) in entries[1..8].iter().zip(strange) {
        assert_eq!(read.entry, Err(fault));
    }
    assert!(entries.is_sorted_by(|a, b| a.id < b.id));
    assert_eq!(numbered(&mut node).await, numbers(&[(1, "a"), (2, "b")]));
}

#[tokio::test]
async fn a_script_that_redis_has_forgotten_breaks_the_contact() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    assert_eq!(node.ask(&BusRequest::Probe).await, Some(Input::BusReached));
    node.run(&["SCRIPT", "FLUSH"]).await;
    let answer = node.answer(&append(&["a"])).await;
    assert_eq!(
        (answer.input, answer.broken),
        (appended(BusOutcome::Failed), true)
    );
    assert_eq!(node.run(&["EXISTS", STREAM]).await, Value::Int(0));
}
