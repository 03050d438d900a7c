//! Acts in words, for whoever reads a run.

use core::fmt;

use super::script::{Content, Does, Wish};

fn contents(f: &mut fmt::Formatter<'_>, items: &[Content]) -> fmt::Result {
    for (number, item) in items.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        write!(f, "{comma} {}", item.to)?;
    }
    Ok(())
}

fn some_tabs(f: &mut fmt::Formatter<'_>, tabs: &[u32]) -> fmt::Result {
    f.write_str(if tabs.len() == 1 { "tab" } else { "tabs" })?;
    for (number, tab) in tabs.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        write!(f, "{comma} {tab}")?;
    }
    Ok(())
}

impl fmt::Display for Does {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish {
                place,
                keyed,
                late,
                items,
            } => {
                write!(f, "a publisher comes to place {place} with")?;
                contents(f, items)?;
                f.write_str(if *keyed { ", with ids" } else { "" })?;
                f.write_str(if *late {
                    ", though it may be leaving"
                } else {
                    ""
                })
            }
            Self::Emit { items } => {
                f.write_str("an emitter sends")?;
                contents(f, items)
            }
            Self::Client { tab, does } => match does {
                Wish::AskPortfolio => write!(f, "tab {tab} asks for its portfolio"),
                Wish::AskTrades => write!(f, "tab {tab} asks for its trades"),
                Wish::Watch(symbol) => write!(f, "tab {tab} watches {symbol}, too"),
                Wish::Unwatch(symbol) => write!(f, "tab {tab} watches {symbol} no more"),
                Wish::Leave => write!(f, "tab {tab} leaves, to come back"),
                Wish::Flood(events) => write!(f, "tab {tab} sends {events} unknown events"),
            },
            Self::Cut { place, ms } => {
                write!(
                    f,
                    "place {place} and the bus are cut off from each other for {ms} ms"
                )
            }
            Self::RequestsStuck { place, ms } => {
                write!(f, "what place {place} asks the bus is stuck for {ms} ms")
            }
            Self::AnswersStuck { place, ms } => {
                write!(f, "what the bus answers place {place} is stuck for {ms} ms")
            }
            Self::PushesStuck { place, ms } => {
                write!(
                    f,
                    "what the bus pushes to place {place} is stuck for {ms} ms"
                )
            }
            Self::SlowBus { slow_ms, ms } => {
                write!(f, "the bus is {slow_ms} ms slower each way for {ms} ms")
            }
            Self::HungBus { ms } => write!(f, "the bus hangs for {ms} ms"),
            Self::BusCrash { ms } => write!(f, "the bus crashes and is back after {ms} ms"),
            Self::DataLoss => f.write_str("the bus loses its data"),
            Self::NodeCrash { place, power, ms } => {
                let how = if *power { "without power" } else { "killed" };
                write!(
                    f,
                    "the node at place {place} is {how} and back after {ms} ms"
                )
            }
            Self::Restart { place, hurried, ms } => {
                let how = if *hurried { ", at once" } else { "" };
                write!(
                    f,
                    "the node at place {place} is to leave{how}, and back {ms} ms later"
                )
            }
            Self::Stall { tabs, ms } => {
                some_tabs(f, tabs)?;
                write!(f, " stop reading for {ms} ms")
            }
            Self::Vanish { tabs } => {
                some_tabs(f, tabs)?;
                f.write_str(" vanish without a word, to come back")
            }
            Self::Herd { tabs } => {
                some_tabs(f, tabs)?;
                f.write_str(" leave at once, to come back")
            }
            Self::ClockSet { offset_ms } => {
                write!(f, "the bus's clock is set {offset_ms} ms off")
            }
            Self::SessionEnds { user, ms } => {
                write!(f, "the session of {user} ends for {ms} ms")
            }
            Self::PushesMissed { place } => {
                write!(f, "the queue of pushes at place {place} overflows")
            }
            Self::Trimmed { keep } => write!(f, "the log is trimmed to {keep} entries"),
            Self::Garbage { ms } => write!(f, "clients may send what does not fit for {ms} ms"),
        }
    }
}
