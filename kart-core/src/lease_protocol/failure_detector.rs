//! What a process has observed of other processes' heartbeats.

use std::collections::HashMap;
use std::time::Duration;

use super::Moment;
use super::record::ProcessId;

/// What a look at a liveness object found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// There is no such object.
    Gone,
    /// The object, by a number that changes with its bytes.
    Heartbeat(u64),
}

/// Says whether a process is alive, as far as the observer can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Its heartbeat is recent.
    Alive,
    /// It was silent for a whole `ttl`, or its liveness is gone.
    Dead,
    /// It was not observed for long enough.
    Unknown,
}

/// Finds out which processes are dead, by the observer's own clock alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailureDetector {
    seen: HashMap<ProcessId, Seen>,
}

/// The last heartbeat of one process.
#[derive(Clone, Copy, Debug)]
struct Seen {
    heartbeat: u64,
    /// When the first look that found it was answered.
    since: Moment,
    /// When the last look that found another one was sent: the heartbeat is younger.
    younger_than: Option<Moment>,
    /// When the last look was sent.
    looked: Moment,
}

/// Above this number the detector forgets processes that it has not observed for long.
const MANY: usize = 10_000;

impl FailureDetector {
    /// Takes what a look found. The first sight of a heartbeat counts from the answer, and a look confirms its
    /// silence as of the moment when it was sent; both moments are the observer's own.
    pub(crate) fn observe(
        &mut self,
        process: ProcessId,
        ttl: Duration,
        sent: Moment,
        answered: Moment,
        found: Observation,
    ) -> Health {
        let Observation::Heartbeat(heartbeat) = found else {
            self.seen.remove(&process);
            return Health::Dead;
        };
        if self.seen.len() > MANY {
            self.seen
                .retain(|_, seen| sent < seen.looked.saturating_add(ttl.saturating_mul(2)));
        }
        let before = self.seen.get(&process).copied();
        let mut seen = before
            .filter(|seen| seen.heartbeat == heartbeat)
            .unwrap_or_else(|| Seen {
                heartbeat,
                since: answered,
                younger_than: before.map(|seen| seen.looked),
                looked: sent,
            });
        seen.looked = seen.looked.max(sent);
        self.seen.insert(process, seen);
        let is_recent = |moment: Moment| answered < moment.saturating_add(ttl / 2);
        if sent >= seen.since.saturating_add(ttl) {
            Health::Dead
        } else if seen.younger_than.is_some_and(is_recent) {
            Health::Alive
        } else {
            Health::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);
    const PROCESS: ProcessId = ProcessId(1);

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn look(detector: &mut FailureDetector, sent: u64, answered: u64, heartbeat: u64) -> Health {
        let found = Observation::Heartbeat(heartbeat);
        detector.observe(PROCESS, TTL, at(sent), at(answered), found)
    }

    #[test]
    fn silence_counts_from_the_answer_of_the_first_look() {
        let mut detector = FailureDetector::default();
        assert_eq!(look(&mut detector, 0, 8, 1), Health::Unknown);
        assert_eq!(look(&mut detector, 37, 37, 1), Health::Unknown);
        assert_eq!(look(&mut detector, 38, 38, 1), Health::Dead);
    }

    #[test]
    fn silence_is_confirmed_as_of_the_moment_when_the_look_was_sent() {
        let mut detector = FailureDetector::default();
        assert_eq!(look(&mut detector, 0, 0, 1), Health::Unknown);
        assert_eq!(look(&mut detector, 29, 35, 1), Health::Unknown);
        assert_eq!(look(&mut detector, 30, 30, 1), Health::Dead);
    }

    #[test]
    fn a_heartbeat_that_changed_between_two_looks_is_alive_while_it_is_recent() {
        let mut detector = FailureDetector::default();
        assert_eq!(look(&mut detector, 0, 0, 1), Health::Unknown);
        assert_eq!(look(&mut detector, 5, 5, 2), Health::Alive);
        assert_eq!(look(&mut detector, 14, 14, 2), Health::Alive);
        assert_eq!(look(&mut detector, 15, 15, 2), Health::Unknown);
        // It may have stopped at any time since the last look.
        assert_eq!(look(&mut detector, 600, 600, 3), Health::Unknown);
    }

    #[test]
    fn a_process_without_liveness_is_dead_and_the_longest_ttl_never_ends() {
        let mut detector = FailureDetector::default();
        let gone = Observation::Gone;
        let health = detector.observe(PROCESS, TTL, at(0), at(0), gone);
        assert_eq!(health, Health::Dead);
        for seconds in [1, 1_000_000_000] {
            let found = Observation::Heartbeat(1);
            let health = detector.observe(PROCESS, Duration::MAX, at(seconds), at(seconds), found);
            assert_eq!(health, Health::Unknown);
        }
    }
}
