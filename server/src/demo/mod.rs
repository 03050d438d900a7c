//! A market that does not exist, so that a dashboard has something to show before a trade bot is
//! connected.
//!
//! It makes the bodies that a publisher would post, and they are published as anyone's are. It reads
//! no clock and does no IO: the same seed and the same number of steps make the same market, as long
//! as the build stays the same (`StdRng` promises no stream across its versions, and none is needed).
//! Money is counted in whole cents, so that what is shown always adds up. It must never touch anything
//! but its own users, `demo-1` to `demo-3`.

mod stock;
mod user;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tradewire_engine::time::WallTime;

use self::stock::{LISTINGS, Stock};
use self::user::{TRADE_STEPS, User};

/// How much time one [`Market::step`] stands for.
pub const STEP: Duration = Duration::from_millis(100);

/// The demo's users.
pub const USERS: [&str; 3] = ["demo-1", "demo-2", "demo-3"];

/// Steps between two regular portfolio updates of one user: one second. A trade adds one.
const PORTFOLIO_STEPS: u64 = 10;
/// Steps between two market statuses: 30 s.
const STATUS_STEPS: u64 = 300;

/// The market, its stocks and the demo's users.
#[derive(Debug)]
pub struct Market {
    rng: StdRng,
    step: u64,
    trades: u64,
    stocks: [Stock; LISTINGS.len()],
    users: [User; USERS.len()],
}

impl Market {
    /// A market as it opens.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let stocks = LISTINGS.map(|listing| Stock::open(listing, &mut rng));
        let users = USERS.map(|name| User::open(name, &stocks, &mut rng));
        Self {
            rng,
            step: 0,
            trades: 0,
            stocks,
            users,
        }
    }

    /// Moves the market on by [`STEP`] and returns what is to be published: NDJSON, an item a line.
    ///
    /// `wall` only dates the next close; what is due follows from the number of steps. `None` if
    /// nothing is due. The first step tells the market's status and every portfolio.
    pub fn step(&mut self, wall: WallTime) -> Option<String> {
        let mut body = String::new();
        if self.step.is_multiple_of(STATUS_STEPS) {
            body.push_str(&status(wall));
        }
        for stock in &mut self.stocks {
            // Two steps in five: four quotes a second, and not all symbols at once.
            if self.rng.random_ratio(2, 5) {
                stock.tick(&mut self.rng);
                body.push_str(&stock.quote());
            }
        }
        for (user, phase) in self.users.iter_mut().zip([0, 3, 6]) {
            let mut shown = self.step == 0 || self.step % PORTFOLIO_STEPS == phase;
            if self.step >= user.next_trade {
                user.next_trade = self.step.saturating_add(self.rng.random_range(TRADE_STEPS));
                self.trades += 1;
                let trade = user.trade(self.trades, &self.stocks, &mut self.rng);
                body.push_str(trade.as_deref().unwrap_or_default());
                shown = true;
            }
            if shown {
                body.push_str(&user.portfolio(&self.stocks));
            }
        }
        self.step = self.step.saturating_add(1);
        (!body.is_empty()).then_some(body)
    }
}

/// The demo's market never closes; it only says when the real one would, at 21:00 UTC.
fn status(wall: WallTime) -> String {
    const DAY: u64 = 86_400_000;
    const CLOSE: u64 = 21 * 3_600_000;
    let now = wall.as_unix_ms();
    let today = (now - now % DAY).saturating_add(CLOSE);
    let close = if today > now {
        today
    } else {
        today.saturating_add(DAY)
    };
    let close = WallTime::from_unix_ms(close);
    format!(
        "{{\"event\":\"market:status\",\"data\":\
         {{\"isOpen\":true,\"nextOpen\":null,\"nextClose\":\"{close}\"}}}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use serde_json::Value;
    use tradewire_engine::limits::ParseLimits;
    use tradewire_engine::parse::{BodyFormat, publish};

    const OPEN: u64 = 1_736_942_400_000;

    /// The bodies of the first `minutes`, each with its time.
    fn run(seed: u64, minutes: u64) -> Vec<(WallTime, String)> {
        let mut market = Market::new(seed);
        let times = (0..minutes * 600).map(|step| WallTime::from_unix_ms(OPEN + step * 100));
        times
            .filter_map(|wall| Some((wall, market.step(wall)?)))
            .collect()
    }

    fn items(seed: u64, minutes: u64) -> Vec<Value> {
        let bodies = run(seed, minutes);
        let lines = bodies.iter().flat_map(|(_, body)| body.lines());
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Back to cents; the text has two decimals, so rounding restores them exactly.
    fn cents(value: &Value) -> i64 {
        (value.as_f64().unwrap() * 100.0).round() as i64
    }

    fn count(items: &[Value], event: &str) -> usize {
        items.iter().filter(|item| item["event"] == event).count()
    }

    #[test]
    fn a_seed_is_a_market() {
        assert_eq!(run(7, 1), run(7, 1));
        assert_ne!(run(7, 1), run(8, 1));
    }

    #[test]
    fn every_body_is_accepted_as_a_publish() {
        let limits = ParseLimits::default();
        for (wall, body) in run(1, 10) {
            let items = publish(body.as_bytes(), BodyFormat::NdJson, wall, &limits);
            assert_eq!(
                items.map(|items| items.len()),
                Ok(body.lines().count()),
                "{body}"
            );
        }
    }

    #[test]
    fn things_happen_as_often_as_they_should() {
        let items = items(2, 10);
        let quotes = count(&items, "quote:update");
        assert!(
            (27_000..31_000).contains(&quotes),
            "{quotes} quotes of 12 symbols in 600 s"
        );
        let portfolios = count(&items, "portfolio:update");
        assert!(
            (1_800..2_400).contains(&portfolios),
            "{portfolios} portfolios of 3 users"
        );
        let (done, failed) = (
            count(&items, "trade:executed"),
            count(&items, "trade:failed"),
        );
        assert!(
            (360..=600).contains(&(done + failed)),
            "{done} + {failed} trades"
        );
        assert!(
            (done / 9..done / 3).contains(&failed),
            "{failed} of {done} trades failed"
        );
        assert_eq!(count(&items, "market:status"), 20);
    }

    #[test]
    fn portfolios_add_up_and_trades_explain_them() {
        let mut prices: BTreeMap<String, i64> = BTreeMap::new();
        let mut cash: BTreeMap<String, i64> = BTreeMap::new();
        for item in items(3, 30) {
            let data = &item["data"];
            let user = item["userId"].as_str().unwrap_or_default().to_owned();
            match item["event"].as_str().unwrap() {
                "quote:update" => {
                    assert!(cents(&data["price"]) > 0, "{item}");
                    assert!(data["volume"].as_u64().is_some(), "{item}");
                    prices.insert(data["symbol"].to_string(), cents(&data["price"]));
                }
                "trade:executed" => {
                    assert_eq!(cents(&data["price"]), prices[&data["symbol"].to_string()]);
                    let value = data["quantity"].as_i64().unwrap() * cents(&data["price"]);
                    assert!(value > 0, "{item}");
                    *cash.get_mut(&user).unwrap() +=
                        if data["side"] == "buy" { -value } else { value };
                }
                "portfolio:update" => {
                    let mut equity = 0;
                    for position in data["positions"].as_array().unwrap() {
                        let price = cents(&position["price"]);
                        let quoted = prices.get(&position["symbol"].to_string());
                        assert_eq!(price, *quoted.unwrap_or(&price), "{item}");
                        let quantity = position["quantity"].as_i64().unwrap();
                        assert!(
                            quantity > 0 && cents(&position["averagePrice"]) > 0,
                            "{item}"
                        );
                        assert_eq!(cents(&position["value"]), quantity * price, "{item}");
                        equity += quantity * price;
                    }
                    let now = cents(&data["cash"]);
                    assert!(now >= 0, "{item}");
                    assert_eq!(*cash.entry(user).or_insert(now), now, "{item}");
                    assert_eq!(cents(&data["equity"]), equity, "{item}");
                    assert_eq!(cents(&data["totalValue"]), now + equity, "{item}");
                }
                _ => {}
            }
        }
        assert_eq!(cash.len(), USERS.len());
    }

    #[test]
    fn the_next_close_is_ahead() {
        for (ms, close) in [
            (OPEN, "2025-01-15T21:00:00.000Z"),
            (OPEN + 9 * 3_600_000, "2025-01-16T21:00:00.000Z"),
            (0, "1970-01-01T21:00:00.000Z"),
        ] {
            assert!(status(WallTime::from_unix_ms(ms)).contains(close), "{ms}");
        }
    }
}
