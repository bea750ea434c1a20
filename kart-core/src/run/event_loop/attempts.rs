//! Results of attempts: outputs, retries, failures and what they block, interruptions.

use std::sync::Arc;
use std::time::Duration;

use super::state::RunState;
use crate::error::{self, BoxError, Error, chain};
use crate::key::Key;
use crate::lease::Owner;
use crate::model::{NodeId, TaskSpec};
use crate::plan::Status;
use crate::report::{Completion, Failure, Interruption, Outcome};
use crate::run::errors::dependency_failed::DependencyFailed;
use crate::run::message::{AttemptEnd, AttemptResult, FailedAttempt, Published};
use crate::run::record::ran::RanRecord;
use crate::run::table::State;
use crate::run::table::dependents::required;
use crate::run::task_lease::TaskLease;

/// The longest pause before a retry.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// How often a task may wait again for an input that has vanished.
const VANISHED_INPUTS: u32 = 2;

impl RunState {
    /// Handles the result of an attempt.
    pub(crate) fn on_attempt_finished(&mut self, result: AttemptResult) {
        self.attempts -= 1;
        let AttemptResult {
            node,
            number,
            elapsed,
            end,
            lease,
        } = result;
        // `BodyFinished` may have done this already.
        self.scheduler.body_ended(&mut self.table, node);
        self.table.waits.forget(node);
        let attempt = |error| FailedAttempt {
            node,
            number,
            elapsed,
            error: Arc::new(error),
        };
        match end {
            AttemptEnd::Published(published) => {
                self.on_published(node, number, elapsed, &published);
            }
            AttemptEnd::AlreadyComplete => self.on_completed_by_other(node),
            AttemptEnd::ClaimedByOther(owner) => self.on_claimed(node, Some(owner)),
            AttemptEnd::LeaseLost => self.on_claimed(node, None),
            AttemptEnd::FailedByOther { attempts, error } => {
                self.fail_unrecorded(FailedAttempt {
                    number: attempts,
                    ..attempt(error)
                });
            }
            AttemptEnd::InputVanished(input, status, error) => {
                self.on_input_vanished(input, status, attempt(error));
            }
            AttemptEnd::Stopped => {
                // With its guard closed the run is about to stop: it has lost its lease.
                let is_stopped = self.stopped.is_some() || !self.run.guard.is_open();
                let reason = if is_stopped {
                    Interruption::Stopped
                } else {
                    Interruption::Subtask
                };
                self.interrupt(node, number, elapsed, reason);
            }
            AttemptEnd::Unavailable(error) => {
                let reason = Interruption::Unavailable(chain(error.as_ref()));
                self.interrupt(node, number, elapsed, reason);
            }
            AttemptEnd::Failed(error) => {
                let is_permanent = is_permanent(&error);
                self.on_failed(attempt(error), is_permanent, lease);
            }
        }
        self.settle();
        self.look_up();
    }

    /// Notes that an attempt holds its lease.
    pub(super) fn on_attempt_started(&mut self, node: NodeId, number: u32) {
        if self.run.leases.are_per_task() {
            self.record(move |tracker| tracker.emit_started(node, number));
        }
        if self.table.attempts_mut(node).foreign.take().is_some() {
            self.watch_foreign_waits();
        }
    }

    fn on_published(
        &mut self,
        node: NodeId,
        number: u32,
        elapsed: Duration,
        published: &Published,
    ) {
        self.has_run = true;
        let is_root = self.graph.roots.contains(&node);
        let ran = RanRecord::new(node, number, elapsed, published, is_root);
        self.record(move |tracker| tracker.record_ran(ran));
        self.complete(node, number, elapsed, published, true);
    }

    /// Completes `node`, which this run has made; `has_inputs` if the output cache held inputs for it.
    pub(super) fn complete(
        &mut self,
        node: NodeId,
        attempts: u32,
        elapsed: Duration,
        published: &Published,
        has_inputs: bool,
    ) {
        let bytes = published.bytes;
        let completion = Completion {
            attempts,
            elapsed,
            bytes,
            differed: published.differed,
        };
        self.table.set_outcome(node, Outcome::Ran(completion));
        if let Some(stored) = &published.stored {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.run.outputs.insert(node, stored, bytes);
        }
        self.table.set(node, State::Complete);
        if has_inputs {
            self.release_requirements(node);
        }
    }

    /// Completes `node`, which another process has made.
    pub(super) fn on_completed_by_other(&mut self, node: NodeId) {
        self.table.set_outcome(node, Outcome::CompletedByOther);
        self.record(move |tracker| tracker.emit_completed_by_other(node));
        self.table.set(node, State::Complete);
        self.release_requirements(node);
    }

    /// Lets the output cache drop the inputs of `node`.
    pub(super) fn release_requirements(&self, node: NodeId) {
        let required = required(&self.graph, node);
        if !required.is_empty() {
            self.run.outputs.release(&required);
        }
    }

    /// Makes a vanished input again, and then the task.
    fn on_input_vanished(&mut self, input: NodeId, status: Status, failed: FailedAttempt) {
        let node = failed.node;
        let vanished = &mut self.table.attempts_mut(node).vanished;
        *vanished += 1;
        if *vanished > VANISHED_INPUTS || self.is_dispatched {
            self.on_failed(failed, true, None);
            return;
        }
        tracing::warn!(
            task = self.describe(node),
            error = chain(failed.error.as_ref().as_ref()),
            "an input is gone or cannot be used: it is made again"
        );
        self.on_output_vanished(input, status);
        self.table.requeue(node);
    }

    /// Makes the vanished output of a complete task again.
    pub(super) fn on_output_vanished(&mut self, node: NodeId, status: Status) {
        self.run.outputs.forget(node);
        if !self.table.is_closed() {
            self.table.reopen(node, status);
        }
    }

    fn on_failed(&mut self, failed: FailedAttempt, is_permanent: bool, lease: Option<TaskLease>) {
        let node = failed.node;
        if let Some(dependency) = DependencyFailed::cause_of(&failed.error)
            && self.has_failed(dependency.key)
        {
            self.let_go(lease);
            self.block(node, dependency.key);
            return;
        }
        let spec = self.graph.node(node).task.spec();
        let is_root = self.is_dispatched && self.graph.roots.contains(&node);
        if failed.number > spec.retries || is_root || is_permanent || self.failed_fast.is_some() {
            if let Some(lease) = lease {
                let (number, error) = (failed.number, failed.error_text());
                self.background
                    .write(async move { lease.fail(number, error).await });
            }
            self.fail(failed);
        } else if self.stopped.is_some() {
            self.let_go(lease);
            self.interrupt_backoff(&failed);
        } else {
            self.back_off(spec, failed, lease);
        }
    }

    fn back_off(&mut self, spec: &TaskSpec, failed: FailedAttempt, lease: Option<TaskLease>) {
        let node = failed.node;
        let pause = backoff(spec, failed.number);
        let record = failed.clone();
        self.record(move |tracker| tracker.record_retry(&record, pause));
        let attempts = self.table.attempts_mut(node);
        attempts.number = failed.number + 1;
        attempts.failed = Some(failed);
        attempts.lease = lease;
        self.table.set(node, State::BackingOff);
        self.background.back_off(node, pause);
    }

    fn interrupt_backoff(&mut self, failed: &FailedAttempt) {
        let reason = Interruption::BeforeRetry(failed.error_text());
        self.interrupt(failed.node, failed.number, failed.elapsed, reason);
    }

    pub(super) fn on_backoff_elapsed(&mut self, node: NodeId) {
        if self.table.state(node) == State::BackingOff {
            self.table.requeue(node);
        }
    }

    /// Ends all backoffs, since nothing starts any more.
    pub(super) fn end_backoffs(&mut self) {
        for node in self.table.backing_off() {
            let attempts = self.table.attempts_mut(node);
            let (failed, lease) = (attempts.failed.take(), attempts.lease.take());
            let Some(failed) = failed else { continue };
            self.let_go(lease);
            if self.failed_fast.is_some() {
                self.fail(failed);
            } else {
                self.interrupt_backoff(&failed);
            }
        }
    }

    fn let_go(&mut self, lease: Option<TaskLease>) {
        if let Some(lease) = lease {
            self.background
                .write(async move { lease.release(false).await });
        }
    }

    /// Ends `node` without an output, and without its body's fault.
    pub(super) fn interrupt(
        &mut self,
        node: NodeId,
        attempt: u32,
        elapsed: Duration,
        reason: Interruption,
    ) {
        self.table
            .set_outcome(node, Outcome::Interrupted(reason.clone()));
        self.record(move |tracker| tracker.record_interrupted(node, attempt, elapsed, &reason));
        self.table.set(node, State::Interrupted);
        self.settle();
    }

    /// Fails a task: its dependents are blocked, and bodies that asked for it get the error.
    pub(super) fn fail(&mut self, failed: FailedAttempt) {
        let record = failed.clone();
        self.record(move |tracker| tracker.record_failure(&record));
        self.end_in_failure(failed);
    }

    /// Fails a task whose failure another process has logged.
    pub(super) fn fail_unrecorded(&mut self, failed: FailedAttempt) {
        let record = failed.clone();
        self.record(move |tracker| tracker.emit_failure(&record));
        self.end_in_failure(failed);
    }

    fn end_in_failure(&mut self, failed: FailedAttempt) {
        let node = failed.node;
        let failure = Failure {
            description: self.describe(node),
            attempts: failed.number,
            elapsed: failed.elapsed,
            error: Arc::clone(&failed.error),
        };
        self.table.set_outcome(node, Outcome::Failed(failure));
        self.table.set(node, State::Failed);
        self.release_requirements(node);
        self.settle();
        let is_first = self.failed_fast.is_none() && !self.table.is_closed();
        if self.settings.fail_fast && is_first {
            self.failed_fast = Some(DependencyFailed {
                key: self.graph.node(node).key,
                failure: failed.error,
            });
            self.close();
        }
    }

    /// Blocks `node`, because the task `by` failed.
    pub(super) fn block(&mut self, node: NodeId, by: Key) {
        self.table.set_outcome(node, Outcome::Blocked { by });
        self.record(move |tracker| tracker.record_blocked(node, by));
        self.release_requirements(node);
        if self.table.state(node) != State::Blocked {
            self.table.set(node, State::Blocked);
        }
    }

    /// Blocks `node`, which requires `by`: that one failed, or is blocked itself.
    pub(super) fn on_blocked(&mut self, node: NodeId, by: NodeId) {
        let key = match self.table.outcome(by) {
            Outcome::Blocked { by } => *by,
            _ => self.graph.node(by).key,
        };
        self.block(node, key);
    }

    /// Waits for another process that holds the task, or may hold it since this one has lost its lease.
    pub(super) fn on_claimed(&mut self, node: NodeId, owner: Option<Owner>) {
        if let Some(owner) = owner.clone() {
            self.record(move |tracker| tracker.emit_claimed_by_other(node, &owner));
        }
        self.set_foreign(node, owner);
    }

    /// Returns whether the task of that key has failed in this run.
    fn has_failed(&self, key: Key) -> bool {
        let outcome = self.graph.find(key).map(|node| self.table.outcome(node));
        matches!(outcome, Some(Outcome::Failed(_)))
    }

    pub(super) fn describe(&self, node: NodeId) -> String {
        crate::plan::describe(self.graph.node(node).task.as_ref())
    }
}

/// Returns whether a retry cannot help: the body said so, or it would read the same undecodable object.
fn is_permanent(error: &BoxError) -> bool {
    let is_decode = |error: &Error| matches!(error, Error::Decode { .. });
    error::is_permanent(error.as_ref()) || error.downcast_ref::<Error>().is_some_and(is_decode)
}

/// Returns a random pause up to the doubled backoff ("full jitter", as in the AWS Architecture Blog's "Exponential
/// Backoff and Jitter").
fn backoff(spec: &TaskSpec, attempt: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
    let longest = spec.backoff.saturating_mul(doubled).min(LONGEST_PAUSE);
    longest.mul_f64(fastrand::f64())
}
