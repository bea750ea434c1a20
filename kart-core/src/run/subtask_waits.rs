//! Which bodies wait for which subtasks, and the answers that wait until their body may resume.

use std::collections::HashMap;

use super::message::{Reply, SubtaskResult};
use super::output_cache::OutputRef;
use crate::model::NodeId;

/// A body that waits for the output of a task.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) id: u64,
    pub(crate) by: NodeId,
    pub(crate) reply: Reply,
    pub(crate) output: OutputRef,
}

/// The waiters of every task, and what every body waits for.
#[derive(Debug, Default)]
pub(crate) struct SubtaskWaits {
    waiters: HashMap<NodeId, Vec<Waiter>>,
    bodies: HashMap<NodeId, Body>,
}

#[derive(Debug, Default)]
struct Body {
    /// Requests without an answer, each with its subtask.
    open: Vec<(u64, NodeId)>,
    /// Answers that it gets when it may resume.
    answers: Vec<(Reply, SubtaskResult)>,
}

impl SubtaskWaits {
    pub(crate) fn add(&mut self, target: NodeId, waiter: Waiter) {
        let body = self.bodies.entry(waiter.by).or_default();
        body.open.push((waiter.id, target));
        self.waiters.entry(target).or_default().push(waiter);
    }

    /// Returns whether no body waits for a subtask.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Takes all waiters of `target`.
    pub(crate) fn take(&mut self, target: NodeId) -> Vec<Waiter> {
        if self.waiters.is_empty() {
            return Vec::new();
        }
        let waiters = self.waiters.remove(&target).unwrap_or_default();
        for waiter in &waiters {
            self.close(waiter.by, waiter.id);
        }
        waiters
    }

    /// Takes one request of `by` for `target`.
    pub(crate) fn take_one(&mut self, target: NodeId, by: NodeId) -> Option<Waiter> {
        let waiters = self.waiters.get_mut(&target)?;
        let at = waiters.iter().position(|waiter| waiter.by == by)?;
        let waiter = waiters.swap_remove(at);
        if waiters.is_empty() {
            self.waiters.remove(&target);
        }
        self.close(by, waiter.id);
        Some(waiter)
    }

    /// Removes a request that its body has cancelled; it may have an answer already, and wait for its turn.
    pub(crate) fn cancel(&mut self, by: NodeId, id: u64) {
        let Some(body) = self.bodies.get_mut(&by) else {
            return;
        };
        body.answers.retain(|(reply, _)| !reply.is_closed());
        if let Some(&(_, target)) = body.open.iter().find(|(open, _)| *open == id) {
            body.open.retain(|(open, _)| *open != id);
            self.remove_waiter(target, id);
        }
        if self
            .bodies
            .get(&by)
            .is_some_and(|body| body.open.is_empty() && body.answers.is_empty())
        {
            self.bodies.remove(&by);
        }
    }

    fn remove_waiter(&mut self, target: NodeId, id: u64) {
        if let Some(waiters) = self.waiters.get_mut(&target) {
            waiters.retain(|waiter| waiter.id != id);
            if waiters.is_empty() {
                self.waiters.remove(&target);
            }
        }
    }

    fn close(&mut self, by: NodeId, id: u64) {
        if let Some(body) = self.bodies.get_mut(&by) {
            body.open.retain(|(open, _)| *open != id);
        }
    }

    /// Keeps an answer until its body may resume.
    pub(crate) fn keep_answer(&mut self, by: NodeId, reply: Reply, answer: SubtaskResult) {
        let body = self.bodies.entry(by).or_default();
        body.answers.push((reply, answer));
    }

    /// Sends a body all of its answers.
    pub(crate) fn answer(&mut self, by: NodeId) {
        let Some(body) = self.bodies.get_mut(&by) else {
            return;
        };
        for (reply, answer) in std::mem::take(&mut body.answers) {
            // The body may not wait any more.
            let _ = reply.send(answer);
        }
        if body.open.is_empty() {
            self.bodies.remove(&by);
        }
    }

    /// Returns whether the body waits for a subtask without an answer.
    pub(crate) fn has_open(&self, by: NodeId) -> bool {
        self.bodies
            .get(&by)
            .is_some_and(|body| !body.open.is_empty())
    }

    /// Returns whether the body waits for a subtask or to resume.
    pub(crate) fn is_waiting(&self, by: NodeId) -> bool {
        self.bodies.contains_key(&by)
    }

    /// Returns the bodies with answers that have not resumed, in order.
    pub(crate) fn answered(&self) -> Vec<NodeId> {
        let answered = self.bodies.iter();
        let mut answered: Vec<NodeId> = answered
            .filter(|(_, body)| !body.answers.is_empty())
            .map(|(by, _)| *by)
            .collect();
        answered.sort_unstable();
        answered
    }

    /// Removes a body whose attempt is over.
    pub(crate) fn forget(&mut self, by: NodeId) {
        let Some(body) = self.bodies.remove(&by) else {
            return;
        };
        for (id, target) in body.open {
            self.remove_waiter(target, id);
        }
    }

    /// Returns the subtasks that a body waits for.
    pub(crate) fn waited_for_by(&self, by: NodeId) -> impl Iterator<Item = NodeId> {
        let open = self.bodies.get(&by).map_or(&[][..], |body| &body.open);
        open.iter().map(|(_, target)| *target)
    }

    /// Returns the bodies that wait for `target`.
    pub(crate) fn waiting_for(&self, target: NodeId) -> impl Iterator<Item = NodeId> {
        let waiters = self.waiters.get(&target).map_or(&[][..], Vec::as_slice);
        waiters.iter().map(|waiter| waiter.by)
    }

    /// Returns all tasks that bodies wait for, in order.
    pub(crate) fn targets(&self) -> Vec<NodeId> {
        let mut targets: Vec<NodeId> = self.waiters.keys().copied().collect();
        targets.sort_unstable();
        targets
    }
}
