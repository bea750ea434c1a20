//! Which task is next. It does no I/O and starts nothing.
//!
//! Ready tasks wait in a heap, those that lack a limit in a heap of that limit, so that no event looks at tasks that it
//! does not concern. A body that waits for subtasks holds neither a worker nor limits, and stands in line for them again
//! when it can resume.

pub(crate) mod dependents;
mod slots;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use slots::{Ready, Slots};

use super::table::{State, TaskTable};
use crate::model::{NodeId, TaskSpec};

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// An attempt.
    Start(NodeId),
    /// The body that waited for subtasks takes their outputs.
    Resume(NodeId),
}

/// The ready queue of one run, and the workers and limits that are free.
#[derive(Debug)]
pub(crate) struct Scheduler {
    ready: BinaryHeap<Ready>,
    slots: Slots,
    suspended: usize,
    /// Another for each process that shares the work.
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

    /// Tasks may start from now on: those that are ready, and whatever becomes so.
    pub(crate) fn open(&mut self, table: &TaskTable) {
        self.is_open = true;
        self.rank_again(table);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// The ranks of the table have changed.
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

    /// Nothing starts from now on.
    pub(crate) fn close(&mut self) {
        self.is_open = false;
        self.ready.clear();
        self.slots.forget_parked();
    }

    /// A task can start, or a body resume.
    pub(crate) fn push(&mut self, table: &TaskTable, node: NodeId) {
        if self.is_open {
            let entry = self.queue_entry(table, node);
            self.ready.push(entry);
        }
    }

    /// Whether a task is ready and a worker free.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty() && self.slots.has_worker()
    }

    /// How many bodies hold nothing because they wait for subtasks.
    pub(crate) fn suspended(&self) -> usize {
        self.suspended
    }

    /// Takes the next task to start or to resume, with its worker and its limits.
    pub(crate) fn next(&mut self, table: &mut TaskTable) -> Option<Next> {
        if !self.slots.has_worker() {
            return None;
        }
        while let Some(ready) = self.ready.pop() {
            let Reverse(node) = ready.node;
            let state = table.state(node);
            let spec = spec(table, node);
            if state != State::Resuming && !table.is_ready(node) {
                // It has resumed without waiting for its turn: what it was made ready for is for others.
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

    /// The body has ended: its worker and its limits are free.
    pub(crate) fn body_ended(&mut self, table: &mut TaskTable, node: NodeId) {
        match table.state(node) {
            State::Running => self.release(table, node),
            State::Suspended | State::Resuming => self.suspended -= 1,
            _ => return,
        }
        table.set(node, State::Publishing);
    }

    /// The task was taken to start, and is not to run.
    pub(crate) fn put_back(&mut self, table: &TaskTable, node: NodeId) {
        self.release(table, node);
    }

    /// The body waits for subtasks: its worker and its limits are free.
    pub(crate) fn suspend(&mut self, table: &mut TaskTable, node: NodeId) {
        if table.state(node) == State::Running {
            table.set(node, State::Suspended);
            self.suspended += 1;
            self.release(table, node);
        }
    }

    /// The body can resume when its turn comes.
    pub(crate) fn resume(&mut self, table: &mut TaskTable, node: NodeId) {
        if table.state(node) == State::Suspended {
            table.set(node, State::Resuming);
            self.push(table, node);
        }
    }

    /// The body resumes at once, whether its worker and its limits are free or not.
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
