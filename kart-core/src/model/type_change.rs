//! Outputs with stored fields that their type does not have, as a run treats them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::stored::LoadError;
use super::task::Erased;

/// What to do about an output of kart's own with a stored field that its type does not have: the type has changed since, and
/// the task's `version` has not.
///
/// Formats without names of fields, such as `Text`, and formats of your own are not checked; see
/// [`Format::decode_reporting`](crate::Format::decode_reporting). Neither are external inputs, and outputs that something
/// else has put there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnTypeChange {
    /// Fail the task that reads it, with [`Error::TypeChanged`](crate::Error::TypeChanged).
    #[default]
    Refuse,
    /// Ignore the field, and log a warning, once for each kind of task.
    Warn,
    /// Make the output again when a task reads it.
    Rerun,
}

/// What a run does about such outputs, and which it has met.
#[derive(Debug, Default)]
pub(crate) struct TypeChanges {
    policy: OnTypeChange,
    warned: Mutex<HashSet<&'static str>>,
    refused: Mutex<HashSet<String>>,
}

impl TypeChanges {
    pub(crate) fn new(policy: OnTypeChange) -> Self {
        TypeChanges {
            policy,
            ..TypeChanges::default()
        }
    }

    pub(crate) fn policy(&self) -> OnTypeChange {
        self.policy
    }

    pub(crate) fn reruns(&self) -> bool {
        self.policy == OnTypeChange::Rerun
    }

    /// Gives what was loaded from `path`, the output of a task of that name, or why the run does not take it.
    pub(crate) fn check(
        &self,
        task: &'static str,
        path: &str,
        loaded: Result<Erased, LoadError>,
    ) -> Result<Erased, LoadError> {
        match (loaded, self.policy) {
            (Err(LoadError::TypeChanged { field, output }), OnTypeChange::Warn) => {
                if lock(&self.warned).insert(task) {
                    tracing::warn!(
                        task,
                        path,
                        field,
                        "an output has a field that its type does not have: it is ignored"
                    );
                }
                Ok(output)
            }
            (Err(error @ LoadError::TypeChanged { .. }), OnTypeChange::Rerun) => {
                lock(&self.refused).insert(path.to_owned());
                Err(error)
            }
            (loaded, _) => loaded,
        }
    }

    /// Returns whether the output at `path` is to be made again, and was not asked about before.
    pub(crate) fn take_refused(&self, path: &str) -> bool {
        lock(&self.refused).remove(path)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
