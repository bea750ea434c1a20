//! Who holds a claim, as a person would be told.

use std::fmt;
use std::time::SystemTime;

use super::identity::{has_exited, this_process};
use crate::lease_protocol::{ClaimRecord, ProcessId, ProcessIdentity};

/// The process that holds what another wants to run. What it says is for people.
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
    process: ProcessId,
    origin: ProcessIdentity,
}

impl Owner {
    pub(super) fn new(claim: ClaimRecord) -> Self {
        Owner {
            host: claim.origin.host.clone(),
            pid: claim.origin.pid,
            run: claim.run,
            since: claim.since,
            what: claim.what,
            process: claim.process,
            origin: claim.origin,
        }
    }

    /// Whether it is a process of this machine, as far as that can be told.
    pub(crate) fn is_here(&self) -> bool {
        let here = this_process();
        !here.boot.is_empty() && self.origin.boot == here.boot && self.origin.host == here.host
    }

    /// Whether it is known to have ended, without asking the store: it is worth while to try its claim.
    pub(crate) fn has_exited(&self) -> bool {
        has_exited(self.process, &self.origin)
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
