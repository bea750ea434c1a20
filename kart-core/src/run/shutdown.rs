//! When a run stops before all is complete: at its deadline, or when it is asked to.

use std::future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::model::StopToken;
use crate::report::StopReason;
use crate::run::runner::Runner;

/// What tells a run to stop.
#[derive(Debug)]
pub(crate) enum Shutdown {
    /// Nothing new starts, and bodies have the grace to end.
    Requested(StopReason),
    /// The grace is over: what still runs is dropped.
    GraceExpired,
}

/// Waits for the deadline or for whoever asks the run to stop.
pub(crate) async fn stop(asked: StopToken, deadline: Option<Instant>) -> Shutdown {
    let at_deadline = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = asked.stopped() => Shutdown::Requested(StopReason::Asked),
        () = at_deadline => Shutdown::Requested(StopReason::Deadline),
    }
}

/// Waits until the grace is over.
pub(crate) async fn grace(grace: Duration) -> Shutdown {
    tokio::time::sleep(grace).await;
    Shutdown::GraceExpired
}

/// When a run that began at `started` has to stop.
pub(crate) fn deadline(runner: &Runner, started: Instant) -> Option<Instant> {
    // A deadline past the end of time is none.
    runner.deadline.and_then(|after| started.checked_add(after))
}
