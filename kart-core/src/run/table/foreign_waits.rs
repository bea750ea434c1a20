//! Which bodies wait for tasks that other processes hold, directly or through other tasks of this run.

use std::collections::HashSet;

use super::{State, TaskTable};
use crate::model::NodeId;

/// A body that waits for a subtask, which is or lacks a task that another process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForeignWait {
    pub(crate) body: NodeId,
    pub(crate) subtask: NodeId,
    pub(crate) foreign: NodeId,
}

impl TaskTable {
    pub(crate) fn foreign_waits(&self) -> Vec<ForeignWait> {
        if self.waits.is_empty() || !self.attempts.values().any(|it| it.foreign.is_some()) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for subtask in self.waits.targets() {
            for foreign in self.foreign_below(subtask) {
                let bodies = self.waits.waiting_for(subtask);
                found.extend(bodies.map(|body| ForeignWait {
                    body,
                    subtask,
                    foreign,
                }));
            }
        }
        found
    }

    fn foreign_below(&self, node: NodeId) -> Vec<NodeId> {
        let mut found = Vec::new();
        let (mut seen, mut open) = (HashSet::from([node]), vec![node]);
        while let Some(node) = open.pop() {
            // This run may be trying to claim it right now.
            if self.attempts(node).is_some_and(|it| it.foreign.is_some()) {
                found.push(node);
                continue;
            }
            let below = match self.state(node) {
                State::Waiting => self.required(node),
                State::Suspended => self.waits.waited_for_by(node).collect(),
                _ => continue,
            };
            open.extend(below.into_iter().filter(|id| seen.insert(*id)));
        }
        found
    }
}
