//! The names of runs.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of a run: a UUID of version 7 (RFC 9562), so that names sort by the time when runs began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// A name for a run that begins now.
    #[must_use]
    pub fn now() -> Self {
        RunId(Uuid::now_v7())
    }

    /// When the run began, by the clock of its machine, to the millisecond.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        let timestamp = self.0.get_timestamp().map(|timestamp| timestamp.to_unix());
        let (secs, nanos) = timestamp.unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::new(secs, nanos)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(RunId)
    }
}
