//! The states of a task in a run.

/// What a run does about a task at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing that is missing needs it, as far as is known.
    NotNeeded,
    /// It is needed, and the store has not said yet whether its output is there.
    Checking,
    /// It waits for what it requires, or for a worker and its limits.
    Waiting,
    /// Its body holds a worker and its limits.
    Running,
    /// Its body waits for subtasks, and holds nothing.
    Suspended,
    /// Its body has what it waited for, and waits for a worker and its limits.
    Resuming,
    /// Its body has ended, and its output is on its way to the store.
    Publishing,
    /// An attempt failed, and the next one comes after a pause.
    BackingOff,
    /// Another process has it.
    Foreign,
    /// Its output is there.
    Complete,
    Failed,
    /// A task that it requires, or that its body asked for, failed.
    Blocked,
    /// An attempt ended without an output and without the body's fault.
    Interrupted,
    /// It will not start in this run.
    Unreachable,
}

/// How a task ended, for those that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    Failed,
    /// There is no output, and nobody's body is at fault.
    Interrupted,
}

impl State {
    /// Whether an attempt is under way.
    pub(crate) fn is_under_way(self) -> bool {
        matches!(
            self,
            State::Running | State::Suspended | State::Resuming | State::Publishing
        )
    }

    /// Whether the body waits, for subtasks or for its turn after that.
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
