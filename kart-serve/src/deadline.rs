//! How long a run may take: the least of all that bounds it, less a margin to answer in.

use std::time::Duration;

use axum::http::HeaderMap;

use crate::answer::Refusal;

/// The margin, unless said otherwise and unless it is more than a tenth.
const MARGIN: Duration = Duration::from_secs(15);

/// No caller means more by a larger number, and clocks cannot count so far.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// What bounds the time of a run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// What the operator says.
    pub deadline: Option<Duration>,
    /// When a queue cuts a request off; for callers that are queues.
    pub dispatch: Duration,
    /// When the platform cuts a request off.
    pub platform: Option<Duration>,
    /// How long before that a run stops. 15 seconds, or a tenth of the whole where that is less.
    pub margin: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            deadline: None,
            dispatch: Duration::from_mins(10),
            platform: None,
            margin: None,
        }
    }
}

/// When a run stops, and how long its bodies have then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) stop: Option<Duration>,
    pub(crate) grace: Duration,
}

impl Limits {
    /// For a caller who has so long, and who may be a queue.
    pub(crate) fn due(&self, caller: Option<Duration>, is_queue: bool, grace: Duration) -> Due {
        let dispatch = is_queue.then_some(self.dispatch);
        let bounds = [self.deadline, caller, dispatch, self.platform];
        let whole = bounds.into_iter().flatten().min();
        let Some(whole) = whole.map(|whole| whole.min(LONGEST)) else {
            return Due { stop: None, grace };
        };
        let margin = match self.margin {
            // A margin of all the time would leave none to run in.
            Some(margin) => margin.min(whole / 2),
            None => MARGIN.min(whole / 10),
        };
        // What the grace leaves of the margin is for the log, the claims and the answer.
        Due {
            stop: Some(whole.saturating_sub(margin)),
            grace: grace.min(margin * 2 / 3),
        }
    }
}

/// How long the caller says that it waits: seconds, or a duration such as `9m 30s`.
pub(crate) fn of_caller(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get("x-kart-deadline") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let seconds = text.parse::<f64>().ok();
    let duration = match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => humantime::parse_duration(text).ok(),
    };
    match duration.filter(|duration| !duration.is_zero()) {
        Some(duration) => Ok(Some(duration)),
        None => Err(Refusal::bad(
            "the header X-Kart-Deadline is no duration",
            "write seconds (`540`) or a duration (`9m`), more than 0",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(8);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn the_least_of_all_bounds_counts() {
        let limits = Limits {
            deadline: Some(secs(2000)),
            platform: Some(secs(3600)),
            ..Limits::default()
        };
        assert_eq!(limits.due(None, false, GRACE).stop, Some(secs(1985)));
        assert_eq!(limits.due(None, true, GRACE).stop, Some(secs(585)));
        assert_eq!(
            limits.due(Some(secs(300)), true, GRACE).stop,
            Some(secs(285))
        );
        assert_eq!(Limits::default().due(None, false, GRACE).stop, None);
    }

    #[test]
    fn the_margin_is_a_tenth_of_what_is_short_and_holds_the_grace() {
        let limits = Limits::default();
        let due = limits.due(Some(secs(10)), false, GRACE);
        assert_eq!(due.stop, Some(secs(9)));
        assert!(due.grace < secs(1));
        let long = limits.due(Some(secs(600)), false, GRACE);
        assert_eq!((long.stop, long.grace), (Some(secs(585)), GRACE));
    }

    #[test]
    fn a_margin_that_is_given_is_kept_as_far_as_it_leaves_time() {
        let limits = Limits {
            margin: Some(secs(60)),
            ..Limits::default()
        };
        assert_eq!(
            limits.due(Some(secs(600)), false, GRACE).stop,
            Some(secs(540))
        );
        assert_eq!(
            limits.due(Some(secs(20)), false, GRACE).stop,
            Some(secs(10))
        );
    }
}
