//! What a run does: what it skips, in which order it goes, what it hands over, how it fails and
//! how it is stopped.

#[path = "../common/mod.rs"]
mod common;

mod early_start;
mod fail_fast;
mod failing;
mod interruption;
mod output_cache;
mod publishing;
mod remote;
mod remote_batches;
mod remote_failures;
mod remote_subtasks;
mod scheduling;
mod shutdown;
mod skipping;
mod subtask_failures;
mod subtasks;
