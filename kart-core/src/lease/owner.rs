//! The holder of a lease, as a person would name it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::Releases;
use super::identity::has_exited;
use crate::lease_protocol::{ClaimRecord, Health, ProcessId, ProcessIdentity};

/// The process that holds what another wants to run. Its text is for people.
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
    identity: ProcessIdentity,
    health: Health,
    /// The process that met it.
    this: Arc<ProcessIdentity>,
}

impl Owner {
    pub(super) fn new(claim: ClaimRecord, health: Health, this: &Arc<ProcessIdentity>) -> Self {
        Owner {
            host: claim.origin.host.clone(),
            pid: claim.origin.pid,
            run: claim.run,
            since: claim.since,
            what: claim.what,
            process: claim.process,
            identity: claim.origin,
            health,
            this: Arc::clone(this),
        }
    }

    pub(crate) fn process(&self) -> ProcessId {
        self.process
    }

    /// Returns whether it is a process of this machine, as far as that is known.
    pub(crate) fn is_here(&self) -> bool {
        let this = &self.this;
        !this.boot.is_empty() && self.identity.boot == this.boot && self.identity.host == this.host
    }

    /// Returns whether it is known to have exited, without asking the store: then its claim is worth a try.
    pub(crate) fn has_exited(&self) -> bool {
        has_exited(&self.this, self.process, &self.identity)
    }

    /// Returns whether its heartbeat was recent at the last look.
    pub(crate) fn is_alive(&self) -> bool {
        self.health == Health::Alive
    }

    /// Returns the releases of a holder in this very process.
    pub(crate) fn releases(&self) -> Option<Releases> {
        let is_this = self.identity == *self.this;
        is_this.then(|| Releases::of(self.process)).flatten()
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
