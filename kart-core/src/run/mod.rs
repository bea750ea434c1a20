//! The run: task table, scheduler, event loop, attempts, retries, output cache, remote attempts.
//!
//! ARCHITECTURE.md has a page on it: the files, the table's columns, one task from ready to published, the shutdown.

mod attempt;
mod build;
mod code_change;
mod coordination;
mod errors;
mod event_loop;
mod executor;
mod fresh;
mod history;
mod mailbox;
mod message;
mod output_cache;
mod preflight;
mod record;
mod remote;
mod reruns;
mod run_context;
mod runner;
mod saved_state;
mod scheduler;
mod settings;
mod shutdown;
mod start;
mod subtask_report;
mod subtask_waits;
mod table;
mod task_lease;
mod worker;

pub use build::build;
pub use executor::{AttemptFuture, AttemptRequest, AttemptResponse, Executor};
pub use runner::Runner;
pub use settings::{Coordination, OnCodeChange};
pub use subtask_report::SubtaskReport;
pub use worker::Worker;
