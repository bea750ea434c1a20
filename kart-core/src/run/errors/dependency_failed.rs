//! The failure of a task as an error for those that depend on it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::error::{BoxError, causes};
use crate::key::Key;

/// The failure of a dependency.
#[derive(Clone, Debug)]
pub(crate) struct DependencyFailed {
    /// The task that failed.
    pub(crate) key: Key,
    pub(crate) failure: Arc<BoxError>,
}

impl DependencyFailed {
    /// Returns the failed subtask that caused a body's error, if there is one.
    pub(crate) fn cause_of(error: &BoxError) -> Option<Self> {
        causes(error.as_ref())
            .find_map(|cause| cause.downcast_ref::<Self>())
            .cloned()
    }
}

impl fmt::Display for DependencyFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl StdError for DependencyFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failure.source()
    }
}
