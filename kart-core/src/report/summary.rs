//! How a run went, in figures.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;

/// How many tasks came to each outcome. Its Display is one line that leaves out what is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Counts {
    /// Their outputs were there before.
    pub complete: usize,
    /// They ran, and their outputs are there now.
    pub ran: usize,
    /// Other processes made their outputs while the run went on.
    pub elsewhere: usize,
    /// Their last attempts failed.
    pub failed: usize,
    /// They require a task that failed.
    pub blocked: usize,
    /// They were running when the run stopped.
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
