//! The run log: what every run did, written as it goes, and read back. It is advice: losing it loses no
//! result, and one that cannot be written or read fails no run.
//!
//! A run writes its records as lines of JSON to `_kart/runs/{run}/{n}.jsonl`, a segment every few seconds and
//! at the end, and then `known.json`: a digest of all runs before it and of itself. So a start needs a listing,
//! the newest digest, and the segments that are not in it, which are those of runs that were cut off. Old runs
//! are packed into `_kart/runs/packs/`, many in one object.

mod known;
mod pack;
mod read;
mod record;
mod writer;

pub use read::RunSummary;
pub use record::{RecordedOutcome, TaskRecord};

pub(crate) use known::Known;
pub(crate) use record::{EndRecord, Note, StartRecord};
pub(crate) use writer::Log;
