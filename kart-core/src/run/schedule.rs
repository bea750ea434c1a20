//! Which task is next: a state machine over the events of a run. It does no I/O and starts nothing.
//!
//! Each task counts the requirements it still waits for; the last one to complete makes it ready.
//! Ready tasks wait in a heap, those that lack a limit in a heap of that limit, so that no event
//! looks at tasks that it does not concern.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::model::NodeId;
use crate::plan::{Graph, Need};

/// Among ready tasks the greatest goes first: by priority, then by how long a chain of tasks waits
/// on it, then in the order of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    priority: i32,
    depth: u32,
    node: Reverse<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has nothing to do in this run.
    Idle,
    Waiting,
    Running,
    Completed,
    Failed,
    Blocked,
    Interrupted,
}

#[derive(Debug)]
struct Limit {
    name: String,
    free: u32,
    /// Ready tasks that need more than is free.
    parked: BinaryHeap<Ready>,
}

/// The schedule of one run.
#[derive(Debug)]
pub(super) struct Schedule<'a> {
    graph: &'a Graph,
    states: Vec<State>,
    /// How many requirements each task still waits for.
    missing: Vec<u32>,
    ranks: Vec<(i32, u32)>,
    dependents: Dependents,
    ready: BinaryHeap<Ready>,
    limits: Vec<Limit>,
    free_workers: usize,
    is_closed: bool,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        needs: &[Need],
        workers: usize,
        limits: &BTreeMap<String, u32>,
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
        let mut schedule = Schedule {
            graph,
            states,
            missing: dependents.missing_requirements(needs),
            ranks: dependents.ranks(graph, needs),
            dependents,
            ready: BinaryHeap::new(),
            limits: limits
                .iter()
                .map(|(name, &free)| Limit {
                    name: name.clone(),
                    free,
                    parked: BinaryHeap::new(),
                })
                .collect(),
            free_workers: workers,
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
    pub(super) fn consumers(&self) -> Vec<u32> {
        self.graph
            .ids()
            .map(|id| self.dependents.of(id).len())
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
            .collect()
    }

    /// The next task to start, with its worker and its limits taken.
    pub(super) fn start(&mut self) -> Option<NodeId> {
        if self.free_workers == 0 {
            return None;
        }
        while let Some(ready) = self.ready.pop() {
            let Reverse(node) = ready.node;
            if let Some(limit) = self.lacking(node) {
                self.limits[limit].parked.push(ready);
                self.pass_on(node, limit);
                continue;
            }
            self.take(node);
            self.states[node.index()] = State::Running;
            return Some(node);
        }
        None
    }

    /// The body of `node` has ended: its worker and its limits are free.
    pub(super) fn body_ended(&mut self, node: NodeId) {
        self.free_workers += 1;
        for &(name, units) in self.graph.node(node).task.spec().uses {
            if let Some(at) = self.limits.iter().position(|limit| limit.name == name) {
                self.limits[at].free += units;
                self.unpark(at);
            }
        }
    }

    /// Makes those parked tasks ready for which there is enough of the limit.
    fn unpark(&mut self, at: usize) {
        let limit = &mut self.limits[at];
        let mut free = limit.free;
        while let Some(parked) = limit.parked.peek() {
            let wanted = units_of(self.graph, parked.node.0, &limit.name);
            if wanted > free {
                break;
            }
            free -= wanted;
            self.ready.extend(limit.parked.pop());
        }
    }

    /// A failed attempt of `node` is to be made again.
    pub(super) fn retry(&mut self, node: NodeId) {
        self.states[node.index()] = State::Waiting;
        if !self.is_closed {
            self.ready.push(self.rank(node));
        }
    }

    /// The output of `node` is there.
    pub(super) fn complete(&mut self, node: NodeId) {
        self.states[node.index()] = State::Completed;
        for at in self.dependents.range(node) {
            let dependent = self.dependents.edges[at];
            let missing = &mut self.missing[dependent.index()];
            *missing -= 1;
            if *missing == 0 && self.states[dependent.index()] == State::Waiting && !self.is_closed
            {
                self.ready.push(self.rank(dependent));
            }
        }
    }

    /// `node` failed for good: the tasks that cannot run because of it, each told once.
    pub(super) fn fail(&mut self, node: NodeId) -> Vec<NodeId> {
        self.states[node.index()] = State::Failed;
        let mut blocked = Vec::new();
        let mut above = vec![node];
        while let Some(id) = above.pop() {
            for at in self.dependents.range(id) {
                let dependent = self.dependents.edges[at];
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
    pub(super) fn interrupt(&mut self, node: NodeId) {
        self.states[node.index()] = State::Interrupted;
    }

    /// The tasks that were started and have not ended.
    pub(super) fn running(&self) -> impl Iterator<Item = NodeId> {
        self.graph
            .ids()
            .filter(|id| self.states[id.index()] == State::Running)
    }

    /// Nothing starts from now on.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.ready.clear();
        for limit in &mut self.limits {
            limit.parked.clear();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn rank(&self, node: NodeId) -> Ready {
        let (priority, depth) = self.ranks[node.index()];
        Ready {
            priority,
            depth,
            node: Reverse(node),
        }
    }

    /// The first limit of which `node` needs more than is free.
    fn lacking(&self, node: NodeId) -> Option<usize> {
        let uses = self.graph.node(node).task.spec().uses;
        uses.iter().find_map(|&(name, units)| {
            self.limits
                .iter()
                .position(|limit| limit.name == name && limit.free < units)
        })
    }

    /// What `node` was made ready for and cannot use, because it lacks `lacking` too, goes to
    /// those that wait for it. A task moves to a limit that it lacks, so this comes to an end.
    fn pass_on(&mut self, node: NodeId, lacking: usize) {
        for &(name, _) in self.graph.node(node).task.spec().uses {
            let found = self.limits.iter().position(|limit| limit.name == name);
            if let Some(at) = found.filter(|&at| at != lacking) {
                self.unpark(at);
            }
        }
    }

    fn take(&mut self, node: NodeId) {
        self.free_workers -= 1;
        for &(name, units) in self.graph.node(node).task.spec().uses {
            if let Some(limit) = self.limits.iter_mut().find(|limit| limit.name == name) {
                limit.free -= units;
            }
        }
    }
}

fn units_of(graph: &Graph, node: NodeId, limit: &str) -> u32 {
    let uses = graph.node(node).task.spec().uses;
    uses.iter()
        .find(|(name, _)| *name == limit)
        .map_or(0, |(_, units)| *units)
}

/// For each task those of this run that require it, each once.
#[derive(Debug)]
struct Dependents {
    starts: Vec<u32>,
    edges: Vec<NodeId>,
}

impl Dependents {
    fn new(graph: &Graph, needs: &[Need]) -> Self {
        let mut starts = vec![0_u32; graph.len() + 1];
        each_edge(graph, needs, |_, required| {
            starts[required.index() + 1] += 1;
        });
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut next = starts.clone();
        let total = starts.last().copied().unwrap_or(0);
        let mut edges = vec![NodeId(0); total as usize];
        each_edge(graph, needs, |dependent, required| {
            let at = &mut next[required.index()];
            edges[*at as usize] = dependent;
            *at += 1;
        });
        Dependents { starts, edges }
    }

    fn range(&self, node: NodeId) -> std::ops::Range<usize> {
        self.starts[node.index()] as usize..self.starts[node.index() + 1] as usize
    }

    fn of(&self, node: NodeId) -> &[NodeId] {
        &self.edges[self.range(node)]
    }

    fn missing_requirements(&self, needs: &[Need]) -> Vec<u32> {
        let mut missing = vec![0; needs.len()];
        for (index, need) in needs.iter().enumerate().filter(|(_, need)| need.runs()) {
            debug_assert!(need.runs());
            let range = self.starts[index] as usize..self.starts[index + 1] as usize;
            for dependent in &self.edges[range] {
                missing[dependent.index()] += 1;
            }
        }
        missing
    }

    /// For each task the highest priority among it and what waits on it, and how long the longest
    /// chain above it is. Dependents go first, so that each edge is looked at once.
    fn ranks(&self, graph: &Graph, needs: &[Need]) -> Vec<(i32, u32)> {
        let mut ranks: Vec<(i32, u32)> = graph
            .nodes
            .iter()
            .map(|node| (node.task.spec().priority, 0))
            .collect();
        let mut unseen: Vec<usize> = graph.ids().map(|id| self.of(id).len()).collect();
        let mut seen: Vec<NodeId> = graph.ids().filter(|id| unseen[id.index()] == 0).collect();
        while let Some(id) = seen.pop() {
            let (priority, depth) = ranks[id.index()];
            each_edge_of(graph, needs, id, |required| {
                let rank = &mut ranks[required.index()];
                *rank = (rank.0.max(priority), rank.1.max(depth + 1));
                unseen[required.index()] -= 1;
                if unseen[required.index()] == 0 {
                    seen.push(required);
                }
            });
        }
        ranks
    }
}

/// Calls `each` with every task that runs and each task that it requires, once for each pair.
fn each_edge(graph: &Graph, needs: &[Need], mut each: impl FnMut(NodeId, NodeId)) {
    for id in graph.ids() {
        each_edge_of(graph, needs, id, |required| each(id, required));
    }
}

fn each_edge_of(graph: &Graph, needs: &[Need], id: NodeId, each: impl FnMut(NodeId)) {
    if !needs[id.index()].runs() {
        return;
    }
    let mut required = Vec::new();
    graph
        .node(id)
        .for_each_requirement(|node| required.push(node));
    required.sort_unstable();
    required.dedup();
    required.into_iter().for_each(each);
}
