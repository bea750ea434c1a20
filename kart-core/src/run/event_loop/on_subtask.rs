//! What the loop does about tasks that bodies ask for.

use std::sync::{Arc, PoisonError};

use crate::error::{Error, StoreError, chain, interrupted};
use crate::key::Key;
use crate::model::{DynTask, NodeId};
use crate::plan::{Status, describe, survey_below};
use crate::report::Outcome;
use crate::run::attempt::dependency_failed::DependencyFailed;
use crate::run::event_loop::state::RunState;
use crate::run::event_loop::subtask_waits::{Estimate, SubtaskRequest};
use crate::run::mailbox::Surveyed;

impl RunState {
    /// The body of a task asks for another: that one is run, or found, like any other.
    pub(crate) fn asked(&mut self, ask: SubtaskRequest) {
        match self.place(ask.by, ask.task) {
            Ok(target) => {
                self.schedule.suspend(ask.by);
                let expected = Estimate::new(&self.run_context, target);
                self.asks.wait(ask.id, ask.by, ask.reply, expected);
                self.look_after(target, ask.by);
            }
            Err(error) => {
                // Who waits no longer takes no answer.
                let _ = ask.reply.send(Err(error));
            }
        }
    }

    /// The place of a task that `by` can wait for.
    fn place(&mut self, by: NodeId, task: Arc<dyn DynTask>) -> Result<NodeId, Error> {
        if !self.schedule.is_under_way(by) {
            return Err(interrupted().into());
        }
        let target = self
            .asks
            .place(&self.graph, task, &self.runner.expand_limits())?;
        self.make_room();
        self.tracker.asked(target, by);
        self.circle(by, target).map_or(Ok(target), Err)
    }

    /// Room for what came to the graph.
    pub(crate) fn make_room(&mut self) {
        self.schedule.grow();
        self.tracker.learned(&[]);
        let needs = self.needs.write();
        let mut needs = needs.unwrap_or_else(PoisonError::into_inner);
        needs.resize(self.graph.len(), Status::NotNeeded);
    }

    /// Notes what tasks need of which nothing was known.
    pub(crate) fn learn(&mut self, needs: &[(NodeId, Status)]) {
        let known = self.needs.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        for &(node, need) in needs {
            known[node.index()] = need;
        }
        drop(known);
        self.tracker.learned(needs);
    }

    /// The circle that would close if `by` waited for `target`.
    fn circle(&self, by: NodeId, target: NodeId) -> Option<Error> {
        let asks = &self.asks;
        let waiting = |node| asks.bodies_waiting_for(node);
        let mut way = self.schedule.path_up(by, target, waiting)?;
        way.push(by);
        way.reverse();
        let describe = |node: &NodeId| describe(self.graph.node(*node).task.as_ref());
        Some(Error::Cycle {
            tasks: way.iter().map(describe).collect(),
        })
    }

    /// Sees to it that `target`, for which `asker` waits, comes to an end.
    fn look_after(&mut self, target: NodeId, asker: NodeId) {
        if self.schedule.is_complete(target) {
            self.settle(target, || None);
            return;
        }
        if let Some(unavailable) = self.unavailable(target) {
            self.settle_unavailable(target, &unavailable);
            return;
        }
        match self.need(target) {
            Status::Complete => self.settle(target, || None),
            _ if self.schedule.is_under_way(target) => {}
            _ if self.schedule.is_closed() => self.settle(target, || Some(interrupted().into())),
            Status::NotNeeded => {
                let (graph, needs) = (Arc::clone(&self.graph), Arc::clone(&self.needs));
                let workspace = self.runner.workspace.clone();
                let rerun = self.runner.rerun.clone();
                self.aside.survey(async move {
                    Surveyed {
                        target,
                        asker,
                        needs: survey_below(target, &graph, &workspace, &rerun, &needs).await,
                    }
                });
            }
            _ => {}
        }
    }

    /// Whether it is known here that the task of that key has failed.
    pub(crate) fn has_failed(&self, key: Key) -> bool {
        let outcome = self.graph.find(key).map(|node| self.tracker.outcome(node));
        matches!(outcome, Some(Outcome::Failed(_)))
    }

    /// Why there will be no output of a task that failed or is blocked.
    pub(crate) fn unavailable(&self, node: NodeId) -> Option<DependencyFailed> {
        match self.tracker.outcome(node) {
            Outcome::Failed(failure) => {
                let key = self.graph.node(node).key;
                let failure = Arc::clone(&failure.error);
                Some(DependencyFailed { key, failure })
            }
            Outcome::Blocked { by } => {
                let Outcome::Failed(failure) = self.tracker.outcome(self.graph.find(*by)?) else {
                    return None;
                };
                let failure = Arc::clone(&failure.error);
                Some(DependencyFailed { key: *by, failure })
            }
            _ => None,
        }
    }

    pub(crate) fn surveyed(&mut self, surveyed: Surveyed) {
        let Surveyed {
            target,
            asker,
            needs,
        } = surveyed;
        let mut needs = match needs {
            Ok(needs) => needs,
            Err(error) => {
                self.settle(target, || Some(again(&error)));
                return;
            }
        };
        needs.retain(|(node, _)| self.need(*node) == Status::NotNeeded);
        let runs = needs.iter().filter(|(_, need)| need.runs());
        let specs = runs.map(|(node, _)| self.graph.node(*node).task.spec());
        if let Err(error) = self.runner.check(specs) {
            let task = describe(self.graph.node(target).task.as_ref());
            let reason = error.to_string();
            self.settle(target, || {
                Some(Error::Requirement {
                    task: task.clone(),
                    reason: reason.clone(),
                })
            });
            return;
        }
        self.learn(&needs);
        let added = self.schedule.add(&needs, asker);
        for (required, _) in added.edges {
            self.run_context.outputs.expect(required);
        }
        for (node, below) in added.blocked {
            if let Some(unavailable) = self.unavailable(below)
                && self.schedule.is_waiting(node)
            {
                self.blocked(node, &unavailable);
            }
        }
        let waiting: Vec<NodeId> = self.asks.bodies_waiting_for(target).collect();
        for by in waiting {
            if let Some(Error::Cycle { tasks }) = self.circle(by, target) {
                let error = || {
                    Some(Error::Cycle {
                        tasks: tasks.clone(),
                    })
                };
                let ready = self.asks.settle(target, error, |waiting| waiting == by);
                self.go_on(ready);
            }
        }
        self.look_after(target, asker);
    }

    /// A body has taken what it was given, and waits for more.
    pub(crate) fn parked(&mut self, node: NodeId) {
        if self.asks.has_open(node) {
            self.schedule.suspend(node);
        }
    }

    /// A body does not wait for this any more: it goes on without standing in line.
    pub(crate) fn withdrawn(&mut self, by: NodeId, ask: u64) {
        self.asks.withdraw(by, ask);
        if !self.asks.is_waiting(by) {
            self.schedule.resume_now(by);
        }
    }

    /// Nothing starts any more: who waits for what is not under way is told so, with the failure
    /// that was the reason, if there was one.
    pub(crate) fn end_vain_waits(&mut self, failure: Option<&DependencyFailed>) {
        for target in self.asks.targets() {
            if self.schedule.is_under_way(target) {
                continue;
            }
            match failure {
                Some(failure) => self.settle_unavailable(target, failure),
                None => self.settle(target, || Some(interrupted().into())),
            }
        }
        let answered = self.asks.answered();
        self.go_on(answered);
    }

    pub(crate) fn settle_unavailable(&mut self, node: NodeId, unavailable: &DependencyFailed) {
        let task = describe(self.graph.node(node).task.as_ref());
        self.settle(node, || {
            Some(Error::Required {
                task: task.clone(),
                source: unavailable.clone().into(),
            })
        });
    }

    /// Whoever waits for `target` need not wait any longer.
    pub(crate) fn settle(&mut self, target: NodeId, error: impl Fn() -> Option<Error>) {
        let ready = self.asks.settle(target, error, |_| true);
        self.go_on(ready);
    }

    /// These bodies have answers: when their turn comes, and at once where nobody stands in line.
    fn go_on(&mut self, bodies: Vec<NodeId>) {
        for by in bodies {
            if self.schedule.is_closed() {
                self.schedule.resume_now(by);
            }
            if self.schedule.is_suspended(by) {
                self.schedule.resume(by);
            } else {
                self.asks.answer(by);
            }
        }
    }
}

/// The same error for one more who waits.
fn again(error: &Error) -> Error {
    match error {
        Error::Store(error) => Error::Store(StoreError {
            operation: error.operation,
            location: error.location.clone(),
            advice: error.advice.clone(),
            source: chain(error.source.as_ref()).into(),
        }),
        error => Error::Wire(chain(error)),
    }
}
