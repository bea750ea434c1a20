//! Cycle detection: whether one task waits for another, through requirements and through bodies that wait for subtasks.
//!
//! The search walks from both ends at once and ends with the smaller side, so a body at the end of a long chain that asks
//! for a new task costs one step.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{State, TaskTable};
use crate::model::NodeId;

/// One side of the search: how it reached each task, and which tasks it has not visited yet.
struct Side {
    came_from: HashMap<NodeId, NodeId>,
    open: Vec<NodeId>,
}

impl Side {
    fn new(start: NodeId) -> Self {
        Side {
            came_from: HashMap::from([(start, start)]),
            open: vec![start],
        }
    }

    fn visit(&mut self, node: NodeId, from: NodeId) -> bool {
        match self.came_from.entry(node) {
            Entry::Vacant(entry) => {
                entry.insert(from);
                self.open.push(node);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Returns the path from `node` back to the start, both included.
    fn way(&self, mut node: NodeId) -> Vec<NodeId> {
        let mut way = vec![node];
        while self.came_from[&node] != node {
            node = self.came_from[&node];
            way.push(node);
        }
        way
    }
}

impl TaskTable {
    /// Returns the path from `from` down to `to`, both included, along what each task waits for.
    pub(super) fn path(&self, from: NodeId, to: NodeId) -> Option<Vec<NodeId>> {
        if from == to {
            return Some(vec![from]);
        }
        let (mut down, mut up) = (Side::new(from), Side::new(to));
        let meeting = self.meeting(&mut down, &mut up)?;
        let mut way = down.way(meeting);
        way.reverse();
        way.extend(up.way(meeting).into_iter().skip(1));
        Some(way)
    }

    /// Where the two sides of a search meet.
    fn meeting(&self, down: &mut Side, up: &mut Side) -> Option<NodeId> {
        loop {
            let node = down.open.pop()?;
            if let Some(meeting) = self.step_down(node, down, up) {
                return Some(meeting);
            }
            let node = up.open.pop()?;
            if let Some(meeting) = self.step_up(node, up, down) {
                return Some(meeting);
            }
        }
    }

    fn step_down(&self, node: NodeId, down: &mut Side, up: &Side) -> Option<NodeId> {
        let below = match self.state(node) {
            State::Waiting | State::BackingOff | State::Foreign => self.required(node),
            State::Suspended | State::Resuming => self.waits.waited_for_by(node).collect(),
            // These wait for nothing, or the store has not said yet whether they do.
            _ => return None,
        };
        let new = below.into_iter().filter(|id| down.visit(*id, node));
        let new: Vec<NodeId> = new.collect();
        new.into_iter().find(|id| up.came_from.contains_key(id))
    }

    fn step_up(&self, node: NodeId, up: &mut Side, down: &Side) -> Option<NodeId> {
        let waits = |id: &NodeId| {
            matches!(
                self.state(*id),
                State::Waiting | State::BackingOff | State::Foreign
            )
        };
        let above = self.dependents.of(node).filter(waits);
        let above = above.chain(self.waits.waiting_for(node));
        let new: Vec<NodeId> = above.filter(|id| up.visit(*id, node)).collect();
        new.into_iter().find(|id| down.came_from.contains_key(id))
    }
}
