//! What has become of each task of a run: told as events while it goes, and as the report at the
//! end.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::inbox::ProgressNow;
use super::journal::{Ended, Journal};
use super::outlook::{before, expected, families};
use super::publish::Published;
use super::runner::Runner;
use crate::error::BoxError;
use crate::key::Key;
use crate::log::{Known, Note, RecordedOutcome};
use crate::model::NodeId;
use crate::own::Owner;
use crate::plan::{Graph, Need, Plan, TaskInfo};
use crate::report::{
    Attempts, Counts, Event, Expected, Failure, Outcome, Report, Root, RunError, StopReason,
};

/// An attempt that failed.
pub(super) struct FailedAttempt {
    pub(super) node: NodeId,
    pub(super) number: u32,
    pub(super) elapsed: Duration,
    pub(super) error: BoxError,
}

/// The outcomes of a run so far.
pub(super) struct Ledger {
    runner: Arc<Runner>,
    graph: Arc<Graph>,
    outcomes: Vec<Outcome>,
    roots: HashMap<NodeId, Option<Root>>,
    journal: Journal,
    held_back: Vec<NodeId>,
    other_code: Vec<NodeId>,
    /// The names of tasks that were warned about because they can never fit.
    too_long: HashSet<&'static str>,
    has_run: bool,
    started: Instant,
}

impl Ledger {
    pub(super) fn new(
        runner: Arc<Runner>,
        graph: Arc<Graph>,
        needs: &[Need],
        journal: Journal,
        started: Instant,
    ) -> Self {
        Ledger {
            runner,
            roots: graph.roots.iter().map(|&root| (root, None)).collect(),
            graph,
            outcomes: needs.iter().copied().map(before).collect(),
            journal,
            held_back: Vec::new(),
            other_code: Vec::new(),
            too_long: HashSet::new(),
            has_run: false,
            started,
        }
    }

    /// Tells what is to be done.
    pub(super) fn planned(&self, needs: &[Need]) {
        let (expected, families) = if self.runner.on_event.is_some() {
            let expected = expected(&self.graph, needs, self.journal.known());
            (expected, families(&self.graph, needs))
        } else {
            (Expected::default(), Vec::new())
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
    pub(super) fn learned(&mut self, needs: &[(NodeId, Need)]) {
        self.outcomes.resize(self.graph.len(), Outcome::Unneeded);
        for &(node, need) in needs {
            self.outcomes[node.index()] = before(need);
        }
    }

    fn record_failed(&mut self, outcome: RecordedOutcome, failed: &FailedAttempt) {
        self.journal.note(
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
        self.journal.note(
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
    pub(super) fn take(&mut self, note: Note) {
        self.journal.take(&self.graph, note);
    }

    pub(super) fn started(&self, node: NodeId, attempt: u32) {
        let known = || {
            self.journal
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

    pub(super) fn asked(&mut self, node: NodeId, by: NodeId) {
        self.journal.asked(node, by);
        self.tell_asked(node, by);
    }

    /// `by`, of which the log is told otherwise, has asked for `node`.
    pub(super) fn tell_asked(&self, node: NodeId, by: NodeId) {
        self.emit(&Event::Asked {
            task: self.task(node),
            by: self.task(by),
        });
    }

    pub(super) fn progress(&self, node: NodeId, now: &ProgressNow) {
        self.emit(&Event::Progress {
            task: self.task(node),
            done: now.done,
            total: now.total,
            message: now.message.as_deref(),
        });
    }

    /// Says which complete outputs other code made; those that are made again are not among them.
    pub(super) fn made_by_other_code(&mut self, changed: &HashSet<NodeId>, needs: &[Need]) {
        let kept = changed.iter().filter(|node| !needs[node.index()].runs());
        self.other_code = kept.copied().collect();
        self.other_code.sort_unstable();
        for &node in &self.other_code {
            self.emit(&Event::MadeByOtherCode {
                task: self.task(node),
            });
        }
    }

    /// Whether a task is not to start, because it is not expected to end before the deadline. As long as
    /// nothing has run it starts all the same, so that no run is in vain.
    pub(super) fn holds_back(&mut self, node: NodeId, deadline: Option<Instant>) -> bool {
        let spec = self.graph.node(node).task.spec();
        let (Some(deadline), Some(whole)) = (deadline, self.runner.deadline) else {
            return false;
        };
        let Some(expected) = self.journal.known().expected(spec) else {
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
        self.held_back.push(node);
        self.emit(&Event::HeldBack {
            task: self.task(node),
            expected,
            left,
        });
        true
    }

    pub(super) fn retrying(&mut self, failed: &FailedAttempt, pause: Duration) {
        self.record_failed(RecordedOutcome::Retrying, failed);
        self.emit(&Event::Retrying {
            task: self.task(failed.node),
            attempt: failed.number,
            elapsed: failed.elapsed,
            pause,
            error: failed.error.as_ref(),
        });
    }

    pub(super) fn published(
        &mut self,
        node: NodeId,
        number: u32,
        elapsed: Duration,
        published: &Published,
    ) {
        self.journal.note(
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
    pub(super) fn ran(
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
            self.emit(&Event::Differed { task });
        }
        self.emit(&Event::Finished {
            task,
            attempt: number,
            elapsed,
            bytes,
        });
        self.outcomes[node.index()] = Outcome::Ran(Attempts {
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
    pub(super) fn failed(&mut self, failed: FailedAttempt) -> Arc<BoxError> {
        self.record_failed(RecordedOutcome::Failed, &failed);
        self.fails(failed)
    }

    /// An attempt of which the log knows has failed.
    pub(super) fn fails(&mut self, failed: FailedAttempt) -> Arc<BoxError> {
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

    pub(super) fn blocked(&mut self, node: NodeId, by: Key) {
        self.record(node, RecordedOutcome::Blocked, 0, Duration::ZERO);
        if let Some(by) = self.graph.find(by) {
            self.emit(&Event::Blocked {
                task: self.task(node),
                by: self.task(by),
            });
        }
        self.outcomes[node.index()] = Outcome::Blocked { by };
    }

    pub(super) fn elsewhere(&self, node: NodeId, owner: &Owner) {
        self.emit(&Event::Elsewhere {
            task: self.task(node),
            owner,
        });
    }

    pub(super) fn made_elsewhere(&mut self, node: NodeId) {
        self.outcomes[node.index()] = Outcome::Elsewhere;
        self.emit(&Event::MadeElsewhere {
            task: self.task(node),
        });
    }

    pub(super) fn interrupted(&mut self, node: NodeId, attempt: u32, elapsed: Duration) {
        self.record(node, RecordedOutcome::Interrupted, attempt, elapsed);
        self.outcomes[node.index()] = Outcome::Interrupted;
        self.emit(&Event::Interrupted {
            task: self.task(node),
            attempt,
            elapsed,
        });
    }

    pub(super) fn stopping(&self, reason: StopReason, running: usize) {
        self.emit(&Event::Stopping {
            reason,
            running,
            grace: self.runner.grace,
        });
    }

    pub(super) fn outcome(&self, node: NodeId) -> &Outcome {
        &self.outcomes[node.index()]
    }

    /// A run that was stopped with work left is interrupted, also when tasks have failed: to run it
    /// again is of use.
    pub(super) async fn finish(mut self, is_stopped: bool) -> Result<Report, RunError> {
        let is_stopped = is_stopped || !self.held_back.is_empty();
        if let Some(&first) = self.held_back.first() {
            // They may be very many.
            tracing::warn!(
                target: "kart::event",
                tasks = self.held_back.len(),
                first = self.task(first).description(),
                "held back: they would not end before the deadline"
            );
        }
        let journal = std::mem::replace(&mut self.journal, Journal::silent(Known::default()));
        if let Some(failure) = journal.end(Counts::of(&self.outcomes)).await {
            self.emit(&Event::LogFailed { error: &failure });
        }
        let report = Report::new(
            self.graph,
            self.outcomes,
            self.runner.workspace.clone(),
            self.started.elapsed(),
            self.roots,
        )
        .with(self.held_back, self.other_code);
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
