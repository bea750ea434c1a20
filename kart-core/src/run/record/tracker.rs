//! What has become of each task of a run: told as events while it goes, and as the report at the
//! end.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::BoxError;
use crate::key::Key;
use crate::lease::Owner;
use crate::log::{Known, Note, RecordedOutcome};
use crate::model::NodeId;
use crate::plan::{Graph, Plan, Status, TaskInfo};
use crate::report::{
    Completion, Counts, Estimate, Event, Failure, Outcome, Report, Root, RunError, StopReason,
};
use crate::run::attempt::publish::Published;
use crate::run::mailbox::ProgressNow;
use crate::run::record::estimates::{before, expected, families};
use crate::run::record::log_sink::{Ended, LogSink};
use crate::run::runner::Runner;

/// An attempt that failed.
pub(crate) struct FailedAttempt {
    pub(crate) node: NodeId,
    pub(crate) number: u32,
    pub(crate) elapsed: Duration,
    pub(crate) error: BoxError,
}

/// The outcomes of a run so far.
pub(crate) struct RunTracker {
    runner: Arc<Runner>,
    graph: Arc<Graph>,
    outcomes: Vec<Outcome>,
    roots: HashMap<NodeId, Option<Root>>,
    log_sink: LogSink,
    deferred: Vec<NodeId>,
    other_code: Vec<NodeId>,
    /// The names of tasks that were warned about because they can never fit.
    too_long: HashSet<&'static str>,
    has_run: bool,
    started: Instant,
}

impl RunTracker {
    pub(crate) fn new(
        runner: Arc<Runner>,
        graph: Arc<Graph>,
        needs: &[Status],
        log_sink: LogSink,
        started: Instant,
    ) -> Self {
        RunTracker {
            runner,
            roots: graph.roots.iter().map(|&root| (root, None)).collect(),
            graph,
            outcomes: needs.iter().copied().map(before).collect(),
            log_sink,
            deferred: Vec::new(),
            other_code: Vec::new(),
            too_long: HashSet::new(),
            has_run: false,
            started,
        }
    }

    /// Tells what is to be done.
    pub(crate) fn planned(&self, needs: &[Status]) {
        let (expected, families) = if self.runner.on_event.is_some() {
            let expected = expected(&self.graph, needs, self.log_sink.known());
            (expected, families(&self.graph, needs))
        } else {
            (Estimate::default(), Vec::new())
        };
        self.emit(&Event::Planned {
            tasks: needs.len(),
            complete: needs.iter().filter(|need| need.is_complete()).count(),
            missing: needs.iter().filter(|need| need.runs()).count(),
            expected,
            families: &families,
            plan: &Plan::new(Arc::clone(&self.graph), needs, HashMap::new()),
        });
    }

    fn task(&self, node: NodeId) -> TaskInfo<'_> {
        TaskInfo::new(&self.graph, node)
    }

    /// What the run has learned that it needs of tasks that it did not know of at first.
    pub(crate) fn learned(&mut self, needs: &[(NodeId, Status)]) {
        self.outcomes.resize(self.graph.len(), Outcome::NotNeeded);
        for &(node, need) in needs {
            self.outcomes[node.index()] = before(need);
        }
    }

    fn record_failed(&mut self, outcome: RecordedOutcome, failed: &FailedAttempt) {
        self.log_sink.note(
            &self.graph,
            failed.node,
            &Ended {
                outcome,
                attempt: failed.number,
                elapsed: failed.elapsed,
                error: Some(failed.error.as_ref()),
                output: None,
                worker: None,
            },
        );
    }

    /// An attempt that came to nothing without failing.
    fn record(&mut self, node: NodeId, outcome: RecordedOutcome, attempt: u32, elapsed: Duration) {
        self.log_sink.note(
            &self.graph,
            node,
            &Ended {
                outcome,
                attempt,
                elapsed,
                error: None,
                output: None,
                worker: None,
            },
        );
    }

    /// Takes what another process has noted into the log.
    pub(crate) fn take(&mut self, note: Note) {
        self.log_sink.take(&self.graph, note);
    }

    pub(crate) fn started(&self, node: NodeId, attempt: u32) {
        let known = || {
            self.log_sink
                .known()
                .expected(self.graph.node(node).task.spec())
        };
        let expected = self.runner.on_event.as_ref().and_then(|_| known());
        self.emit(&Event::Started {
            task: self.task(node),
            attempt,
            expected,
        });
    }

    pub(crate) fn asked(&mut self, node: NodeId, by: NodeId) {
        self.log_sink.asked(node, by);
        self.tell_asked(node, by);
    }

    /// `by`, of which the log is told otherwise, has asked for `node`.
    pub(crate) fn tell_asked(&self, node: NodeId, by: NodeId) {
        self.emit(&Event::SubtaskRequested {
            task: self.task(node),
            by: self.task(by),
        });
    }

    pub(crate) fn progress(&self, node: NodeId, now: &ProgressNow) {
        self.emit(&Event::Progress {
            task: self.task(node),
            done: now.done,
            total: now.total,
            message: now.message.as_deref(),
        });
    }

    /// Says which complete outputs other code made; those that are made again are not among them.
    pub(crate) fn stale_code(&mut self, changed: &HashSet<NodeId>, needs: &[Status]) {
        let kept = changed.iter().filter(|node| !needs[node.index()].runs());
        self.other_code = kept.copied().collect();
        self.other_code.sort_unstable();
        for &node in &self.other_code {
            self.emit(&Event::StaleCode {
                task: self.task(node),
            });
        }
    }

    /// Whether a task is not to start, because it is not expected to end before the deadline. As long as
    /// nothing has run it starts all the same, so that no run is in vain.
    pub(crate) fn holds_back(&mut self, node: NodeId, deadline: Option<Instant>) -> bool {
        let spec = self.graph.node(node).task.spec();
        let (Some(deadline), Some(whole)) = (deadline, self.runner.deadline) else {
            return false;
        };
        let Some(expected) = self.log_sink.known().expected(spec) else {
            return false;
        };
        if expected > whole && self.too_long.insert(spec.name) {
            self.emit(&Event::TooLong {
                task: self.task(node),
                expected,
                deadline: whole,
            });
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if expected <= left || !self.has_run {
            return false;
        }
        self.deferred.push(node);
        self.emit(&Event::Deferred {
            task: self.task(node),
            expected,
            left,
        });
        true
    }

    pub(crate) fn retrying(&mut self, failed: &FailedAttempt, pause: Duration) {
        self.record_failed(RecordedOutcome::Retrying, failed);
        self.emit(&Event::Retrying {
            task: self.task(failed.node),
            attempt: failed.number,
            elapsed: failed.elapsed,
            pause,
            error: failed.error.as_ref(),
        });
    }

    pub(crate) fn published(
        &mut self,
        node: NodeId,
        number: u32,
        elapsed: Duration,
        published: &Published,
    ) {
        self.log_sink.note(
            &self.graph,
            node,
            &Ended {
                outcome: RecordedOutcome::Ran,
                attempt: number,
                elapsed,
                error: None,
                output: Some((published.bytes, published.hash)),
                worker: published.worker.clone(),
            },
        );
        self.ran(node, number, elapsed, published);
    }

    /// An attempt of which the log knows has published its output.
    pub(crate) fn ran(
        &mut self,
        node: NodeId,
        number: u32,
        elapsed: Duration,
        published: &Published,
    ) {
        let bytes = published.bytes;
        self.has_run = true;
        let task = self.task(node);
        if published.differed {
            self.emit(&Event::OutputMismatch { task });
        }
        self.emit(&Event::Finished {
            task,
            attempt: number,
            elapsed,
            bytes,
        });
        self.outcomes[node.index()] = Outcome::Ran(Completion {
            attempts: number,
            elapsed,
            bytes,
            differed: published.differed,
        });
        if let Some(root) = self.roots.get_mut(&node) {
            *root = Some(Root {
                output: published.output.clone(),
                hash: published.hash,
            });
        }
    }

    /// Gives the failure to whoever waits for the task.
    pub(crate) fn failed(&mut self, failed: FailedAttempt) -> Arc<BoxError> {
        self.record_failed(RecordedOutcome::Failed, &failed);
        self.fails(failed)
    }

    /// An attempt of which the log knows has failed.
    pub(crate) fn fails(&mut self, failed: FailedAttempt) -> Arc<BoxError> {
        let task = self.task(failed.node);
        self.emit(&Event::Failed {
            task,
            attempts: failed.number,
            elapsed: failed.elapsed,
            error: failed.error.as_ref(),
        });
        let error = Arc::new(failed.error);
        self.outcomes[failed.node.index()] = Outcome::Failed(Failure {
            description: task.description(),
            attempts: failed.number,
            elapsed: failed.elapsed,
            error: Arc::clone(&error),
        });
        error
    }

    pub(crate) fn blocked(&mut self, node: NodeId, by: Key) {
        self.record(node, RecordedOutcome::Blocked, 0, Duration::ZERO);
        if let Some(by) = self.graph.find(by) {
            self.emit(&Event::Blocked {
                task: self.task(node),
                by: self.task(by),
            });
        }
        self.outcomes[node.index()] = Outcome::Blocked { by };
    }

    pub(crate) fn elsewhere(&self, node: NodeId, owner: &Owner) {
        self.emit(&Event::ClaimedByOther {
            task: self.task(node),
            owner,
        });
    }

    pub(crate) fn made_elsewhere(&mut self, node: NodeId) {
        self.outcomes[node.index()] = Outcome::CompletedByOther;
        self.emit(&Event::CompletedByOther {
            task: self.task(node),
        });
    }

    pub(crate) fn interrupted(&mut self, node: NodeId, attempt: u32, elapsed: Duration) {
        self.record(node, RecordedOutcome::Interrupted, attempt, elapsed);
        self.outcomes[node.index()] = Outcome::Interrupted;
        self.emit(&Event::Interrupted {
            task: self.task(node),
            attempt,
            elapsed,
        });
    }

    pub(crate) fn stopping(&self, reason: StopReason, running: usize) {
        self.emit(&Event::Stopping {
            reason,
            running,
            grace: self.runner.grace,
        });
    }

    pub(crate) fn outcome(&self, node: NodeId) -> &Outcome {
        &self.outcomes[node.index()]
    }

    /// A run that was stopped with work left is interrupted, also when tasks have failed: to run it
    /// again is of use.
    pub(crate) async fn finish(mut self, is_stopped: bool) -> Result<Report, RunError> {
        let is_stopped = is_stopped || !self.deferred.is_empty();
        if let Some(&first) = self.deferred.first() {
            // They may be very many.
            tracing::warn!(
                target: "kart::event",
                tasks = self.deferred.len(),
                first = self.task(first).description(),
                "held back: they would not end before the deadline"
            );
        }
        let log_sink = std::mem::replace(&mut self.log_sink, LogSink::silent(Known::default()));
        if let Some(failure) = log_sink.end(Counts::of(&self.outcomes)).await {
            self.emit(&Event::LogFailed { error: &failure });
        }
        let report = Report::new(
            self.graph,
            self.outcomes,
            self.runner.workspace.clone(),
            self.started.elapsed(),
            self.roots,
        )
        .with(self.deferred, self.other_code);
        let counts = report.counts();
        if counts.interrupted > 0 || (is_stopped && counts.left > 0) {
            return Err(RunError::Interrupted(Box::new(report)));
        }
        if counts.failed > 0 {
            return Err(RunError::Failed(Box::new(report)));
        }
        Ok(report)
    }

    fn emit(&self, event: &Event<'_>) {
        event.trace();
        if let Some(handler) = &self.runner.on_event {
            let handled = catch_unwind(AssertUnwindSafe(|| handler(event)));
            if handled.is_err() {
                tracing::warn!("the event handler panicked");
            }
        }
    }
}
