//! The clock of a body, which stands still while the body waits for subtasks.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The clock of one attempt's body, with its timeout.
#[derive(Debug)]
pub(crate) struct BodyClock {
    limit: Option<Duration>,
    state: Mutex<Elapsed>,
    changed: Notify,
}

#[derive(Debug)]
struct Elapsed {
    computed: Duration,
    waited: Duration,
    since: Instant,
    /// The number of subtasks that the body waits for.
    waits: usize,
}

impl BodyClock {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        BodyClock {
            limit,
            state: Mutex::new(Elapsed {
                computed: Duration::ZERO,
                waited: Duration::ZERO,
                since: Instant::now(),
                waits: 0,
            }),
            changed: Notify::new(),
        }
    }

    /// Starts the clock.
    pub(crate) fn start(&self) {
        self.lock().since = Instant::now();
    }

    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Adds a wait. Returns whether the body computed until now.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.lock();
        state.waits += 1;
        let has_paused = state.waits == 1;
        if has_paused {
            let elapsed = state.since.elapsed();
            state.computed += elapsed;
            state.since = Instant::now();
            self.changed.notify_one();
        }
        has_paused
    }

    /// Removes a wait. Returns whether the body computes from now on.
    pub(crate) fn resume(&self) -> bool {
        let mut state = self.lock();
        state.waits = state.waits.saturating_sub(1);
        let has_resumed = state.waits == 0;
        if has_resumed {
            let elapsed = state.since.elapsed();
            state.waited += elapsed;
            state.since = Instant::now();
            self.changed.notify_one();
        }
        has_resumed
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.lock().waits > 0
    }

    /// Returns how long the body has waited for subtasks.
    pub(crate) fn waited(&self) -> Duration {
        let state = self.lock();
        let now = match state.waits {
            0 => Duration::ZERO,
            _ => state.since.elapsed(),
        };
        state.waited + now
    }

    /// Returns how long the body has computed.
    pub(crate) fn computed(&self) -> Duration {
        let state = self.lock();
        let now = match state.waits {
            0 => state.since.elapsed(),
            _ => Duration::ZERO,
        };
        state.computed + now
    }

    /// Waits until the body has used up its timeout.
    pub(crate) async fn expired(&self) {
        let Some(limit) = self.limit else {
            return std::future::pending().await;
        };
        loop {
            let end = {
                let state = self.lock();
                let left = limit.saturating_sub(state.computed);
                match state.waits {
                    0 => state.since.checked_add(left),
                    _ => None,
                }
            };
            match end {
                Some(end) => tokio::select! {
                    biased;
                    () = sleep_until(end) => return,
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Elapsed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
