//! Bodies of plain functions: each has a thread of its own from start to end, also while it waits for subtasks. The
//! scheduler decides how many run at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Span;

use crate::error::{BoxError, panic_text};
use crate::model::{BlockingBody, Erased};
use crate::threads;

/// Runs a body to its end, even if this future is dropped.
///
/// # Errors
///
/// The error or panic of the body, or the failure to start its thread.
pub(crate) async fn run(body: BlockingBody) -> Result<Erased, BoxError> {
    #[cfg(test)]
    if threads::are_simulated() {
        return crate::simulation::run_plain(body).await;
    }
    let (reply, result) = oneshot::channel();
    let (runtime, span) = (Handle::current(), Span::current());
    let job = move || {
        let _runtime = runtime.enter();
        let result = catch_unwind(AssertUnwindSafe(|| span.in_scope(body)));
        let result = result.unwrap_or_else(|payload| Err(panic_text(payload.as_ref()).into()));
        // The attempt may have been dropped.
        let _ = reply.send(result);
    };
    threads::spawn(Box::new(job))
        .map_err(|error| format!("failed to start a thread for the body: {error}"))?;
    let result = result.await;
    result.unwrap_or_else(|_| Err("the body's thread ended without a result".into()))
}
