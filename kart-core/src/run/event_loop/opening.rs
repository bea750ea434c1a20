//! What has to happen before the first task of a run starts.

use crate::run_id::RunId;

/// What has to happen before the first task starts.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The log to start with the plan, if the run writes one.
    pub(super) log: Option<RunId>,
    /// Whether the plan was emitted, and the events that waited for it.
    pub(super) is_planned: bool,
    pub(super) is_early: bool,
    pub(super) workspace: Prepared,
}

/// Whether the workspace can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prepared {
    Unknown,
    Asked,
    Yes,
}

impl Opening {
    /// Returns the state of a run that surveys its graph first.
    pub(crate) fn new(log: Option<RunId>) -> Self {
        Opening {
            log,
            is_planned: false,
            is_early: false,
            workspace: Prepared::Unknown,
        }
    }

    /// Returns the state of a run that needs no survey.
    pub(crate) fn planned() -> Self {
        Opening {
            is_planned: true,
            ..Opening::new(None)
        }
    }

    /// Returns whether the plan was emitted and the workspace is not being prepared.
    pub(super) fn is_settled(&self) -> bool {
        self.is_planned && self.workspace != Prepared::Asked
    }
}
