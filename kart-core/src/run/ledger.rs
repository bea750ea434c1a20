//! What has become of each task of a run: told as events while it goes, and as the report at the
//! end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::publish::Published;
use super::runner::Runner;
use super::steps::ProgressNow;
use crate::error::BoxError;
use crate::key::Key;
use crate::model::{Erased, NodeId};
use crate::own::Owner;
use crate::plan::{Graph, Need};
use crate::report::{Attempts, Event, Failure, Outcome, Report, RunError, StopReason, TaskInfo};

/// An attempt that failed.
pub(super) struct FailedAttempt {
    pub(super) node: NodeId,
    pub(super) number: u32,
    pub(super) elapsed: Duration,
    pub(super) error: BoxError,
}

/// The outcomes of a run so far.
pub(super) struct Ledger<'a> {
    runner: &'a Runner,
    graph: Arc<Graph>,
    outcomes: Vec<Outcome>,
    roots: Vec<Option<Erased>>,
    started: Instant,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(
        runner: &'a Runner,
        graph: Arc<Graph>,
        needs: &[Need],
        started: Instant,
    ) -> Self {
        let ledger = Ledger {
            runner,
            roots: vec![None; graph.roots.len()],
            graph,
            outcomes: needs.iter().copied().map(before).collect(),
            started,
        };
        ledger.emit(&Event::Planned {
            tasks: needs.len(),
            complete: needs.iter().filter(|need| need.is_complete()).count(),
            missing: needs.iter().filter(|need| need.runs()).count(),
        });
        ledger
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

    pub(super) fn started(&self, node: NodeId, attempt: u32) {
        self.emit(&Event::Started {
            task: self.task(node),
            attempt,
        });
    }

    pub(super) fn asked(&self, node: NodeId, by: NodeId) {
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

    pub(super) fn retrying(&self, failed: &FailedAttempt, pause: Duration) {
        self.emit(&Event::Retrying {
            task: self.task(failed.node),
            attempt: failed.number,
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
        let task = self.task(node);
        let bytes = published.bytes as u64;
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
        if let Some(at) = self.graph.roots.iter().position(|&root| root == node) {
            self.roots[at] = Some(Arc::clone(&published.output));
        }
    }

    /// Gives the failure to whoever waits for the task.
    pub(super) fn failed(&mut self, failed: FailedAttempt) -> Arc<BoxError> {
        let task = self.task(failed.node);
        self.emit(&Event::Failed {
            task,
            attempts: failed.number,
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

    pub(super) fn interrupted(&mut self, node: NodeId) {
        self.outcomes[node.index()] = Outcome::Interrupted;
        self.emit(&Event::Interrupted {
            task: self.task(node),
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
    pub(super) fn finish(self, is_stopped: bool) -> Result<Report, RunError> {
        let report = Report::new(
            self.graph,
            self.outcomes,
            self.runner.workspace.clone(),
            self.started.elapsed(),
            self.roots,
        );
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

/// The outcome of a task that nothing has been done about.
fn before(need: Need) -> Outcome {
    match need {
        Need::Unasked => Outcome::Unneeded,
        Need::Complete => Outcome::Complete,
        _ => Outcome::Left,
    }
}
