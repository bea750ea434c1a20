//! Subtasks: tasks that bodies ask for while they run.

use std::sync::Arc;

use super::state::RunState;
use crate::error::{Error, interrupted};
use crate::model::{DynTask, NodeId};
use crate::plan::{ExpandLimits, GraphExtender};
use crate::report::Outcome;
use crate::run::errors::dependency_failed::DependencyFailed;
use crate::run::message::{Reply, SubtaskRequest, SubtaskResult};
use crate::run::output_cache::OutputRef;
use crate::run::subtask_waits::Waiter;
use crate::run::table::{Ending, State};

impl RunState {
    /// Needs the task that a body asks for, and suspends the body.
    pub(super) fn on_subtask_requested(&mut self, request: SubtaskRequest) {
        let SubtaskRequest {
            id,
            by,
            task,
            reply,
        } = request;
        if !self.table.state(by).is_under_way() {
            // The body may not wait any more.
            let _ = reply.send(Err(interrupted().into()));
            return;
        }
        let target = match self.place(task) {
            Ok(target) => target,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        self.record(move |tracker| tracker.record_subtask(target, by));
        self.scheduler.suspend(&mut self.table, by);
        let output = OutputRef::new(&self.run.outputs, target);
        let waiter = Waiter {
            id,
            by,
            reply,
            output,
        };
        let state = self.table.state(target);
        if self.table.is_closed() && !state.is_under_way() && state.ending().is_none() {
            self.table.set_outcome(target, Outcome::NotRun);
            self.table.set(target, State::Unreachable);
        }
        self.table.wait(target, waiter);
        let rank = self.table.rank(by);
        self.table.need(target, Some(rank));
    }

    /// Returns the node of a task, and adds it to the graph if it is new.
    pub(super) fn place(&mut self, task: Arc<dyn DynTask>) -> Result<NodeId, Error> {
        let extender = match &mut self.extender {
            Some(extender) => extender,
            none => none.insert(GraphExtender::of(&self.graph)?),
        };
        // This blocks the event loop, so the expansion itself watches the stop and the deadline.
        let limits = ExpandLimits {
            max_tasks: self.settings.max_tasks,
            stop: self.settings.stop.child(),
            deadline: self.deadline.filter(|_| self.stopped.is_none()),
            ..ExpandLimits::default()
        };
        let before = self.graph.len();
        let target = extender.add(&self.graph, task, &limits)?;
        if self.graph.len() > before {
            self.table.grow();
            self.table.mark(self.run.reruns.marks(&self.graph));
        }
        Ok(target)
    }

    /// Suspends a body again that has taken its answers and waits for more.
    pub(super) fn on_body_blocked(&mut self, node: NodeId) {
        if self.table.waits.has_open(node) {
            self.scheduler.suspend(&mut self.table, node);
        }
    }

    /// Ends one wait of a body. If it was the last, the body resumes at once: nothing could hold it.
    pub(super) fn on_subtask_cancelled(&mut self, by: NodeId, id: u64) {
        self.table.waits.cancel(by, id);
        if !self.table.waits.is_waiting(by) {
            self.scheduler.resume_now(&mut self.table, by);
        }
    }

    /// Answers a body that waits for `target`, which has ended.
    pub(super) fn answer(&mut self, target: NodeId, waiter: Waiter) {
        let failure = match self.table.state(target).ending() {
            Some(Ending::Complete) => {
                self.deliver(waiter.by, waiter.reply, Ok(waiter.output));
                return;
            }
            Some(Ending::Failed) => self.dependency_failed(target),
            Some(Ending::Interrupted) => self.failed_fast.clone(),
            // It vanished, and is being made again.
            None => {
                self.table.wait(target, waiter);
                return;
            }
        };
        let error = match failure {
            Some(failure) => Error::Required {
                task: self.describe(target),
                source: failure.into(),
            },
            None => interrupted().into(),
        };
        self.deliver(waiter.by, waiter.reply, Err(error));
    }

    /// Answers a body whose wait would close a cycle.
    pub(super) fn refuse_circle(&mut self, waiter: Waiter, circle: &[NodeId]) {
        let tasks = circle.iter().map(|node| self.describe(*node)).collect();
        self.deliver(waiter.by, waiter.reply, Err(Error::Cycle { tasks }));
    }

    /// Keeps an answer for a body, and lets the body resume.
    pub(super) fn deliver(&mut self, by: NodeId, reply: Reply, answer: SubtaskResult) {
        self.table.waits.keep_answer(by, reply, answer);
        self.resume(by);
    }

    pub(super) fn resume(&mut self, by: NodeId) {
        if self.table.is_closed() {
            self.scheduler.resume_now(&mut self.table, by);
        }
        if self.table.state(by).is_suspended() {
            self.scheduler.resume(&mut self.table, by);
        } else {
            self.table.waits.answer(by);
        }
    }

    /// Returns the failure behind a task that failed or is blocked.
    pub(super) fn dependency_failed(&self, node: NodeId) -> Option<DependencyFailed> {
        let (key, failure) = match self.table.outcome(node) {
            Outcome::Failed(failure) => (self.graph.node(node).key, failure),
            Outcome::Blocked { by } => match self.table.outcome(self.graph.find(*by)?) {
                Outcome::Failed(failure) => (*by, failure),
                _ => return None,
            },
            _ => return None,
        };
        Some(DependencyFailed {
            key,
            failure: Arc::clone(&failure.error),
        })
    }
}
