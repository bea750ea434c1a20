//! The lease of one attempt: on its task if each task is claimed, and on its path if that has no key.

use std::sync::Arc;

use crate::error::chain;
use crate::lease::Claim;

/// The claims of one attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskLease {
    pub(crate) task: Option<Arc<Claim>>,
    pub(crate) path: Option<Arc<Claim>>,
}

impl TaskLease {
    pub(crate) fn is_empty(&self) -> bool {
        self.claims().next().is_none()
    }

    /// Returns whether this run still holds it, as far as it knows without asking the store.
    pub(crate) fn is_held(&self) -> bool {
        self.claims().all(Claim::is_held)
    }

    /// Waits until it is lost, which may never happen.
    pub(crate) async fn lost(&self) {
        match self.claims().next() {
            // Claims of one participant are lost together.
            Some(claim) => claim.lost().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.task.iter().chain(&self.path).map(Arc::as_ref)
    }

    /// Releases it; with `is_done` for good, since the task has its output.
    pub(crate) async fn release(&self, is_done: bool) {
        for claim in self.claims() {
            claim.release(is_done).await;
        }
    }

    /// Records, for other processes that share the run, that the task has failed for good.
    pub(crate) async fn fail(&self, attempts: u32, error: String) {
        if let Some(path) = &self.path {
            path.release(false).await;
        }
        if let Some(task) = &self.task
            && let Err(failure) = task.fail(attempts, &error).await
        {
            tracing::warn!(
                error = chain(failure.as_ref()),
                "failed to tell others that the task failed"
            );
        }
    }
}
