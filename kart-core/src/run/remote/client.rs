//! A remote attempt, on the side of the run: sends the request, and reads the response.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{BoxError, permanent};
use crate::model::{AnyTask, NodeId};
use crate::plan::Status;
use crate::registry;
use crate::run::errors::dependency_failed::DependencyFailed;
use crate::run::errors::error_text::ErrorText;
use crate::run::executor::{AttemptRequest, AttemptResponse, Executor};
use crate::run::message::{AttemptEnd, Message, Published};
use crate::run::run_context::RunContext;
use crate::run::subtask_report::SubtaskReport;
use crate::run_id::RunId;
use crate::workspace::Making;

/// How long NFS may hide a new file with its usual settings, and a little more.
const NFS_VISIBILITY: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(500);

/// Makes an attempt at a worker. Returns how it ended, and how long it took.
pub(crate) async fn attempt(
    run: &RunContext,
    executor: &dyn Executor,
    node: NodeId,
    number: u32,
    status: Status,
    making: Making,
    reruns: &[RunId],
) -> Result<(AttemptEnd, Option<Duration>), BoxError> {
    let request = request(run, node, number, status, making, reruns)?;
    let (end, elapsed, subtasks) = end_of(executor.attempt(request).await?);
    if matches!(end, AttemptEnd::Published(_) | AttemptEnd::AlreadyComplete) {
        verify_visible(run, node).await?;
    }
    if !subtasks.is_empty() {
        run.send(Message::RemoteSubtasks(node, subtasks));
    }
    Ok((end, elapsed))
}

/// Verifies that the worker writes to the directory of the run, which their names do not tell: waits until the first output
/// is visible, for as long as a network file system may take.
async fn verify_visible(run: &RunContext, node: NodeId) -> Result<(), BoxError> {
    if !run.workspace.is_directory() || run.shared_dir_verified.load(Ordering::Relaxed) {
        return Ok(());
    }
    let path = run.graph.node(node).path()?;
    let since = Instant::now();
    while !run.workspace.exists(&path).await? {
        if since.elapsed() > NFS_VISIBILITY {
            let location = run.workspace.display_url(&path);
            return Err(permanent(format!(
                "the worker has made the output, and it is not at `{location}`: does the worker work in the same \
                 directory?"
            ))
            .into());
        }
        sleep(PAUSE).await;
    }
    run.shared_dir_verified.store(true, Ordering::Relaxed);
    Ok(())
}

fn request(
    run: &RunContext,
    id: NodeId,
    number: u32,
    status: Status,
    making: Making,
    reruns: &[RunId],
) -> Result<AttemptRequest, BoxError> {
    let node = run.graph.node(id);
    let spec = node.task.spec();
    let task = AnyTask::new(Arc::clone(&node.task)).to_json();
    Ok(AttemptRequest {
        task: task.map_err(permanent)?,
        key: node.key,
        path: node.path()?,
        workspace: run.workspace.location().to_owned(),
        attempt: number,
        replaces: status.replaces() || status == Status::TypeChanged,
        on_type_change: run.type_changes.policy(),
        making,
        run: run.run_id,
        reruns: reruns.to_vec(),
        timeout: spec.timeout,
        code: spec.code.to_owned(),
        build: registry::fingerprint().to_owned(),
    })
}

/// Returns how the attempt ended, how long it took at the worker, and its subtasks.
fn end_of(response: AttemptResponse) -> (AttemptEnd, Option<Duration>, SubtaskReport) {
    match response {
        AttemptResponse::Published {
            bytes,
            hash,
            differed,
            elapsed,
            worker,
            subtasks,
        } => {
            let hash = hash.and_then(|hash| blake3::Hash::from_hex(hash).ok());
            let published = Published {
                stored: None,
                bytes,
                hash,
                differed,
                worker: Some(worker.into()),
            };
            (AttemptEnd::Published(published), Some(elapsed), subtasks)
        }
        AttemptResponse::AlreadyExists => {
            (AttemptEnd::AlreadyComplete, None, SubtaskReport::default())
        }
        AttemptResponse::Failed {
            causes,
            is_permanent,
            elapsed,
            by,
            subtasks,
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
            (AttemptEnd::Failed(error), Some(elapsed), subtasks)
        }
        AttemptResponse::Unavailable { error } => (
            AttemptEnd::Unavailable(error.into()),
            None,
            SubtaskReport::default(),
        ),
        AttemptResponse::Interrupted => (AttemptEnd::Stopped, None, SubtaskReport::default()),
    }
}
