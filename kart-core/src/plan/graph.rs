//! The graph of a run: every task once, with its key and requirements.
//!
//! Tasks are told apart by a fingerprint of their parameters before their requirements are
//! expanded, so that a shared part is expanded once: the cost is linear in nodes and edges. The
//! walk keeps its own stack, so that no chain is too long for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::key_map::KeyMap;
use crate::error::Error;
use crate::key::{self, Key, KeyHasher};
use crate::model::{DynTask, Intern, NodeId, Params, Req, Requirement, Requirements};

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
    key::render(spec.path, spec.name, key, task.extension(), |param| {
        task.path_param(param)
    })
    .map_err(|error| Error::Key {
        task: spec.name.to_owned(),
        param: "path".to_owned(),
        reason: error.to_string(),
    })
}

/// How much of a task's parameters an error shows.
const SHOWN_CHARS: usize = 600;

/// A task with its parameters, as errors and reports name it.
pub(crate) fn describe(task: &dyn DynTask) -> String {
    let mut text = format!("{task:?}");
    if let Some((cut, _)) = text.char_indices().nth(SHOWN_CHARS) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// Tasks, and all that they require, each once.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) roots: Vec<NodeId>,
    by_key: KeyMap<NodeId>,
}

impl Graph {
    /// Expands the tasks and all that they require.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] for a parameter without a canonical form, [`Error::Cycle`] for tasks that
    /// require each other, [`Error::PathClash`] for two tasks with one path.
    pub(crate) fn expand(roots: Vec<Arc<dyn DynTask>>) -> Result<Graph, Error> {
        let mut expansion = Expansion::default();
        let roots: Vec<NodeId> = roots
            .into_iter()
            .map(|root| expansion.intern(root))
            .collect();
        for &root in &roots {
            expansion.walk(root)?;
        }
        let graph = expansion.finish(&roots);
        graph.check_paths()?;
        Ok(graph)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    pub(crate) fn find(&self, key: Key) -> Option<NodeId> {
        self.by_key.get(&key).copied()
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no task at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(node_id)
    }

    /// A path that holds the key belongs to that key alone; the others are compared.
    fn check_paths(&self) -> Result<(), Error> {
        let mut owners: HashMap<String, &Node> = HashMap::new();
        for node in &self.nodes {
            if node.task.spec().is_keyed() {
                continue;
            }
            match owners.entry(node.path()?) {
                Entry::Vacant(entry) => {
                    entry.insert(node);
                }
                Entry::Occupied(entry) => {
                    return Err(Error::PathClash {
                        path: entry.key().clone(),
                        first: describe(entry.get().task.as_ref()),
                        second: describe(node.task.as_ref()),
                    });
                }
            }
        }
        Ok(())
    }
}

fn node_id(index: usize) -> NodeId {
    // `Expansion::intern` refuses more.
    NodeId(u32::try_from(index).unwrap_or(u32::MAX))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// On the stack: its requirements are being walked.
    Open,
    Done,
}

/// A graph in the making. Tasks that differ in insignificant parameters alone have one key; the
/// first of them stands for all, through `stands_for`.
#[derive(Default)]
struct Expansion {
    nodes: Vec<Node>,
    states: Vec<State>,
    stands_for: Vec<NodeId>,
    by_fingerprint: KeyMap<NodeId>,
    by_key: KeyMap<NodeId>,
    params: Params,
    error: Option<Error>,
    refused: Option<String>,
}

struct Frame {
    node: NodeId,
    requires: Vec<NodeId>,
    next: usize,
}

impl Intern for Expansion {
    /// The place of the task; the same for an equal one. An error is kept until the walk looks.
    fn intern(&mut self, task: Arc<dyn DynTask>) -> NodeId {
        let id = node_id(self.nodes.len());
        if let Err(error) = self.params.read(task.as_ref()) {
            self.error.get_or_insert(error);
            return id;
        }
        match self
            .by_fingerprint
            .entry(self.params.fingerprint(task.spec().name))
        {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                entry.insert(id);
                self.nodes.push(Node {
                    task,
                    key: Key::default(),
                    requires: Box::default(),
                });
                self.states.push(State::New);
                self.stands_for.push(id);
                id
            }
        }
    }

    fn refuse(&mut self, reason: String) {
        self.refused.get_or_insert(reason);
    }
}

impl Expansion {
    /// Visits everything below `root` in post-order: a key is made of the keys of what is required.
    fn walk(&mut self, root: NodeId) -> Result<(), Error> {
        self.check()?;
        let mut stack = Vec::new();
        if self.states[root.index()] == State::New {
            stack.push(self.open(root)?);
        }
        while let Some(frame) = stack.last_mut() {
            let Some(&required) = frame.requires.get(frame.next) else {
                let node = frame.node;
                stack.pop();
                self.close(node)?;
                continue;
            };
            frame.next += 1;
            match self.states[required.index()] {
                State::Done => {}
                State::New => stack.push(self.open(required)?),
                State::Open => return Err(self.cycle(&stack, required)),
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Error> {
        self.error.take().map_or(Ok(()), Err)
    }

    fn open(&mut self, node: NodeId) -> Result<Frame, Error> {
        let task = Arc::clone(&self.nodes[node.index()].task);
        let mut requirements = Requirements::new(self);
        task.requires(&mut requirements);
        let requires = requirements.finish();
        self.check()?;
        if let Some(reason) = self.refused.take() {
            let task = describe(task.as_ref());
            return Err(Error::Requirement { task, reason });
        }
        self.states[node.index()] = State::Open;
        self.nodes[node.index()].requires = requires;
        let mut below = Vec::new();
        self.nodes[node.index()].for_each_requirement(|required| below.push(required));
        Ok(Frame {
            node,
            requires: below,
            next: 0,
        })
    }

    fn close(&mut self, id: NodeId) -> Result<(), Error> {
        let node = &self.nodes[id.index()];
        self.params.read(node.task.as_ref())?;
        let key = self.key(node);
        self.nodes[id.index()].key = key;
        self.states[id.index()] = State::Done;
        self.stands_for[id.index()] = *self.by_key.entry(key).or_insert(id);
        Ok(())
    }

    /// The key over `{"params":{…},"requires":{…},"task":"…","version":…}`; the parameters have
    /// just been read.
    fn key(&self, node: &Node) -> Key {
        let spec = node.task.spec();
        let mut tail = Vec::new();
        let mut hasher = KeyHasher::default();
        hasher.update(b"{\"params\":{");
        hasher.update(self.params.members());
        hasher.update(b"},\"requires\":{");
        for (at, requirement) in node.requires.iter().enumerate() {
            tail.clear();
            if at > 0 {
                tail.push(b',');
            }
            key::canonical::write_str(&mut tail, requirement.name);
            tail.push(b':');
            hasher.update(&tail);
            self.hash_req(&requirement.req, &mut hasher);
        }
        tail.clear();
        tail.extend_from_slice(b"},\"task\":");
        key::canonical::write_str(&mut tail, spec.name);
        tail.extend_from_slice(format!(",\"version\":{}}}", spec.version).as_bytes());
        hasher.update(&tail);
        hasher.finish()
    }

    fn hash_req(&self, req: &Req, hasher: &mut KeyHasher) {
        match req {
            Req::Task(node) => {
                let mut text = [b'"'; 34];
                text[1..33].copy_from_slice(&self.nodes[node.index()].key.to_hex());
                hasher.update(&text);
            }
            Req::Null => {
                hasher.update(b"null");
            }
            Req::List(items) => {
                hasher.update(b"[");
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        hasher.update(b",");
                    }
                    self.hash_req(item, hasher);
                }
                hasher.update(b"]");
            }
            Req::Map(map) => {
                let mut order: Vec<usize> = (0..map.names.len()).collect();
                order.sort_by(|&a, &b| key::canonical::compare(&map.names[a], &map.names[b]));
                hasher.update(b"{");
                for (at, &member) in order.iter().enumerate() {
                    let mut name = Vec::new();
                    if at > 0 {
                        name.push(b',');
                    }
                    key::canonical::write_str(&mut name, &map.names[member]);
                    name.push(b':');
                    hasher.update(&name);
                    self.hash_req(&map.values[member], hasher);
                }
                hasher.update(b"}");
            }
            Req::Chosen(chosen) => self.hash_req(&chosen.req, hasher),
        }
    }

    fn cycle(&self, stack: &[Frame], back_to: NodeId) -> Error {
        let from = stack
            .iter()
            .position(|frame| frame.node == back_to)
            .unwrap_or(0);
        let mut tasks: Vec<String> = stack[from..]
            .iter()
            .map(|frame| describe(self.nodes[frame.node.index()].task.as_ref()))
            .collect();
        tasks.push(describe(self.nodes[back_to.index()].task.as_ref()));
        Error::Cycle { tasks }
    }

    /// Leaves out the tasks for which another stands.
    fn finish(self, roots: &[NodeId]) -> Graph {
        let Expansion {
            nodes,
            stands_for,
            mut by_key,
            ..
        } = self;
        if by_key.len() == nodes.len() {
            return Graph {
                nodes,
                roots: roots.to_vec(),
                by_key,
            };
        }
        let mut moved_to = vec![NodeId(0); nodes.len()];
        let mut kept = 0;
        for (index, &stands) in stands_for.iter().enumerate() {
            if stands.index() == index {
                moved_to[index] = node_id(kept);
                kept += 1;
            }
        }
        let to = |id: NodeId| moved_to[stands_for[id.index()].index()];
        let nodes = nodes
            .into_iter()
            .enumerate()
            .filter(|(index, _)| stands_for[*index].index() == *index)
            .map(|(_, mut node)| {
                for requirement in &mut node.requires {
                    requirement.req = requirement.req.map(&to);
                }
                node
            })
            .collect();
        for id in by_key.values_mut() {
            *id = to(*id);
        }
        Graph {
            nodes,
            roots: roots.iter().map(|&root| to(root)).collect(),
            by_key,
        }
    }
}
