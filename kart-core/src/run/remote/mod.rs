//! Remote attempts: requests and responses, the client in the run, the worker in another process.

pub(crate) mod client;
pub(crate) mod executor;
pub(crate) mod progress;
mod response;
pub(crate) mod subtask_report;
pub(crate) mod worker;
