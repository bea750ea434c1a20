//! Counts of tasks by outcome.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;

/// The number of tasks by outcome. `{}` is one line without the zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Counts {
    /// Their outputs existed before.
    pub complete: usize,
    /// They ran, and their outputs exist now.
    pub ran: usize,
    /// Other processes made their outputs during the run.
    pub elsewhere: usize,
    /// Their last attempts failed.
    pub failed: usize,
    /// A requirement or a subtask failed.
    pub blocked: usize,
    /// They have no output, and their bodies are not at fault.
    pub interrupted: usize,
    /// The run ended before they could start.
    pub left: usize,
    /// Nothing that ran needed them.
    pub unneeded: usize,
}

impl Counts {
    pub(crate) fn of(outcomes: &[Outcome]) -> Self {
        let mut counts = Counts::default();
        for outcome in outcomes {
            *match outcome {
                Outcome::NotNeeded => &mut counts.unneeded,
                Outcome::Complete => &mut counts.complete,
                Outcome::Ran(_) => &mut counts.ran,
                Outcome::CompletedByOther => &mut counts.elsewhere,
                Outcome::Failed(_) => &mut counts.failed,
                Outcome::Blocked { .. } => &mut counts.blocked,
                Outcome::Interrupted(_) => &mut counts.interrupted,
                Outcome::NotRun => &mut counts.left,
            } += 1;
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} complete before, {} ran", self.complete, self.ran)?;
        for (count, what) in [
            (self.elsewhere, "made by others"),
            (self.failed, "failed"),
            (self.blocked, "blocked"),
            (self.interrupted, "interrupted"),
            (self.left, "left"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
