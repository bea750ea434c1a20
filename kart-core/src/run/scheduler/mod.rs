//! The scheduler: decides which task is next. It does no I/O and starts nothing.
//!
//! Ready tasks wait in a heap; those that lack a limit wait in a heap of that limit, so an event touches only the tasks
//! that it concerns. A body that waits for subtasks holds no worker and no limits, and queues for them again to resume.

mod slots;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use slots::{Ready, Slots};

use super::table::{State, TaskTable};
use crate::model::{NodeId, TaskSpec};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start an attempt.
    Start(NodeId),
    /// Give a body the answers that it waited for.
    Resume(NodeId),
}

/// The ready queue of one run, and its free workers and limits.
#[derive(Debug)]
pub(crate) struct Scheduler {
    ready: BinaryHeap<Ready>,
    slots: Slots,
    suspended: usize,
    /// Different for each process that shares the work.
    tie_breaker: Option<u32>,
    /// Whether tasks may start: not before the preflight has passed, and not after a stop.
    is_open: bool,
}

impl Scheduler {
    pub(crate) fn new(
        workers: usize,
        limits: &BTreeMap<String, u32>,
        tie_breaker: Option<u32>,
    ) -> Self {
        Scheduler {
            ready: BinaryHeap::new(),
            slots: Slots::new(workers, limits),
            suspended: 0,
            tie_breaker,
            is_open: false,
        }
    }

    /// Lets tasks start from now on.
    pub(crate) fn open(&mut self, table: &TaskTable) {
        self.is_open = true;
        self.rank_again(table);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Builds the queue anew, since ranks have changed.
    pub(crate) fn rank_again(&mut self, table: &TaskTable) {
        if !self.is_open {
            return;
        }
        self.slots.forget_parked();
        let resuming = std::mem::take(&mut self.ready);
        let resuming = resuming
            .into_iter()
            .map(|ready| ready.node.0)
            .filter(|node| table.state(*node) == State::Resuming);
        let ready = table.ready().into_iter().chain(resuming);
        self.ready = ready.map(|node| self.queue_entry(table, node)).collect();
    }

    /// Lets nothing start from now on.
    pub(crate) fn close(&mut self) {
        self.is_open = false;
        self.ready.clear();
        self.slots.forget_parked();
    }

    /// Queues a task that can start or resume.
    pub(crate) fn push(&mut self, table: &TaskTable, node: NodeId) {
        if self.is_open {
            let entry = self.queue_entry(table, node);
            self.ready.push(entry);
        }
    }

    /// Returns whether a task is ready and a worker is free.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty() && self.slots.has_worker()
    }

    /// Returns the number of suspended bodies.
    pub(crate) fn suspended(&self) -> usize {
        self.suspended
    }

    /// Takes the next task to start or to resume, and its worker and limits.
    pub(crate) fn next(&mut self, table: &mut TaskTable) -> Option<Next> {
        if !self.slots.has_worker() {
            return None;
        }
        while let Some(ready) = self.ready.pop() {
            let Reverse(node) = ready.node;
            let state = table.state(node);
            let spec = spec(table, node);
            if state != State::Resuming && !table.is_ready(node) {
                // It has resumed already: the limits that it was woken for are for others.
                self.ready.extend(self.slots.wake_waiters(spec, None));
                continue;
            }
            if let Some(limit) = self.slots.missing_limit(spec) {
                let woken = self.slots.park(ready, spec, limit);
                self.ready.extend(woken);
                continue;
            }
            self.hold(table, node);
            return Some(match state {
                State::Resuming => Next::Resume(node),
                _ => Next::Start(node),
            });
        }
        None
    }

    /// Frees the worker and limits of a body that has ended.
    pub(crate) fn body_ended(&mut self, table: &mut TaskTable, node: NodeId) {
        match table.state(node) {
            State::Running => self.release(table, node),
            State::Suspended | State::Resuming => self.suspended -= 1,
            _ => return,
        }
        table.set(node, State::Publishing);
    }

    /// Frees the worker and limits of a task that was taken and will not run.
    pub(crate) fn put_back(&mut self, table: &TaskTable, node: NodeId) {
        self.release(table, node);
    }

    /// Frees the worker and limits of a body that waits for subtasks.
    pub(crate) fn suspend(&mut self, table: &mut TaskTable, node: NodeId) {
        if table.state(node) == State::Running {
            table.set(node, State::Suspended);
            self.suspended += 1;
            self.release(table, node);
        }
    }

    /// Queues a suspended body to resume.
    pub(crate) fn resume(&mut self, table: &mut TaskTable, node: NodeId) {
        if table.state(node) == State::Suspended {
            table.set(node, State::Resuming);
            self.push(table, node);
        }
    }

    /// Resumes a suspended body at once, over the limits if need be.
    pub(crate) fn resume_now(&mut self, table: &mut TaskTable, node: NodeId) {
        if table.state(node).is_suspended() {
            self.hold(table, node);
        }
    }

    fn hold(&mut self, table: &mut TaskTable, node: NodeId) {
        if table.state(node).is_suspended() {
            self.suspended -= 1;
        }
        table.set(node, State::Running);
        self.slots.take(spec(table, node));
    }

    fn release(&mut self, table: &TaskTable, node: NodeId) {
        let woken = self.slots.release(spec(table, node));
        self.ready.extend(woken);
    }

    fn queue_entry(&self, table: &TaskTable, node: NodeId) -> Ready {
        let rank = table.rank(node);
        Ready {
            priority: rank.priority,
            depth: rank.depth,
            tie_breaker: self.tie_breaker.map_or(0, |tie_breaker| {
                (tie_breaker ^ node.0)
                    .wrapping_mul(0x9e37_79b1)
                    .rotate_left(16)
            }),
            node: Reverse(node),
        }
    }
}

fn spec(table: &TaskTable, node: NodeId) -> &'static TaskSpec {
    table.graph().node(node).task.spec()
}
