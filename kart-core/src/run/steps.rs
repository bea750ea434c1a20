//! What is under way in a run, and what the loop hears of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::asks::Ask;
use super::attempt::Attempted;
use crate::error::Error;
use crate::model::NodeId;
use crate::plan::Need;

/// What attempts say while they are under way.
#[derive(Debug)]
pub(super) enum Said {
    /// The body has ended well, and its output is on its way to the store.
    Ended(NodeId),
    /// Nobody else has the task: its body begins its attempt of that number.
    Began(NodeId, u32),
    Progress(NodeId, ProgressNow),
    /// The body asks for a task.
    Asked(Ask),
    /// The body does not wait any more for what it asked for.
    Withdrawn {
        by: NodeId,
        ask: u64,
    },
    /// The body has taken what it was given, and waits for more.
    Parked(NodeId),
}

/// How far a body says it is.
#[derive(Clone, Debug, Default)]
pub(super) struct ProgressNow {
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) message: Option<Arc<str>>,
}

/// What is known about a task that was asked for, and about all that it needs.
pub(super) struct Surveyed {
    pub(super) target: NodeId,
    pub(super) asker: NodeId,
    pub(super) needs: Result<Vec<(NodeId, Need)>, Error>,
}

/// What became of tasks that other processes have.
pub(super) type Looks = Result<Vec<(NodeId, Found)>, Error>;

/// What became of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Made,
    /// It is to be tried again.
    Free,
    Held,
}

/// Something that happened.
pub(super) enum Step {
    Said(Said),
    Surveyed(Surveyed),
    Looked(Looks),
    Attempted(Attempted),
    /// The pause before the next attempt, with its number, is over.
    Rested(NodeId, u32),
    /// The runtime ended an attempt, as it does when it shuts down.
    Stopped(JoinError),
}

/// Attempts, and pauses between attempts. Dropping it stops them all.
pub(super) struct Steps {
    said: mpsc::UnboundedReceiver<Said>,
    attempts: JoinSet<Attempted>,
    surveys: JoinSet<Surveyed>,
    looks: JoinSet<Looks>,
    rests: JoinSet<(NodeId, u32)>,
}

impl Steps {
    pub(super) fn new(said: mpsc::UnboundedReceiver<Said>) -> Self {
        Steps {
            said,
            attempts: JoinSet::new(),
            surveys: JoinSet::new(),
            looks: JoinSet::new(),
            rests: JoinSet::new(),
        }
    }

    /// How many attempts are under way.
    pub(super) fn attempts(&self) -> usize {
        self.attempts.len()
    }

    pub(super) fn attempt(&mut self, attempt: impl Future<Output = Attempted> + Send + 'static) {
        self.attempts.spawn(attempt);
    }

    pub(super) fn survey(&mut self, survey: impl Future<Output = Surveyed> + Send + 'static) {
        self.surveys.spawn(survey);
    }

    /// Looks after a while at what other processes have, unless a look is under way.
    pub(super) fn look(&mut self, look: impl Future<Output = Looks> + Send + 'static) {
        if self.looks.is_empty() {
            self.looks.spawn(look);
        }
    }

    /// Nobody is interested any more in what other processes have.
    pub(super) fn stop_looks(&mut self) {
        self.looks.abort_all();
        self.looks.detach_all();
    }

    pub(super) fn rest(&mut self, node: NodeId, pause: Duration, next: u32) {
        self.rests.spawn(async move {
            tokio::time::sleep(pause).await;
            (node, next)
        });
    }

    /// Nothing that rests goes on.
    pub(super) fn stop_rests(&mut self) {
        self.rests.abort_all();
        self.rests.detach_all();
    }

    /// What has happened already. What an attempt says is sent before it is through, and looked
    /// for before that.
    pub(super) fn try_next(&mut self) -> Option<Step> {
        if let Ok(said) = self.said.try_recv() {
            return Some(Step::Said(said));
        }
        if let Some(surveyed) = self.surveys.try_join_next() {
            return Some(surveyed.map_or_else(Step::Stopped, Step::Surveyed));
        }
        if let Some(looked) = self.looks.try_join_next() {
            return Some(looked.map_or_else(Step::Stopped, Step::Looked));
        }
        if let Some(attempted) = self.attempts.try_join_next() {
            return Some(attempted.map_or_else(Step::Stopped, Step::Attempted));
        }
        let rested = self.rests.try_join_next()?;
        Some(rested.map_or_else(Step::Stopped, |(node, next)| Step::Rested(node, next)))
    }

    /// What happens next; `None` when nothing is under way.
    pub(super) async fn next(&mut self) -> Option<Step> {
        if self.attempts.is_empty() && self.rests.is_empty() && self.looks.is_empty() {
            return None;
        }
        tokio::select! {
            biased;
            Some(said) = self.said.recv() => Some(Step::Said(said)),
            Some(surveyed) = self.surveys.join_next() => {
                Some(surveyed.map_or_else(Step::Stopped, Step::Surveyed))
            }
            Some(looked) = self.looks.join_next() => {
                Some(looked.map_or_else(Step::Stopped, Step::Looked))
            }
            Some(attempted) = self.attempts.join_next() => {
                Some(attempted.map_or_else(Step::Stopped, Step::Attempted))
            }
            Some(rested) = self.rests.join_next() => {
                Some(rested.map_or_else(Step::Stopped, |(node, next)| Step::Rested(node, next)))
            }
        }
    }
}
