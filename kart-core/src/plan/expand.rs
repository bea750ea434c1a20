//! Expansion: from tasks to all that they require, each once.
//!
//! Tasks are told apart by a fingerprint of their parameters before their requirements are
//! expanded, so that a shared part is expanded once: the cost is linear in nodes and edges. The
//! walk keeps its own stack, so that no chain is too long for it.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::graph::{Graph, Node, describe, node_id};
use super::key_map::KeyMap;
use super::limits::ExpandLimits;
use crate::error::{Error, catch_panic, interrupted};
use crate::key::{self, Key, KeyHasher};
use crate::model::{DynTask, Intern, NodeId, Params, Redactor, Req, Requirements};

/// Which tasks are known, by the fingerprints of their parameters.
#[derive(Debug, Default)]
pub(super) struct Fingerprints(KeyMap<NodeId>);

impl Fingerprints {
    /// Those of a graph's tasks.
    pub(super) fn of(graph: &Graph) -> Result<Self, Error> {
        let mut params = Params::default();
        let mut known = KeyMap::default();
        for (id, node) in graph.ids().zip(graph.nodes()) {
            params.read(node.task.as_ref())?;
            known.insert(params.fingerprint(node.task.spec().name), id);
        }
        Ok(Fingerprints(known))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// On the stack: its requirements are being walked.
    Open,
    Done,
}

/// What is new in a graph.
pub(super) struct Expanded {
    pub(super) nodes: Vec<Node>,
    pub(super) roots: Vec<NodeId>,
    pub(super) by_key: KeyMap<NodeId>,
}

/// The part of a graph that is in the making; the ids of its nodes go on where those of the graph
/// end. Tasks that differ in insignificant parameters alone have one key; the first of them stands
/// for all, through `stands_for`.
pub(super) struct Expansion<'g> {
    graph: &'g Graph,
    first: usize,
    known: &'g mut KeyMap<NodeId>,
    nodes: Vec<Node>,
    states: Vec<State>,
    stands_for: Vec<NodeId>,
    by_key: KeyMap<NodeId>,
    params: Params,
    limits: &'g ExpandLimits,
    /// How many tasks the open requirement has named; `None` between two.
    named: Option<usize>,
    error: Option<Error>,
    refused: Option<String>,
}

/// What unwinds a requirement that would name tasks for ever.
struct GaveUp;

struct Frame {
    node: NodeId,
    requires: Vec<NodeId>,
    next: usize,
}

impl Intern for Expansion<'_> {
    /// The place of the task; the same for an equal one. An error is kept until the walk looks.
    fn intern(&mut self, task: Arc<dyn DynTask>) -> NodeId {
        let id = node_id(self.first + self.nodes.len());
        self.check_limits(&task);
        if let Err(error) = self.params.read(task.as_ref()) {
            self.error.get_or_insert(error);
            return id;
        }
        let fingerprint = self.params.fingerprint(task.spec().name);
        match self.known.entry(fingerprint) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(_) if id.index() >= self.limits.max_tasks => {
                self.give_up_at(&task);
                id
            }
            Entry::Vacant(entry) => {
                entry.insert(id);
                self.limits.progress.note(id.index() + 1, &task);
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

impl<'g> Expansion<'g> {
    pub(super) fn new(
        graph: &'g Graph,
        known: &'g mut Fingerprints,
        limits: &'g ExpandLimits,
    ) -> Self {
        Expansion {
            graph,
            first: graph.len(),
            known: &mut known.0,
            nodes: Vec::new(),
            states: Vec::new(),
            stands_for: Vec::new(),
            by_key: KeyMap::default(),
            params: Params::default(),
            limits,
            named: None,
            error: None,
            refused: None,
        }
    }

    /// Ends an expansion that is to stop, and a requirement that names tasks for ever.
    fn check_limits(&mut self, task: &Arc<dyn DynTask>) {
        if let Some(named) = &mut self.named {
            *named += 1;
        }
        if self.limits.must_stop() {
            self.give_up(interrupted().into());
        } else if self
            .named
            .is_some_and(|named| named > self.limits.max_tasks)
        {
            self.give_up_at(task);
        }
    }

    fn give_up_at(&mut self, newest: &Arc<dyn DynTask>) {
        self.give_up(Error::TooManyTasks {
            max_tasks: self.limits.max_tasks,
            newest: describe(newest.as_ref()),
        });
    }

    /// Keeps the error; within a requirement it unwinds that as well, since it may never come to its own end.
    fn give_up(&mut self, error: Error) {
        self.error.get_or_insert(error);
        if self.named.is_some() && cfg!(panic = "unwind") {
            std::panic::resume_unwind(Box::new(GaveUp));
        }
    }

    /// What these tasks, and all that they require, add to the graph.
    pub(super) fn expand(mut self, roots: Vec<Arc<dyn DynTask>>) -> Result<Expanded, Error> {
        let roots: Vec<NodeId> = roots.into_iter().map(|root| self.intern(root)).collect();
        for &root in &roots {
            self.walk(root)?;
        }
        Ok(self.finish(&roots))
    }

    /// The place of a new node among the new ones; `None` for one that the graph has.
    fn at(&self, id: NodeId) -> Option<usize> {
        id.index().checked_sub(self.first)
    }

    fn node(&self, id: NodeId) -> &Node {
        match self.at(id) {
            Some(at) => &self.nodes[at],
            None => self.graph.node(id),
        }
    }

    fn state(&self, id: NodeId) -> State {
        self.at(id).map_or(State::Done, |at| self.states[at])
    }

    /// Visits everything below `root` in post-order: a key is made of the keys of what is required.
    fn walk(&mut self, root: NodeId) -> Result<(), Error> {
        self.check()?;
        let mut stack = Vec::new();
        if self.state(root) == State::New {
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
            match self.state(required) {
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

    fn open(&mut self, id: NodeId) -> Result<Frame, Error> {
        let task = Arc::clone(&self.node(id).task);
        self.named = Some(0);
        let requires = catch_panic(|| {
            let mut requirements = Requirements::new(self);
            task.requires(&mut requirements);
            requirements.finish()
        });
        self.named = None;
        self.check()?;
        let refused = self.refused.take();
        let requires = refused.map_or(requires, Err).map_err(|reason| {
            let spec = task.spec();
            let reason = Redactor::of(task.as_ref()).redact(reason);
            Error::Requirement {
                task: describe(task.as_ref()),
                reason: format!("{reason} ({}:{})", spec.file, spec.line),
            }
        })?;
        let at = id.index() - self.first;
        self.states[at] = State::Open;
        self.nodes[at].requires = requires;
        let mut below = Vec::new();
        self.nodes[at].for_each_requirement(|required| below.push(required));
        Ok(Frame {
            node: id,
            requires: below,
            next: 0,
        })
    }

    fn close(&mut self, id: NodeId) -> Result<(), Error> {
        let at = id.index() - self.first;
        let node = &self.nodes[at];
        self.params.read(node.task.as_ref())?;
        let key = self.key(node);
        self.nodes[at].key = key;
        self.states[at] = State::Done;
        self.stands_for[at] = match self.graph.find(key) {
            Some(there) => there,
            None => *self.by_key.entry(key).or_insert(id),
        };
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
                text[1..33].copy_from_slice(&self.node(*node).key.to_hex());
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
            .map(|frame| describe(self.node(frame.node).task.as_ref()))
            .collect();
        tasks.push(describe(self.node(back_to).task.as_ref()));
        Error::Cycle { tasks }
    }

    /// Leaves out the tasks for which another stands.
    fn finish(self, roots: &[NodeId]) -> Expanded {
        let Expansion {
            first,
            known,
            nodes,
            stands_for,
            mut by_key,
            ..
        } = self;
        if by_key.len() == nodes.len() {
            return Expanded {
                nodes,
                roots: roots.to_vec(),
                by_key,
            };
        }
        let is_kept = |at: usize| stands_for[at].index() == first + at;
        let kept = (0..nodes.len()).filter(|at| is_kept(*at));
        let mut moved_to = vec![NodeId(0); nodes.len()];
        for (to, at) in kept.enumerate() {
            moved_to[at] = node_id(first + to);
        }
        let moved = |id: NodeId| id.index().checked_sub(first).map_or(id, |at| moved_to[at]);
        let to = |id: NodeId| {
            let at = id.index().checked_sub(first);
            at.map_or(id, |at| moved(stands_for[at]))
        };
        let nodes = nodes
            .into_iter()
            .enumerate()
            .filter(|(at, _)| is_kept(*at))
            .map(|(_, mut node)| {
                for requirement in &mut node.requires {
                    requirement.req = requirement.req.map(&to);
                }
                node
            })
            .collect();
        for id in by_key.values_mut().chain(known.values_mut()) {
            *id = to(*id);
        }
        Expanded {
            nodes,
            roots: roots.iter().map(|&root| to(root)).collect(),
            by_key,
        }
    }
}
