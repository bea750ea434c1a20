//! What is under way in a run, and what the loop hears of it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::attempt::Attempted;
use crate::model::NodeId;

/// Something that happened.
pub(super) enum Step {
    /// A body has ended well, and its output is on its way to the store.
    BodyEnded(NodeId),
    Attempted(Attempted),
    /// The pause before the next attempt, with its number, is over.
    Rested(NodeId, u32),
    /// The runtime ended an attempt, as it does when it shuts down.
    Stopped(JoinError),
}

/// Attempts, and pauses between attempts. Dropping it stops them all.
pub(super) struct Steps {
    bodies_ended: mpsc::UnboundedReceiver<NodeId>,
    attempts: JoinSet<Attempted>,
    rests: JoinSet<(NodeId, u32)>,
}

impl Steps {
    pub(super) fn new(bodies_ended: mpsc::UnboundedReceiver<NodeId>) -> Self {
        Steps {
            bodies_ended,
            attempts: JoinSet::new(),
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

    /// What has happened already. A body's end is sent before its attempt is through, and looked
    /// for before it.
    pub(super) fn try_next(&mut self) -> Option<Step> {
        if let Ok(node) = self.bodies_ended.try_recv() {
            return Some(Step::BodyEnded(node));
        }
        if let Some(attempted) = self.attempts.try_join_next() {
            return Some(attempted.map_or_else(Step::Stopped, Step::Attempted));
        }
        let rested = self.rests.try_join_next()?;
        Some(rested.map_or_else(Step::Stopped, |(node, next)| Step::Rested(node, next)))
    }

    /// What happens next; `None` when nothing is under way.
    pub(super) async fn next(&mut self) -> Option<Step> {
        if self.attempts.is_empty() && self.rests.is_empty() {
            return None;
        }
        tokio::select! {
            biased;
            Some(node) = self.bodies_ended.recv() => Some(Step::BodyEnded(node)),
            Some(attempted) = self.attempts.join_next() => {
                Some(attempted.map_or_else(Step::Stopped, Step::Attempted))
            }
            Some(rested) = self.rests.join_next() => {
                Some(rested.map_or_else(Step::Stopped, |(node, next)| Step::Rested(node, next)))
            }
        }
    }
}
