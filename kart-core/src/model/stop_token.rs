//! The stop token: stops runs gracefully, and lets bodies see it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Stops runs gracefully: nothing starts any more, bodies [see it](crate::Context::is_stopping) and may save their state, and
/// those still running when the grace period ends are dropped. Clones stop the same runs.
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
#[derive(Clone, Default)]
pub struct StopToken(Arc<State>);

#[derive(Default)]
struct State {
    is_stopping: AtomicBool,
    changed: Notify,
    parent: Option<StopToken>,
}

impl StopToken {
    /// Returns a token that nothing has stopped yet.
    #[must_use]
    pub fn new() -> Self {
        StopToken::default()
    }

    /// Returns a token that stops with this one, or alone.
    pub(crate) fn child(&self) -> Self {
        StopToken(Arc::new(State {
            parent: Some(self.clone()),
            ..State::default()
        }))
    }

    /// Stops this token when the result is dropped.
    pub(crate) fn stop_on_drop(self) -> StopOnDrop {
        StopOnDrop(self)
    }

    /// Stops the runs that were given this token, now and in future.
    pub fn stop(&self) {
        self.0.is_stopping.store(true, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    /// Returns `true` once [`stop`](Self::stop) was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        let parent = self.0.parent.as_ref();
        self.0.is_stopping.load(Ordering::SeqCst) || parent.is_some_and(StopToken::is_stopping)
    }

    /// Waits until [`stop`](Self::stop) is called.
    pub async fn stopped(&self) {
        // Listening begins before the look, so that no call falls in between.
        let changed = self.0.changed.notified();
        if self.is_stopping() {
            return;
        }
        match &self.0.parent {
            None => changed.await,
            Some(parent) => tokio::select! {
                () = changed => {}
                () = Box::pin(parent.stopped()) => {}
            },
        }
    }
}

/// A token that stops when this is dropped.
#[derive(Debug)]
pub(crate) struct StopOnDrop(StopToken);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl fmt::Debug for StopToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopToken")
            .field("is_stopping", &self.is_stopping())
            .finish()
    }
}
