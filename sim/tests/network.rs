//! The simulated network by itself: what hosts see of faults, on plain connections.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::io::ErrorKind;

use common::{Notes, millis, run_for, run_until, seconds, stack};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tradewire_server::net::{Listener as _, Net};
use tradewire_sim::net::stack::{Stack, StackNet, Stream};
use tradewire_sim::net::{HostId, HostTime, Latency, Network, Plugged as _};

const PORT: u16 = 9_000;

/// Two hosts, a connection between them, and what each end read.
struct Pair {
    network: Stack,
    a: HostId,
    b: HostId,
    /// Bytes to write, by the end that writes them.
    from_a: mpsc::UnboundedSender<Vec<u8>>,
    from_b: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes read, or how reading ended.
    at_a: Notes<Result<Vec<u8>, ErrorKind>>,
    at_b: Notes<Result<Vec<u8>, ErrorKind>>,
}

/// Writes what it is handed and notes what it reads.
async fn carry(
    stream: Stream,
    mut out: mpsc::UnboundedReceiver<Vec<u8>>,
    read: Notes<Result<Vec<u8>, ErrorKind>>,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        while let Some(bytes) = out.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let reading = async {
        let mut buffer = [0; 100];
        loop {
            match reader.read(&mut buffer).await {
                Ok(count) => read.add(Ok(buffer[..count].to_vec())),
                Err(error) => read.add(Err(error.kind())),
            }
            if !matches!(read.all().last(), Some(Ok(bytes)) if !bytes.is_empty()) {
                return;
            }
        }
    };
    tokio::join!(writing, reading);
}

async fn listen(
    net: StackNet,
    out: mpsc::UnboundedReceiver<Vec<u8>>,
    read: Notes<Result<Vec<u8>, ErrorKind>>,
) {
    let mut listener = net.bind(([0, 0, 0, 0], PORT).into()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    carry(stream, out, read).await;
}

fn pair(seed: u64) -> Pair {
    let (mut network, _) = stack(seed);
    let a = network.add_host("a", HostTime::default()).unwrap();
    let b = network.add_host("b", HostTime::default()).unwrap();
    let (from_a, out_of_a) = mpsc::unbounded_channel();
    let (from_b, out_of_b) = mpsc::unbounded_channel();
    let (at_a, at_b) = (Notes::new(), Notes::new());
    network.spawn(b, listen(network.net(), out_of_b, at_b.clone()));
    let (net, read) = (network.net(), at_a.clone());
    network.spawn(a, async move {
        let stream = net.connect("b", PORT).await.unwrap();
        carry(stream, out_of_a, read).await;
    });
    let mut pair = Pair {
        network,
        a,
        b,
        from_a,
        from_b,
        at_a,
        at_b,
    };
    pair.say_a(b"hello");
    pair.until_b(b"hello");
    pair
}

fn bytes(read: &Notes<Result<Vec<u8>, ErrorKind>>) -> Vec<u8> {
    read.all()
        .into_iter()
        .filter_map(Result::ok)
        .flatten()
        .collect()
}

impl Pair {
    fn say_a(&self, bytes: &[u8]) {
        self.from_a.send(bytes.to_vec()).unwrap();
    }

    fn say_b(&self, bytes: &[u8]) {
        self.from_b.send(bytes.to_vec()).unwrap();
    }

    fn until_a(&mut self, all: &[u8]) {
        let read = self.at_a.clone();
        run_until(&mut self.network, seconds(5), "a reads it", || {
            bytes(&read) == all
        });
    }

    fn until_b(&mut self, all: &[u8]) {
        let read = self.at_b.clone();
        run_until(&mut self.network, seconds(5), "b reads it", || {
            bytes(&read) == all
        });
    }
}

#[test]
fn a_partition_that_heals_delivers_what_was_sent() {
    let mut pair = pair(1);
    pair.network.cut(pair.a, pair.b);
    pair.network.cut(pair.b, pair.a);
    pair.say_a(b" from a");
    pair.say_b(b"from b");
    run_for(&mut pair.network, seconds(10));
    assert_eq!(bytes(&pair.at_b), b"hello");
    assert_eq!(bytes(&pair.at_a), b"");
    pair.network.heal(pair.a, pair.b);
    pair.until_b(b"hello from a");
    pair.until_a(b"from b");
}

#[test]
fn one_way_still_carries_what_goes_the_other_way() {
    let mut pair = pair(2);
    pair.network.cut(pair.a, pair.b);
    pair.say_a(b" lost");
    // It arrives, but its acknowledgement does not come back.
    pair.say_b(b"one ");
    pair.until_a(b"one ");
    pair.say_b(b"two");
    run_for(&mut pair.network, seconds(5));
    assert_eq!(bytes(&pair.at_b), b"hello");
    pair.network.heal(pair.a, pair.b);
    pair.until_b(b"hello lost");
    pair.until_a(b"one two");
}

#[test]
fn a_lost_acknowledgement_does_not_stop_a_connection() {
    let mut pair = pair(3);
    pair.network.cut(pair.b, pair.a);
    pair.say_a(b" one");
    pair.until_b(b"hello one");
    // What follows is lost for good, so that it is sent again in one piece with what was taken.
    pair.network.cut(pair.a, pair.b);
    pair.say_a(b" two");
    run_for(&mut pair.network, seconds(3));
    pair.network.heal(pair.a, pair.b);
    pair.until_b(b"hello one two");
}

#[test]
fn packets_do_not_overtake_each_other() {
    let mut pair = pair(14);
    let (min, max) = (millis(1), millis(50));
    let latency = Latency { min, max };
    pair.network.set_latency(pair.a, pair.b, latency);
    let mut all = b"hello".to_vec();
    for number in 0..50_u8 {
        pair.say_a(&[number; 10]);
        all.extend([number; 10]);
        pair.network.step();
    }
    // One that had been overtaken would have to be sent again, a second later.
    run_for(&mut pair.network, max + millis(20));
    assert_eq!(bytes(&pair.at_b), all);
}

#[test]
fn what_is_held_arrives_when_it_is_let_go_and_not_before() {
    let mut pair = pair(4);
    pair.network.hold(pair.a, pair.b);
    pair.say_a(b" held");
    run_for(&mut pair.network, seconds(10));
    assert_eq!(bytes(&pair.at_b), b"hello");
    pair.network.heal(pair.a, pair.b);
    let from = pair.network.now();
    pair.until_b(b"hello held");
    assert!(pair.network.now() - from <= millis(50), "no new round trip");
}

#[test]
fn loss_delays_and_loses_nothing() {
    let mut pair = pair(5);
    pair.network.set_loss(pair.a, pair.b, 200_000);
    pair.network.set_loss(pair.b, pair.a, 200_000);
    let mut all = b"hello".to_vec();
    for number in 0..50_u8 {
        pair.say_a(&[number; 100]);
        all.extend([number; 100]);
        run_for(&mut pair.network, millis(100));
    }
    let read = pair.at_b.clone();
    run_until(&mut pair.network, seconds(60), "all arrives", || {
        bytes(&read) == all
    });
}

#[test]
fn a_crash_closes_connections_and_refuses_new_ones() {
    let mut pair = pair(6);
    pair.network.crash(pair.b);
    run_for(&mut pair.network, millis(100));
    assert_eq!(pair.at_a.all(), [Ok(Vec::new())], "the end of the stream");
    assert_eq!(connect(&mut pair, "b"), Err(ErrorKind::ConnectionRefused));
}

#[test]
fn a_crash_with_unread_bytes_resets_the_connection() {
    let mut pair = pair(7);
    pair.say_a(b" unread");
    // They have arrived, and the process that would read them has not run since.
    for _ in 0..3 {
        pair.network.step();
    }
    pair.network.crash(pair.b);
    run_for(&mut pair.network, seconds(3));
    assert_eq!(pair.at_a.all(), [Err(ErrorKind::ConnectionReset)]);
}

#[test]
fn a_power_failure_leaves_the_other_side_with_an_open_connection() {
    let mut pair = pair(8);
    pair.network.power_off(pair.b);
    pair.say_a(b" anyone?");
    run_for(&mut pair.network, seconds(30));
    assert_eq!(pair.at_a.len(), 0, "neither the end nor an error");
    let net = pair.network.net();
    let tried = Notes::new();
    let noted = tried.clone();
    pair.network.spawn(pair.a, async move {
        noted.add(
            net.connect("b", PORT)
                .await
                .map(drop)
                .map_err(|error| error.kind()),
        );
    });
    run_for(&mut pair.network, seconds(25));
    assert_eq!(tried.len(), 0, "nobody refuses");
    // At last the stack gives both up.
    run_for(&mut pair.network, seconds(60));
    assert_eq!(pair.at_a.all(), [Err(ErrorKind::TimedOut)]);
    assert_eq!(tried.all(), [Err(ErrorKind::TimedOut)]);
}

#[test]
fn a_host_that_comes_back_has_the_name_and_another_address() {
    let mut pair = pair(9);
    pair.network.power_off(pair.b);
    let again = pair.network.add_host("b", HostTime::default()).unwrap();
    assert_ne!(pair.network.address(again), pair.network.address(pair.b));
    let (_, silent) = mpsc::unbounded_channel();
    let listening = listen(pair.network.net(), silent, Notes::new());
    pair.network.spawn(again, listening);
    assert_eq!(connect(&mut pair, "b"), Ok(()));
}

#[test]
fn a_name_that_nobody_has_is_not_found() {
    let mut pair = pair(10);
    assert_eq!(connect(&mut pair, "nobody"), Err(ErrorKind::NotFound));
}

/// Connects from a.
fn connect(pair: &mut Pair, name: &'static str) -> Result<(), ErrorKind> {
    let net = pair.network.net();
    let tried = Notes::new();
    let noted = tried.clone();
    pair.network.spawn(pair.a, async move {
        noted.add(
            net.connect(name, PORT)
                .await
                .map(drop)
                .map_err(|error| error.kind()),
        );
    });
    run_until(&mut pair.network, seconds(1), "an answer", || {
        tried.len() > 0
    });
    tried.all().remove(0)
}

#[test]
fn a_reader_that_stops_holds_the_writer_up_and_lets_it_go_on() {
    let (mut network, _) = stack(11);
    let a = network.add_host("a", HostTime::default()).unwrap();
    let b = network.add_host("b", HostTime::default()).unwrap();
    let (written, read) = (Notes::new(), Notes::new());
    let (go, mut gone) = mpsc::unbounded_channel::<()>();
    let (net, noted) = (network.net(), read.clone());
    network.spawn(b, async move {
        let mut listener = net.bind(([0, 0, 0, 0], PORT).into()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        gone.recv().await;
        // Far less at a time than what the stack tells a sender about.
        let mut buffer = [0; 256];
        while let Ok(count) = stream.read(&mut buffer).await {
            noted.add(count);
        }
    });
    let (net, noted) = (network.net(), written.clone());
    network.spawn(a, async move {
        let mut stream = net.connect("b", PORT).await.unwrap();
        for _ in 0..1_000 {
            stream.write_all(&[7; 1_000]).await.unwrap();
            noted.add(());
        }
        std::future::pending::<()>().await;
    });
    run_for(&mut network, seconds(10));
    let held = written.len();
    assert!((100..200).contains(&held), "{held} of 1,000 written");
    go.send(()).unwrap();
    run_until(&mut network, seconds(20), "all is read", || {
        read.all().iter().sum::<usize>() == 1_000_000
    });
}

#[test]
fn a_pulled_plug_tells_nobody() {
    let (mut network, _) = stack(12);
    let a = network.add_host("a", HostTime::default()).unwrap();
    let b = network.add_host("b", HostTime::default()).unwrap();
    let (_keep, silent) = mpsc::unbounded_channel();
    let read = Notes::new();
    network.spawn(b, listen(network.net(), silent, read.clone()));
    let net = network.net();
    network.spawn(a, async move {
        let mut stream = net.connect("b", PORT).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        tokio::time::sleep(seconds(1)).await;
        stream.plug().pull();
    });
    run_for(&mut network, seconds(30));
    assert_eq!(read.all(), [Ok(b"hello".to_vec())]);
}

#[test]
#[should_panic(expected = "a spawned task panicked")]
fn a_panic_on_a_host_ends_the_run() {
    let (mut network, _) = stack(15);
    let host = network.add_host("a", HostTime::default()).unwrap();
    network.spawn(host, async { panic!("on purpose") });
    run_for(&mut network, seconds(1));
}

#[test]
fn hosts_clocks_run_at_their_own_speed() {
    let (mut network, _) = stack(13);
    let right = network.add_host("right", HostTime::default()).unwrap();
    let fast = network.add_host("fast", HostTime::new(100_000, 0)).unwrap();
    let ticks = Notes::new();
    for (host, name) in [(right, "right"), (fast, "fast")] {
        let noted = ticks.clone();
        network.spawn(host, async move {
            loop {
                tokio::time::sleep(millis(100)).await;
                noted.add(name);
            }
        });
    }
    run_for(&mut network, seconds(10));
    let count = |name| ticks.all().iter().filter(|noted| **noted == name).count();
    assert_eq!(count("right"), 99);
    assert_eq!(count("fast"), 109);
}
