//! Tracks what becomes of each task: emits events, writes the run log, and makes the report at the end.
//!
//! `record_*` writes the log and emits the event; `emit_*` only emits.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::estimates::{counts_by_name, estimate};
use super::log_sink::{Ended, LogSink};
use super::ran::RanRecord;
use crate::error::BoxError;
use crate::key::Key;
use crate::lease::Owner;
use crate::log::{Note, RecordedOutcome};
use crate::model::NodeId;
use crate::plan::{Graph, Plan, Status, TaskInfo};
use crate::report::{
    Counts, Estimate, Event, Interruption, Outcome, Report, Root, RunError, StopReason,
};
use crate::run::message::{FailedAttempt, ProgressNow};
use crate::run::settings::Settings;
use crate::workspace::{OutputState, Provenance};

/// The tracker of one run.
pub(crate) struct RunTracker {
    settings: Arc<Settings>,
    graph: Arc<Graph>,
    roots: HashMap<NodeId, Option<Root>>,
    pub(crate) log_sink: LogSink,
    deferred: Vec<NodeId>,
    stale_code: Vec<NodeId>,
    /// The outputs that other tasks have at the paths of those that run.
    in_place: HashMap<NodeId, Provenance>,
    replaced: Vec<NodeId>,
    /// Tasks that resume from what other code has saved.
    stale_state: HashSet<NodeId>,
    /// Names of tasks that take longer than any run, which were warned about.
    too_long: HashSet<&'static str>,
    started: Instant,
}

impl RunTracker {
    pub(crate) fn new(
        settings: &Arc<Settings>,
        graph: &Arc<Graph>,
        log_sink: LogSink,
        started: Instant,
    ) -> Self {
        RunTracker {
            settings: Arc::clone(settings),
            roots: graph.roots.iter().map(|&root| (root, None)).collect(),
            graph: Arc::clone(graph),
            log_sink,
            deferred: Vec::new(),
            stale_code: Vec::new(),
            in_place: HashMap::new(),
            replaced: Vec::new(),
            stale_state: HashSet::new(),
            too_long: HashSet::new(),
            started,
        }
    }

    /// Emits the plan, and the complete outputs that other code made and this run keeps.
    pub(crate) fn planned(&mut self, statuses: &[Status], changed: &HashSet<NodeId>) {
        let (expected, by_name) = if self.settings.on_event.is_some() {
            let expected = estimate(&self.graph, statuses, self.log_sink.known());
            (expected, counts_by_name(&self.graph, statuses))
        } else {
            (Estimate::default(), Vec::new())
        };
        self.emit(&Event::Planned {
            tasks: statuses.len(),
            complete: statuses
                .iter()
                .filter(|status| status.is_complete())
                .count(),
            missing: statuses.iter().filter(|status| status.runs()).count(),
            expected,
            families: &by_name,
            plan: &Plan::new(Arc::clone(&self.graph), statuses, HashMap::new()),
        });
        let kept = changed.iter().filter(|node| !statuses[node.index()].runs());
        self.stale_code = kept.copied().collect();
        self.stale_code.sort_unstable();
        for &node in &self.stale_code {
            self.emit(&Event::StaleCode {
                task: self.task(node),
            });
        }
    }

    fn task(&self, node: NodeId) -> TaskInfo<'_> {
        TaskInfo::new(&self.graph, node)
    }

    fn record(&mut self, node: NodeId, ended: &Ended<'_>) {
        self.log_sink.note(&self.graph, node, ended);
    }

    fn record_failed(&mut self, outcome: RecordedOutcome, failed: &FailedAttempt) {
        self.record(
            failed.node,
            &Ended {
                error: Some(failed.error.as_ref().as_ref()),
                ..Ended::without_output(outcome, failed.number, failed.elapsed)
            },
        );
    }

    /// Logs a note of another process.
    pub(crate) fn record_note(&mut self, note: Note) {
        self.log_sink.take(&self.graph, note);
    }

    pub(crate) fn emit_started(&self, node: NodeId, attempt: u32) {
        let spec = self.graph.node(node).task.spec();
        let known = || self.log_sink.known().expected(spec);
        let expected = self.settings.on_event.as_ref().and_then(|_| known());
        self.emit(&Event::Started {
            task: self.task(node),
            attempt,
            expected,
        });
    }

    pub(crate) fn record_subtask(&mut self, node: NodeId, by: NodeId) {
        self.log_sink.asked(node, by);
        self.emit_subtask(node, by);
    }

    pub(crate) fn emit_subtask(&self, node: NodeId, by: NodeId) {
        self.emit(&Event::SubtaskRequested {
            task: self.task(node),
            by: self.task(by),
        });
    }

    pub(crate) fn emit_progress(&self, node: NodeId, now: &ProgressNow) {
        self.emit(&Event::Progress {
            task: self.task(node),
            done: now.done,
            total: now.total,
            message: now.message.as_deref(),
        });
    }

    /// Warns, once for each task, that it resumes from what other code has saved.
    pub(crate) fn emit_stale_state(&mut self, node: NodeId) {
        if self.stale_state.insert(node) {
            self.emit(&Event::StaleState {
                task: self.task(node),
            });
        }
    }

    /// Returns how long the task may take, according to past runs.
    pub(crate) fn expected(&self, node: NodeId) -> Option<Duration> {
        let spec = self.graph.node(node).task.spec();
        self.log_sink.known().expected(spec)
    }

    /// Warns, once for each name, of a task that takes longer than any run may.
    pub(crate) fn emit_too_long(&mut self, node: NodeId, expected: Duration, whole: Duration) {
        if self.too_long.insert(self.task(node).name()) {
            self.emit(&Event::TooLong {
                task: self.task(node),
                expected,
                deadline: whole,
            });
        }
    }

    pub(crate) fn record_deferred(&mut self, node: NodeId, expected: Duration, left: Duration) {
        self.deferred.push(node);
        self.emit(&Event::Deferred {
            task: self.task(node),
            expected,
            left,
        });
    }

    pub(crate) fn record_retry(&mut self, failed: &FailedAttempt, pause: Duration) {
        self.record_failed(RecordedOutcome::Retrying, failed);
        self.emit(&Event::Retrying {
            task: self.task(failed.node),
            attempt: failed.number,
            elapsed: failed.elapsed,
            pause,
            error: failed.error.as_ref().as_ref(),
        });
    }

    pub(crate) fn record_ran(&mut self, ran: RanRecord) {
        self.record(
            ran.node,
            &Ended {
                output: Some((ran.bytes, ran.hash)),
                replaced: self.in_place.get(&ran.node).map(|replaced| replaced.key),
                worker: ran.worker.clone(),
                ..Ended::without_output(RecordedOutcome::Ran, ran.number, ran.elapsed)
            },
        );
        self.emit_ran(ran);
    }

    pub(crate) fn emit_ran(&mut self, ran: RanRecord) {
        let task = self.task(ran.node);
        if ran.differed {
            self.emit(&Event::OutputMismatch { task });
        }
        if let Some(replaced) = self.in_place.get(&ran.node) {
            self.emit(&Event::OutputReplaced { task, replaced });
        }
        self.emit(&Event::Finished {
            task,
            attempt: ran.number,
            elapsed: ran.elapsed,
            bytes: ran.bytes,
        });
        if self.in_place.remove(&ran.node).is_some() {
            self.replaced.push(ran.node);
        }
        if let Some(root) = self.roots.get_mut(&ran.node) {
            *root = Some(Root {
                stored: ran.stored,
                hash: ran.hash,
            });
        }
    }

    /// Notes that the output of a task will take the place of that of another.
    pub(crate) fn replaces(&mut self, node: NodeId, replaced: Provenance) {
        self.in_place.insert(node, replaced);
    }

    pub(crate) fn emit_unexpected(&self, node: NodeId, state: &OutputState) {
        let task = self.task(node);
        self.emit(&Event::UnexpectedOutput { task, state });
    }

    pub(crate) fn record_failure(&mut self, failed: &FailedAttempt) {
        self.record_failed(RecordedOutcome::Failed, failed);
        self.emit_failure(failed);
    }

    pub(crate) fn emit_failure(&self, failed: &FailedAttempt) {
        self.emit(&Event::Failed {
            task: self.task(failed.node),
            attempts: failed.number,
            elapsed: failed.elapsed,
            error: failed.error.as_ref().as_ref(),
        });
    }

    pub(crate) fn record_blocked(&mut self, node: NodeId, by: Key) {
        let ended = Ended::without_output(RecordedOutcome::Blocked, 0, Duration::ZERO);
        self.record(node, &ended);
        if let Some(by) = self.graph.find(by) {
            self.emit(&Event::Blocked {
                task: self.task(node),
                by: self.task(by),
            });
        }
    }

    pub(crate) fn emit_claimed_by_other(&self, node: NodeId, owner: &Owner) {
        self.emit(&Event::ClaimedByOther {
            task: self.task(node),
            owner,
        });
    }

    pub(crate) fn emit_completed_by_other(&self, node: NodeId) {
        self.emit(&Event::CompletedByOther {
            task: self.task(node),
        });
    }

    pub(crate) fn record_interrupted(
        &mut self,
        node: NodeId,
        attempt: u32,
        elapsed: Duration,
        reason: &Interruption,
    ) {
        let error: Option<BoxError> = reason.error().map(Into::into);
        let ended = Ended {
            error: error.as_deref().map(|error| error as _),
            ..Ended::without_output(RecordedOutcome::Interrupted, attempt, elapsed)
        };
        self.record(node, &ended);
        self.emit(&Event::Interrupted {
            task: self.task(node),
            attempt,
            elapsed,
            reason,
        });
    }

    pub(crate) fn emit_stopping(&self, reason: StopReason, running: usize) {
        self.emit(&Event::Stopping {
            reason,
            running,
            grace: self.settings.grace,
        });
    }

    /// Warns of deferred tasks, and takes the log, which still needs its end.
    pub(crate) fn end(&mut self) -> LogSink {
        if let Some(&first) = self.deferred.first() {
            // They may be very many.
            tracing::warn!(
                target: "kart::event",
                tasks = self.deferred.len(),
                first = self.task(first).description(),
                "deferred: they would not end before the deadline"
            );
        }
        self.log_sink.take_all()
    }

    pub(crate) fn emit_log_failed(&self, error: &str) {
        self.emit(&Event::LogFailed { error });
    }

    /// Makes the report. A run that stopped with work left is interrupted even if tasks have failed: running it again helps.
    pub(crate) fn into_report(
        self,
        outcomes: Vec<Outcome>,
        is_stopped: bool,
    ) -> Result<Report, RunError> {
        let is_stopped = is_stopped || !self.deferred.is_empty();
        let report = Report::new(
            self.graph,
            outcomes,
            self.settings.workspace.clone(),
            self.started.elapsed(),
            self.roots,
        )
        .with(self.deferred, self.stale_code, self.replaced);
        let counts: Counts = report.counts();
        if counts.interrupted > 0 || (is_stopped && counts.left > 0) {
            return Err(RunError::Interrupted(Box::new(report)));
        }
        if counts.failed > 0 {
            return Err(RunError::Failed(Box::new(report)));
        }
        Ok(report)
    }

    fn emit(&self, event: &Event<'_>) {
        emit(&self.settings, event);
    }
}

/// Sends an event to `tracing` and to the handler.
pub(crate) fn emit(settings: &Settings, event: &Event<'_>) {
    event.trace();
    if let Some(handler) = &settings.on_event {
        let handled = catch_unwind(AssertUnwindSafe(|| handler(event)));
        if handled.is_err() {
            tracing::warn!("the event handler panicked");
        }
    }
}
