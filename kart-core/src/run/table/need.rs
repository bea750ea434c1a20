//! What a run needs: from the roots and the subtasks down to what is complete, as far as the store has answered.

use std::collections::HashMap;

use super::{Ending, LookupState, Rank, State, TaskTable};
use crate::model::NodeId;
use crate::plan::{Mark, Status};
use crate::report::Outcome;
use crate::workspace::Making;

impl TaskTable {
    /// Takes what reruns want of the tasks that they reach.
    pub(crate) fn mark(&mut self, marks: HashMap<NodeId, Mark>) {
        self.marks.extend(marks);
    }

    /// Returns which making of its output the next attempt of a task is for.
    pub(crate) fn making(&self, node: NodeId) -> Making {
        if !self.status(node).replaces() {
            return Making::First;
        }
        let mark = self.marks.get(&node);
        mark.map_or(Making::Again, |mark| mark.making)
    }

    /// Returns what reruns want of a task, if they reach it.
    pub(crate) fn mark_of(&self, node: NodeId) -> Option<&Mark> {
        self.marks.get(&node)
    }

    /// Returns why a task runs again although its output may exist, if that is known without a lookup.
    fn marked(&self, node: NodeId) -> Option<Status> {
        let mark = self.marks.get(&node).filter(|mark| !mark.is_late)?;
        mark.status
    }

    /// Needs a root, or a subtask of a body of rank `above`.
    pub(crate) fn need(&mut self, node: NodeId, above: Option<Rank>) {
        let above = above.unwrap_or_default();
        self.need_all(vec![(node, above)]);
    }

    /// Looks up a task that will probably be needed, to save a round trip.
    pub(crate) fn prefetch(&mut self, node: NodeId) {
        if self.lookup[node.index()] == LookupState::Unknown && self.marked(node).is_none() {
            self.ask(node);
        }
    }

    /// Takes the tasks to look up. Each is taken once.
    pub(crate) fn take_frontier(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.frontier)
    }

    /// Returns how many tasks were looked up.
    pub(crate) fn looked_up(&self) -> usize {
        let is_known = |lookup: &&LookupState| **lookup == LookupState::Known;
        self.lookup.iter().filter(is_known).count()
    }

    /// Returns whether no lookup is in flight.
    pub(crate) fn is_surveyed(&self) -> bool {
        self.in_flight == 0
    }

    /// Takes the answers of a lookup.
    pub(crate) fn learn(&mut self, answers: &[(NodeId, Status)]) {
        self.in_flight -= answers.len();
        for &(node, status) in answers {
            self.status[node.index()] = status;
            self.lookup[node.index()] = LookupState::Known;
        }
        let mut open = Vec::new();
        for &(node, _) in answers {
            if self.state(node) == State::Checking {
                self.decide(node, &mut open);
            }
        }
        self.need_all(open);
    }

    /// Takes the failure of a lookup.
    pub(crate) fn forget_lookup(&mut self, nodes: &[NodeId]) {
        self.in_flight -= nodes.len();
        for node in nodes {
            self.lookup[node.index()] = LookupState::Unknown;
        }
    }

    /// Sets a status that is known without a lookup of this run.
    pub(crate) fn set_status(&mut self, node: NodeId, status: Status) {
        self.status[node.index()] = status;
        self.lookup[node.index()] = LookupState::Known;
    }

    /// Needs a dispatched task. Its requirements count as complete: the dispatching run has checked them.
    pub(crate) fn need_with_inputs(&mut self, node: NodeId, status: Status) {
        self.set_status(node, status);
        self.rank[node.index()] = self.own_rank(node);
        if !status.runs() {
            self.outcome[node.index()] = Outcome::Complete;
            self.set(node, State::Complete);
            return;
        }
        self.outcome[node.index()] = Outcome::NotRun;
        self.state[node.index()] = State::Waiting;
        self.effects.ready.push(node);
    }

    /// Puts a task back to waiting: no other process makes it, or its next attempt is due.
    pub(crate) fn requeue(&mut self, node: NodeId) {
        if self.is_closed {
            self.set(node, State::Unreachable);
            return;
        }
        let lacks = |required: &NodeId| self.state(*required) != State::Complete;
        let missing = if self.is_assumed(node) {
            0
        } else {
            self.required(node).iter().filter(|id| lacks(id)).count()
        };
        self.missing[node.index()] = u32::try_from(missing).unwrap_or(u32::MAX);
        self.state[node.index()] = State::Waiting;
        if missing == 0 {
            self.effects.ready.push(node);
        }
    }

    /// Makes the vanished output of a complete task again; waiting dependents wait for it once more.
    pub(crate) fn reopen(&mut self, node: NodeId, status: Status) {
        if self.state(node) != State::Complete {
            return;
        }
        self.set_status(node, status);
        let dependents: Vec<NodeId> = self.dependents.of(node).collect();
        for dependent in dependents {
            if self.state(dependent) == State::Waiting {
                self.missing[dependent.index()] += 1;
            }
        }
        self.state[node.index()] = State::NotNeeded;
        let rank = self.rank(node);
        self.need(node, Some(rank));
    }

    /// Returns whether the requirements count as complete without a lookup, as for a dispatched task.
    fn is_assumed(&self, node: NodeId) -> bool {
        let mut required = self.required(node).into_iter();
        required.all(|id| self.state(id) == State::NotNeeded)
    }

    fn need_all(&mut self, mut open: Vec<(NodeId, Rank)>) {
        while let Some((node, above)) = open.pop() {
            if self.state(node) != State::NotNeeded {
                continue;
            }
            self.rank[node.index()] = self.own_rank(node).below(above);
            if let Some(status) = self.marked(node) {
                self.set_status(node, status);
            }
            match self.lookup[node.index()] {
                LookupState::Known => self.decide(node, &mut open),
                LookupState::InFlight => self.state[node.index()] = State::Checking,
                LookupState::Unknown => {
                    self.state[node.index()] = State::Checking;
                    self.ask(node);
                }
            }
        }
    }

    fn ask(&mut self, node: NodeId) {
        self.lookup[node.index()] = LookupState::InFlight;
        self.in_flight += 1;
        self.frontier.push(node);
    }

    /// Decides what a needed task with a known status does. If it runs, its requirements are needed too.
    fn decide(&mut self, node: NodeId, open: &mut Vec<(NodeId, Rank)>) {
        if !self.status(node).runs() {
            self.outcome[node.index()] = Outcome::Complete;
            self.set(node, State::Complete);
            return;
        }
        self.outcome[node.index()] = Outcome::NotRun;
        let required = self.required(node);
        if self.is_closed {
            // The report counts what is left.
            self.set(node, State::Unreachable);
            open.extend(required.iter().map(|&id| (id, Rank::default())));
            return;
        }
        let mut missing = 0;
        let mut ended = None;
        for &id in &required {
            match self.state(id).ending() {
                Some(Ending::Complete) => continue,
                Some(Ending::Failed) => ended = Some((Ending::Failed, id)),
                Some(Ending::Interrupted) if ended.is_none() => {
                    ended = Some((Ending::Interrupted, id));
                }
                Some(Ending::Interrupted) | None => {}
            }
            missing += 1;
        }
        match ended {
            Some((Ending::Failed, by)) => {
                self.effects.blocked.push((node, by));
                self.set(node, State::Blocked);
                return;
            }
            Some(_) => {
                self.set(node, State::Unreachable);
                return;
            }
            None => {}
        }
        self.missing[node.index()] = missing;
        self.state[node.index()] = State::Waiting;
        if missing == 0 {
            self.effects.ready.push(node);
        }
        if !self.waits.is_empty() {
            self.break_cycles(node, &required);
        }
        let rank = self.rank(node);
        open.extend(required.iter().map(|&id| (id, rank)));
        if !required.is_empty() {
            self.effects.consumers.push((node, required));
        }
    }

    /// Ends a wait for a subtask that the new edges from `node` have closed to a cycle.
    fn break_cycles(&mut self, node: NodeId, required: &[NodeId]) {
        for &id in required {
            let Some(mut circle) = self.path(id, node) else {
                continue;
            };
            // The cycle is reported from the waiting body.
            let is_wait = |pair: (NodeId, NodeId)| {
                let mut waited = self.waits.waited_for_by(pair.0);
                waited.any(|target| target == pair.1)
            };
            let next = |at: usize| circle[(at + 1) % circle.len()];
            let Some(at) = (0..circle.len()).find(|&at| is_wait((circle[at], next(at)))) else {
                continue;
            };
            circle.rotate_left(at);
            let (by, target) = (circle[0], circle[1 % circle.len()]);
            circle.push(by);
            if let Some(waiter) = self.waits.take_one(target, by) {
                self.effects.cycles.push((waiter, circle));
            }
        }
    }
}
