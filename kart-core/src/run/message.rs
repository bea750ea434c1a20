//! Messages: plain data between the event loop, its attempts and its background tasks.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::output_cache::OutputRef;
use super::subtask_report::SubtaskReport;
use super::task_lease::TaskLease;
use crate::error::{BoxError, Error, StoreError, chain};
use crate::lease::Owner;
use crate::lease_protocol::WaitCycle;
use crate::model::{DynTask, NodeId, Stored};
use crate::plan::{Lookups, Status};
use crate::run_id::RunId;
use crate::workspace::{Making, Provenance};

/// Something that happened in a run. The results of attempts do not go through the mailbox.
#[derive(Debug)]
pub(crate) enum Message {
    /// A lookup in the store has ended.
    StatusKnown(Lookup),
    /// The survey takes long: ready tasks may start early.
    EarlyStartDue,
    /// The survey takes long: time to tell how far it is. With the pause since the last time.
    SurveyNewsDue(Duration),
    /// The workspace is known to be writable, or not.
    Prepared(Result<(), StoreError>),
    /// The attempt of that number holds its lease: its body starts.
    AttemptStarted(NodeId, u32),
    /// The body has ended, and its output is being published.
    BodyFinished(NodeId),
    /// The output takes the place of another task's, which was not there when the run looked.
    Replaces(NodeId, Provenance),
    /// The body has taken its answers, and waits for more.
    BodyBlocked(NodeId),
    Progress(NodeId, ProgressNow),
    /// The body resumes from what other code has saved.
    StaleState(NodeId),
    SubtaskRequested(SubtaskRequest),
    SubtaskCancelled {
        by: NodeId,
        id: u64,
    },
    /// The output of a complete task is gone.
    OutputVanished(NodeId, Status),
    /// The subtasks of a remote attempt.
    RemoteSubtasks(NodeId, SubtaskReport),
    ClaimsPolled(ClaimPoll),
    /// Cycles of waits through other processes.
    WaitCycles(Result<Vec<WaitCycle>, StoreError>),
    BackoffElapsed(NodeId),
    /// The run's own code panicked, or user code that it calls outside an attempt.
    Panicked(Box<dyn Any + Send>),
}

/// An attempt to make.
#[derive(Debug)]
pub(crate) struct AttemptJob {
    pub(crate) node: NodeId,
    pub(crate) status: Status,
    pub(crate) making: Making,
    /// The reruns that its output is made for.
    pub(crate) reruns: Arc<[RunId]>,
    /// Those that no output of another process counts for unless it names them.
    pub(crate) wanted_by: Arc<[RunId]>,
    /// The number of the attempt, from 1.
    pub(crate) number: u32,
    /// The lease that the last attempt kept for this one.
    pub(crate) lease: Option<TaskLease>,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) struct AttemptResult {
    pub(crate) node: NodeId,
    pub(crate) number: u32,
    /// Without the time that the body waited for subtasks.
    pub(crate) elapsed: Duration,
    pub(crate) end: AttemptEnd,
    /// The lease that a failed attempt keeps for the next.
    pub(crate) lease: Option<TaskLease>,
}

/// The end of an attempt.
#[derive(Debug)]
pub(crate) enum AttemptEnd {
    Published(Published),
    /// The body failed, panicked or timed out.
    Failed(BoxError),
    /// The body gave up because the run is stopping or a subtask was interrupted.
    Stopped,
    /// The store, the network or another process prevented it: the body is not at fault.
    Unavailable(BoxError),
    /// A required output is gone from the workspace.
    InputVanished(NodeId, Status, BoxError),
    /// Another process has made the output.
    AlreadyComplete,
    /// Another process holds the task.
    ClaimedByOther(Owner),
    /// All attempts failed at another process that shares the run.
    FailedByOther {
        attempts: u32,
        error: BoxError,
    },
    /// The lease was lost during the attempt.
    LeaseLost,
}

/// An output that is in the workspace.
#[derive(Debug)]
pub(crate) struct Published {
    /// What was stored, if it was made in this process.
    pub(crate) stored: Option<Stored>,
    pub(crate) bytes: u64,
    /// `None` for very large files.
    pub(crate) hash: Option<blake3::Hash>,
    /// Whether another process published different bytes first, which are the output.
    pub(crate) differed: bool,
    /// The process that made it, if not this one.
    pub(crate) worker: Option<Box<str>>,
}

/// An attempt that failed.
#[derive(Clone, Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) node: NodeId,
    pub(crate) number: u32,
    pub(crate) elapsed: Duration,
    pub(crate) error: Arc<BoxError>,
}

impl FailedAttempt {
    /// Returns its error with all causes, on one line.
    pub(crate) fn error_text(&self) -> String {
        chain(self.error.as_ref().as_ref())
    }
}

/// The progress that a body reports.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ProgressNow {
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) message: Option<String>,
    /// Whether it resumes from what other code has saved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) resumes_stale_state: bool,
}

impl ProgressNow {
    /// Returns whether the body has reported anything.
    pub(crate) fn is_reported(&self) -> bool {
        self.total > 0 || self.done > 0 || self.message.is_some()
    }
}

/// The result of a lookup of these tasks.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) answer: Result<Lookups, Error>,
}

/// A request of a body for a subtask.
#[derive(Debug)]
pub(crate) struct SubtaskRequest {
    pub(crate) id: u64,
    pub(crate) by: NodeId,
    pub(crate) task: Arc<dyn DynTask>,
    pub(crate) reply: Reply,
}

/// The channel for the answer. The body may not wait any more.
pub(crate) type Reply = oneshot::Sender<SubtaskResult>;
pub(crate) type SubtaskResult = Result<OutputRef, Error>;

/// The result of a poll of foreign tasks.
pub(crate) type ClaimPoll = Result<Vec<(NodeId, ForeignStatus)>, Error>;

/// What the poll found of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignStatus {
    Complete,
    /// No live process holds it: this run tries to claim it.
    Free,
    Held,
}
