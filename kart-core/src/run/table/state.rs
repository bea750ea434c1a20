//! The states of a task in a run.

/// What a run currently does about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing missing needs it, as far as is known.
    NotNeeded,
    /// It is needed, and the lookup of its output is in flight.
    Checking,
    /// It waits for its requirements, or for a worker and limits.
    Waiting,
    /// Its attempt holds a worker and limits.
    Running,
    /// Its body waits for subtasks, and holds no worker and no limits.
    Suspended,
    /// Its body has its answers, and waits for a worker and limits.
    Resuming,
    /// Its body has ended, and its output is being published.
    Publishing,
    /// An attempt failed, and the next one follows after a pause.
    BackingOff,
    /// Another process holds it.
    Foreign,
    /// Its output exists.
    Complete,
    Failed,
    /// A requirement or a subtask failed.
    Blocked,
    /// It ended without an output, and the body is not at fault.
    Interrupted,
    /// It will not start in this run.
    Unreachable,
}

/// How a task ended, for those that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    Failed,
    /// There is no output, and no body is at fault.
    Interrupted,
}

impl State {
    /// Returns whether an attempt is in progress.
    pub(crate) fn is_under_way(self) -> bool {
        matches!(
            self,
            State::Running | State::Suspended | State::Resuming | State::Publishing
        )
    }

    /// Returns whether the body waits, for subtasks or to resume.
    pub(crate) fn is_suspended(self) -> bool {
        matches!(self, State::Suspended | State::Resuming)
    }

    pub(crate) fn ending(self) -> Option<Ending> {
        match self {
            State::Complete => Some(Ending::Complete),
            State::Failed | State::Blocked => Some(Ending::Failed),
            State::Interrupted | State::Unreachable => Some(Ending::Interrupted),
            State::NotNeeded
            | State::Checking
            | State::Waiting
            | State::Running
            | State::Suspended
            | State::Resuming
            | State::Publishing
            | State::BackingOff
            | State::Foreign => None,
        }
    }
}
