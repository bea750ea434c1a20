//! The loop of a run: starts what the schedule says, and tells the schedule what became of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempt::{Attempted, Shop, attempt};
use super::handover::Handover;
use super::publish::Published;
use super::runner::Runner;
use super::schedule::Schedule;
use crate::error::{BoxError, Error, Permanent};
use crate::model::{Erased, NodeId, TaskSpec};
use crate::plan::{Graph, Need};
use crate::report::{Attempts, Event, Failure, Outcome, Report, RunError, TaskInfo};

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
    started: Instant,
}

/// What the loop waits for.
enum Step {
    Attempted(Attempted),
    /// The pause before the next attempt, with its number, is over.
    Rested(NodeId, u32),
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
        let (bodies_ended, mut ended) = mpsc::unbounded_channel();
        let shop = Arc::new(Shop {
            graph: Arc::clone(&graph),
            needs: Arc::clone(&self.needs),
            workspace: self.runner.workspace.clone(),
            resources: Arc::new(self.runner.resources.clone()),
            handover: Handover::new(self.runner.memory_budget, schedule.consumers()),
            bodies_ended,
        });
        // Dropping the set stops every attempt, and with it the run.
        let mut steps = JoinSet::new();
        let mut attempts = Pending::default();
        loop {
            while steps.len() < self.runner.workers + PUBLISHING {
                let Some(node) = schedule.start() else { break };
                let number = attempts.next(node);
                self.emit(&Event::Started {
                    task: TaskInfo::new(&graph, node),
                    attempt: number,
                });
                let attempt = attempt(Arc::clone(&shop), node, number);
                steps.spawn(async move { Step::Attempted(attempt.await) });
            }
            // A body's end is sent before its attempt is through, and heard before it: so the loop
            // never finds itself without attempts while a worker counts as busy.
            tokio::select! {
                biased;
                Some(node) = ended.recv() => schedule.body_ended(node),
                step = steps.join_next() => match step {
                    None => break,
                    Some(Ok(Step::Rested(node, number))) => {
                        attempts.set(node, number);
                        schedule.retry(node);
                    }
                    Some(Ok(Step::Attempted(attempted))) => {
                        self.attempted(attempted, &mut schedule, &shop, &mut steps);
                    }
                    Some(Err(error)) => return Err(RunError::Settings(format!(
                        "the runtime stopped an attempt: {error}"
                    ))),
                },
            }
        }
        self.finish()
    }

    fn attempted(
        &mut self,
        attempted: Attempted,
        schedule: &mut Schedule<'_>,
        shop: &Shop,
        steps: &mut JoinSet<Step>,
    ) {
        let node = attempted.node;
        match attempted.result {
            Ok(published) => {
                self.published(node, attempted.number, attempted.elapsed, published, shop);
                schedule.complete(node);
            }
            Err(error) => {
                let spec = self.graph.node(node).task.spec();
                let may_retry = attempted.number <= spec.retries && !is_permanent(&error);
                if may_retry && !schedule.is_closed() {
                    let pause = pause(spec, attempted.number);
                    self.emit(&Event::Retrying {
                        task: TaskInfo::new(&self.graph, node),
                        attempt: attempted.number,
                        pause,
                        error: error.as_ref(),
                    });
                    let next = attempted.number + 1;
                    steps.spawn(async move {
                        tokio::time::sleep(pause).await;
                        Step::Rested(node, next)
                    });
                    return;
                }
                self.failed(node, attempted.number, attempted.elapsed, error, schedule);
                if self.runner.fail_fast {
                    schedule.close();
                }
            }
        }
        let graph = Arc::clone(&self.graph);
        let mut required = Vec::new();
        graph
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

    fn failed(
        &mut self,
        node: NodeId,
        attempts: u32,
        elapsed: Duration,
        error: BoxError,
        schedule: &mut Schedule<'_>,
    ) {
        let task = TaskInfo::new(&self.graph, node);
        self.emit(&Event::Failed {
            task,
            attempts,
            error: error.as_ref(),
        });
        for blocked in schedule.fail(node) {
            self.emit(&Event::Blocked {
                task: TaskInfo::new(&self.graph, blocked),
                by: task,
            });
            self.outcomes[blocked.index()] = Outcome::Blocked { by: task.key() };
        }
        self.outcomes[node.index()] = Outcome::Failed(Failure {
            attempts,
            elapsed,
            error: Arc::new(error),
        });
    }

    fn finish(self) -> Result<Report, RunError> {
        let report = Report::new(
            self.graph,
            self.outcomes,
            self.runner.workspace.clone(),
            self.started.elapsed(),
            self.roots,
        );
        if report.counts().failed == 0 {
            return Ok(report);
        }
        Err(RunError::Failed(Box::new(report)))
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

/// The numbers of attempts after the first; all others are 1.
#[derive(Default)]
struct Pending(std::collections::HashMap<NodeId, u32>);

impl Pending {
    fn next(&mut self, node: NodeId) -> u32 {
        self.0.remove(&node).unwrap_or(1)
    }

    fn set(&mut self, node: NodeId, number: u32) {
        self.0.insert(node, number);
    }
}

/// Whether a retry would be in vain: the body said so, or a stored object would be met again.
fn is_permanent(error: &BoxError) -> bool {
    error.is::<Permanent>() || error.downcast_ref::<Error>().is_some_and(is_decode)
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
