//! Lines about what is done, as long as they are few; else one line a second that stands for many.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Decides which lines are said one by one.
#[derive(Debug)]
pub(super) struct Condenser {
    /// How many lines a second may go on for long.
    rate: usize,
    /// How many lines may still be said one by one; small runs come all within this.
    allowance: usize,
    is_condensing: bool,
    began: Instant,
    /// How many have come since.
    count: usize,
    /// How many of those were not said one by one.
    untold: usize,
    example: Option<String>,
}

impl Condenser {
    pub(super) fn new(rate: usize, burst: usize, now: Instant) -> Self {
        Condenser {
            rate,
            allowance: burst,
            is_condensing: false,
            began: now,
            count: 0,
            untold: 0,
            example: None,
        }
    }

    /// Whether one more is said by itself. If not it is counted, and the first of those is the example.
    pub(super) fn admits(&mut self, example: impl FnOnce() -> String) -> bool {
        self.count += 1;
        if !self.is_condensing && self.allowance > 0 {
            self.allowance -= 1;
            return true;
        }
        self.is_condensing = true;
        self.untold += 1;
        self.example.get_or_insert_with(example);
        false
    }

    /// The line for all that were not said, once a second, or at the end.
    pub(super) fn summary(&mut self, now: Instant, is_end: bool) -> Option<String> {
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed < SECOND && !is_end {
            return None;
        }
        let told = self.count - self.untold;
        let line = self.example.take().map(|example| {
            let more = if told > 0 { "more " } else { "" };
            let untold = self.untold;
            let time = if (0.9..1.5).contains(&elapsed.as_secs_f64()) {
                "second".to_owned()
            } else {
                format!("{elapsed:.1?}")
            };
            format!("{untold} {more}done in the last {time}, e.g. {example}")
        });
        if self.count <= self.rate {
            self.is_condensing = false;
            self.allowance = self.allowance.max(self.rate);
        }
        self.began = now;
        self.count = 0;
        self.untold = 0;
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{Condenser, SECOND};
    use std::time::Instant;

    fn told(condenser: &mut Condenser, count: usize) -> usize {
        (0..count)
            .filter(|n| condenser.admits(|| format!("Leaf {n}")))
            .count()
    }

    #[test]
    fn few_are_told_and_many_are_counted_until_there_are_few_again() {
        let start = Instant::now();
        let at = |seconds| start + SECOND * seconds;
        let mut condenser = Condenser::new(10, 30, start);
        assert_eq!(told(&mut condenser, 25), 25);
        assert_eq!(condenser.summary(at(1), false), None);
        assert_eq!(told(&mut condenser, 500), 5);
        let summary = condenser.summary(at(2), false);
        assert_eq!(
            summary.as_deref(),
            Some("495 more done in the last second, e.g. Leaf 5")
        );
        assert_eq!(told(&mut condenser, 400), 0);
        assert_eq!(condenser.summary(at(2), false), None, "once a second");
        let summary = condenser.summary(at(3), false);
        assert_eq!(
            summary.as_deref(),
            Some("400 done in the last second, e.g. Leaf 0")
        );
        assert_eq!(told(&mut condenser, 2), 0);
        assert!(condenser.summary(at(4), false).is_some());
        assert_eq!(told(&mut condenser, 2), 2);
    }

    #[test]
    fn the_end_tells_the_rest_at_once() {
        let start = Instant::now();
        let mut condenser = Condenser::new(10, 0, start);
        assert_eq!(told(&mut condenser, 3), 0);
        let summary = condenser.summary(start + SECOND / 4, true);
        assert_eq!(
            summary.as_deref(),
            Some("3 done in the last 250.0ms, e.g. Leaf 0")
        );
    }
}
