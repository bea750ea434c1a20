//! The output cache: outputs in memory, from producers to consumers, up to a budget.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::model::{Erased, NodeId};

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

#[derive(Debug)]
struct Held {
    output: Erased,
    bytes: usize,
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

    /// Keeps an output of that encoded size, if it has consumers and the budget allows.
    pub(crate) fn insert(&self, node: NodeId, output: &Erased, bytes: usize) {
        let mut state = self.lock();
        let is_wanted = state.consumers(node) > 0;
        if is_wanted
            && state.bytes.saturating_add(bytes) <= self.budget
            && !state.held.contains_key(&node)
        {
            state.bytes += bytes;
            let output = Arc::clone(output);
            state.held.insert(node, Held { output, bytes });
        }
    }

    /// Returns the output, shared.
    pub(crate) fn get(&self, node: NodeId) -> Option<Erased> {
        let state = self.lock();
        state.held.get(&node).map(|held| Arc::clone(&held.output))
    }

    /// Moves the output out, if this is its last consumer and nothing else shares it.
    pub(crate) fn take_if_last(&self, node: NodeId) -> Option<Erased> {
        let mut state = self.lock();
        let is_last = state.consumers(node) == 1;
        let is_alone = state
            .held
            .get(&node)
            .is_some_and(|held| Arc::strong_count(&held.output) == 1);
        if !(is_last && is_alone) {
            return None;
        }
        state.take(node)
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

    fn take(&mut self, node: NodeId) -> Option<Erased> {
        let held = self.held.remove(&node)?;
        self.bytes -= held.bytes;
        Some(held.output)
    }
}
