//! An attempt that is made elsewhere: the order, and what its answer means here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{BoxError, interrupted, permanent};
use crate::model::{AnyTask, NodeId};
use crate::registry;
use crate::run::attempt::dependency_failed::DependencyFailed;
use crate::run::attempt::error_text::ErrorText;
use crate::run::attempt::publish::Published;
use crate::run::attempt::{AttemptEnd, AttemptJob, AttemptResult, RunContext, caught};
use crate::run::mailbox::Message;
use crate::run::remote::executor::{AttemptRequest, AttemptResponse, Executor};
use crate::run::remote::subtask_report::SubtaskReport;

/// How long NFS may keep to itself that a file is there, by its usual settings, and a little more.
const NFS_VISIBILITY: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(500);

impl RunContext {
    pub(crate) async fn order(&self, executor: &dyn Executor, work: AttemptJob) -> AttemptResult {
        let started = Instant::now();
        let ordering = async { executor.attempt(self.ordered(work)?).await };
        let answer = caught(ordering).await;
        let (mut end, elapsed, beside) = match answer {
            Ok(answer) => take(answer),
            Err(error) => (AttemptEnd::Failed(error), None, SubtaskReport::default()),
        };
        if matches!(end, AttemptEnd::Published(_) | AttemptEnd::AlreadyComplete)
            && let Err(error) = self.seen(work.node).await
        {
            end = AttemptEnd::Failed(error);
        } else if !beside.is_empty() {
            self.say(Message::RemoteSubtasks(work.node, beside));
        }
        AttemptResult {
            node: work.node,
            number: work.number,
            elapsed: elapsed.unwrap_or_else(|| started.elapsed()),
            end,
        }
    }

    /// Whether the worker's directory is that of the run, which their names do not tell: the first output is looked
    /// for, for as long as a file system on a network may take to show it.
    async fn seen(&self, node: NodeId) -> Result<(), BoxError> {
        if !self.workspace.is_directory() || self.sees_outputs.load(Ordering::Relaxed) {
            return Ok(());
        }
        let path = self.graph.node(node).path()?;
        let since = Instant::now();
        while !self.workspace.exists(&path).await? {
            if since.elapsed() > NFS_VISIBILITY {
                let location = self.workspace.locate(&path);
                return Err(permanent(format!(
                    "the worker has made the output, and it is not at `{location}`: does the worker work in the same \
                     directory?"
                ))
                .into());
            }
            sleep(PAUSE).await;
        }
        self.sees_outputs.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn ordered(&self, work: AttemptJob) -> Result<AttemptRequest, BoxError> {
        let node = self.graph.node(work.node);
        let spec = node.task.spec();
        let task = AnyTask::new(Arc::clone(&node.task)).to_json();
        Ok(AttemptRequest {
            task: task.map_err(permanent)?,
            key: node.key,
            path: node.path()?,
            workspace: self.workspace.location().to_owned(),
            attempt: work.number,
            replaces: work.need.replaces(),
            timeout: spec.timeout,
            code: spec.code.to_owned(),
            build: registry::fingerprint().to_owned(),
        })
    }
}

/// How the attempt ended, how long it took where it was made, and what came of what its body asked for.
fn take(answer: AttemptResponse) -> (AttemptEnd, Option<Duration>, SubtaskReport) {
    match answer {
        AttemptResponse::Published {
            bytes,
            hash,
            differed,
            elapsed,
            worker,
            beside,
        } => {
            let hash = hash.and_then(|hash| blake3::Hash::from_hex(hash).ok());
            let published = Published {
                output: None,
                bytes,
                hash,
                differed,
                worker: Some(worker.into()),
            };
            (AttemptEnd::Published(published), Some(elapsed), beside)
        }
        AttemptResponse::AlreadyExists => {
            (AttemptEnd::AlreadyComplete, None, SubtaskReport::default())
        }
        AttemptResponse::Failed {
            causes,
            is_permanent,
            elapsed,
            by,
            beside,
        } => {
            let error = ErrorText::of(causes).into_error(is_permanent);
            let error = match by {
                Some(key) => DependencyFailed {
                    key,
                    failure: Arc::new(error),
                }
                .into(),
                None => error,
            };
            (AttemptEnd::Failed(error), Some(elapsed), beside)
        }
        AttemptResponse::Interrupted => (
            AttemptEnd::Failed(interrupted().into()),
            None,
            SubtaskReport::default(),
        ),
    }
}
