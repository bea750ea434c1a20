//! Where the records of a run go: to the run log, to a worker's response, or nowhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::chain;
use crate::key::Key;
use crate::lease::this_process;
use crate::log::{EndRecord, Known, Log, Note, RecordedOutcome, StartRecord, TaskRecord};
use crate::model::{NodeId, shown_params};
use crate::plan::{Graph, Status, describe};
use crate::report::Counts;
use crate::run_id::RunId;
use crate::workspace::Workspace;

/// How many required keys a record names.
const REQUIRES: usize = 64;

/// Notes that are kept in memory.
pub(crate) type Notes = Arc<Mutex<Vec<Note>>>;

/// Where notes go.
#[derive(Debug)]
enum Sink {
    Nowhere,
    Log(Log),
    Kept(Notes),
}

/// The log of a run, if it writes one, and the history of past runs.
#[derive(Debug)]
pub(crate) struct LogSink {
    sink: Sink,
    known: Known,
    /// Subtasks that running bodies have asked for.
    asked: HashMap<NodeId, Vec<NodeId>>,
}

/// How an attempt ended.
pub(crate) struct Ended<'e> {
    pub(crate) outcome: RecordedOutcome,
    pub(crate) attempt: u32,
    pub(crate) elapsed: Duration,
    pub(crate) error: Option<&'e (dyn std::error::Error + 'static)>,
    /// The size and the hash of the output.
    pub(crate) output: Option<(u64, Option<blake3::Hash>)>,
    /// The key of the output whose place it has taken.
    pub(crate) replaced: Option<Key>,
    /// The process that made the attempt, if not this one.
    pub(crate) worker: Option<Box<str>>,
}

impl Ended<'_> {
    /// Returns the end of an attempt without an output.
    pub(crate) fn without_output(
        outcome: RecordedOutcome,
        attempt: u32,
        elapsed: Duration,
    ) -> Self {
        Ended {
            outcome,
            attempt,
            elapsed,
            error: None,
            output: None,
            replaced: None,
            worker: None,
        }
    }
}

impl LogSink {
    /// Returns a sink that writes nothing and knows that history.
    pub(crate) fn silent(known: Known) -> Self {
        LogSink::new(Sink::Nowhere, known)
    }

    /// Returns a sink that keeps its notes in memory.
    pub(crate) fn kept(notes: &Notes) -> Self {
        LogSink::new(Sink::Kept(Arc::clone(notes)), Known::default())
    }

    fn new(sink: Sink, known: Known) -> Self {
        LogSink {
            sink,
            known,
            asked: HashMap::new(),
        }
    }

    /// Starts to write the log of a run.
    pub(crate) fn start(
        &mut self,
        workspace: &Workspace,
        run: RunId,
        graph: &Arc<Graph>,
        statuses: &[Status],
    ) {
        let roots = graph.roots.iter().map(|root| graph.node(*root));
        let roots: Vec<String> = roots.map(|root| describe(root.task.as_ref())).collect();
        let process = this_process();
        let worker = process.to_string();
        let graph = Arc::clone(graph);
        let record = move |note| record(&graph, &worker, note);
        let start = StartRecord {
            at: SystemTime::now(),
            kart: env!("CARGO_PKG_VERSION").to_owned(),
            root: roots.join(", "),
            host: process.host.clone(),
            pid: process.pid,
            tasks: statuses.len(),
            missing: statuses.iter().filter(|status| status.runs()).count(),
        };
        self.sink = Sink::Log(Log::begin(workspace, run, start, record));
    }

    /// Takes the sink, and leaves one that writes nothing.
    pub(crate) fn take_all(&mut self) -> LogSink {
        std::mem::replace(self, LogSink::silent(Known::default()))
    }

    /// Notes that the body of `by` has asked for `node`.
    pub(crate) fn asked(&mut self, node: NodeId, by: NodeId) {
        if !self.is_silent() {
            self.asked.entry(by).or_default().push(node);
        }
    }

    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    fn is_silent(&self) -> bool {
        matches!(self.sink, Sink::Nowhere)
    }

    pub(crate) fn note(&mut self, graph: &Graph, node: NodeId, ended: &Ended<'_>) {
        if self.is_silent() {
            return;
        }
        let asked = self.asked.remove(&node).unwrap_or_default();
        self.take(
            graph,
            Note {
                node,
                outcome: ended.outcome,
                attempt: ended.attempt,
                at: SystemTime::now(),
                elapsed: ended.elapsed,
                error: ended.error.map(|error| chain(error).into()),
                output: ended.output,
                replaced: ended.replaced,
                worker: ended.worker.clone(),
                asked,
            },
        );
    }

    /// Takes a note, of this process or another.
    pub(crate) fn take(&mut self, graph: &Graph, note: Note) {
        if note.outcome == RecordedOutcome::Ran && !self.is_silent() {
            let spec = graph.node(note.node).task.spec();
            self.known
                .ran(spec.name, spec.version, spec.code, note.elapsed);
        }
        match &self.sink {
            Sink::Nowhere => {}
            Sink::Log(log) => log.note(note),
            Sink::Kept(notes) => {
                let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                notes.push(note);
            }
        }
    }

    /// Writes the end of the log. Returns the error if it could not be written.
    pub(crate) async fn end(mut self, counts: Counts) -> Option<String> {
        let Sink::Log(log) = self.sink else {
            return None;
        };
        let end = EndRecord {
            at: SystemTime::now(),
            counts,
        };
        log.end(end, &mut self.known).await
    }
}

/// Returns the log record of a note.
fn record(graph: &Graph, worker: &str, noted: Note) -> TaskRecord {
    let node = graph.node(noted.node);
    let spec = node.task.spec();
    let mut requires = Vec::new();
    let mut count = 0;
    node.for_each_requirement(|id| {
        count += 1;
        if requires.len() < REQUIRES {
            requires.push(graph.node(id).key);
        }
    });
    TaskRecord {
        run: None,
        task: spec.name.to_owned(),
        key: node.key,
        path: node.path().unwrap_or_default(),
        params: shown_params(node.task.as_ref()).into(),
        requires,
        required: count,
        asked: noted.asked.iter().map(|id| graph.node(*id).key).collect(),
        version: spec.version,
        code: spec.code.to_owned(),
        start: noted.at.checked_sub(noted.elapsed).unwrap_or(noted.at),
        duration: noted.elapsed,
        attempt: noted.attempt,
        outcome: noted.outcome,
        error: noted.error.map(String::from),
        bytes: noted.output.map(|(bytes, _)| bytes),
        blake3: noted
            .output
            .and_then(|(_, hash)| Some(hash?.to_hex().to_string())),
        replaced: noted.replaced,
        worker: noted.worker.map_or_else(|| worker.to_owned(), String::from),
    }
}
