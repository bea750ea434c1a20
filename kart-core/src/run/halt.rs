//! When a run stops before all is complete: at its deadline, or when it is asked to.

use std::future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::runner::Runner;
use crate::model::Stop;
use crate::report::StopReason;

/// What tells a run to stop.
#[derive(Debug)]
pub(super) enum Halt {
    /// Nothing new starts, and bodies have the grace to end.
    Stop(StopReason),
    /// The grace is over: what still runs is dropped.
    GraceOver,
}

/// Waits for the deadline or for whoever asks the run to stop.
pub(super) async fn stop(asked: Stop, deadline: Option<Instant>) -> Halt {
    let at_deadline = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = asked.stopped() => Halt::Stop(StopReason::Asked),
        () = at_deadline => Halt::Stop(StopReason::Deadline),
    }
}

/// Waits until the grace is over.
pub(super) async fn grace(grace: Duration) -> Halt {
    tokio::time::sleep(grace).await;
    Halt::GraceOver
}

/// When a run that began at `started` has to stop.
pub(super) fn deadline(runner: &Runner, started: Instant) -> Option<Instant> {
    // A deadline past the end of time is none.
    runner.deadline.and_then(|after| started.checked_add(after))
}
