//! The kinds of load, a file each.

pub(crate) mod churn;
pub(crate) mod connect;
pub(crate) mod deliver;
pub(crate) mod stuck;
