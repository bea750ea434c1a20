//! Tasks that bodies ask for while they run.

use std::sync::Arc;

use super::state::RunState;
use crate::error::{Error, interrupted};
use crate::model::{DynTask, NodeId};
use crate::plan::{ExpandLimits, GraphExtender, marks};
use crate::report::Outcome;
use crate::run::attempt::dependency_failed::DependencyFailed;
use crate::run::message::{Reply, SubtaskRequest, SubtaskResult};
use crate::run::output_cache::OutputRef;
use crate::run::subtask_waits::Waiter;
use crate::run::table::{Ending, State};

impl RunState {
    /// A body asks for a task: that one is run, or found, like any other.
    pub(super) fn on_subtask_requested(&mut self, request: SubtaskRequest) {
        let SubtaskRequest {
            id,
            by,
            task,
            reply,
        } = request;
        if !self.table.state(by).is_under_way() {
            // A body that waits no longer takes no answer.
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

    /// The place of a task in the graph, which may grow by it.
    pub(super) fn place(&mut self, task: Arc<dyn DynTask>) -> Result<NodeId, Error> {
        let extender = match &mut self.extender {
            Some(extender) => extender,
            none => none.insert(GraphExtender::of(&self.graph)?),
        };
        // The run stands still meanwhile, so that it cannot hear of its own stop.
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
            self.table
                .mark(marks(&self.graph, &self.settings.rerun, &self.changed));
        }
        Ok(target)
    }

    /// A body has taken the outputs that it was given, and waits for more.
    pub(super) fn on_body_blocked(&mut self, node: NodeId) {
        if self.table.waits.has_open(node) {
            self.scheduler.suspend(&mut self.table, node);
        }
    }

    /// A body does not wait for this any more: it resumes without standing in line.
    pub(super) fn on_subtask_cancelled(&mut self, by: NodeId, id: u64) {
        self.table.waits.cancel(by, id);
        if !self.table.waits.is_waiting(by) {
            self.scheduler.resume_now(&mut self.table, by);
        }
    }

    /// `target` has ended, and a body waits for it.
    pub(super) fn answer(&mut self, target: NodeId, waiter: Waiter) {
        let failure = match self.table.state(target).ending() {
            Some(Ending::Complete) => {
                self.deliver(waiter.by, waiter.reply, Ok(waiter.output));
                return;
            }
            Some(Ending::Failed) => self.dependency_failed(target),
            Some(Ending::Interrupted) => self.failed_fast.clone(),
            // It is being made again.
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

    /// Waiting would close a circle.
    pub(super) fn refuse_circle(&mut self, waiter: Waiter, circle: &[NodeId]) {
        let tasks = circle.iter().map(|node| self.describe(*node)).collect();
        self.deliver(waiter.by, waiter.reply, Err(Error::Cycle { tasks }));
    }

    /// Gives a body its answer when its turn comes, and at once where nobody stands in line.
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

    /// Why there will be no output of a task that failed or is blocked.
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
