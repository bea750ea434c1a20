//! Shutdown: how a run stops before all is complete, and how long each part of its end may take.
//!
//! From a stop or the deadline on, nothing starts, and running bodies get the grace period to end. After that they are
//! dropped. Writing the run log, releasing claims and the like have [`CLOSING_TIME`], whatever the store does.

use std::future;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

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

/// How long a run may go on that has to stop: one grace period, in whatever phase it is, and then [`CLOSING_TIME`] for all
/// that is left to do at its end.
#[derive(Debug)]
pub(crate) struct Closing {
    stop: StopToken,
    deadline: Option<Instant>,
    grace: Duration,
    /// When the grace period began.
    stopped: OnceLock<Instant>,
    end: OnceLock<Instant>,
}

impl Closing {
    pub(crate) fn new(settings: &Settings, started: Instant) -> Self {
        Closing {
            stop: settings.stop.clone(),
            deadline: deadline(settings, started),
            grace: settings.grace,
            stopped: OnceLock::new(),
            end: OnceLock::new(),
        }
    }

    /// Waits until the grace period is over. It begins at the deadline, or when the run first notices that it has to stop.
    pub(crate) fn grace(&self) -> impl Future<Output = Shutdown> + Send + use<> {
        let now = Instant::now();
        let began = || self.deadline.map_or(now, |deadline| deadline.min(now));
        let end = self.stopped.get_or_init(began).checked_add(self.grace);
        async move {
            match end {
                Some(end) => sleep_until(end).await,
                None => future::pending().await,
            }
            Shutdown::GraceExpired
        }
    }

    /// Does work that even a stopping run needs. Gives up when the grace period is over.
    pub(crate) async fn within_grace<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let expired = async {
            requested(self.stop.clone(), self.deadline).await;
            self.grace().await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = expired => None,
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

/// Returns when a run that started at `started` has to stop.
pub(crate) fn deadline(settings: &Settings, started: Instant) -> Option<Instant> {
    // A deadline beyond what an `Instant` can hold is none.
    settings
        .deadline
        .and_then(|after| started.checked_add(after))
}
