//! Looking at traces: `replay` runs the engine again and compares, `show` prints a step a line, `report` makes
//! a page of them.
//!
//! A trace is a file, or a directory of which every `*.trace` is a segment: the lives of a node in their
//! order. All of them say where a trace is damaged, cut off or incomplete, and use all that comes before.

mod facets;
mod files;
mod lines;
mod page;
mod replay;
mod show;

pub use page::{ReportArguments, report};
pub use replay::{ReplayArguments, replay};
pub use show::{ShowArguments, show, tell_all};

/// The engine did not say what it said when it was recorded.
pub const DIFFERS: u8 = 6;

/// The engine gave up, here as when it was recorded.
const CRASHED: u8 = 4;

/// A trace could not be read.
const UNREADABLE: u8 = 2;
