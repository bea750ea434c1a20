//! Which tasks run again although their outputs exist.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

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

/// Names the tasks, for people.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::All => f.write_str("all tasks"),
            Selector::Named(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                f.write_str(&names.join(", "))
            }
            Selector::OtherCode(_) => f.write_str("tasks whose code has changed"),
        }
    }
}

/// A rerun, as one run knows it.
#[derive(Debug)]
pub(crate) struct Rerun {
    pub(crate) id: RunId,
    pub(crate) tasks: Selector,
    /// The tasks whose outputs were made for it when the run looked, each with the run that made it.
    pub(crate) made: HashMap<NodeId, Option<RunId>>,
    /// How many tasks of the graph the run has looked at; `None` if it began the rerun itself, so that none is made.
    pub(crate) looked_at: Option<usize>,
}

/// What reruns want of a task that they reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Why it runs again although its output may exist; `None` if it is made for all of them.
    pub(crate) status: Option<Status>,
    pub(crate) making: Making,
    /// The reruns that reach it: what is published is made for all of them.
    pub(crate) reruns: Arc<[RunId]>,
    /// Those that it is still to be made for.
    pub(crate) wanted_by: Arc<[RunId]>,
    /// Whether it came to the graph after the run had looked what is made: its own lookup decides.
    pub(crate) is_late: bool,
}

impl Mark {
    /// Returns the mark of a task that another run has dispatched; that run knows who wants it.
    pub(crate) fn dispatched(status: Status, making: Making, reruns: &[RunId]) -> Self {
        Mark {
            status: Some(status).filter(|status| status.replaces()),
            making,
            reruns: reruns.into(),
            wanted_by: Arc::default(),
            is_late: false,
        }
    }
}

/// The edges of a graph from each task to those that require it.
pub(crate) struct Dependents(Vec<Vec<NodeId>>);

impl Dependents {
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut dependents = vec![Vec::new(); graph.len()];
        for id in graph.ids() {
            let node = graph.node(id);
            node.for_each_requirement(|required| dependents[required.index()].push(id));
        }
        Dependents(dependents)
    }

    /// Calls `reach` with all that depends on these tasks, until it returns `false`: nothing above is reached then.
    fn spread(&self, from: Vec<NodeId>, mut reach: impl FnMut(NodeId) -> bool) {
        let mut open = from;
        while let Some(id) = open.pop() {
            let dependents = self.0[id.index()].iter().copied();
            open.extend(dependents.filter(|dependent| reach(*dependent)));
        }
    }
}

impl Rerun {
    /// Returns the tasks that it reaches, whether they are made or not: those that it selects, and all that depends on them.
    pub(crate) fn reached(
        &self,
        graph: &Graph,
        dependents: &Dependents,
    ) -> HashMap<NodeId, Status> {
        let mut reached = HashMap::new();
        for id in graph.ids() {
            let node = graph.node(id);
            let spec = node.task.spec();
            let status = self.tasks.selects(spec, node.key);
            reached.extend(status.filter(|_| !spec.external).map(|status| (id, status)));
        }
        let selected = reached.keys().copied().collect();
        dependents.spread(selected, |id| match reached.entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(Status::Downstream);
                true
            }
        });
        reached
    }

    /// Returns those of the reached tasks that run again: all but those that were made for it from inputs that are as they
    /// should be.
    fn wanted(
        &self,
        reached: &HashMap<NodeId, Status>,
        dependents: &Dependents,
    ) -> HashSet<NodeId> {
        let is_wanted = |id: &NodeId| !self.made.contains_key(id);
        let mut wanted: HashSet<NodeId> = reached.keys().copied().filter(is_wanted).collect();
        let from = wanted.iter().copied().collect();
        dependents.spread(from, |id| wanted.insert(id));
        wanted
    }

    fn is_late(&self, id: NodeId) -> bool {
        self.looked_at
            .is_some_and(|looked_at| id.index() >= looked_at)
    }
}

/// Returns the tasks that reruns reach, and what they want of them; the reruns are in the order of their ids. A task that several of them want is made for the newest.
pub(crate) fn marks<'r>(
    graph: &Graph,
    reruns: impl IntoIterator<Item = &'r Rerun>,
) -> HashMap<NodeId, Mark> {
    let mut marks = HashMap::new();
    let mut sets = HashSet::new();
    let mut dependents = None;
    for rerun in reruns {
        let dependents = dependents.get_or_insert_with(|| Dependents::of(graph));
        let reached = rerun.reached(graph, dependents);
        let wanted = rerun.wanted(&reached, dependents);
        for (id, status) in reached {
            let is_wanted = wanted.contains(&id);
            let mark = marks.entry(id).or_insert_with(|| Mark {
                status: None,
                making: Making::default(),
                reruns: Arc::default(),
                wanted_by: Arc::default(),
                is_late: true,
            });
            mark.reruns = with(&mut sets, &mark.reruns, rerun.id);
            if is_wanted {
                if status != Status::Downstream || mark.status.is_none() {
                    mark.status = Some(status);
                }
                mark.making = Making::Rerun(rerun.id);
                mark.wanted_by = with(&mut sets, &mark.wanted_by, rerun.id);
                mark.is_late &= rerun.is_late(id);
            }
        }
    }
    marks
}

/// Returns the ids with one more. Most tasks share one of a few sets.
fn with(sets: &mut HashSet<Arc<[RunId]>>, ids: &[RunId], one: RunId) -> Arc<[RunId]> {
    let ids: Vec<RunId> = ids.iter().copied().chain([one]).collect();
    if let Some(set) = sets.get(ids.as_slice()) {
        return Arc::clone(set);
    }
    let set: Arc<[RunId]> = ids.into();
    sets.insert(Arc::clone(&set));
    set
}
