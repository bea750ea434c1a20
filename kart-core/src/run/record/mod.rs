//! The record of a run: events, the run log, the report.

pub(crate) mod estimates;
pub(crate) mod log_sink;
pub(crate) mod ran;
pub(crate) mod tracker;
