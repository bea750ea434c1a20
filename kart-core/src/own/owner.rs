//! Who holds a claim, as a person would be told.

use std::fmt;
use std::time::SystemTime;

use crate::claim::ClaimRecord;

/// The process that holds what another wants to run. What it says is for people; no decision is made by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owner {
    /// The name of its machine.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// Its run.
    pub run: String,
    /// Since when, by its own clock.
    pub since: SystemTime,
    /// What it runs, with its parameters.
    pub what: String,
}

impl Owner {
    pub(super) fn new(claim: ClaimRecord) -> Self {
        Owner {
            host: claim.origin.host,
            pid: claim.origin.pid,
            run: claim.run,
            since: claim.since,
            what: claim.what,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "process {} on host {} (run {}) runs {} since {}",
            self.pid,
            self.host,
            self.run,
            self.what,
            humantime::format_rfc3339_seconds(self.since),
        )
    }
}
