//! Which task is next: a state machine over the events of a run. It does no I/O and starts nothing.
//!
//! Each task counts the requirements it still waits for; the last one to complete makes it ready.
//! Ready tasks wait in a heap, those that lack a limit in a heap of that limit. A body that waits for
//! subtasks holds neither a worker nor limits.

pub(crate) mod dependents;
mod slots;

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use crate::model::{NodeId, TaskSpec};
use crate::plan::{Graph, Status};
use crate::run::scheduler::dependents::{Dependents, required};
use crate::run::scheduler::slots::{Ready, Slots};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has nothing to do in this run.
    Idle,
    Waiting,
    /// Its body has a worker and its limits.
    Running,
    /// Its body waits for tasks that it asked for, and holds nothing.
    Suspended,
    /// What its body asked for is there: it waits for a worker and its limits.
    Resuming,
    /// Its body has ended, and its output is on its way to the store.
    Ended,
    /// Another process has it.
    ForeignTasks,
    Completed,
    Failed,
    Blocked,
    Interrupted,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// An attempt.
    Start(NodeId),
    /// The body that waited for tasks goes on.
    Resume(NodeId),
}

/// What [`Schedule::add`] has found.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// Each dependency, what is required first.
    pub(crate) edges: Vec<(NodeId, NodeId)>,
    /// Tasks, each with one that it requires and that did not complete.
    pub(crate) blocked: Vec<(NodeId, NodeId)>,
}

#[derive(Debug)]
pub(crate) struct Scheduler {
    graph: Arc<Graph>,
    states: Vec<State>,
    /// How many requirements each task still waits for.
    missing: Vec<u32>,
    ranks: Vec<(i32, u32)>,
    dependents: Dependents,
    ready: BinaryHeap<Ready>,
    slots: Slots,
    suspended: usize,
    tie_breaker: Option<u32>,
    is_closed: bool,
}

impl Scheduler {
    pub(crate) fn new(
        graph: &Arc<Graph>,
        needs: &[Status],
        workers: usize,
        limits: &BTreeMap<String, u32>,
        tie_breaker: Option<u32>,
    ) -> Self {
        let states = needs
            .iter()
            .map(|need| {
                if need.runs() {
                    State::Waiting
                } else {
                    State::Idle
                }
            })
            .collect();
        let dependents = Dependents::new(graph, needs);
        let mut schedule = Scheduler {
            graph: Arc::clone(graph),
            states,
            missing: dependents.missing_requirements(needs),
            ranks: dependents.ranks(graph, needs),
            dependents,
            ready: BinaryHeap::new(),
            slots: Slots::new(workers, limits),
            suspended: 0,
            tie_breaker,
            is_closed: false,
        };
        for id in graph.ids() {
            if schedule.states[id.index()] == State::Waiting && schedule.missing[id.index()] == 0 {
                schedule.ready.push(schedule.rank(id));
            }
        }
        schedule
    }

    /// How many tasks of this run take the output of each task.
    pub(crate) fn consumers(&self) -> Vec<u32> {
        self.graph
            .ids()
            .map(|id| self.dependents.count(id))
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
            .collect()
    }

    /// The next task to start or to go on with, with its worker and its limits taken.
    pub(crate) fn next(&mut self) -> Option<Next> {
        if !self.slots.has_worker() {
            return None;
        }
        while let Some(ready) = self.ready.pop() {
            let Reverse(node) = ready.node;
            let state = self.states[node.index()];
            if !matches!(state, State::Waiting | State::Resuming) {
                // It went on without waiting for its turn: what it was made ready for is for others.
                self.ready
                    .extend(self.slots.wake_waiters(self.spec(node), None));
                continue;
            }
            if let Some(limit) = self.slots.missing_limit(self.spec(node)) {
                let passed_on = self.slots.park(ready, self.spec(node), limit);
                self.ready.extend(passed_on);
                continue;
            }
            self.take(node);
            return Some(match state {
                State::Resuming => Next::Resume(node),
                _ => Next::Start(node),
            });
        }
        None
    }

    /// Whether a task is ready and a worker free.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty() && self.slots.has_worker()
    }

    /// The body of `node` has ended: its worker and its limits are free.
    pub(crate) fn body_ended(&mut self, node: NodeId) {
        match self.states[node.index()] {
            State::Running => self.release(node),
            State::Suspended | State::Resuming => self.suspended -= 1,
            _ => return,
        }
        self.states[node.index()] = State::Ended;
    }

    /// `node` was to start and is not to, in this run.
    pub(crate) fn hold_back(&mut self, node: NodeId) {
        self.release(node);
        self.states[node.index()] = State::Interrupted;
    }

    /// The body of `node` waits for tasks that it asked for: its worker and its limits are free.
    pub(crate) fn suspend(&mut self, node: NodeId) {
        if self.states[node.index()] == State::Running {
            self.states[node.index()] = State::Suspended;
            self.suspended += 1;
            self.release(node);
        }
    }

    /// The body of `node` can go on when its turn comes.
    pub(crate) fn resume(&mut self, node: NodeId) {
        if self.states[node.index()] == State::Suspended {
            self.states[node.index()] = State::Resuming;
            self.ready.push(self.rank(node));
        }
    }

    /// The body of `node` goes on at once, whether its worker and its limits are free or not.
    pub(crate) fn resume_now(&mut self, node: NodeId) {
        if self.is_suspended(node) {
            self.take(node);
        }
    }

    /// Whether `node` has run and its output is there.
    pub(crate) fn is_complete(&self, node: NodeId) -> bool {
        self.states[node.index()] == State::Completed
    }

    /// Whether `node` has still to run.
    pub(crate) fn is_waiting(&self, node: NodeId) -> bool {
        self.states[node.index()] == State::Waiting
    }

    /// Whether an attempt of `node` is under way.
    pub(crate) fn is_under_way(&self, node: NodeId) -> bool {
        matches!(
            self.states[node.index()],
            State::Running | State::Suspended | State::Resuming | State::Ended
        )
    }

    /// Whether the body of `node` waits, for tasks that it asked for or for its turn after that.
    pub(crate) fn is_suspended(&self, node: NodeId) -> bool {
        matches!(
            self.states[node.index()],
            State::Suspended | State::Resuming
        )
    }

    /// How many bodies hold nothing because they wait for tasks that they asked for.
    pub(crate) fn suspended(&self) -> usize {
        self.suspended
    }

    fn spec(&self, node: NodeId) -> &'static TaskSpec {
        self.graph.node(node).task.spec()
    }

    fn release(&mut self, node: NodeId) {
        let spec = self.spec(node);
        self.ready.extend(self.slots.release(spec));
    }

    pub(crate) fn take(&mut self, node: NodeId) {
        let state = &mut self.states[node.index()];
        if matches!(state, State::Suspended | State::Resuming) {
            self.suspended -= 1;
        }
        *state = State::Running;
        self.slots.take(self.spec(node));
    }

    /// Another process has `node`: it is not run here, unless [`retry`](Self::retry) says so.
    pub(crate) fn set_aside(&mut self, node: NodeId) {
        self.states[node.index()] = State::ForeignTasks;
    }

    /// An attempt of `node` is to be made, again or after all.
    pub(crate) fn retry(&mut self, node: NodeId) {
        self.states[node.index()] = State::Waiting;
        if !self.is_closed {
            self.ready.push(self.rank(node));
        }
    }

    /// The output of `node` is there.
    pub(crate) fn complete(&mut self, node: NodeId) {
        self.states[node.index()] = State::Completed;
        let Scheduler {
            states,
            missing,
            ranks,
            dependents,
            ready,
            tie_breaker,
            is_closed,
            ..
        } = self;
        for dependent in dependents.of(node) {
            let missing = &mut missing[dependent.index()];
            *missing -= 1;
            if *missing == 0 && states[dependent.index()] == State::Waiting && !*is_closed {
                ready.push(place(ranks[dependent.index()], *tie_breaker, dependent));
            }
        }
    }

    /// `node` failed for good: the tasks that cannot run because of it, each told once.
    pub(crate) fn fail(&mut self, node: NodeId) -> Vec<NodeId> {
        self.states[node.index()] = State::Failed;
        let mut blocked = Vec::new();
        let mut above = vec![node];
        while let Some(id) = above.pop() {
            for dependent in self.dependents.of(id) {
                let state = &mut self.states[dependent.index()];
                if *state == State::Waiting {
                    *state = State::Blocked;
                    blocked.push(dependent);
                    above.push(dependent);
                }
            }
        }
        blocked
    }

    /// `node` ended without an output and without failing: what requires it stays where it is.
    pub(crate) fn interrupt(&mut self, node: NodeId) {
        self.states[node.index()] = State::Interrupted;
    }

    /// The tasks that were started and have not ended.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = NodeId> {
        self.graph.ids().filter(|id| self.is_under_way(*id))
    }

    /// Takes in tasks that `asker` asked for, with all that they require; gives each dependency
    /// among them as a pair, what is required first, and those that are blocked by what failed before.
    pub(crate) fn add(&mut self, needs: &[(NodeId, Status)], asker: NodeId) -> Added {
        self.grow();
        let (priority, depth) = self.ranks[asker.index()];
        for &(node, _) in needs.iter().filter(|(_, need)| need.runs()) {
            self.states[node.index()] = State::Waiting;
            let own = self.spec(node).priority;
            self.ranks[node.index()] = (own.max(priority), depth + 1);
        }
        let mut added = Added::default();
        for &(node, _) in needs.iter().filter(|(_, need)| need.runs()) {
            for below in required(&self.graph, node) {
                let state = self.states[below.index()];
                added.edges.push((below, node));
                if matches!(state, State::Idle | State::Completed) {
                    continue;
                }
                self.dependents.add(below, node);
                self.missing[node.index()] += 1;
                if matches!(state, State::Failed | State::Blocked) {
                    added.blocked.push((node, below));
                }
            }
            if self.missing[node.index()] == 0 && !self.is_closed {
                self.ready.push(self.rank(node));
            }
        }
        added
    }

    /// Makes room for what came to the graph.
    pub(crate) fn grow(&mut self) {
        self.states.resize(self.graph.len(), State::Idle);
        self.missing.resize(self.graph.len(), 0);
        self.ranks.resize(self.graph.len(), (0, 0));
    }

    /// The way from `from` against the direction of the requirements to `to`, both included; `waiting`
    /// names the bodies that wait for a task that they asked for.
    pub(crate) fn path_up<W: Iterator<Item = NodeId>>(
        &self,
        from: NodeId,
        to: NodeId,
        waiting: impl Fn(NodeId) -> W,
    ) -> Option<Vec<NodeId>> {
        let mut came_from = HashMap::from([(from, from)]);
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            if node == to {
                let mut way = vec![to];
                while way.last() != Some(&from) {
                    way.push(came_from[&way[way.len() - 1]]);
                }
                way.reverse();
                return Some(way);
            }
            for above in self.dependents.of(node).chain(waiting(node)) {
                if let Entry::Vacant(entry) = came_from.entry(above) {
                    entry.insert(node);
                    open.push(above);
                }
            }
        }
        None
    }

    /// Nothing starts from now on.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.ready.clear();
        self.slots.forget_parked();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn rank(&self, node: NodeId) -> Ready {
        place(self.ranks[node.index()], self.tie_breaker, node)
    }
}

/// The place of a ready task in the line.
fn place((priority, depth): (i32, u32), tie_breaker: Option<u32>, node: NodeId) -> Ready {
    Ready {
        priority,
        depth,
        tie_breaker: tie_breaker.map_or(0, |tie_breaker| {
            (tie_breaker ^ node.0)
                .wrapping_mul(0x9e37_79b1)
                .rotate_left(16)
        }),
        node: Reverse(node),
    }
}
