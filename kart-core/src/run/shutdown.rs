//! Shutdown: how a run stops before all is complete, and how long each part of its end may take.
//!
//! From a stop or the deadline on, nothing starts, and running bodies get the grace period to end. After that they are
//! dropped. Writing the run log, releasing claims and the like have [`CLOSING_TIME`], whatever the store does.

use std::future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::settings::Settings;
use crate::model::StopToken;
use crate::report::StopReason;

/// How long each step of the end of a stopped run may take. The next run finds what is left undone.
const CLOSING_TIME: Duration = Duration::from_millis(1_500);

/// What ends a run.
#[derive(Debug)]
pub(crate) enum Shutdown {
    /// Nothing starts any more, and bodies get the grace period to end.
    Requested(StopReason),
    /// What still runs is dropped.
    GraceExpired,
}

/// Waits for the deadline, or for a stop.
pub(crate) async fn requested(stop: StopToken, deadline: Option<Instant>) -> Shutdown {
    let at_deadline = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = at_deadline => Shutdown::Requested(StopReason::Deadline),
        () = stop.stopped() => Shutdown::Requested(StopReason::Asked),
    }
}

/// Waits until the grace period is over.
pub(crate) async fn grace(grace: Duration) -> Shutdown {
    tokio::time::sleep(grace).await;
    Shutdown::GraceExpired
}

/// Does work that even a stopping run needs. Gives up when the grace period after a stop is over.
pub(crate) async fn within_grace<T>(
    settings: &Settings,
    started: Instant,
    work: impl Future<Output = T>,
) -> Option<T> {
    let expired = async {
        requested(settings.stop.clone(), deadline(settings, started)).await;
        grace(settings.grace).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = expired => None,
    }
}

/// Does work at the end of a run. Gives up after [`CLOSING_TIME`] once the run is stopping.
pub(crate) async fn closing<T>(
    settings: &Settings,
    started: Instant,
    work: impl Future<Output = T>,
) -> Option<T> {
    let expired = async {
        requested(settings.stop.clone(), deadline(settings, started)).await;
        tokio::time::sleep(CLOSING_TIME).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = expired => None,
    }
}

/// Waits for `work` for [`CLOSING_TIME`] at most.
pub(crate) async fn within_closing_time<T>(work: impl Future<Output = T>) -> Option<T> {
    timeout(CLOSING_TIME, work).await.ok()
}

/// Returns when a run that started at `started` has to stop.
pub(crate) fn deadline(settings: &Settings, started: Instant) -> Option<Instant> {
    // A deadline beyond what an `Instant` can hold is none.
    settings
        .deadline
        .and_then(|after| started.checked_add(after))
}
