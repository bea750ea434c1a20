//! What bodies ask for where an executor has them run: it is made by their worker, which tells the run that ordered
//! them along with its answer, so that it is in that run's events, log and report.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::cause::{Cause, texts};
use super::drive::Drive;
use super::journal::Notes;
use super::ledger::FailedAttempt;
use super::publish::Published;
use super::unavailable::Unavailable;
use crate::key::Key;
use crate::log::{Note, RecordedOutcome};
use crate::model::{AnyTask, NodeId};
use crate::own::here;
use crate::plan::{Graph, Need};
use crate::report::{Outcome, Report};

/// What came of the tasks that the bodies of ordered attempts asked for, and of all that those require. Attempts that
/// were ordered together tell it once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beside {
    asked: Vec<Asked>,
    complete: Vec<Key>,
    ended: Vec<Ended>,
    /// Tasks that could not have an output, each with the one that failed.
    blocked: Vec<(Key, Key)>,
}

/// A task that a body asked for, in its wire form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Asked {
    by: Key,
    task: Json,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ended {
    key: Key,
    outcome: RecordedOutcome,
    attempt: u32,
    at: SystemTime,
    elapsed: Duration,
    causes: Vec<String>,
    bytes: u64,
    hash: Option<String>,
    worker: String,
}

impl Beside {
    /// Whether nothing was asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// What a run of ordered attempts has noted of more than its roots.
    pub(super) fn of(report: &Report, graph: &Graph, notes: &Notes) -> Self {
        let mut notes = mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner));
        let mut beside = Beside::default();
        if notes.iter().all(|note| note.asked.is_empty()) {
            return beside;
        }
        let key = |node: NodeId| graph.node(node).key;
        let mut asked: Vec<(NodeId, NodeId)> = Vec::new();
        for note in &mut notes {
            let tasks = mem::take(&mut note.asked);
            asked.extend(tasks.into_iter().map(|task| (note.node, task)));
        }
        // Who asks was there first, so that the other run knows it before it is told what it asks for.
        asked.sort_by_key(|(by, _)| *by);
        for (by, task) in asked {
            let task = AnyTask::new(Arc::clone(&graph.node(task).task));
            // What has no wire form cannot be told of.
            if let Ok(task) = task.to_json() {
                beside.asked.push(Asked { by: key(by), task });
            }
        }
        for note in notes {
            if is_told(note.outcome) && !graph.roots.contains(&note.node) {
                let outcome = report.task(note.node).outcome;
                beside.ended.push(Ended::of(key(note.node), note, outcome));
            }
        }
        for node in graph.ids() {
            match report.task(node).outcome {
                Outcome::Complete => beside.complete.push(key(node)),
                Outcome::Blocked { by } if !graph.roots.contains(&node) => {
                    beside.blocked.push((key(node), *by));
                }
                _ => {}
            }
        }
        beside
    }
}

/// An attempt that was cut off is made by another worker, or by nobody.
fn is_told(outcome: RecordedOutcome) -> bool {
    matches!(
        outcome,
        RecordedOutcome::Ran | RecordedOutcome::Retrying | RecordedOutcome::Failed
    )
}

impl Ended {
    fn of(key: Key, note: Note, outcome: &Outcome) -> Self {
        let causes = match outcome {
            Outcome::Failed(failure) if note.outcome == RecordedOutcome::Failed => {
                texts(failure.error.as_ref().as_ref())
            }
            _ => note.error.into_iter().map(String::from).collect(),
        };
        let (bytes, hash) = note.output.unwrap_or_default();
        Ended {
            key,
            outcome: note.outcome,
            attempt: note.attempt,
            at: note.at,
            elapsed: note.elapsed,
            causes,
            bytes,
            hash: hash.map(|hash| hash.to_hex().to_string()),
            worker: here().to_string(),
        }
    }

    fn hash(&self) -> Option<blake3::Hash> {
        blake3::Hash::from_hex(self.hash.as_ref()?).ok()
    }

    fn note(&self, node: NodeId) -> Note {
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
            asked: Vec::new(),
        }
    }
}

impl Drive {
    /// A worker tells what it has made beside what was ordered. What is under way here, or known, goes on as it is.
    pub(super) fn told(&mut self, beside: Beside) {
        for asked in beside.asked {
            let by = self.graph.find(asked.by);
            // It runs this very build, so that it knows no task that is unknown here.
            let task = AnyTask::from_json(asked.task).ok();
            if let (Some(by), Some(task)) = (by, task)
                && let Ok(target) = self.asks.place(&self.graph, task.into_dyn())
            {
                self.make_room();
                self.ledger.asked(target, by);
            }
        }
        for key in beside.complete {
            if let Some(node) = self.unknown(key) {
                self.learn(&[(node, Need::Complete)]);
            }
        }
        for ended in beside.ended {
            self.told_end(ended);
        }
        for (key, by) in beside.blocked {
            let by = self.graph.find(by).and_then(|by| self.unavailable(by));
            if let (Some(node), Some(by)) = (self.unknown(key), by) {
                self.learn(&[(node, Need::Missing)]);
                self.blocked(node, &by);
            }
        }
    }

    fn told_end(&mut self, ended: Ended) {
        let Some(node) = self.graph.find(ended.key) else {
            return;
        };
        let is_published = ended.outcome == RecordedOutcome::Ran;
        let is_wanted = is_published && self.schedule.is_waiting(node);
        let is_unknown = self.need(node) == Need::Unasked;
        if !is_wanted && !is_unknown {
            return;
        }
        let noted = ended.note(node);
        if ended.outcome == RecordedOutcome::Retrying {
            self.ledger.take(noted);
            return;
        }
        if is_unknown {
            self.learn(&[(node, Need::Missing)]);
        }
        self.ledger.started(node, ended.attempt);
        self.ledger.take(noted);
        if !is_published {
            let error = Cause::of(ended.causes).into_error(true);
            let failure = self.ledger.fails(FailedAttempt {
                node,
                number: ended.attempt,
                elapsed: ended.elapsed,
                error,
            });
            let key = ended.key;
            self.fail(node, &Unavailable { key, failure });
            return;
        }
        let published = Published {
            output: None,
            bytes: ended.bytes,
            hash: ended.hash(),
            differed: false,
            worker: Some(ended.worker.into()),
        };
        self.ledger
            .ran(node, ended.attempt, ended.elapsed, &published);
        self.schedule.complete(node);
        if is_wanted {
            self.release_requirements(node);
        }
    }

    /// The task of that key, if nothing is known of what it needs.
    fn unknown(&self, key: Key) -> Option<NodeId> {
        let node = self.graph.find(key)?;
        (self.need(node) == Need::Unasked).then_some(node)
    }
}
