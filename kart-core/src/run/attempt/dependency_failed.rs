//! Why there will be no output of a task in this run: its own failure, or that of one that it requires.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::error::{BoxError, causes};
use crate::key::Key;

/// The failure of a task, for those who waited for it.
#[derive(Clone, Debug)]
pub(crate) struct DependencyFailed {
    /// The task that failed.
    pub(crate) key: Key,
    pub(crate) failure: Arc<BoxError>,
}

impl DependencyFailed {
    /// What a body's error was caused by, if it was that a task that it asked for did not complete.
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
