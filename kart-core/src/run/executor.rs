//! Executors: the request for a remote attempt, its response, and the trait that carries both.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{BoxError, is_permanent};
use crate::key::Key;
use crate::model::OnTypeChange;
use crate::run::errors::error_text::texts;
use crate::run::subtask_report::SubtaskReport;
use crate::run_id::RunId;
use crate::workspace::Making;

/// The future that [`Executor::attempt`] returns.
pub type AttemptFuture<'a> =
    Pin<Box<dyn Future<Output = Result<AttemptResponse, BoxError>> + Send + 'a>>;

/// Makes the attempts of a run in other processes: carries an [`AttemptRequest`] to a [`Worker`](crate::Worker) and the
/// [`AttemptResponse`] back, over any transport. The run still schedules, retries and reports.
pub trait Executor: fmt::Debug + Send + Sync {
    /// Makes one attempt. If you drop the future, the attempt may continue.
    ///
    /// An error counts as a failed attempt: the request could not be sent, or no response came back.
    fn attempt(&self, request: AttemptRequest) -> AttemptFuture<'_>;
}

/// The request for a remote attempt. It travels as JSON, with secret parameters in clear text.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptRequest {
    /// The task in its wire form, `{"task": "…", "params": {…}}`.
    pub task: Json,
    /// The task's key.
    pub key: Key,
    /// The path of the output, relative to the workspace.
    pub path: String,
    /// The location of the workspace, as the dispatching run names it.
    pub workspace: String,
    /// The number of the attempt in the run, from 1.
    pub attempt: u32,
    /// Whether to run although the output may exist, and to replace it.
    pub replaces: bool,
    /// What to do about inputs with fields that their type does not have.
    #[serde(default)]
    pub on_type_change: OnTypeChange,
    /// The making that the attempt is part of: what the body saves belongs to it.
    #[serde(default)]
    pub making: Making,
    /// The dispatching run, for the provenance of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The reruns that the output is made for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reruns: Vec<RunId>,
    /// The task's `timeout`, for executors. Workers know it themselves.
    #[serde(skip)]
    pub timeout: Option<Duration>,
    /// The fingerprint of the task's code; see [`TaskSpec::code`](crate::TaskSpec).
    pub code: String,
    /// The build of the dispatching run; see [`registry::fingerprint`](crate::registry::fingerprint).
    pub build: String,
}

impl AttemptRequest {
    /// Returns the task's stable name.
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

/// The response to an [`AttemptRequest`]. It travels as JSON, with secret parameters of subtasks in clear text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttemptResponse {
    /// The output is in the workspace.
    #[non_exhaustive]
    Published {
        /// Its size in bytes.
        bytes: u64,
        /// Its BLAKE3 hash; `None` for files.
        hash: Option<String>,
        /// Whether another process published different bytes first, which are the output.
        differed: bool,
        /// How long it took.
        elapsed: Duration,
        /// The process that made it, as the run log names it.
        worker: String,
        /// The subtasks of the body.
        #[serde(default, skip_serializing_if = "SubtaskReport::is_empty")]
        subtasks: SubtaskReport,
    },
    /// The output existed already.
    AlreadyExists,
    /// The attempt failed.
    #[non_exhaustive]
    Failed {
        /// The error and its causes, the outermost first.
        causes: Vec<String>,
        /// Whether a retry cannot help.
        is_permanent: bool,
        /// How long it took.
        elapsed: Duration,
        /// The subtask whose failure is the reason, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Key>,
        /// The subtasks of the body.
        #[serde(default, skip_serializing_if = "SubtaskReport::is_empty")]
        subtasks: SubtaskReport,
    },
    /// The worker is stopping: another worker makes the attempt.
    Interrupted,
    /// The store or the network failed.
    #[non_exhaustive]
    Unavailable {
        /// The error with its causes.
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

    /// Returns the field for the subtasks.
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
