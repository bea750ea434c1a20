//! Completion that are made elsewhere: what is ordered, what comes back, and who carries both.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{BoxError, is_permanent};
use crate::key::Key;
use crate::run::attempt::error_text::texts;
use crate::run::remote::subtask_report::SubtaskReport;

/// What [`Executor::attempt`] gives.
pub type AttemptFuture<'a> =
    Pin<Box<dyn Future<Output = Result<AttemptResponse, BoxError>> + Send + 'a>>;

/// Where the attempts of a run are made, if not in its own process: it carries an [`AttemptRequest`] to a
/// [`Worker`](super::Worker) and the [`AttemptResponse`] back, by whatever there is. Which task is next, how many attempts
/// are under way, retries, events and the report are the run's affair.
pub trait Executor: fmt::Debug + Send + Sync {
    /// Has one attempt made. A future that is dropped waits no longer; the attempt may go on.
    ///
    /// An error stands for an attempt that failed: nobody could be asked, or no answer came back.
    fn attempt(&self, order: AttemptRequest) -> AttemptFuture<'_>;
}

/// One attempt that is to be made elsewhere. It travels as JSON, with secret parameters as they are.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptRequest {
    /// The task in its wire form, `{"task": "…", "params": {…}}`.
    pub task: Json,
    /// The task's key.
    pub key: Key,
    /// Where the output goes, relative to the workspace.
    pub path: String,
    /// The workspace, as whoever orders names it.
    pub workspace: String,
    /// Which attempt of the run it is, from 1.
    pub attempt: u32,
    /// Whether it is made although the output may be there, and replaces it.
    pub replaces: bool,
    /// How long the attempt may take, as the task says; the worker knows it by itself.
    #[serde(skip)]
    pub timeout: Option<Duration>,
    /// The fingerprint of the task's code; see [`TaskSpec::code`](crate::TaskSpec).
    pub code: String,
    /// The build of whoever orders; see [`registry::fingerprint`](crate::registry::fingerprint).
    pub build: String,
}

impl AttemptRequest {
    /// The task's stable name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.task["task"].as_str().unwrap_or_default()
    }
}

/// Without the parameters, which may be secret.
impl fmt::Debug for AttemptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptRequest")
            .field("task", &self.name())
            .field("key", &self.key)
            .field("attempt", &self.attempt)
            .field("replaces", &self.replaces)
            .finish_non_exhaustive()
    }
}

/// What came of an order. It travels as JSON, with secret parameters of tasks that bodies asked for as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttemptResponse {
    /// The output is in the workspace.
    #[non_exhaustive]
    Published {
        /// How many bytes it has.
        bytes: u64,
        /// Its BLAKE3 hash; not of files.
        hash: Option<String>,
        /// Whether another output had been published first; it is the output now.
        differed: bool,
        /// How long it took.
        elapsed: Duration,
        /// The process that made it, as the log names it.
        worker: String,
        /// What came of the tasks that the body asked for.
        #[serde(default, skip_serializing_if = "SubtaskReport::is_empty")]
        subtasks: SubtaskReport,
    },
    /// The output was there already.
    AlreadyExists,
    /// The attempt failed.
    #[non_exhaustive]
    Failed {
        /// What went wrong, from the outermost error to the innermost.
        causes: Vec<String>,
        /// Whether a retry would be in vain.
        is_permanent: bool,
        /// How long it took.
        elapsed: Duration,
        /// The task whose failure is the reason, where the body asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Key>,
        /// What came of the tasks that the body asked for.
        #[serde(default, skip_serializing_if = "SubtaskReport::is_empty")]
        subtasks: SubtaskReport,
    },
    /// The worker is stopping: the attempt is to be made by another.
    Interrupted,
    /// The store or the network was in the way: what it said.
    #[non_exhaustive]
    Unavailable {
        /// What went wrong, with its causes.
        error: String,
    },
}

impl AttemptResponse {
    pub(crate) fn failed(error: &BoxError, elapsed: Duration) -> Self {
        AttemptResponse::Failed {
            causes: texts(error.as_ref()),
            is_permanent: is_permanent(error.as_ref()),
            elapsed,
            by: None,
            subtasks: SubtaskReport::default(),
        }
    }

    /// Where it says what came of the tasks that the body asked for.
    pub(crate) fn subtasks(&mut self) -> Option<&mut SubtaskReport> {
        match self {
            AttemptResponse::Published { subtasks, .. }
            | AttemptResponse::Failed { subtasks, .. } => Some(subtasks),
            AttemptResponse::AlreadyExists
            | AttemptResponse::Interrupted
            | AttemptResponse::Unavailable { .. } => None,
        }
    }
}
