//! All that is known of each task in a run, in columns by node id.
//!
//! Only this room writes states. [`TaskTable::set`] alone gives a task its terminal state, and it reaches everyone who
//! waits for the task: the tasks that require it, and the bodies that asked for it. [`Effects`] collects what follows
//! for the rest of the run.

mod cycle;
pub(crate) mod dependents;
mod foreign_waits;
mod need;
mod state;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use self::dependents::{Dependents, required};
use super::message::FailedAttempt;
use super::subtask_waits::{SubtaskWaits, Waiter};
use super::task_lease::TaskLease;
use crate::lease::Owner;
use crate::model::NodeId;
use crate::plan::{Graph, Mark, Status};
use crate::report::Outcome;

pub(crate) use foreign_waits::ForeignWait;
pub(crate) use state::{Ending, State};

/// What orders the ready queue: the highest priority among the task and what waits for it, then the length of the longest
/// chain of tasks that waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) priority: i32,
    pub(crate) depth: u32,
}

/// How far the lookup of a task in the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookupState {
    Unknown,
    InFlight,
    Known,
}

/// What is known of the attempts of a task, while one is in progress or another one will follow.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// The number of the attempt in progress, or of the next.
    pub(crate) number: u32,
    /// When the attempt in progress started.
    pub(crate) since: Option<Instant>,
    /// The last attempt, while the task backs off.
    pub(crate) failed: Option<FailedAttempt>,
    /// The lease that the last attempt keeps for the next.
    pub(crate) lease: Option<TaskLease>,
    /// How often its inputs have vanished.
    pub(crate) vanished: u32,
    /// Set while another process holds the task, as far as this run knows.
    pub(crate) foreign: Option<Foreign>,
}

/// A task that another process holds.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// When this run last tried to claim it.
    pub(crate) tried: Instant,
    /// Unknown after this process has lost its lease.
    pub(crate) owner: Option<Owner>,
}

/// What follows from changed states for the rest of the run.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Tasks that can start.
    pub(crate) ready: Vec<NodeId>,
    /// Blocked tasks, each with the requirement that blocks it.
    pub(crate) blocked: Vec<(NodeId, NodeId)>,
    /// Subtasks that have ended, each with a body that waits for it.
    pub(crate) answers: Vec<(NodeId, Waiter)>,
    /// Waits that would never end, each with its cycle of tasks.
    pub(crate) cycles: Vec<(Waiter, Vec<NodeId>)>,
    /// Tasks that will run, each with its requirements.
    pub(crate) consumers: Vec<(NodeId, Vec<NodeId>)>,
}

/// The task table of one run.
#[derive(Debug)]
pub(crate) struct TaskTable {
    graph: Arc<Graph>,
    status: Vec<Status>,
    lookup: Vec<LookupState>,
    state: Vec<State>,
    /// How many requirements a waiting task still lacks.
    missing: Vec<u32>,
    rank: Vec<Rank>,
    outcome: Vec<Outcome>,
    attempts: HashMap<NodeId, Attempts>,
    pub(crate) waits: SubtaskWaits,
    dependents: Dependents,
    /// The tasks that reruns reach.
    marks: HashMap<NodeId, Mark>,
    /// Tasks to look up in the store next.
    frontier: Vec<NodeId>,
    /// The number of lookups that are not answered yet.
    in_flight: usize,
    is_closed: bool,
    effects: Effects,
}

impl TaskTable {
    pub(crate) fn new(graph: &Arc<Graph>) -> Self {
        let mut table = TaskTable {
            graph: Arc::clone(graph),
            status: Vec::new(),
            lookup: Vec::new(),
            state: Vec::new(),
            missing: Vec::new(),
            rank: Vec::new(),
            outcome: Vec::new(),
            attempts: HashMap::new(),
            waits: SubtaskWaits::default(),
            dependents: Dependents::new(graph),
            marks: HashMap::new(),
            frontier: Vec::new(),
            in_flight: 0,
            is_closed: false,
            effects: Effects::default(),
        };
        table.resize();
        table
    }

    /// Adds rows for the tasks that the graph has grown by.
    pub(crate) fn grow(&mut self) {
        if self.graph.len() > self.state.len() {
            self.dependents.grow(&self.graph);
            self.resize();
        }
    }

    fn resize(&mut self) {
        let len = self.graph.len();
        self.status.resize(len, Status::NotNeeded);
        self.lookup.resize(len, LookupState::Unknown);
        self.state.resize(len, State::NotNeeded);
        self.missing.resize(len, 0);
        self.rank.resize(len, Rank::default());
        self.outcome.resize(len, Outcome::NotNeeded);
    }

    pub(crate) fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    pub(crate) fn state(&self, node: NodeId) -> State {
        self.state[node.index()]
    }

    pub(crate) fn status(&self, node: NodeId) -> Status {
        self.status[node.index()]
    }

    pub(crate) fn rank(&self, node: NodeId) -> Rank {
        self.rank[node.index()]
    }

    pub(crate) fn outcome(&self, node: NodeId) -> &Outcome {
        &self.outcome[node.index()]
    }

    pub(crate) fn set_outcome(&mut self, node: NodeId, outcome: Outcome) {
        self.outcome[node.index()] = outcome;
    }

    pub(crate) fn attempts(&self, node: NodeId) -> Option<&Attempts> {
        self.attempts.get(&node)
    }

    /// Returns what is known of the attempts of `node`, from attempt 1 where there is nothing yet.
    pub(crate) fn attempts_mut(&mut self, node: NodeId) -> &mut Attempts {
        self.attempts.entry(node).or_insert_with(|| Attempts {
            number: 1,
            ..Attempts::default()
        })
    }

    /// Returns the statuses of all tasks; tasks that nothing needs are [`Status::NotNeeded`].
    pub(crate) fn statuses(&self) -> Vec<Status> {
        let needed = self.state.iter().map(|state| *state != State::NotNeeded);
        let each = self.status.iter().zip(needed);
        each.map(|(status, needed)| if needed { *status } else { Status::NotNeeded })
            .collect()
    }

    pub(crate) fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcome)
    }

    /// Returns the tasks whose state matches.
    pub(crate) fn all(&self, is_one: impl Fn(State) -> bool) -> Vec<NodeId> {
        let ids = self.graph.ids().zip(&self.state);
        ids.filter(|(_, state)| is_one(**state))
            .map(|(id, _)| id)
            .collect()
    }

    /// Returns the waiting tasks that lack nothing.
    pub(crate) fn ready(&self) -> Vec<NodeId> {
        let is_ready = |id: &NodeId| self.is_ready(*id);
        let ids = self.graph.ids().take(self.state.len());
        ids.filter(is_ready).collect()
    }

    pub(crate) fn is_ready(&self, node: NodeId) -> bool {
        self.state(node) == State::Waiting && self.missing[node.index()] == 0
    }

    /// Takes what follows from the changes since the last call.
    pub(crate) fn take_effects(&mut self) -> Option<Effects> {
        let effects = &self.effects;
        let is_empty = effects.ready.is_empty()
            && effects.blocked.is_empty()
            && effects.answers.is_empty()
            && effects.cycles.is_empty()
            && effects.consumers.is_empty();
        (!is_empty).then(|| std::mem::take(&mut self.effects))
    }

    /// Changes the state of a task. A terminal state also ends the waits for it and blocks its dependents.
    pub(crate) fn set(&mut self, node: NodeId, state: State) {
        self.state[node.index()] = state;
        let Some(ending) = state.ending() else {
            return;
        };
        self.end(node, ending);
        let mut above = Vec::new();
        if ending != Ending::Complete {
            above.push((node, ending));
        }
        while let Some((id, ending)) = above.pop() {
            let dependents: Vec<NodeId> = self.dependents.of(id).collect();
            for dependent in dependents {
                if self.state(dependent) != State::Waiting {
                    continue;
                }
                if ending == Ending::Failed {
                    self.state[dependent.index()] = State::Blocked;
                    self.effects.blocked.push((dependent, id));
                } else {
                    self.state[dependent.index()] = State::Unreachable;
                }
                self.end(dependent, ending);
                above.push((dependent, ending));
            }
        }
    }

    /// Reaches everyone who waits for a task that has ended. Nothing else does.
    fn end(&mut self, node: NodeId, ending: Ending) {
        if !self.attempts.is_empty() {
            self.attempts.remove(&node);
        }
        let waiters = self.waits.take(node).into_iter();
        self.effects
            .answers
            .extend(waiters.map(|waiter| (node, waiter)));
        if ending != Ending::Complete {
            return;
        }
        for dependent in self.dependents.of(node) {
            if self.state[dependent.index()] != State::Waiting {
                continue;
            }
            let missing = &mut self.missing[dependent.index()];
            *missing = missing.saturating_sub(1);
            if *missing == 0 {
                self.effects.ready.push(dependent);
            }
        }
    }

    /// Makes a body wait for `target`, and answers at once if that has ended already.
    pub(crate) fn wait(&mut self, target: NodeId, waiter: Waiter) {
        if self.state(target).ending().is_some() {
            self.effects.answers.push((target, waiter));
            return;
        }
        if let Some(cycle) = self.path(target, waiter.by) {
            let circle = std::iter::once(waiter.by).chain(cycle).collect();
            self.effects.cycles.push((waiter, circle));
            return;
        }
        self.waits.add(target, waiter);
    }

    /// Closes the table: nothing starts any more. Foreign tasks, and subtasks without an attempt in progress, become
    /// unreachable, so every wait for them ends.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        for node in self.foreign() {
            self.set(node, State::Unreachable);
        }
        for target in self.waits.targets() {
            let state = self.state(target);
            if !state.is_under_way() && state.ending().is_none() {
                self.set(target, State::Unreachable);
            }
        }
    }

    /// Returns the tasks that other processes hold, in order.
    pub(crate) fn foreign(&self) -> Vec<NodeId> {
        self.special(State::Foreign)
    }

    /// Returns the tasks that back off, in order.
    pub(crate) fn backing_off(&self) -> Vec<NodeId> {
        self.special(State::BackingOff)
    }

    /// Returns whether a task without an attempt in progress will get one by itself, after a backoff or a poll.
    pub(crate) fn awaits_attempts(&self) -> bool {
        let mut tasks = self.attempts.keys();
        tasks.any(|node| matches!(self.state(*node), State::Foreign | State::BackingOff))
    }

    fn special(&self, state: State) -> Vec<NodeId> {
        let tasks = self.attempts.keys().copied();
        let mut tasks: Vec<NodeId> = tasks.filter(|node| self.state(*node) == state).collect();
        tasks.sort_unstable();
        tasks
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Ranks the waiting tasks by all that waits for them. Visits each edge once.
    pub(crate) fn rank_all(&mut self) {
        let mut is_ranked = vec![false; self.state.len()];
        let mut stack = Vec::new();
        for root in self.graph.ids().take(self.state.len()) {
            stack.push((root, false));
            while let Some((node, is_open)) = stack.pop() {
                let at = node.index();
                if is_ranked[at] || self.state[at] != State::Waiting {
                    continue;
                }
                if !is_open {
                    stack.push((node, true));
                    for above in self.dependents.of(node) {
                        if !is_ranked[above.index()] {
                            stack.push((above, false));
                        }
                    }
                    continue;
                }
                let mut rank = self.own_rank(node);
                for above in self.dependents.of(node) {
                    if self.state[above.index()] == State::Waiting {
                        rank = rank.below(self.rank[above.index()]);
                    }
                }
                self.rank[at] = rank;
                is_ranked[at] = true;
            }
        }
    }

    fn own_rank(&self, node: NodeId) -> Rank {
        Rank {
            priority: self.graph.node(node).task.spec().priority,
            depth: 0,
        }
    }

    fn required(&self, node: NodeId) -> Vec<NodeId> {
        required(&self.graph, node)
    }
}

impl Rank {
    /// Returns this rank, raised for a dependent of rank `above`.
    fn below(self, above: Rank) -> Self {
        Rank {
            priority: self.priority.max(above.priority),
            depth: self.depth.max(above.depth.saturating_add(1)),
        }
    }
}
