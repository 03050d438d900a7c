//! Looks for the highest rate that is still good: away from where it begins in growing steps, since that may
//! be near, then in between.

use crate::error::BenchError;
use crate::phase::Phase;

/// When two rates are close enough, as a ratio; and the largest step. The first is one that needs nothing in
/// between, and each is the square of the one before.
const CLOSE: f64 = 1.08;
const STEP_MAX: f64 = 4.0;
/// How far below where the search begins a rate may be found, as a ratio.
const FAR: f64 = 32.0;

/// The best phase that `probe` finds, if any rate was good, and how many it tried.
pub(crate) async fn highest(
    start: f64,
    mut probe: impl AsyncFnMut(f64) -> Result<(Phase, bool), BenchError>,
) -> Result<(Option<Phase>, u32), BenchError> {
    let (mut best, mut good, mut bad) = (None, 0.0_f64, f64::INFINITY);
    let (mut rate, mut step, mut tried) = (start, CLOSE, 0);
    while bad / good > CLOSE && rate >= start / FAR {
        tried += 1;
        let (phase, is_good) = probe(rate).await?;
        if is_good {
            (best, good) = (Some(phase), rate);
        } else {
            bad = rate;
        }
        rate = if bad.is_infinite() {
            good * step
        } else if good == 0.0 {
            bad / step
        } else {
            (good * bad).sqrt()
        };
        step = (step * step).min(STEP_MAX);
    }
    Ok((best, tried))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Percentiles;

    async fn found(start: f64, limit: f64) -> (Option<f64>, u32) {
        let (best, tried) = highest(start, async |rate| {
            let phase = Phase {
                rate,
                deliveries: 0,
                received: 0,
                lost: 0,
                out_of_order: 0,
                closed: 0,
                hopeless: false,
                latency: Percentiles::default(),
                server_cpu_us_per_delivery: 0.0,
                server_cpu: 0.0,
                load_cpu: 0.0,
            };
            Ok((phase, rate <= limit))
        })
        .await
        .unwrap();
        (best.map(|phase| phase.rate), tried)
    }

    #[tokio::test]
    async fn the_limit_is_found_from_below_and_from_above() {
        for start in [1_000.0, 50_000.0, 900_000.0] {
            let (best, tried) = found(start, 100_000.0).await;
            let best = best.unwrap();
            assert!(best <= 100_000.0 && best * CLOSE >= 100_000.0, "{best}");
            assert!(tried < 20, "{tried}");
        }
    }

    #[tokio::test]
    async fn a_limit_that_is_near_takes_few_tries() {
        assert_eq!(found(95_000.0, 100_000.0).await.1, 2);
    }

    #[tokio::test]
    async fn a_server_that_can_do_nothing_ends_the_search() {
        let (best, tried) = found(1_000.0, 0.0).await;
        assert_eq!(best, None);
        assert!(tried < 8, "{tried}");
    }
}
