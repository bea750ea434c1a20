//! The graph of a run: every task once, with its key and requirements.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError, RwLock};

use super::expand::{Expansion, Fingerprints};
use super::key_map::KeyMap;
use super::limits::ExpandLimits;
use crate::error::{Error, catch_panic};
use crate::key::{self, Key};
use crate::model::{DynTask, NodeId, Redactor, Requirement};
use crate::workspace::{Maker, OutputAddress};

/// One task of a graph.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) task: Arc<dyn DynTask>,
    pub(crate) key: Key,
    pub(crate) requires: Box<[Requirement]>,
}

impl Node {
    /// Where the output goes, relative to the workspace.
    pub(crate) fn path(&self) -> Result<String, Error> {
        path(self.task.as_ref(), self.key)
    }

    /// Where the output goes, and whose it has to be.
    pub(crate) fn address(&self) -> Result<OutputAddress, Error> {
        let spec = self.task.spec();
        Ok(OutputAddress {
            path: self.path()?.into(),
            maker: if spec.external {
                Maker::External
            } else {
                Maker::Task(self.key)
            },
        })
    }

    /// Calls `each` with every required task, in order, as often as it is named.
    pub(crate) fn for_each_requirement(&self, mut each: impl FnMut(NodeId)) {
        for requirement in &self.requires {
            requirement.req.for_each(&mut each);
        }
    }
}

/// Where the output of a task with that key goes, relative to the workspace.
fn path(task: &dyn DynTask, key: Key) -> Result<String, Error> {
    let spec = task.spec();
    let render = || {
        let extension = task.extension();
        let path = key::render(spec.path, spec.name, key, extension, |param| {
            task.path_param(param)
        });
        path.map_err(|error| error.to_string())
    };
    catch_panic(render).flatten().map_err(|reason| Error::Key {
        task: spec.name.to_owned(),
        param: "path".to_owned(),
        reason: Redactor::of(task).redact(reason),
    })
}

/// How much of a task's parameters an error shows.
const SHOWN_CHARS: usize = 600;

/// A task with its parameters, as errors and reports name it.
pub(crate) fn describe(task: &dyn DynTask) -> String {
    let mut text = catch_panic(|| format!("{task:?}")).unwrap_or_else(|panic| {
        format!("{} {{ a parameter's `Debug` {panic} }}", task.spec().name)
    });
    if let Some((cut, _)) = text.char_indices().nth(SHOWN_CHARS) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// Tasks, and all that they require, each once. It grows while others read it: a node keeps its id
/// and its place for good.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) roots: Vec<NodeId>,
    planned: Vec<Node>,
    by_key: KeyMap<NodeId>,
    grown: boxcar::Vec<Node>,
    grown_by_key: RwLock<KeyMap<NodeId>>,
}

impl Graph {
    /// Expands the tasks and all that they require.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] for a parameter without a canonical form, [`Error::Cycle`] for tasks that
    /// require each other, [`Error::PathClash`] for two tasks with one path, [`Error::TooManyTasks`] and
    /// [`Error::Interrupted`] by the limits.
    pub(crate) fn expand(
        roots: Vec<Arc<dyn DynTask>>,
        limits: &ExpandLimits,
    ) -> Result<Graph, Error> {
        let none = Graph::default();
        let mut fingerprints = Fingerprints::default();
        let expanded = Expansion::new(&none, &mut fingerprints, limits).expand(roots)?;
        let graph = Graph {
            roots: expanded.roots,
            planned: expanded.nodes,
            by_key: expanded.by_key,
            ..Graph::default()
        };
        check_paths(&mut Paths::new(), graph.nodes())?;
        Ok(graph)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        match self.planned.get(id.index()) {
            Some(node) => node,
            None => &self.grown[id.index() - self.planned.len()],
        }
    }

    pub(crate) fn find(&self, key: Key) -> Option<NodeId> {
        let grown = || {
            let grown = self.grown_by_key.read();
            let grown = grown.unwrap_or_else(PoisonError::into_inner);
            grown.get(&key).copied()
        };
        self.by_key.get(&key).copied().or_else(grown)
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> usize {
        self.planned.len() + self.grown.count()
    }

    /// Whether there is no task at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.len()).map(node_id)
    }

    /// All nodes in the order of their ids.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.ids().map(|id| self.node(id))
    }
}

/// What it takes to add to a graph while it is in use: what tells its tasks apart, and the paths
/// that are taken. Found when the first task is added, so that a run without costs nothing.
#[derive(Debug)]
pub(crate) struct GraphExtender {
    fingerprints: Fingerprints,
    paths: Paths,
}

/// The tasks whose paths hold no key, by their paths.
type Paths = HashMap<String, Arc<dyn DynTask>>;

impl GraphExtender {
    /// For a graph that nobody else adds to.
    ///
    /// # Errors
    ///
    /// None that the graph's own expansion has not met before.
    pub(crate) fn of(graph: &Graph) -> Result<Self, Error> {
        let mut paths = Paths::new();
        check_paths(&mut paths, graph.nodes())?;
        Ok(GraphExtender {
            fingerprints: Fingerprints::of(graph)?,
            paths,
        })
    }

    /// The place of `task` in the graph, with all that it requires; what is there already stays as
    /// it is.
    ///
    /// # Errors
    ///
    /// Those of [`Graph::expand`]; the graph has not changed then.
    pub(crate) fn add(
        &mut self,
        graph: &Graph,
        task: Arc<dyn DynTask>,
        limits: &ExpandLimits,
    ) -> Result<NodeId, Error> {
        let expanded = Expansion::new(graph, &mut self.fingerprints, limits)
            .expand(vec![task])
            .and_then(|expanded| {
                check_paths(&mut self.paths, &expanded.nodes)?;
                Ok(expanded)
            });
        let expanded = match expanded {
            Ok(expanded) => expanded,
            Err(error) => {
                *self = GraphExtender::of(graph)?;
                return Err(error);
            }
        };
        for node in expanded.nodes {
            graph.grown.push(node);
        }
        let grown = graph.grown_by_key.write();
        let mut grown = grown.unwrap_or_else(PoisonError::into_inner);
        grown.extend(expanded.by_key);
        Ok(expanded.roots[0])
    }
}

/// A path that holds the key belongs to that key alone; the others are compared.
fn check_paths<'n>(
    owners: &mut Paths,
    nodes: impl IntoIterator<Item = &'n Node>,
) -> Result<(), Error> {
    for node in nodes {
        if node.task.spec().is_keyed() {
            continue;
        }
        match owners.entry(node.path()?) {
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(&node.task));
            }
            Entry::Occupied(entry) => {
                return Err(Error::PathClash {
                    path: entry.key().clone(),
                    first: describe(entry.get().as_ref()),
                    second: describe(node.task.as_ref()),
                });
            }
        }
    }
    Ok(())
}

pub(super) fn node_id(index: usize) -> NodeId {
    // `Expansion::intern` refuses more.
    NodeId(u32::try_from(index).unwrap_or(u32::MAX))
}
