//! The loop of a run: starts what the schedule says, and tells the schedule what became of it.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempt::{Attempted, Shop, attempt};
use super::halt::{self, Halt};
use super::handover::Handover;
use super::publish::Published;
use super::runner::Runner;
use super::schedule::Schedule;
use super::steps::{Step, Steps};
use crate::error::{self, BoxError, Error};
use crate::model::{Erased, NodeId, Stop, TaskSpec};
use crate::plan::{Graph, Need};
use crate::report::{Attempts, Event, Failure, Outcome, Report, RunError, StopReason, TaskInfo};

/// How many outputs may be on their way to the store while further bodies run.
const PUBLISHING: usize = 64;
/// No pause before a retry is longer than this.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// A run under way.
pub(super) struct Drive<'a> {
    runner: &'a Runner,
    graph: Arc<Graph>,
    needs: Arc<[Need]>,
    outcomes: Vec<Outcome>,
    roots: Vec<Option<Erased>>,
    /// The numbers of the next attempts of tasks that are ready again; all others are 1.
    numbers: HashMap<NodeId, u32>,
    /// The last attempts of the tasks that pause before the next.
    resting: BTreeMap<NodeId, FailedAttempt>,
    is_stopped: bool,
    started: Instant,
}

/// An attempt that failed.
struct FailedAttempt {
    node: NodeId,
    number: u32,
    elapsed: Duration,
    error: BoxError,
}

impl<'a> Drive<'a> {
    pub(super) fn new(
        runner: &'a Runner,
        graph: Arc<Graph>,
        needs: Vec<Need>,
        started: Instant,
    ) -> Self {
        let outcomes = needs
            .iter()
            .map(|need| match need {
                Need::Unasked => Outcome::Unneeded,
                Need::Complete => Outcome::Complete,
                _ => Outcome::Left,
            })
            .collect();
        Drive {
            runner,
            roots: vec![None; graph.roots.len()],
            graph,
            needs: needs.into(),
            outcomes,
            numbers: HashMap::new(),
            resting: BTreeMap::new(),
            is_stopped: false,
            started,
        }
    }

    pub(super) async fn run(mut self) -> Result<Report, RunError> {
        let graph = Arc::clone(&self.graph);
        self.emit(&Event::Planned {
            tasks: graph.len(),
            complete: self.needs.iter().filter(|need| need.is_complete()).count(),
            missing: self.needs.iter().filter(|need| need.runs()).count(),
        });
        let mut schedule = Schedule::new(
            &graph,
            &self.needs,
            self.runner.workers,
            &self.runner.limits,
        );
        let (bodies_ended, ended) = mpsc::unbounded_channel();
        let shop = Arc::new(Shop {
            graph: Arc::clone(&graph),
            needs: Arc::clone(&self.needs),
            workspace: self.runner.workspace.clone(),
            resources: Arc::new(self.runner.resources.clone()),
            handover: Handover::new(self.runner.memory_budget, schedule.consumers()),
            stop: Stop::new(),
            bodies_ended,
        });
        let mut steps = Steps::new(ended);
        let deadline = halt::deadline(self.runner, self.started);
        let mut halt = halt::stop(self.runner.stop.clone(), deadline).boxed();
        loop {
            // All that has happened is taken in before anything starts: an output that is there
            // already may have made a task ready that goes before those that wait.
            while let Some(step) = steps.try_next() {
                self.take(step, &mut schedule, &shop, &mut steps)?;
            }
            // The deadline may have passed since, and its timer not have fired yet.
            if let Some(reason) = self.must_stop() {
                self.stop(reason, &mut schedule, &shop, &mut steps);
                halt = halt::grace(self.runner.grace).boxed();
            }
            while steps.attempts() < self.runner.workers + PUBLISHING {
                let Some(node) = schedule.start() else { break };
                let number = self.numbers.remove(&node).unwrap_or(1);
                self.emit(&Event::Started {
                    task: TaskInfo::new(&graph, node),
                    attempt: number,
                });
                steps.attempt(attempt(Arc::clone(&shop), node, number));
            }
            tokio::select! {
                biased;
                halted = &mut halt => match halted {
                    Halt::Stop(reason) => {
                        self.stop(reason, &mut schedule, &shop, &mut steps);
                        halt = halt::grace(self.runner.grace).boxed();
                    }
                    Halt::GraceOver => break,
                },
                step = steps.next() => match step {
                    Some(step) => self.take(step, &mut schedule, &shop, &mut steps)?,
                    None => break,
                },
            }
        }
        // What still runs is dropped: nothing of it is published by halves.
        drop(steps);
        for node in schedule.running() {
            self.interrupted(node);
        }
        self.finish()
    }

    /// Why the run is to stop, unless it has been told already.
    fn must_stop(&self) -> Option<StopReason> {
        if self.is_stopped {
            return None;
        }
        if self.runner.stop.is_stopping() {
            return Some(StopReason::Asked);
        }
        let deadline = halt::deadline(self.runner, self.started)?;
        (deadline <= Instant::now()).then_some(StopReason::Deadline)
    }

    /// Nothing new starts from now on, and bodies are told.
    fn stop(
        &mut self,
        reason: StopReason,
        schedule: &mut Schedule<'_>,
        shop: &Shop,
        steps: &mut Steps,
    ) {
        self.is_stopped = true;
        schedule.close();
        steps.stop_rests();
        shop.stop.stop();
        self.emit(&Event::Stopping {
            reason,
            running: steps.attempts(),
            grace: self.runner.grace,
        });
        for failed in std::mem::take(&mut self.resting).into_values() {
            self.interrupted(failed.node);
        }
    }

    fn interrupted(&mut self, node: NodeId) {
        self.outcomes[node.index()] = Outcome::Interrupted;
        self.emit(&Event::Interrupted {
            task: TaskInfo::new(&self.graph, node),
        });
    }

    fn take(
        &mut self,
        step: Step,
        schedule: &mut Schedule<'_>,
        shop: &Shop,
        steps: &mut Steps,
    ) -> Result<(), RunError> {
        match step {
            Step::BodyEnded(node) => schedule.body_ended(node),
            Step::Attempted(attempted) => self.attempted(attempted, schedule, shop, steps),
            Step::Rested(node, number) => {
                self.resting.remove(&node);
                self.numbers.insert(node, number);
                schedule.retry(node);
            }
            Step::Stopped(error) => return Err(RunError::Runtime(error.into())),
        }
        Ok(())
    }

    fn attempted(
        &mut self,
        attempted: Attempted,
        schedule: &mut Schedule<'_>,
        shop: &Shop,
        steps: &mut Steps,
    ) {
        let Attempted {
            node,
            number,
            elapsed,
            body_ended,
            result,
        } = attempted;
        if !body_ended {
            schedule.body_ended(node);
        }
        let error = match result {
            Ok(published) => {
                self.published(node, number, elapsed, published, shop);
                schedule.complete(node);
                self.release_requirements(node, shop);
                return;
            }
            Err(error) => error,
        };
        if error::is_interrupted(error.as_ref()) {
            schedule.interrupt(node);
            self.interrupted(node);
            return;
        }
        let failed = FailedAttempt {
            node,
            number,
            elapsed,
            error,
        };
        let spec = self.graph.node(node).task.spec();
        let may_retry = number <= spec.retries && !is_permanent(&failed.error);
        if may_retry && !schedule.is_closed() {
            let pause = pause(spec, number);
            self.emit(&Event::Retrying {
                task: TaskInfo::new(&self.graph, node),
                attempt: number,
                pause,
                error: failed.error.as_ref(),
            });
            steps.rest(node, pause, number + 1);
            self.resting.insert(node, failed);
            return;
        }
        self.failed(failed, schedule, shop);
        if self.runner.fail_fast && !schedule.is_closed() {
            schedule.close();
            steps.stop_rests();
            for failed in std::mem::take(&mut self.resting).into_values() {
                self.failed(failed, schedule, shop);
            }
        }
    }

    /// `node` takes no more of what it requires.
    fn release_requirements(&self, node: NodeId, shop: &Shop) {
        let mut required = Vec::new();
        self.graph
            .node(node)
            .for_each_requirement(|id| required.push(id));
        required.sort_unstable();
        required.dedup();
        for id in required {
            shop.handover.release(id);
        }
    }

    fn published(
        &mut self,
        node: NodeId,
        number: u32,
        elapsed: Duration,
        published: Published,
        shop: &Shop,
    ) {
        let task = TaskInfo::new(&self.graph, node);
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
        shop.handover.keep(node, &published.output, published.bytes);
        if let Some(at) = self.graph.roots.iter().position(|&root| root == node) {
            self.roots[at] = Some(published.output);
        }
    }

    fn failed(&mut self, failed: FailedAttempt, schedule: &mut Schedule<'_>, shop: &Shop) {
        let FailedAttempt {
            node,
            number,
            elapsed,
            error,
        } = failed;
        let task = TaskInfo::new(&self.graph, node);
        self.emit(&Event::Failed {
            task,
            attempts: number,
            error: error.as_ref(),
        });
        self.release_requirements(node, shop);
        for blocked in schedule.fail(node) {
            self.emit(&Event::Blocked {
                task: TaskInfo::new(&self.graph, blocked),
                by: task,
            });
            self.release_requirements(blocked, shop);
            self.outcomes[blocked.index()] = Outcome::Blocked { by: task.key() };
        }
        self.outcomes[node.index()] = Outcome::Failed(Failure {
            description: task.description(),
            attempts: number,
            elapsed,
            error: Arc::new(error),
        });
    }

    /// A run that was stopped with work left is interrupted, also when tasks have failed: to run it
    /// again is of use.
    fn finish(self) -> Result<Report, RunError> {
        let is_stopped = self.is_stopped;
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

/// Whether a retry would be in vain: the body said so, or a stored object would be met again.
fn is_permanent(error: &BoxError) -> bool {
    error::is_permanent(error.as_ref()) || error.downcast_ref::<Error>().is_some_and(is_decode)
}

fn is_decode(error: &Error) -> bool {
    matches!(error, Error::Decode { .. })
}

/// A pause between nothing and the doubled backoff ("full jitter", as in the AWS Architecture
/// Blog's "Exponential Backoff and Jitter").
fn pause(spec: &TaskSpec, attempt: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
    let longest = spec.backoff.saturating_mul(doubled).min(LONGEST_PAUSE);
    longest.mul_f64(fastrand::f64())
}
