//! The life of one attempt: its saves, its stop token and its commands end with it.

use std::sync::Arc;
use std::time::Duration;

use super::command::Commands;
use crate::model::secrets::Redactor;
use crate::model::stop_token::StopToken;
use crate::workspace::CommitGuard;

/// The life of one attempt, owned by the code that makes it. Dropping it ends the attempt at once.
#[derive(Debug)]
pub(crate) struct AttemptScope(Arc<ScopeState>);

/// What all clones of the attempt's context share.
#[derive(Debug)]
pub(crate) struct ScopeState {
    /// Stops with the run, or at the end of the attempt.
    pub(super) stop: StopToken,
    pub(super) guard: CommitGuard,
    pub(super) grace: Duration,
    pub(super) redactor: Arc<Redactor>,
    pub(super) commands: Commands,
}

impl AttemptScope {
    /// Starts an attempt, which stops with `run` and saves while `guard` is open.
    pub(crate) fn new(
        run: &StopToken,
        guard: CommitGuard,
        grace: Duration,
        redactor: Arc<Redactor>,
    ) -> Self {
        AttemptScope(Arc::new(ScopeState {
            stop: run.child(),
            guard,
            grace,
            redactor,
            commands: Commands::default(),
        }))
    }

    pub(super) fn state(&self) -> Arc<ScopeState> {
        Arc::clone(&self.0)
    }

    /// Ends what the body may do, as at a timeout: its context says that it is stopping, and refuses saves.
    pub(crate) fn expire(&self) {
        self.0.guard.close();
        self.0.stop.stop();
    }

    /// Ends the attempt. Its commands have the grace to end, and are killed after it; a save that is under way is waited
    /// for, so that it cannot come after the saves have been deleted.
    pub(crate) async fn end(&self) {
        self.expire();
        self.0.commands.terminate(self.0.grace).await;
        self.0.guard.closed_and_idle().await;
    }
}

impl Drop for AttemptScope {
    fn drop(&mut self) {
        self.expire();
        self.0.commands.kill();
    }
}
