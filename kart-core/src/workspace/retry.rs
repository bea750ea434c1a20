//! Repeating requests that failed for the sake of the store or the network.
//!
//! Every request here is idempotent, so it does not matter which part of an answer was lost: it is sent again, after
//! a pause that doubles, with full jitter, until an answer arrives or the store has failed for too long.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use object_store::Error;
use tokio::time::{Instant, sleep};

use super::adaptive_limit::is_overload;
use super::remote::Remote;
use super::{hints, layout};
use crate::error::chain;

/// How long the store may fail by default.
const TIMEOUT: Duration = Duration::from_mins(3);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The repeat that is worth a warning.
const WARNED: u32 = 4;

/// What errors say of themselves that come from this machine.
pub(super) const LOCAL: &str = "the local side";

/// How long requests are repeated, for all of a workspace.
#[derive(Debug)]
pub(super) struct RetryTimeout(Mutex<Duration>);

impl Default for RetryTimeout {
    fn default() -> Self {
        RetryTimeout(Mutex::new(TIMEOUT))
    }
}

impl RetryTimeout {
    pub(super) fn set(&self, timeout: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = timeout;
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff {
            timeout: *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            failing_since: None,
            repeats: 0,
        }
    }
}

/// The pauses between the repeats of one request.
pub(super) struct Backoff {
    timeout: Duration,
    failing_since: Option<Instant>,
    repeats: u32,
}

impl Backoff {
    /// Waits until the request may be repeated.
    ///
    /// # Errors
    ///
    /// The error itself, where no repeat helps or the store has failed for too long.
    pub(super) async fn pause(&mut self, error: Error) -> Result<(), Error> {
        if !is_transient(&error) {
            return Err(error);
        }
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        let longest = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(self.repeats))
            .min(LONGEST_PAUSE);
        let pause = longest.mul_f64(fastrand::f64());
        if (now - since).saturating_add(pause) >= self.timeout {
            return Err(error);
        }
        self.repeats += 1;
        let (repeat, error) = (self.repeats, chain(&error));
        if repeat == WARNED {
            let timeout = self.timeout;
            tracing::warn!(error, ?timeout, "the store fails; kart repeats the request");
        } else {
            tracing::debug!(error, repeat, "a request failed and is repeated");
        }
        sleep(pause).await;
        Ok(())
    }

    /// Starts anew once the store has answered.
    pub(super) fn reset(&mut self) {
        (self.failing_since, self.repeats) = (None, 0);
    }
}

impl Remote {
    /// Sends a request at its turn, and again while the store fails. What kart keeps for itself does not wait for a
    /// turn: a process that is silent because its outputs are large would be taken for dead.
    pub(super) async fn pass<T, F>(&self, path: &str, request: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let limit = self.limit().filter(|_| !layout::is_own(path));
        let mut backoff = self.retry_timeout().backoff();
        loop {
            let permit = match limit {
                Some(limit) => Some(limit.acquire().await),
                None => None,
            };
            let answer = request().await;
            drop(permit);
            let error = match answer {
                Err(error) => error,
                Ok(value) => {
                    limit.inspect(|limit| limit.speed_up());
                    return Ok(value);
                }
            };
            if let Some(limit) = limit {
                if is_overload(&error) {
                    limit.slow_down(&error);
                } else {
                    limit.speed_up();
                }
            }
            if !self.has_answered() && hints::lacks_credentials(&chain(&error)) {
                return Err(error);
            }
            backoff.pause(error).await?;
        }
    }
}

/// Returns `true` for failures of the store or the network, after which the same request may succeed.
pub(super) fn is_transient(error: &Error) -> bool {
    match error {
        Error::Generic { store, .. } if *store == LOCAL => false,
        Error::Generic { .. } => {
            let text = chain(error);
            is_expired(&text) || !(is_misconfigured(&text) || is_refused(&text))
        }
        Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => is_expired(&chain(error)),
        _ => false,
    }
}

/// Credentials that were right, and that their provider renews.
fn is_expired(text: &str) -> bool {
    ["ExpiredToken", "TokenRefreshRequired", "token expired"]
        .iter()
        .any(|sign| text.contains(sign))
}

fn is_misconfigured(text: &str) -> bool {
    [
        "BadScheme",
        "URL scheme is not allowed",
        "redirect without LOCATION",
    ]
    .iter()
    .any(|sign| text.contains(sign))
}

/// Whether the store has understood the request and refuses it.
fn is_refused(text: &str) -> bool {
    let status = text
        .split_once("status code: ")
        .map_or("", |(_, rest)| rest);
    let status: u16 = status
        .get(..3)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let is_timing = matches!(status, 408 | 409 | 425 | 429) || text.contains("RequestTimeout");
    (400..500).contains(&status) && !is_timing || status == 501
}
