//! The runtime of kart; use it through the facade crate `kart`.
//!
//! Each room may use only those before it: `error`, `threads`, `run_id`, `key`, `format`, `lease_protocol`, `workspace`, `model`,
//! `registry`, `lease`, `plan`, `report`, `log`, `run`. `tests/tidy.rs` holds this.

mod error;
pub mod format;
pub mod key;
mod lease;
mod lease_protocol;
mod log;
mod model;
mod plan;
pub mod registry;
mod report;
mod run;
mod run_id;
#[cfg(test)]
mod simulation;
mod threads;
mod workspace;

pub use error::{
    BoxError, Error, Interrupted, Permanent, Result, StoreError, chain, interrupted, permanent,
};
pub use format::{File, Format};
pub use key::Key;
pub use lease::{Owner, host};
pub use log::{RecordedOutcome, RunSummary, TaskRecord};
pub use model::{
    AnyTask, Artifact, Command, Context, Dep, Given, Map, OnTypeChange, ParamError, ParamKind,
    ParamSpec, Redactor, StopToken, StoredOutput, Task, TaskSpec, Verify, Writer, dep,
};
pub use plan::{OpenRerun, Plan, Planned, Status, TaskExt, TaskInfo};
pub use report::{
    Completion, Counts, Estimate, Event, Failure, Interruption, MissingResource, Outcome, Report,
    RunError, StopReason, TaskCounts, TaskReport,
};
pub use run::{
    AttemptFuture, AttemptRequest, AttemptResponse, Coordination, Executor, OnCodeChange, Runner,
    SubtaskReport, Worker, build,
};
pub use run_id::RunId;
#[doc(hidden)]
pub use workspace::layout;
pub use workspace::{
    CreateOutcome, Durability, Making, ObjectInfo, OutputState, Provenance, Reader, RequestCounts,
    SavedState, Workspace,
};

/// What the code that `#[task]` generates uses. Not part of the public interface: it changes
/// without notice.
#[doc(hidden)]
pub mod private {
    pub use crate::__task_name as task_name;
    pub use crate::error::BoxError;
    pub use crate::format;
    pub use crate::key::{PathText, PathValue, Segment, ViaDisplay, ViaJson};
    pub use crate::model::build;
    pub use crate::model::show;
    pub use crate::model::{
        AsyncBody, BlockingBody, Body, Call, Context, Dep, DynTask, Erased, Fallible, Param,
        ParamKind, ParamSpec, Params, Registration, Requirements, Requires, ResourceSpec, Task,
        TaskSpec, assert_param, external, finish, name_bytes, name_len, name_str, wire,
    };
    pub use inventory;
    pub use serde;
}
