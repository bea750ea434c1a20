//! Bodies of plain functions: each has a thread of its own from its beginning to its end, also while it waits for
//! subtasks. How many run at once is the scheduler's decision.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Span;

use crate::error::{BoxError, panic_text};
use crate::model::{BlockingBody, Erased};
use crate::threads;

/// Runs a body to its end, whether the result is awaited or not.
///
/// # Errors
///
/// What the body failed with, its panic, or that there is no thread for it.
pub(crate) async fn run(body: BlockingBody) -> Result<Erased, BoxError> {
    #[cfg(test)]
    if crate::simulation::is_active() {
        return crate::simulation::run_plain(body).await;
    }
    let (reply, result) = oneshot::channel();
    let (runtime, span) = (Handle::current(), Span::current());
    let job = move || {
        let _runtime = runtime.enter();
        let result = catch_unwind(AssertUnwindSafe(|| span.in_scope(body)));
        let result = result.unwrap_or_else(|payload| Err(panic_text(payload.as_ref()).into()));
        // Nobody may be interested any more.
        let _ = reply.send(result);
    };
    threads::spawn(Box::new(job))
        .map_err(|error| format!("failed to start a thread for the body: {error}"))?;
    let result = result.await;
    result.unwrap_or_else(|_| Err("the body's thread ended without a result".into()))
}
