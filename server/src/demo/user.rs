//! One user of the demo: cash, shares, and an order now and then.

use std::ops::RangeInclusive;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;

use super::stock::{Hundredths, LISTINGS, Stock, percent};

/// Steps between two trades of one user: 3 to 5 s.
pub(super) const TRADE_STEPS: RangeInclusive<u64> = 30..=50;
/// The most shares in one order.
const ORDER_MAX: i64 = 25;

/// Someone who owns shares and trades them now and then.
#[derive(Debug)]
pub(super) struct User {
    name: &'static str,
    /// In cents, never below zero.
    cash: i64,
    /// One for each stock, in their order.
    holdings: [Holding; LISTINGS.len()],
    /// What everything was worth when the day began, in cents.
    opening: i64,
    /// The step at which the next order is placed.
    pub(super) next_trade: u64,
}

/// Shares of one stock.
#[derive(Clone, Copy, Debug, Default)]
struct Holding {
    quantity: i64,
    /// What the shares cost together, in cents.
    cost: i64,
}

impl User {
    pub(super) fn open(name: &'static str, stocks: &[Stock], rng: &mut StdRng) -> Self {
        let mut holdings = [Holding::default(); LISTINGS.len()];
        let mut opening = rng.random_range(800_000..=2_500_000);
        let cash = opening;
        for (holding, stock) in holdings.iter_mut().zip(stocks) {
            if rng.random_ratio(2, 5) {
                let quantity = rng.random_range(5..=60);
                *holding = Holding {
                    quantity,
                    cost: quantity * stock.anchor,
                };
                opening += quantity * stock.close;
            }
        }
        Self {
            name,
            cash,
            holdings,
            opening,
            next_trade: rng.random_range(TRADE_STEPS),
        }
    }

    /// Places one order at the current price and returns how it went; `None` if the user has nothing
    /// to sell. One in six asks for more than the user can pay, and fails.
    pub(super) fn trade(
        &mut self,
        number: u64,
        stocks: &[Stock],
        rng: &mut StdRng,
    ) -> Option<String> {
        let fails = rng.random_ratio(1, 6);
        let sells = !fails && rng.random_ratio(1, 2);
        let candidates = self.holdings.iter_mut().zip(stocks);
        let (holding, stock) = candidates
            .filter(|(holding, _)| !sells || holding.quantity > 0)
            .choose(rng)?;
        let affordable = self.cash / stock.price;
        if !sells && (fails || affordable == 0) {
            let quantity = affordable + rng.random_range(1..=ORDER_MAX);
            return Some(failed(self.name, stock, quantity));
        }
        let quantity;
        if sells {
            quantity = rng.random_range(1..=holding.quantity.min(ORDER_MAX));
            self.cash += quantity * stock.price;
            holding.cost -= holding.cost * quantity / holding.quantity;
            holding.quantity -= quantity;
        } else {
            quantity = rng.random_range(1..=affordable.min(ORDER_MAX));
            self.cash -= quantity * stock.price;
            holding.cost += quantity * stock.price;
            holding.quantity += quantity;
        }
        let side = if sells { "sell" } else { "buy" };
        Some(executed(self.name, number, stock, side, quantity))
    }

    /// What the user owns at current prices.
    pub(super) fn portfolio(&self, stocks: &[Stock]) -> String {
        let mut equity = 0;
        let mut positions = Vec::new();
        for (holding, stock) in self
            .holdings
            .iter()
            .zip(stocks)
            .filter(|(h, _)| h.quantity > 0)
        {
            let value = holding.quantity * stock.price;
            equity += value;
            positions.push(format!(
                "{{\"symbol\":\"{}\",\"quantity\":{},\"averagePrice\":{},\"price\":{},\"value\":{}}}",
                stock.symbol,
                holding.quantity,
                Hundredths(holding.cost / holding.quantity),
                Hundredths(stock.price),
                Hundredths(value),
            ));
        }
        let total = self.cash + equity;
        let change = total - self.opening;
        format!(
            "{{\"event\":\"portfolio:update\",\"userId\":\"{}\",\"data\":{{\"totalValue\":{},\
             \"cash\":{},\"equity\":{},\"positions\":[{}],\"dayChange\":{},\
             \"dayChangePercent\":{}}}}}\n",
            self.name,
            Hundredths(total),
            Hundredths(self.cash),
            Hundredths(equity),
            positions.join(","),
            Hundredths(change),
            percent(change, self.opening),
        )
    }
}

fn executed(user: &str, number: u64, stock: &Stock, side: &str, quantity: i64) -> String {
    format!(
        "{{\"event\":\"trade:executed\",\"userId\":\"{user}\",\"data\":{{\"id\":\"trade-{number}\",\
         \"symbol\":\"{}\",\"side\":\"{side}\",\"quantity\":{quantity},\"price\":{},\
         \"status\":\"filled\"}}}}\n",
        stock.symbol,
        Hundredths(stock.price),
    )
}

fn failed(user: &str, stock: &Stock, quantity: i64) -> String {
    format!(
        "{{\"event\":\"trade:failed\",\"userId\":\"{user}\",\"data\":{{\
         \"error\":\"Insufficient funds\",\"signal\":{{\"symbol\":\"{}\",\"side\":\"buy\",\
         \"quantity\":{quantity}}}}}}}\n",
        stock.symbol,
    )
}
