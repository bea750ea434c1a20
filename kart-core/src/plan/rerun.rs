//! Which tasks run again although their outputs exist.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::graph::Graph;
use super::survey::Status;
use crate::key::Key;
use crate::model::{NodeId, TaskSpec, linked};
use crate::run_id::RunId;
use crate::workspace::Making;

/// The tasks that a rerun begins with; all that depends on them is part of it too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Selector {
    /// All tasks.
    All,
    /// Those of these names. A name is the whole stable name of a task or the last part of it.
    Named(BTreeSet<String>),
    /// Those of these keys: other code had made their outputs when the rerun began.
    OtherCode(BTreeSet<Key>),
}

impl Selector {
    /// Returns why a task is one of them.
    fn selects(&self, spec: &TaskSpec, key: Key) -> Option<Status> {
        match self {
            Selector::All => Some(Status::RerunRequested),
            Selector::Named(names) => {
                let is_named = names.iter().any(|name| matches_name(name, spec.name));
                is_named.then_some(Status::RerunRequested)
            }
            Selector::OtherCode(keys) => keys.contains(&key).then_some(Status::CodeChanged),
        }
    }

    /// Returns whether one of the tasks of a graph is selected.
    pub(crate) fn selects_any(&self, graph: &Graph) -> bool {
        let mut nodes = graph.nodes();
        nodes.any(|node| self.selects(node.task.spec(), node.key).is_some())
    }

    /// Returns the names that no task of the graph has.
    pub(crate) fn unmatched(&self, graph: &Graph) -> Vec<String> {
        let Selector::Named(names) = self else {
            return Vec::new();
        };
        let is_matched = |wanted: &String| {
            let mut nodes = graph.nodes();
            nodes.any(|node| matches_name(wanted, node.task.spec().name))
        };
        let unmatched = names.iter().filter(|wanted| !is_matched(wanted));
        unmatched.cloned().collect()
    }

    /// Returns the names that neither a task of the graph has nor a linked one, which a body could ask for.
    pub(crate) fn unknown(&self, graph: &Graph) -> Vec<String> {
        let is_linked = |wanted: &String| linked().any(|spec| matches_name(wanted, spec.name));
        let mut unknown = self.unmatched(graph);
        unknown.retain(|wanted| !is_linked(wanted));
        unknown
    }
}

/// Returns whether somebody who writes `wanted` means a task of that name.
pub(crate) fn matches_name(wanted: &str, name: &str) -> bool {
    name == wanted
        || name
            .strip_suffix(wanted)
            .is_some_and(|above| above.ends_with('/'))
}

/// Why a task runs again although its output may exist, and for which rerun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) status: Status,
    pub(crate) making: Making,
}

/// A rerun: its id, which tasks it begins with, and what was made for it.
pub(crate) type Marking<'r> = (RunId, &'r Selector, &'r HashSet<Key>);

/// Returns the tasks that run again although their output may exist: those that the reruns select, and all that depends on
/// them, but for those that were made for their rerun from inputs that are as they should be.
///
/// A task that several reruns are for is made for the newest of them. The marks spread upwards along reversed edges, since nodes
/// have no helpful order.
pub(crate) fn marks<'r>(
    graph: &Graph,
    reruns: impl IntoIterator<Item = Marking<'r>>,
) -> HashMap<NodeId, Mark> {
    let mut marks = HashMap::new();
    let mut dependents = None;
    let mut reruns: Vec<Marking<'r>> = reruns.into_iter().collect();
    reruns.sort_unstable_by_key(|(id, ..)| *id);
    for (id, selector, made) in reruns {
        let making = Making::Rerun(id);
        let dependents = dependents.get_or_insert_with(|| dependents_of(graph));
        // Each task that is reached, and whether it runs again. What was made runs again above what does.
        let mut reached: HashMap<NodeId, bool> = HashMap::new();
        let mut open = Vec::new();
        for id in graph.ids() {
            let node = graph.node(id);
            let spec = node.task.spec();
            if spec.external {
                continue;
            }
            let status = selector.selects(spec, node.key);
            let is_made = made.contains(&node.key);
            if let Some(status) = status.filter(|_| !is_made) {
                marks.insert(id, Mark { status, making });
            }
            if is_made || status.is_some() {
                open.push((id, !is_made));
            }
        }
        while let Some((id, runs)) = open.pop() {
            let before = reached.insert(id, runs);
            if before.is_some_and(|before| before || !runs) {
                reached.insert(id, before.unwrap_or(runs));
                continue;
            }
            if runs {
                let status = Status::Downstream;
                let mark = marks.entry(id).or_insert(Mark { status, making });
                mark.making = making;
            }
            for &dependent in &dependents[id.index()] {
                let is_made = made.contains(&graph.node(dependent).key);
                open.push((dependent, runs || !is_made));
            }
        }
    }
    marks
}

fn dependents_of(graph: &Graph) -> Vec<Vec<NodeId>> {
    let mut dependents = vec![Vec::new(); graph.len()];
    for id in graph.ids() {
        let node = graph.node(id);
        node.for_each_requirement(|required| dependents[required.index()].push(id));
    }
    dependents
}
