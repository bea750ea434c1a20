//! Work that would keep the runtime's thread for long.

use tokio::task::{JoinError, spawn_blocking};

/// Runs work on a thread of its own; in a simulation within the runtime, so that it has its place in the order of things.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    #[cfg(test)]
    if crate::simulation::is_active() {
        return Ok(work());
    }
    spawn_blocking(work).await
}
