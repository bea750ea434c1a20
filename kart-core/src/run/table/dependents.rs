//! Which tasks require a task: the reversed edges of the graph.

use std::collections::HashMap;

use crate::model::NodeId;
use crate::plan::Graph;

/// The dependents of each task, each once.
#[derive(Debug)]
pub(crate) struct Dependents {
    starts: Vec<u32>,
    edges: Vec<NodeId>,
    /// Edges that the graph got later.
    grown: HashMap<NodeId, Vec<NodeId>>,
    /// The number of tasks whose edges are here.
    known: usize,
}

impl Dependents {
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut starts = vec![0_u32; graph.len() + 1];
        let mut distinct = Distinct::new(graph.len());
        for id in graph.ids() {
            distinct.each(graph, id, |required| starts[required.index() + 1] += 1);
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut next = starts.clone();
        let total = starts.last().copied().unwrap_or(0);
        let mut edges = vec![NodeId(0); total as usize];
        let mut distinct = Distinct::new(graph.len());
        for id in graph.ids() {
            distinct.each(graph, id, |required| {
                let at = &mut next[required.index()];
                edges[*at as usize] = id;
                *at += 1;
            });
        }
        Dependents {
            starts,
            edges,
            grown: HashMap::new(),
            known: graph.len(),
        }
    }

    /// Adds the edges of tasks that the graph has grown by.
    pub(crate) fn grow(&mut self, graph: &Graph) {
        for id in graph.ids().skip(self.known) {
            for required in required(graph, id) {
                self.grown.entry(required).or_default().push(id);
            }
        }
        self.known = graph.len();
    }

    /// Returns the tasks that require `node`.
    pub(crate) fn of(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let planned = match self.starts.get(node.index()..node.index() + 2) {
            Some(&[from, to]) => &self.edges[from as usize..to as usize],
            _ => &[],
        };
        let grown = self.grown.get(&node).map_or(&[][..], Vec::as_slice);
        planned.iter().chain(grown).copied()
    }
}

/// Visits the requirements of tasks, each once, even if a task names one twice.
struct Distinct {
    /// The task that last named each requirement.
    seen: Vec<u32>,
}

impl Distinct {
    fn new(tasks: usize) -> Self {
        Distinct {
            seen: vec![u32::MAX; tasks],
        }
    }

    fn each(&mut self, graph: &Graph, id: NodeId, mut each: impl FnMut(NodeId)) {
        graph.node(id).for_each_requirement(|required| {
            let seen = &mut self.seen[required.index()];
            if std::mem::replace(seen, id.0) != id.0 {
                each(required);
            }
        });
    }
}

/// Returns the requirements of a task, each once.
pub(crate) fn required(graph: &Graph, id: NodeId) -> Vec<NodeId> {
    let mut required = Vec::new();
    graph
        .node(id)
        .for_each_requirement(|node| required.push(node));
    if required.len() > 1 {
        required.sort_unstable();
        required.dedup();
    }
    required
}
