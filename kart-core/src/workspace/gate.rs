//! How many requests are under way at once, and what is done when the store says that it is too many.
//!
//! The limit is halved by an answer that says "slow down" and grows by one with each round of answers that do
//! not ("additive increase, multiplicative decrease", as TCP does). What was refused is asked again after a
//! pause that doubles, with full jitter.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

use crate::error::chain;

/// Requests under way at once unless said otherwise.
const LIMIT: usize = 64;
/// How often a refused request is asked again, after the store client's own retries.
const RETRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Gate {
    permits: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// No more than that, whatever the store bears.
    most: usize,
    limit: usize,
    /// Permits that are to be taken out of use as soon as they come back.
    surplus: usize,
    /// Answers since the limit last changed.
    calm: usize,
    refused: u64,
}

impl Default for Gate {
    fn default() -> Self {
        Gate {
            permits: Semaphore::new(LIMIT),
            state: Mutex::new(State {
                most: LIMIT,
                limit: LIMIT,
                surplus: 0,
                calm: 0,
                refused: 0,
            }),
        }
    }
}

impl Gate {
    /// Lets a request pass when it is its turn, and again when the store has refused it for now.
    ///
    /// # Errors
    ///
    /// The request's own; a refusal once it has been repeated too often.
    pub(super) async fn pass<T, F>(&self, request: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut attempt = 0;
        loop {
            let permit = self.permits.acquire().await;
            let answer = request().await;
            if let Ok(permit) = permit {
                self.give_back(permit);
            }
            match answer {
                Err(error) if is_refusal(&error) => {
                    self.slow_down(&error);
                    if attempt == RETRIES {
                        return Err(error);
                    }
                }
                answer => {
                    self.speed_up();
                    return answer;
                }
            }
            let longest = FIRST_PAUSE
                .saturating_mul(2_u32.pow(attempt))
                .min(LONGEST_PAUSE);
            sleep(longest.mul_f64(fastrand::f64())).await;
            attempt += 1;
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

    fn give_back(&self, permit: SemaphorePermit<'_>) {
        let mut state = self.lock();
        if state.surplus > 0 {
            state.surplus -= 1;
            permit.forget();
        }
    }

    fn slow_down(&self, error: &Error) {
        let mut state = self.lock();
        state.refused += 1;
        // One burst of refusals is one sign.
        if state.calm >= state.limit || state.refused == 1 {
            let halved = (state.limit / 2).max(1);
            self.change(&mut state, halved);
            let (error, limit) = (chain(error), state.limit);
            tracing::warn!(error, limit, "the store asks for fewer requests at once");
        } else {
            state.calm += 1;
        }
    }

    fn speed_up(&self) {
        let mut state = self.lock();
        state.calm += 1;
        if state.calm > state.limit && state.limit < state.most {
            let more = state.limit + 1;
            self.change(&mut state, more);
        }
    }

    fn change(&self, state: &mut State, limit: usize) {
        state.calm = 0;
        if limit < state.limit {
            let fewer = state.limit - limit;
            state.surplus += fewer - self.permits.forget_permits(fewer);
        } else {
            let more = limit - state.limit;
            let kept = more.min(state.surplus);
            state.surplus -= kept;
            self.permits.add_permits(more - kept);
        }
        state.limit = limit;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the store says that it has too much to do.
fn is_refusal(error: &Error) -> bool {
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
