//! Which entries are left of a stream: Redis drops whole nodes, and what a node holds depends on the
//! bytes of its entries.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;

use crate::real::RealRedis;
use crate::sides::Sides;
use crate::wire::request;
use crate::{runner, runtime};

/// One entry: how far its id is from the one before, its fields, and to what it trims.
#[derive(Clone, Debug)]
struct Entry {
    ms: u64,
    seq: u64,
    pairs: Vec<String>,
    /// The sign and the length.
    max: Option<(&'static str, usize)>,
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        (0_usize..300).prop_map(|length| "x".repeat(length)),
        select(
            &[
                "0",
                "127",
                "128",
                "-1",
                "-4096",
                "4096",
                "40000",
                "-9000000",
                "99999999999",
                "007"
            ][..]
        )
        .prop_map(str::to_owned),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    // All entries of one stream of the server's have the same fields; others may differ.
    let pairs = prop_oneof![
        4 => (value(), value()).prop_map(|(a, b)| vec!["e".into(), a, "p".into(), b]),
        1 => proptest::collection::vec((value(), value()), 1..4).prop_map(|pairs| {
            pairs.into_iter().flat_map(|(a, b)| [a, b]).collect::<Vec<_>>()
        }),
    ];
    let max = proptest::option::weighted(0.2, (select(&["~", "~", "="][..]), 0_usize..150));
    let apart = select(&[0_u64, 1, 1, 100, 5_000, 40_000, 10_000_000][..]);
    let entry = (apart, select(&[0_u64, 1, 200][..]), pairs, max);
    let entry = entry.prop_map(|(ms, seq, pairs, max)| Entry {
        ms,
        seq,
        pairs,
        max,
    });
    proptest::collection::vec(entry, 1..400)
}

async fn compare(real: &RealRedis, entries: &[Entry]) -> Result<(), TestCaseError> {
    let mut sides = Sides::new(real, &[]).await?;
    let (mut ms, mut seq) = (0, 0);
    let mut bytes = Vec::new();
    for Entry {
        ms: apart,
        seq: next,
        pairs,
        max,
    } in entries
    {
        if *apart == 0 {
            seq += next + 1;
        } else {
            ms += apart;
            seq = *next;
        }
        let mut words = vec!["XADD".to_owned(), "s".to_owned()];
        if let Some((sign, length)) = max {
            words.extend(["MAXLEN".to_owned(), (*sign).to_owned(), length.to_string()]);
        }
        words.push(format!("{ms}-{seq}"));
        words.extend(pairs.iter().cloned());
        bytes.extend(request(&words));
        if max.is_some() {
            // Of what was dropped, the first that is left tells.
            bytes.extend(request(&["XREAD", "COUNT", "1", "STREAMS", "s", "0"]));
        }
    }
    bytes.extend(request(&["XREAD", "STREAMS", "s", "0"]));
    sides.both_bytes(1, &bytes).await.map(drop)
}

#[test]
fn the_same_entries_are_left() {
    let (real, runtime) = (RealRedis::start(), runtime());
    runner(60)
        .run(&entries(), |entries| {
            runtime.block_on(compare(&real, &entries))
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
