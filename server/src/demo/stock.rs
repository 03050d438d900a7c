//! One stock of the demo: a price that wanders and comes back.

use std::fmt;

use rand::RngExt;
use rand::rngs::StdRng;

/// Ticker, price around which it moves (cents), how far one quote moves it at most (hundredths of a
/// percent), and shares traded before the demo began.
pub(super) const LISTINGS: [(&str, i64, i64, i64); 12] = [
    ("AAPL", 22_950, 6, 31_400_000),
    ("AMD", 14_120, 12, 28_900_000),
    ("AMZN", 21_875, 8, 24_300_000),
    ("BRK.B", 46_210, 3, 2_600_000),
    ("GOOGL", 19_230, 7, 17_800_000),
    ("JPM", 25_140, 4, 6_900_000),
    ("META", 61_285, 8, 9_700_000),
    ("MSFT", 43_160, 5, 15_200_000),
    ("NFLX", 87_115, 9, 2_900_000),
    ("NVDA", 13_890, 13, 164_000_000),
    ("SPY", 58_925, 3, 38_500_000),
    ("TSLA", 39_435, 16, 71_600_000),
];

/// How many quotes it takes to draw a price back to its anchor; at four a second, some minutes.
const REVERSION: i64 = 1_500;

/// A share and what it costs.
#[derive(Debug)]
pub(super) struct Stock {
    pub(super) symbol: &'static str,
    /// The price around which it moves, in cents.
    pub(super) anchor: i64,
    /// How far one quote moves it at most, in cents.
    reach: i64,
    /// Yesterday's close, in cents.
    pub(super) close: i64,
    /// In cents, between a quarter of the anchor and four times it.
    pub(super) price: i64,
    /// Shares traded today.
    volume: i64,
}

impl Stock {
    pub(super) fn open(
        (symbol, anchor, reach, volume): (&'static str, i64, i64, i64),
        rng: &mut StdRng,
    ) -> Self {
        let gap = anchor / 50;
        Self {
            symbol,
            anchor,
            reach: (anchor * reach / 10_000).max(1),
            close: anchor + rng.random_range(-gap..=gap),
            price: anchor + rng.random_range(-gap..=gap),
            volume,
        }
    }

    pub(super) fn tick(&mut self, rng: &mut StdRng) {
        // Rounded by chance, so that a pull of less than a cent works too.
        let pull =
            (self.anchor - self.price + rng.random_range(0..REVERSION)).div_euclid(REVERSION);
        let price = self.price + pull + rng.random_range(-self.reach..=self.reach);
        self.price = price.clamp(self.anchor / 4, self.anchor * 4);
        self.volume = self.volume.saturating_add(rng.random_range(100..=5_000));
    }

    pub(super) fn quote(&self) -> String {
        let change = self.price - self.close;
        format!(
            "{{\"event\":\"quote:update\",\"symbol\":\"{symbol}\",\"data\":{{\"symbol\":\"{symbol}\",\
             \"price\":{},\"change\":{},\"changePercent\":{},\"volume\":{}}}}}\n",
            Hundredths(self.price),
            Hundredths(change),
            percent(change, self.close),
            self.volume,
            symbol = self.symbol,
        )
    }
}

/// `part` of `whole`, which is above zero, in percent, rounded half away from zero.
pub(super) fn percent(part: i64, whole: i64) -> Hundredths {
    Hundredths((2 * part * 10_000 + part.signum() * whole) / (2 * whole))
}

/// A number with two decimals: cents as dollars, hundredths of a percent as percent.
pub(super) struct Hundredths(pub(super) i64);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let number = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", number / 100, number % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn prices_stay_near_their_anchors_for_hours() {
        let mut rng = StdRng::seed_from_u64(4);
        for listing in LISTINGS {
            let mut stock = Stock::open(listing, &mut rng);
            for _ in 0..50_000 {
                stock.tick(&mut rng);
                let within = stock.anchor * 4 / 5..=stock.anchor * 5 / 4;
                assert!(within.contains(&stock.price), "{stock:?}");
            }
        }
    }

    #[test]
    fn numbers_have_two_decimals_and_their_sign() {
        for (number, text) in [
            (0, "0.00"),
            (5, "0.05"),
            (-5, "-0.05"),
            (-12_345, "-123.45"),
        ] {
            assert_eq!(Hundredths(number).to_string(), text);
        }
        assert_eq!(percent(1, 3).to_string(), "33.33");
        assert_eq!(percent(-2, 3).to_string(), "-66.67");
    }
}
