//! The subtasks of a remote attempt: its worker makes them and reports them in its response, so they are in the events, the
//! log and the report of the dispatching run.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::key::Key;
use crate::lease::this_process;
use crate::log::{Note, RecordedOutcome};
use crate::model::{AnyTask, NodeId};
use crate::plan::{Graph, describe};
use crate::report::{Outcome, Report};
use crate::run::errors::error_text::texts;

/// The subtasks of a remote attempt, and all that they require, with their outcomes.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubtaskReport {
    /// All subtasks in their wire form.
    pub(crate) tasks: Vec<Json>,
    /// The subtasks that the body itself asked for.
    pub(crate) asked: Vec<Key>,
    pub(crate) complete: Vec<Key>,
    pub(crate) ended: Vec<SubtaskEnd>,
    /// Blocked tasks, each with the task that failed.
    pub(crate) blocked: Vec<(Key, Key)>,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SubtaskEnd {
    pub(crate) key: Key,
    pub(crate) outcome: RecordedOutcome,
    pub(crate) attempt: u32,
    pub(crate) at: SystemTime,
    pub(crate) elapsed: Duration,
    pub(crate) causes: Vec<String>,
    pub(crate) bytes: u64,
    pub(crate) hash: Option<String>,
    pub(crate) worker: String,
    pub(crate) asked: Vec<Key>,
    #[serde(default)]
    pub(crate) replaced: Option<Key>,
}

/// The longest report: engines limit the size of a response.
const MOST: usize = 10_000;

impl SubtaskReport {
    /// Returns whether there were no subtasks.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Makes the report of `root` from the notes of the worker's run.
    pub(crate) fn of(report: &Report, graph: &Graph, notes: &[Note], root: NodeId) -> Self {
        let key = |node: NodeId| graph.node(node).key;
        let asked = asked_below(report, graph, notes, root);
        let mut subtasks = SubtaskReport::default();
        for note in notes.iter().filter(|note| note.node == root) {
            subtasks.asked.extend(note.asked.iter().copied().map(key));
        }
        for &node in &asked.tasks {
            let task = AnyTask::new(Arc::clone(&graph.node(node).task));
            // A task without a wire form cannot be reported.
            subtasks.tasks.extend(task.to_json());
        }
        let is_own = |node: NodeId| asked.nodes.contains(&node) && !graph.roots.contains(&node);
        for note in notes.iter().filter(|note| is_own(note.node)) {
            if is_reported(note.outcome) {
                let outcome = report.task(note.node).outcome;
                subtasks.ended.push(SubtaskEnd::of(note, outcome, key));
            }
        }
        for &node in &asked.nodes {
            match report.task(node).outcome {
                Outcome::Complete => subtasks.complete.push(key(node)),
                Outcome::Blocked { by } if is_own(node) => subtasks.blocked.push((key(node), *by)),
                _ => {}
            }
        }
        if subtasks.tasks.len() + subtasks.ended.len() > MOST {
            tracing::warn!(
                task = describe(graph.node(root).task.as_ref()),
                "its body has asked for too many subtasks to report them to the dispatching run"
            );
            return SubtaskReport::default();
        }
        subtasks
    }
}

/// Without the parameters, which may be secret.
impl fmt::Debug for SubtaskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubtaskReport")
            .field("asked", &self.asked)
            .field("complete", &self.complete)
            .field("ended", &self.ended)
            .field("blocked", &self.blocked)
            .finish_non_exhaustive()
    }
}

/// The subtasks of a body, and of their bodies in turn.
#[derive(Default)]
struct AskedBelow {
    /// The subtasks in the order of the walk.
    tasks: Vec<NodeId>,
    /// The same, and all that was looked up below them.
    nodes: BTreeSet<NodeId>,
}

fn asked_below(report: &Report, graph: &Graph, notes: &[Note], root: NodeId) -> AskedBelow {
    let mut by: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for note in notes.iter().filter(|note| !note.asked.is_empty()) {
        by.entry(note.node).or_default().extend(&note.asked);
    }
    let mut below = AskedBelow::default();
    let mut seen = HashSet::new();
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        let asked = by.remove(&node).unwrap_or_default();
        for task in asked {
            if seen.insert(task) {
                below.tasks.push(task);
                open.push(task);
            }
        }
        if node == root || !below.nodes.insert(node) {
            continue;
        }
        if !matches!(
            report.task(node).outcome,
            Outcome::Complete | Outcome::NotNeeded
        ) {
            graph
                .node(node)
                .for_each_requirement(|required| open.push(required));
        }
    }
    below
}

/// Returns whether an attempt is reported. One that was cut off is not: another worker may make it.
fn is_reported(outcome: RecordedOutcome) -> bool {
    matches!(
        outcome,
        RecordedOutcome::Ran | RecordedOutcome::Retrying | RecordedOutcome::Failed
    )
}

impl SubtaskEnd {
    fn of(note: &Note, outcome: &Outcome, key: impl Fn(NodeId) -> Key) -> Self {
        let causes = match outcome {
            Outcome::Failed(failure) if note.outcome == RecordedOutcome::Failed => {
                texts(failure.error.as_ref().as_ref())
            }
            _ => note.error.iter().map(ToString::to_string).collect(),
        };
        let (bytes, hash) = note.output.unwrap_or_default();
        SubtaskEnd {
            key: key(note.node),
            outcome: note.outcome,
            attempt: note.attempt,
            at: note.at,
            elapsed: note.elapsed,
            causes,
            bytes,
            hash: hash.map(|hash| hash.to_hex().to_string()),
            worker: this_process().to_string(),
            asked: note.asked.iter().copied().map(key).collect(),
            replaced: note.replaced,
        }
    }

    pub(crate) fn hash(&self) -> Option<blake3::Hash> {
        blake3::Hash::from_hex(self.hash.as_ref()?).ok()
    }

    pub(crate) fn note(&self, node: NodeId, graph: &Graph) -> Note {
        let is_published = self.outcome == RecordedOutcome::Ran;
        let error = (!self.causes.is_empty()).then(|| self.causes.join(": ").into());
        Note {
            node,
            outcome: self.outcome,
            attempt: self.attempt,
            at: self.at,
            elapsed: self.elapsed,
            error,
            output: is_published.then(|| (self.bytes, self.hash())),
            worker: Some(self.worker.as_str().into()),
            replaced: self.replaced,
            asked: self
                .asked
                .iter()
                .filter_map(|key| graph.find(*key))
                .collect(),
        }
    }
}
