//! The output cache: outputs in memory, from producers to consumers, up to a budget.
//!
//! It holds what was stored, so that a consumer in the run that made an output gets what later runs get: the value that
//! decoding gives. Those that share an output share one decoded value; whoever takes it as its own has it decoded afresh.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::model::{Erased, NodeId, Stored};

/// The outputs held in memory. No lock is held across an await.
#[derive(Debug)]
pub(crate) struct OutputCache {
    budget: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<NodeId, Held>,
    /// How many consumers of each output have not taken it yet.
    consumers: Vec<u32>,
    bytes: usize,
    loading: HashMap<NodeId, Arc<OnceCell<Erased>>>,
}

/// An output in memory; at least one of the two is there.
#[derive(Debug, Default)]
struct Held {
    stored: Option<Stored>,
    /// Decoded for those that share it.
    value: Option<Erased>,
    /// What the budget is charged.
    bytes: usize,
}

/// An output as the cache has it.
#[derive(Debug)]
pub(crate) enum Cached {
    Stored(Stored),
    Value(Erased),
}

/// One consumer of an output, until it is dropped.
#[derive(Debug)]
pub(crate) struct OutputRef {
    outputs: Arc<OutputCache>,
    pub(crate) node: NodeId,
}

impl OutputRef {
    pub(crate) fn new(outputs: &Arc<OutputCache>, node: NodeId) -> Self {
        outputs.add_consumers(&[node]);
        OutputRef {
            outputs: Arc::clone(outputs),
            node,
        }
    }
}

impl Drop for OutputRef {
    fn drop(&mut self) {
        self.outputs.release(&[self.node]);
    }
}

impl OutputCache {
    pub(crate) fn new(budget: usize) -> Self {
        OutputCache {
            budget,
            state: Mutex::default(),
        }
    }

    /// Adds a consumer of each of these outputs.
    pub(crate) fn add_consumers(&self, nodes: &[NodeId]) {
        let mut state = self.lock();
        for node in nodes {
            if state.consumers.len() <= node.index() {
                state.consumers.resize(node.index() + 1, 0);
            }
            state.consumers[node.index()] += 1;
        }
    }

    /// Keeps what was stored of an output, if it has consumers and the budget allows.
    pub(crate) fn insert(&self, node: NodeId, stored: &Stored, bytes: usize) {
        self.keep(node, bytes, |held| {
            if let Stored::File(file) = stored {
                held.value = Some(Arc::new(file.clone()));
            }
            held.stored = Some(stored.clone());
        });
    }

    /// Keeps a decoded value of that encoded size for those that share it, if there are any left and the budget allows.
    pub(crate) fn share(&self, node: NodeId, value: &Erased, bytes: usize) {
        self.keep(node, bytes, |held| held.value = Some(Arc::clone(value)));
    }

    fn keep(&self, node: NodeId, bytes: usize, keep: impl FnOnce(&mut Held)) {
        let mut state = self.lock();
        if state.consumers(node) > 0 && state.bytes.saturating_add(bytes) <= self.budget {
            state.bytes += bytes;
            let held = state.held.entry(node).or_default();
            held.bytes += bytes;
            keep(held);
        }
    }

    /// Returns the output for a consumer that shares it.
    pub(crate) fn get(&self, node: NodeId) -> Option<Cached> {
        let state = self.lock();
        let held = state.held.get(&node)?;
        let value = held
            .value
            .as_ref()
            .map(|value| Cached::Value(Arc::clone(value)));
        value.or_else(|| held.stored.clone().map(Cached::Stored))
    }

    /// Returns the output for a consumer that takes it as its own: a decoded value only if nobody else has it. The last
    /// consumer leaves nothing behind.
    pub(crate) fn take(&self, node: NodeId) -> Option<Cached> {
        let mut state = self.lock();
        if state.consumers(node) > 1 {
            let held = state.held.get(&node)?;
            return held.stored.clone().map(Cached::Stored);
        }
        let held = state.take(node)?;
        let is_alone = |value: &Erased| Arc::strong_count(value) == 1;
        let value = held.value.filter(is_alone).map(Cached::Value);
        value.or_else(|| held.stored.map(Cached::Stored))
    }

    /// Returns the cell in which concurrent loads of one output meet, so only one of them loads.
    pub(crate) fn single_flight(&self, node: NodeId) -> Arc<OnceCell<Erased>> {
        Arc::clone(self.lock().loading.entry(node).or_default())
    }

    pub(crate) fn end_flight(&self, node: NodeId) {
        self.lock().loading.remove(&node);
    }

    pub(crate) fn has_one_consumer(&self, node: NodeId) -> bool {
        self.lock().consumers(node) == 1
    }

    /// Drops an output that has vanished from the workspace.
    pub(crate) fn forget(&self, node: NodeId) {
        self.lock().take(node);
    }

    /// Removes a consumer of each of these outputs. The last one drops the output.
    pub(crate) fn release(&self, nodes: &[NodeId]) {
        let mut state = self.lock();
        let mut let_go = Vec::new();
        for &node in nodes {
            if let Some(consumers) = state.consumers.get_mut(node.index()) {
                *consumers = consumers.saturating_sub(1);
            }
            if state.consumers(node) == 0 {
                let_go.extend(state.take(node));
            }
        }
        // Drop values without the lock: it may take long.
        drop(state);
        drop(let_go);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn consumers(&self, node: NodeId) -> u32 {
        self.consumers.get(node.index()).copied().unwrap_or(0)
    }

    fn take(&mut self, node: NodeId) -> Option<Held> {
        let held = self.held.remove(&node)?;
        self.bytes -= held.bytes;
        Some(held)
    }
}
