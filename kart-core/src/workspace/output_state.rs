//! What lies at the path of an output, by what is recorded of it.

use std::fmt;

use super::provenance::Provenance;
use crate::key::Key;

/// What lies at the path of a task's output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputState {
    /// Nothing.
    Missing,
    /// What was recorded of it names this task and has its size.
    Complete {
        /// How many bytes it has.
        bytes: u64,
        /// What was recorded.
        provenance: Provenance,
    },
    /// Nothing is recorded of it. Where the path holds the key it counts as the task's output all the same; elsewhere
    /// somebody else has put it there.
    Unrecorded {
        /// How many bytes it has.
        bytes: u64,
    },
    /// A run was cut off while it wrote the output.
    Unfinished,
    /// A task with another key has made it.
    OtherKey {
        /// How many bytes it has.
        bytes: u64,
        /// What was recorded.
        provenance: Provenance,
    },
    /// It has fewer bytes than were written, as after a power cut.
    Torn {
        /// How many bytes it has.
        bytes: u64,
        /// What was recorded.
        provenance: Provenance,
    },
    /// It is not what was written: somebody has changed it.
    Changed {
        /// How many bytes it has.
        bytes: u64,
        /// What was recorded.
        provenance: Provenance,
    },
}

impl OutputState {
    /// Returns what lies there, by what is recorded of it.
    pub(super) fn of(key: Option<Key>, bytes: u64, record: Record) -> Self {
        match record {
            Record::None => OutputState::Unrecorded { bytes },
            Record::Pending => OutputState::Unfinished,
            Record::Whole(provenance) => {
                if key.is_some_and(|key| key != provenance.key) {
                    OutputState::OtherKey { bytes, provenance }
                } else if bytes < provenance.bytes && provenance.run.is_some() {
                    OutputState::Torn { bytes, provenance }
                } else if bytes != provenance.bytes {
                    OutputState::Changed { bytes, provenance }
                } else {
                    OutputState::Complete { bytes, provenance }
                }
            }
        }
    }

    /// Returns what lies there of which the run log alone knows. Somebody may have put another object there since: it is
    /// kept, unless it is empty.
    pub(super) fn of_copy(key: Option<Key>, bytes: u64, provenance: Provenance) -> Self {
        if bytes == provenance.bytes || bytes == 0 {
            OutputState::of(key, bytes, Record::Whole(provenance))
        } else {
            OutputState::Changed { bytes, provenance }
        }
    }

    /// Returns whether the task need not run. Whoever reads what somebody has changed gets an error, and nothing is made
    /// in its place.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(
            self,
            OutputState::Complete { .. }
                | OutputState::Unrecorded { .. }
                | OutputState::Changed { .. }
        )
    }

    /// Returns what was recorded of what lies there.
    #[must_use]
    pub fn provenance(&self) -> Option<&Provenance> {
        match self {
            OutputState::Missing | OutputState::Unrecorded { .. } | OutputState::Unfinished => None,
            OutputState::Complete { provenance, .. }
            | OutputState::OtherKey { provenance, .. }
            | OutputState::Torn { provenance, .. }
            | OutputState::Changed { provenance, .. } => Some(provenance),
        }
    }
}

/// What it is, such as `torn: 3 of 12 bytes`.
impl fmt::Display for OutputState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputState::Missing => f.write_str("not there"),
            OutputState::Complete { bytes, .. } => write!(f, "{bytes} bytes"),
            OutputState::Unrecorded { bytes } => {
                write!(f, "{bytes} bytes, of which nothing is recorded")
            }
            OutputState::Unfinished => {
                f.write_str("unfinished: a run was cut off while it wrote it")
            }
            OutputState::OtherKey { provenance, .. } => {
                write!(
                    f,
                    "the output of another task, {} [{}]",
                    provenance.task, provenance.key
                )
            }
            OutputState::Torn { bytes, provenance } => {
                write!(f, "torn: {bytes} of {} bytes", provenance.bytes)
            }
            OutputState::Changed { bytes, provenance } if *bytes != provenance.bytes => {
                write!(
                    f,
                    "changed: {bytes} bytes, and {} were written",
                    provenance.bytes
                )
            }
            OutputState::Changed { .. } => f.write_str("changed: other bytes than were written"),
        }
    }
}

/// What is recorded of an output.
pub(super) enum Record {
    None,
    /// A run began to write it.
    Pending,
    Whole(Provenance),
}
