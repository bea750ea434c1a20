//! How a run stops before all is complete, and how long each part of its end may take.
//!
//! From a stop or the deadline on nothing starts; what runs has the grace to end. After the grace it is dropped, and what
//! is still to be written (the run log, claims that are given back) has [`CLOSING_TIME`], whatever the store does.

use std::future;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::settings::Settings;
use crate::model::StopToken;
use crate::report::StopReason;

/// How long the end of a stopped run may take after its grace. What is left undone is found by the next run.
const CLOSING_TIME: Duration = Duration::from_millis(1_500);

/// What ends a run.
#[derive(Debug)]
pub(crate) enum Shutdown {
    /// Nothing new starts, and bodies have the grace to end.
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

/// Waits until the grace is over.
pub(crate) async fn grace(grace: Duration) -> Shutdown {
    tokio::time::sleep(grace).await;
    Shutdown::GraceExpired
}

/// Does what a run has to do before it may stop, and gives up when the grace after a stop is over.
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

/// What is left to do at the end of a run. Once the run has stopped, all of it together has [`CLOSING_TIME`].
#[derive(Debug)]
pub(crate) struct Closing {
    stop: StopToken,
    deadline: Option<Instant>,
    end: OnceLock<Instant>,
}

impl Closing {
    pub(crate) fn new(settings: &Settings, started: Instant) -> Self {
        Closing {
            stop: settings.stop.clone(),
            deadline: deadline(settings, started),
            end: OnceLock::new(),
        }
    }

    /// The time begins, unless it has begun.
    pub(crate) fn begin(&self) -> Instant {
        *self.end.get_or_init(|| Instant::now() + CLOSING_TIME)
    }

    /// Does a part of what is left; gives up when the time is over.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let expired = async {
            if self.end.get().is_none() {
                requested(self.stop.clone(), self.deadline).await;
            }
            sleep_until(self.begin()).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = expired => None,
        }
    }
}

/// When a run that began at `started` has to stop.
pub(crate) fn deadline(settings: &Settings, started: Instant) -> Option<Instant> {
    // A deadline past the end of time is none.
    settings
        .deadline
        .and_then(|after| started.checked_add(after))
}
