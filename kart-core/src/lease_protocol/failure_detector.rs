//! What one has seen of other processes' liveness.

use std::collections::HashMap;
use std::time::Duration;

use super::Moment;
use super::record::ProcessId;

/// What a look at a liveness object found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// There is no such object, or it says that the process left.
    Gone,
    /// The object, by a number that changes with its bytes.
    Heartbeat(u64),
}

/// The processes that were looked at, and since when each has shown the same.
#[derive(Clone, Debug)]
pub(crate) struct FailureDetector {
    ttl: Duration,
    seen: HashMap<ProcessId, (u64, Moment)>,
}

impl FailureDetector {
    pub(crate) fn new(ttl: Duration) -> Self {
        FailureDetector {
            ttl,
            seen: HashMap::new(),
        }
    }

    /// Whether a process is dead by what was found when it was looked at; both moments are the observer's
    /// own. What is found first counts from the answer, and confirms from the question.
    pub(crate) fn is_dead(
        &mut self,
        process: ProcessId,
        asked: Moment,
        answered: Moment,
        seen: Observation,
    ) -> bool {
        let Observation::Heartbeat(beat) = seen else {
            self.seen.remove(&process);
            return true;
        };
        match self.seen.get(&process) {
            Some((same, since)) if *same == beat => asked >= *since + self.ttl,
            _ => {
                self.seen.insert(process, (beat, answered));
                false
            }
        }
    }
}
