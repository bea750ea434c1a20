//! Running a plan: scheduling, attempts, retries, the output cache; attempts on remote workers.

mod attempt;
mod code_change;
mod coordination;
mod event_loop;
mod mailbox;
mod output_cache;
mod preflight;
mod record;
mod remote;
mod runner;
mod scheduler;
mod shutdown;
mod start;

pub use code_change::OnCodeChange;
pub use coordination::Coordination;
pub use remote::executor::{AttemptFuture, AttemptRequest, AttemptResponse, Executor};
pub use remote::subtask_report::SubtaskReport;
pub use remote::worker::Worker;
pub use runner::{Runner, build};
