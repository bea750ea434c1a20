//! What simulated processes know of each other without the store: a process knows itself, and one that was killed on this machine
//! is known to have exited. All others may be on other machines.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use crate::RunId;
use crate::lease_protocol::ProcessIdentity;

thread_local! {
    /// Which process makes which run.
    static RUNS: RefCell<HashMap<String, usize>> = RefCell::default();
    static EXITED: RefCell<HashSet<String>> = RefCell::default();
}

fn of(life: usize) -> ProcessIdentity {
    ProcessIdentity {
        host: "simulated".to_owned(),
        boot: format!("of process {life}"),
        pid: u32::try_from(life).unwrap_or(u32::MAX),
        started: String::new(),
    }
}

/// Notes which process makes a run.
pub(super) fn makes(life: usize, run: RunId) {
    RUNS.with_borrow_mut(|runs| runs.insert(run.to_string(), life));
}

/// Returns the process that makes a run, if it is simulated.
pub(crate) fn identity(run: &str) -> Option<ProcessIdentity> {
    RUNS.with_borrow(|runs| runs.get(run).copied()).map(of)
}

/// Lets all processes know that one has exited.
pub(super) fn exits(life: usize) {
    EXITED.with_borrow_mut(|exited| exited.insert(of(life).boot));
}

/// Forgets the processes of the last history.
pub(super) fn forget() {
    RUNS.with_borrow_mut(HashMap::clear);
    EXITED.with_borrow_mut(HashSet::clear);
}

/// Returns whether all processes know that this one has exited.
pub(crate) fn has_exited(identity: &ProcessIdentity) -> bool {
    EXITED.with_borrow(|exited| exited.contains(&identity.boot))
}
