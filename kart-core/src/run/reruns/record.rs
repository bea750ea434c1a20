//! What the workspace holds of a rerun.

use std::collections::HashSet;
use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::key::Key;
use crate::plan::Selector;
use crate::run_id::RunId;

/// One rerun.
#[derive(Debug)]
pub(crate) struct Rerun {
    pub(super) record: Record,
    /// What was made for it, as far as is known.
    pub(super) made: HashSet<Key>,
}

/// What the workspace holds of a rerun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The run that began it.
    pub(super) id: RunId,
    pub(super) tasks: Selector,
}

impl Record {
    pub(super) fn name(&self) -> String {
        name(&self.tasks)
    }

    /// Returns whether the end of a record is missing, as after a power cut.
    pub(super) fn is_torn(text: &[u8]) -> bool {
        serde_json::from_slice::<Record>(text).is_err_and(|error| error.is_eof())
    }
}

/// Returns the name of the reruns of these tasks, the same in all processes.
fn name(tasks: &Selector) -> String {
    let hashed = |kind: &str, text: &str| format!("{kind}-{}", Key::of(text.as_bytes()));
    match tasks {
        Selector::All => "all".to_owned(),
        Selector::Named(names) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            hashed("tasks", &names.join("\n"))
        }
        Selector::OtherCode(keys) => {
            let keys: Vec<String> = keys.iter().map(Key::to_string).collect();
            hashed("code", &keys.join("\n"))
        }
    }
}

impl Rerun {
    pub(super) fn marking(&self) -> (RunId, &Selector, &HashSet<Key>) {
        (self.record.id, &self.record.tasks, &self.made)
    }

    /// Returns whether that run began it.
    pub(crate) fn is_of(&self, run: RunId) -> bool {
        self.record.id == run
    }

    /// Returns when it began.
    pub(crate) fn since(&self) -> SystemTime {
        self.record.id.time()
    }

    /// Returns how many outputs were made for it before this run.
    pub(crate) fn made(&self) -> usize {
        self.made.len()
    }
}

/// What was made for each rerun that is not over.
#[derive(Debug, Default)]
pub(crate) struct Made(pub(super) Vec<HashSet<Key>>);

impl Made {
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.0.iter().all(|made| made.contains(&key))
    }
}

/// Names the tasks, for people.
impl fmt::Display for Rerun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.record.tasks {
            Selector::All => f.write_str("all tasks"),
            Selector::Named(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                f.write_str(&names.join(", "))
            }
            Selector::OtherCode(_) => f.write_str("tasks whose code has changed"),
        }
    }
}
