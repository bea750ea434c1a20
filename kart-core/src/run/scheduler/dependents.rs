//! Who waits for whom, against the direction of the requirements.

use std::collections::HashMap;

use crate::model::NodeId;
use crate::plan::{Graph, Status};

/// For each task those of this run that require it, each once.
#[derive(Debug)]
pub(crate) struct Dependents {
    starts: Vec<u32>,
    edges: Vec<NodeId>,
    /// What came to the graph later.
    grown: HashMap<NodeId, Vec<NodeId>>,
}

impl Dependents {
    pub(crate) fn new(graph: &Graph, needs: &[Status]) -> Self {
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
        Dependents {
            starts,
            edges,
            grown: HashMap::new(),
        }
    }

    fn planned(&self, node: NodeId) -> &[NodeId] {
        match self.starts.get(node.index()..node.index() + 2) {
            Some(&[from, to]) => &self.edges[from as usize..to as usize],
            _ => &[],
        }
    }

    /// The tasks that require `node`.
    pub(crate) fn of(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let grown = self.grown.get(&node).map_or(&[][..], Vec::as_slice);
        self.planned(node).iter().chain(grown).copied()
    }

    pub(crate) fn count(&self, node: NodeId) -> usize {
        self.of(node).count()
    }

    /// `dependent` waits for `required` from now on.
    pub(crate) fn add(&mut self, required: NodeId, dependent: NodeId) {
        self.grown.entry(required).or_default().push(dependent);
    }

    pub(crate) fn missing_requirements(&self, needs: &[Status]) -> Vec<u32> {
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
    pub(crate) fn ranks(&self, graph: &Graph, needs: &[Status]) -> Vec<(i32, u32)> {
        let mut ranks: Vec<(i32, u32)> = graph
            .nodes()
            .map(|node| (node.task.spec().priority, 0))
            .collect();
        let mut unseen: Vec<usize> = graph.ids().map(|id| self.count(id)).collect();
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
fn each_edge(graph: &Graph, needs: &[Status], mut each: impl FnMut(NodeId, NodeId)) {
    for id in graph.ids() {
        each_edge_of(graph, needs, id, |required| each(id, required));
    }
}

fn each_edge_of(graph: &Graph, needs: &[Status], id: NodeId, each: impl FnMut(NodeId)) {
    if needs[id.index()].runs() {
        required(graph, id).into_iter().for_each(each);
    }
}

/// What a task requires, each once.
pub(crate) fn required(graph: &Graph, id: NodeId) -> Vec<NodeId> {
    let mut required = Vec::new();
    graph
        .node(id)
        .for_each_requirement(|node| required.push(node));
    required.sort_unstable();
    required.dedup();
    required
}
