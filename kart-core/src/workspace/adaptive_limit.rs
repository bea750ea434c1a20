//! An adaptive concurrency limit: how many requests are under way at once.
//!
//! An answer that says "slow down" halves the limit; each round of answers that do not raises it by one ("additive
//! increase, multiplicative decrease", as TCP does).

use std::sync::{Mutex, MutexGuard, PoisonError};

use object_store::Error;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::chain;

/// The default number of requests in flight at once.
const LIMIT: usize = 64;
#[derive(Debug)]
pub(super) struct AdaptiveLimit {
    permits: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// No more than that, whatever the store bears.
    most: usize,
    limit: usize,
    /// Permits to take out of use as soon as they come back.
    permits_to_retire: usize,
    /// Answers since the limit last changed.
    successes: usize,
    refused: u64,
}

/// A request's turn.
pub(super) struct Permit<'a> {
    limit: &'a AdaptiveLimit,
    permit: Option<SemaphorePermit<'a>>,
}

impl Default for AdaptiveLimit {
    fn default() -> Self {
        AdaptiveLimit {
            permits: Semaphore::new(LIMIT),
            state: Mutex::new(State {
                most: LIMIT,
                limit: LIMIT,
                permits_to_retire: 0,
                successes: 0,
                refused: 0,
            }),
        }
    }
}

impl AdaptiveLimit {
    /// Waits for a request's turn, which ends when the permit is dropped.
    pub(super) async fn acquire(&self) -> Permit<'_> {
        Permit {
            limit: self,
            // The semaphore is never closed.
            permit: self.permits.acquire().await.ok(),
        }
    }

    /// Allows so many requests at once from now on.
    pub(super) fn set(&self, most: usize) {
        let mut state = self.lock();
        state.most = most.max(1);
        let most = state.most;
        self.change(&mut state, most);
    }

    /// How many requests the store has refused for now.
    pub(super) fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// Takes in an answer that says that there are too many requests.
    pub(super) fn slow_down(&self, error: &Error) {
        let mut state = self.lock();
        state.refused += 1;
        // One burst of refusals is one sign.
        if state.successes >= state.limit || state.refused == 1 {
            let halved = (state.limit / 2).max(1);
            self.change(&mut state, halved);
            let (error, limit) = (chain(error), state.limit);
            tracing::warn!(error, limit, "the store asks for fewer requests at once");
        } else {
            state.successes += 1;
        }
    }

    /// Takes in any other answer.
    pub(super) fn speed_up(&self) {
        let mut state = self.lock();
        state.successes += 1;
        if state.successes > state.limit && state.limit < state.most {
            let more = state.limit + 1;
            self.change(&mut state, more);
        }
    }

    fn change(&self, state: &mut State, limit: usize) {
        state.successes = 0;
        if limit < state.limit {
            let fewer = state.limit - limit;
            state.permits_to_retire += fewer - self.permits.forget_permits(fewer);
        } else {
            let more = limit - state.limit;
            let kept = more.min(state.permits_to_retire);
            state.permits_to_retire -= kept;
            self.permits.add_permits(more - kept);
        }
        state.limit = limit;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.limit.lock();
        if state.permits_to_retire > 0
            && let Some(permit) = self.permit.take()
        {
            state.permits_to_retire -= 1;
            permit.forget();
        }
    }
}

/// Returns `true` when the store says that it has too much to do.
pub(super) fn is_overload(error: &Error) -> bool {
    if !matches!(error, Error::Generic { .. }) {
        return false;
    }
    let text = chain(error);
    [
        "429 Too Many Requests",
        "503 Service Unavailable",
        "SlowDown",
        "ServerBusy",
        "rateLimitExceeded",
    ]
    .iter()
    .any(|sign| text.contains(sign))
}
