//! Why there will be no output of a task in this run: its own failure, or that of one that it requires.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::error::{BoxError, causes};
use crate::key::Key;

/// The failure of a task, for those who waited for it.
#[derive(Clone, Debug)]
pub(super) struct Unavailable {
    /// The task that failed.
    pub(super) key: Key,
    pub(super) failure: Arc<BoxError>,
}

impl Unavailable {
    /// What a body's error was caused by, if it was that a task that it asked for did not complete.
    pub(super) fn cause_of(error: &BoxError) -> Option<Self> {
        causes(error.as_ref())
            .find_map(|cause| cause.downcast_ref::<Self>())
            .cloned()
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl StdError for Unavailable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failure.source()
    }
}
