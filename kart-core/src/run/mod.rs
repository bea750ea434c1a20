//! The run: task table, scheduler, event loop, attempts, retries, output cache, remote attempts.
//!
//! ARCHITECTURE.md has a page on it: the files, the table's columns, one task from ready to published, the shutdown.

mod attempt;
mod code_change;
mod coordination;
mod event_loop;
mod mailbox;
mod message;
mod output_cache;
mod preflight;
mod record;
mod remote;
mod run_context;
mod runner;
mod scheduler;
mod settings;
mod shutdown;
mod start;
mod subtask_waits;
mod table;

pub use code_change::OnCodeChange;
pub use coordination::Coordination;
pub use remote::executor::{AttemptFuture, AttemptRequest, AttemptResponse, Executor};
pub use remote::subtask_report::SubtaskReport;
pub use remote::worker::Worker;
pub use runner::{Runner, build};
