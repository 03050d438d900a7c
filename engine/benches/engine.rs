//! How many inputs a second the engine takes, and how many recipients a second it hands to.
//!
//! `cargo bench -p tradewire-engine-bench`; what came out is in README.md. Inputs are made beforehand;
//! dropping them, and the driver's walk over the effects, is measured with the rest.

use std::hint::black_box;

use criterion::{
    BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use tradewire_engine::event::Topic;
use tradewire_engine::ids::Symbol;
use tradewire_engine::parse::{ClientEvent, LastEventId};
use tradewire_engine::{Engine, Input};
use tradewire_engine_bench::{Client, Stage, StageError, payload, published, unwatch, watch};

/// How many clients one measurement goes over.
const TURN: usize = 1_000;

/// Between two inputs, so that each client makes fewer calls than its limits allow.
const PAUSE_MS: u64 = 6;

type Done = Result<(), StageError>;

/// Gives the inputs one after the other.
fn give_all(stage: &mut Stage, inputs: Vec<Input>) {
    for input in inputs {
        stage.pass(PAUSE_MS);
        stage.give(input);
    }
}

/// Clients who are far apart in memory, from all over the crowd.
fn spread(clients: &[Client]) -> Vec<Client> {
    let step = (clients.len() / TURN).max(1);
    clients.iter().step_by(step).cloned().collect()
}

/// Three kinds of call and a client's coming and going, in crowds of different sizes: what one costs
/// must not depend on how many others there are.
fn inputs(criterion: &mut Criterion) -> Done {
    for connections in [1_000, 10_000, 100_000, 1_000_000] {
        let (mut stage, crowd) = Stage::with_crowd(connections)?;
        let clients = spread(&crowd);
        let size = |what: &str| BenchmarkId::new(what, connections);
        let mut group = criterion.benchmark_group("inputs");
        group.sampling_mode(SamplingMode::Flat);

        let newcomers = (connections..)
            .take(TURN)
            .map(|slot| Client::new(slot, slot));
        let newcomers: Vec<Client> = newcomers.collect::<Result<_, _>>()?;
        // Handshake, CONNECT, session, entered, left, closed.
        group.throughput(Throughput::Elements(6 * TURN as u64));
        group.bench_function(size("admit"), |bencher| {
            let inputs = || {
                let visits = newcomers.iter().flat_map(|client| {
                    client
                        .comes(LastEventId::Absent)
                        .into_iter()
                        .chain(client.goes())
                });
                visits.collect::<Vec<Input>>()
            };
            bencher.iter_batched(
                inputs,
                |inputs| give_all(&mut stage, inputs),
                BatchSize::PerIteration,
            );
        });

        let symbols = (0..100).map(|number| Symbol::new(&format!("S{number:03}")));
        let symbols: Vec<Symbol> = symbols.collect::<Result<_, _>>()?;
        group.throughput(Throughput::Elements(2 * clients.len() as u64));
        group.bench_function(size("subscribe"), |bencher| {
            let inputs = || {
                let calls = clients.iter().zip(symbols.iter().cycle());
                let on = calls
                    .clone()
                    .map(|(client, symbol)| client.sends(watch(symbol)));
                let off = calls.map(|(client, symbol)| client.sends(unwatch(symbol)));
                on.chain(off).collect::<Vec<Input>>()
            };
            bencher.iter_batched(
                inputs,
                |inputs| give_all(&mut stage, inputs),
                BatchSize::PerIteration,
            );
        });

        // Refused nearly always: one a minute is allowed.
        group.throughput(Throughput::Elements(clients.len() as u64));
        group.bench_function(size("rate"), |bencher| {
            let inputs = || {
                let calls = clients
                    .iter()
                    .map(|client| client.sends(ClientEvent::SubscribePortfolio));
                calls.collect::<Vec<Input>>()
            };
            bencher.iter_batched(
                inputs,
                |inputs| give_all(&mut stage, inputs),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
    Ok(())
}

/// One value to everyone who holds its symbol, among ten thousand.
fn fan_out(criterion: &mut Criterion) -> Done {
    let mut group = criterion.benchmark_group("fan_out");
    let payload = payload();
    for recipients in [1, 100, 10_000] {
        let (mut stage, clients) = Stage::with_crowd(10_000)?;
        let symbol = Symbol::new("AAPL")?;
        for client in clients.iter().take(recipients) {
            stage.give(client.sends(watch(&symbol)));
        }
        let topic = Topic::Quote(symbol);
        group.throughput(Throughput::Elements(recipients as u64));
        group.bench_function(BenchmarkId::new("quote", recipients), |bencher| {
            bencher.iter(|| {
                let input = stage.value(&topic, &payload);
                black_box(stage.give(input))
            });
        });
    }
    let (mut stage, clients) = Stage::with_crowd(10_000)?;
    group.throughput(Throughput::Elements(clients.len() as u64));
    group.bench_function("market/10000", |bencher| {
        bencher.iter(|| {
            let input = stage.value(&Topic::Market, &payload);
            black_box(stage.give(input))
        });
    });
    // Four more tabs of the first user.
    for slot in 10_000..10_004 {
        stage.enter(&Client::new(slot, 0)?);
    }
    if let Some(client) = clients.first() {
        group.throughput(Throughput::Elements(5));
        group.bench_function("trade/5", |bencher| {
            bencher.iter(|| {
                let (_, input) = stage.trade(&client.user, &payload);
                black_box(stage.give(input))
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("publish", |bencher| {
        let mut request = 0;
        bencher.iter(|| {
            request += 1;
            black_box(stage.give(published(request, &Topic::Market, &payload)))
        });
    });
    group.finish();
    Ok(())
}

/// A thousand clients are full, are owed ten symbols each, and get them when there is room.
fn congestion(criterion: &mut Criterion) -> Done {
    let mut group = criterion.benchmark_group("congestion");
    let payload = payload();
    let (mut stage, clients) = Stage::with_crowd(1_000)?;
    let symbols = (0..10).map(|number| Symbol::new(&format!("S{number}")));
    let symbols: Vec<Symbol> = symbols.collect::<Result<_, _>>()?;
    for client in &clients {
        stage.pass(PAUSE_MS);
        stage.give(client.sends(ClientEvent::SubscribeWatchlist(Ok(symbols.clone()))));
    }
    let topics: Vec<Topic> = symbols.into_iter().map(Topic::Quote).collect();
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("owed_and_handed_over", |bencher| {
        bencher.iter(|| {
            for client in &clients {
                stage.give(client.is_full());
            }
            for topic in &topics {
                let input = stage.value(topic, &payload);
                stage.give(input);
            }
            let handed = clients.iter().map(|client| stage.give(client.is_empty()));
            assert_eq!(handed.sum::<usize>(), 10_000);
        });
    });
    // Conflation alone: everything is owed already.
    for client in &clients {
        stage.give(client.is_full());
    }
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("conflated", |bencher| {
        let mut turn = topics.iter().cycle();
        bencher.iter(|| {
            let input = turn.next().map(|topic| stage.value(topic, &payload));
            assert_eq!(input.map(|input| stage.give(input)), Some(0));
        });
    });
    group.finish();
    Ok(())
}

/// A client that missed a hundred events comes in, is sent them, and goes.
fn resume(criterion: &mut Criterion) -> Done {
    let mut group = criterion.benchmark_group("resume");
    let payload = payload();
    let (mut stage, _) = Stage::with_crowd(1_000)?;
    let mut visits = Vec::new();
    for slot in 1_000..2_000 {
        let client = Client::new(slot, slot)?;
        let (first, input) = stage.trade(&client.user, &payload);
        stage.give(input);
        for _ in 0..100 {
            let (_, input) = stage.trade(&client.user, &payload);
            stage.give(input);
        }
        visits.push((client, first));
    }
    let mut turn = visits.iter().cycle();
    group.throughput(Throughput::Elements(100));
    group.bench_function("replayed/100", |bencher| {
        let visit = || {
            let (client, first) = turn.next()?;
            let comes = client.comes(LastEventId::Given(Some(*first)));
            Some((comes, client.goes()))
        };
        bencher.iter_batched(
            visit,
            |visit| {
                stage.pass(PAUSE_MS);
                let ways = visit
                    .into_iter()
                    .flat_map(|(comes, goes)| comes.into_iter().chain(goes));
                let replayed = ways.map(|input| stage.give(input)).sum::<usize>();
                assert_eq!(replayed, 100);
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
    Ok(())
}

/// The whole state as bytes, back again, and its digest: ten thousand clients with five symbols each.
fn checkpoint(criterion: &mut Criterion) -> Done {
    let mut group = criterion.benchmark_group("checkpoint");
    let (mut stage, clients) = Stage::with_crowd(10_000)?;
    let symbols = (0..1_000).map(|number| Symbol::new(&format!("S{number:04}")));
    let symbols: Vec<Symbol> = symbols.collect::<Result<_, _>>()?;
    let mut turn = symbols.iter().cycle();
    for client in &clients {
        let held = turn.by_ref().take(5).cloned().collect();
        stage.give(client.sends(ClientEvent::SubscribeWatchlist(Ok(held))));
    }
    let engine = stage.engine();
    let bytes = engine.checkpoint().unwrap_or_default();
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.sample_size(20);
    group.bench_function("write/10000", |bencher| {
        bencher.iter(|| engine.checkpoint())
    });
    group.bench_function("digest/10000", |bencher| bencher.iter(|| engine.digest()));
    group.bench_function("restore/10000", |bencher| {
        bencher.iter(|| Engine::restore(&bytes))
    });
    group.finish();
    Ok(())
}

#[expect(
    clippy::expect_used,
    reason = "a benchmark whose situation cannot be made has nothing to measure"
)]
fn all(criterion: &mut Criterion) {
    for group in [fan_out, congestion, resume, checkpoint, inputs] {
        group(criterion).expect("names and limits are well formed");
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
