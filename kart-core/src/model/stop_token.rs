//! How a run is told to stop in good order, and how a body hears of it.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Tells runs to stop in good order: nothing new starts, bodies are told and may save their state,
/// and those still running when the grace ends are dropped. Clones stop the same runs.
///
/// # Examples
///
/// ```
/// use kart::{RunError, Runner, StopToken, Workspace, task};
///
/// #[task]
/// async fn endless(#[context] cx: &kart::Context) -> Result<u32, kart::Interrupted> {
///     cx.stopped().await;
///     Err(kart::interrupted())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kart::Error> {
/// let workspace = Workspace::open("memory://")?;
/// let stop = StopToken::new();
/// let runner = Runner::new(&workspace).stop(&stop);
/// let run = tokio::spawn(async move { runner.run(Endless).await });
/// stop.stop();
/// assert!(matches!(run.await, Ok(Err(RunError::Interrupted(_)))));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StopToken(Arc<watch::Sender<bool>>);

impl StopToken {
    /// A stop that nobody has asked for yet.
    #[must_use]
    pub fn new() -> Self {
        StopToken(Arc::new(watch::Sender::new(false)))
    }

    /// Stops the runs that were given this stop, now and in future.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked for.
    pub async fn stopped(&self) {
        // The sender lives as long as `self`, so that there is an answer.
        let _ = self.0.subscribe().wait_for(|stopping| *stopping).await;
    }
}

impl Default for StopToken {
    fn default() -> Self {
        StopToken::new()
    }
}

impl fmt::Debug for StopToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopToken")
            .field("is_stopping", &self.is_stopping())
            .finish()
    }
}
