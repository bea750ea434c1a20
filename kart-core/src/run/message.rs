//! What happens in a run: plain data between the event loop, its attempts and its background work.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::attempt::task_lease::TaskLease;
use super::output_cache::OutputRef;
use super::remote::subtask_report::SubtaskReport;
use crate::error::{BoxError, Error, StoreError, chain};
use crate::lease::Owner;
use crate::model::{DynTask, Erased, NodeId};
use crate::plan::Status;

/// Something that happened, apart from the end of an attempt.
#[derive(Debug)]
pub(crate) enum Message {
    /// The store was asked about these tasks.
    StatusKnown(Lookup),
    /// The survey has taken so long that what is ready may start.
    EarlyStartDue,
    /// The workspace can be written to, or not.
    Prepared(Result<(), StoreError>),
    /// The attempt of that number holds its lease: its body starts.
    AttemptStarted(NodeId, u32),
    /// The body has ended, and its output is on its way to the store.
    BodyFinished(NodeId),
    /// The body has taken the subtasks that it was given, and waits for more.
    BodyBlocked(NodeId),
    Progress(NodeId, ProgressNow),
    SubtaskRequested(SubtaskRequest),
    SubtaskCancelled {
        by: NodeId,
        id: u64,
    },
    /// The output of a complete task is not there any more.
    OutputVanished(NodeId),
    /// What became of the subtasks of a remote attempt.
    RemoteSubtasks(NodeId, SubtaskReport),
    ClaimsPolled(ClaimPoll),
    BackoffElapsed(NodeId),
    /// The run's own code panicked, or user code that it calls outside an attempt.
    Panicked(Box<dyn Any + Send>),
}

/// An attempt that is to be made.
#[derive(Debug)]
pub(crate) struct AttemptJob {
    pub(crate) node: NodeId,
    pub(crate) status: Status,
    /// Which attempt it is, from 1.
    pub(crate) number: u32,
    /// What the last attempt held, and this one goes on with.
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
    /// What a failed attempt still holds.
    pub(crate) lease: Option<TaskLease>,
}

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum AttemptEnd {
    Published(Published),
    /// The body failed, panicked or timed out.
    Failed(BoxError),
    /// The body gave up because it was told to stop.
    Stopped,
    /// The store, the network or another process was in the way: the body is not at fault.
    Unavailable(BoxError),
    /// A required output is gone from the workspace.
    InputVanished(NodeId, BoxError),
    /// Another process has made the output.
    AlreadyComplete,
    /// Another process has the task.
    ClaimedByOther(Owner),
    /// Another process that shares the run has made all the attempts, in vain.
    FailedByOther {
        attempts: u32,
        error: BoxError,
    },
    /// The attempt was cut off, because the lease was lost.
    LeaseLost,
}

/// An output that is in the workspace.
#[derive(Debug)]
pub(crate) struct Published {
    /// The value, where it was made in this process.
    pub(crate) output: Option<Erased>,
    pub(crate) bytes: u64,
    /// Not of files: they are not read again.
    pub(crate) hash: Option<blake3::Hash>,
    /// Whether another process published other bytes first; they are the output now.
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
    /// What it failed with, on one line.
    pub(crate) fn error_text(&self) -> String {
        chain(self.error.as_ref().as_ref())
    }
}

/// How far a body says it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ProgressNow {
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) message: Option<String>,
}

/// What the store says about the outputs of these tasks.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) answer: Result<Vec<(NodeId, Status)>, Error>,
}

/// A task that the body of another asks for.
#[derive(Debug)]
pub(crate) struct SubtaskRequest {
    pub(crate) id: u64,
    pub(crate) by: NodeId,
    pub(crate) task: Arc<dyn DynTask>,
    pub(crate) reply: Reply,
}

/// Where the answer goes; a body that waits no longer does not take it.
pub(crate) type Reply = oneshot::Sender<SubtaskResult>;
pub(crate) type SubtaskResult = Result<OutputRef, Error>;

/// What became of tasks that other processes have.
pub(crate) type ClaimPoll = Result<Vec<(NodeId, ForeignStatus)>, Error>;

/// What became of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignStatus {
    Complete,
    /// Nobody holds it: it is to be tried here.
    Free,
    Held,
}
