//! The other end of an executor: attempts that another process has ordered, each made as a run of its own with one
//! task, by the machinery of any run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::attempt::caught;
use super::desk;
use super::drive::Drive;
use super::executor::{Answer, Order};
use super::journal::Journal;
use super::ledger::Ledger;
use super::ownership::{Coordination, Ownership};
use super::runner::Runner;
use crate::error::{BoxError, Error, causes, is_permanent, permanent};
use crate::log::Known;
use crate::model::{AnyTask, NodeId, TaskSpec, linked};
use crate::own::here;
use crate::plan::{Graph, Need, Rerun, ask};
use crate::registry;
use crate::report::{Outcome, Report, RunError};

/// Makes attempts that an [`Executor`](super::Executor) brings, no more at once than its runner has workers and
/// limits. What the task requires has to be complete. Whatever brings the orders sees to it that one task is not
/// ordered twice at a time: nothing is claimed.
///
/// What the body of a task asks for runs in this process, within the limits that the task itself uses.
///
/// # Examples
///
/// An executor need not leave the process:
///
/// ```
/// use kart::{Answering, Executor, Order, Runner, Worker, Workspace, task};
///
/// #[derive(Debug)]
/// struct ByJson(Worker);
///
/// impl Executor for ByJson {
///     fn attempt(&self, order: Order) -> Answering<'_> {
///         Box::pin(async move {
///             let sent = serde_json::to_vec(&order)?;
///             Ok(self.0.attempt(&serde_json::from_slice(&sent)?).await)
///         })
///     }
/// }
///
/// #[task]
/// async fn double(n: u32) -> kart::Result<u32> {
///     Ok(n * 2)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kart::RunError> {
/// let workspace = Workspace::open("memory://")?;
/// let worker = Worker::new(Runner::new(&workspace));
/// let runner = Runner::new(&workspace).executor(ByJson(worker));
/// let report = runner.run(Double { n: 4 }).await?;
/// assert_eq!(report.output(&Double { n: 4 }).await?, 8);
/// # Ok(())
/// # }
/// ```
pub struct Worker {
    runner: Runner,
    bodies: Arc<Semaphore>,
    limits: BTreeMap<String, Arc<Semaphore>>,
}

/// What an attempt holds while it is made.
type Held = Vec<OwnedSemaphorePermit>;

impl Worker {
    /// A worker with the workers, limits, resources, stop and grace of `runner`, in its workspace.
    #[must_use]
    pub fn new(runner: Runner) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let limits = runner.limits.iter();
        let limits = limits.map(|(name, &units)| (name.clone(), semaphore(units as usize)));
        Worker {
            bodies: semaphore(runner.workers),
            limits: limits.collect(),
            runner: Runner {
                workers: 1,
                executor: None,
                fail_fast: false,
                deadline: None,
                rerun: Rerun::None,
                run_log: false,
                coordination: Coordination::None,
                on_event: None,
                ..runner
            },
        }
    }

    /// Makes one attempt, or finds that its output is there; never panics.
    pub async fn attempt(&self, order: &Order) -> Answer {
        let started = Instant::now();
        let made = Box::pin(caught(self.make(order))).await;
        made.unwrap_or_else(|error| failed(&error, started.elapsed()))
    }

    async fn make(&self, order: &Order) -> Result<Answer, BoxError> {
        self.check_workspace(order)?;
        let task = task(order)?;
        let spec = task.spec();
        self.runner.check([spec]).map_err(permanent)?;
        let Some(_held) = self.hold(spec).await else {
            return Ok(Answer::Interrupted);
        };
        let started = Instant::now();
        let graph = self.runner.expand([task]).await.map_err(permanent)?;
        let root = graph.roots[0];
        if graph.node(root).key != order.key {
            return Err(other_build(order, "has another key"));
        }
        let mut needs = vec![Need::Unasked; graph.len()];
        needs[root.index()] = self.need(&graph, root, order).await?;
        if needs[root.index()].is_complete() {
            return Ok(Answer::Made);
        }
        self.runner.workspace.prepare().await?;
        let mut runner = self.runner.clone();
        // Its own units are all that it holds, and so all that can be had by what its body asks for.
        runner.limits = spec
            .uses
            .iter()
            .map(|&(name, units)| (name.to_owned(), units))
            .collect();
        let runner = Arc::new(runner);
        let journal = Journal::silent(Known::default());
        let ledger = Ledger::new(
            Arc::clone(&runner),
            Arc::clone(&graph),
            &needs,
            journal,
            started,
        );
        let mut drive = Drive::new(runner, graph, needs, Ownership::Nothing, ledger, started);
        drive.order(root, order.attempt);
        match desk::run(drive).await {
            Ok(report) => Ok(answer(&report)),
            Err(RunError::Failed(report) | RunError::Interrupted(report)) => Ok(answer(&report)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a bucket is meant that is not this one; a directory may have other names on other machines.
    fn check_workspace(&self, order: &Order) -> Result<(), BoxError> {
        let here = self.runner.workspace.location();
        let there = order.workspace.as_str();
        let is_other = here != there && (here.contains("://") || there.contains("://"));
        if is_other {
            let reason = format!("the order is for {there}, and this worker works in {here}");
            return Err(permanent(reason).into());
        }
        Ok(())
    }

    async fn need(&self, graph: &Graph, root: NodeId, order: &Order) -> Result<Need, Error> {
        if order.replaces {
            return Ok(Need::Asked);
        }
        let needs = ask(graph, vec![root], &self.runner.workspace).await?;
        Ok(needs.first().map_or(Need::Missing, |(_, need)| *need))
    }

    /// Waits for what a body takes; `None` when the worker stops first. Limits before the worker, in one order for
    /// all, so that nobody waits in a circle, and nobody holds a worker who waits for a limit.
    async fn hold(&self, spec: &TaskSpec) -> Option<Held> {
        let mut uses = spec.uses.to_vec();
        uses.sort_unstable();
        let holding = async {
            let mut held = Vec::with_capacity(uses.len() + 1);
            for (name, units) in uses {
                let limit = Arc::clone(self.limits.get(name)?);
                held.push(limit.acquire_many_owned(units).await.ok()?);
            }
            held.push(Arc::clone(&self.bodies).acquire_owned().await.ok()?);
            Some(held)
        };
        tokio::select! {
            biased;
            () = self.runner.stop.stopped() => None,
            held = holding => held,
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("workspace", &self.runner.workspace.location())
            .field("free", &self.bodies.available_permits())
            .finish_non_exhaustive()
    }
}

/// The task that was ordered, as this program knows it.
fn task(order: &Order) -> Result<AnyTask, BoxError> {
    let Some(spec) = linked().find(|spec| spec.name == order.name()) else {
        return Err(other_build(order, "is not linked into this one"));
    };
    if spec.code != order.code {
        return Err(other_build(order, "has other code"));
    }
    Ok(AnyTask::from_json(order.task.clone()).map_err(permanent)?)
}

/// Why an order of another build cannot be carried out.
fn other_build(order: &Order, how: &str) -> BoxError {
    let here = registry::fingerprint();
    let there = &order.build;
    let name = order.name();
    permanent(format!(
        "task `{name}` {how}: the order is of build {there}, this worker of build {here}; run both from one build"
    ))
    .into()
}

fn answer(report: &Report) -> Answer {
    let Some(root) = report.roots().next() else {
        return Answer::Interrupted;
    };
    match root.outcome {
        Outcome::Ran(attempts) => Answer::Published {
            bytes: attempts.bytes,
            hash: report.root_hash().map(|hash| hash.to_hex().to_string()),
            differed: attempts.differed,
            elapsed: attempts.elapsed,
            worker: here().to_string(),
        },
        Outcome::Complete | Outcome::Elsewhere => Answer::Made,
        Outcome::Failed(failure) => failed(&failure.error, failure.elapsed),
        // Its body asked for a task that failed: to try again would be in vain.
        Outcome::Blocked { by } => {
            let blocking = report.failures().find(|(task, _)| task.task.key() == *by);
            let mut causes = vec!["a task that it asked for did not complete".to_owned()];
            causes.extend(blocking.into_iter().flat_map(|(_, failure)| texts(failure)));
            Answer::Failed {
                causes,
                is_permanent: true,
                elapsed: report.elapsed(),
            }
        }
        Outcome::Unneeded | Outcome::Interrupted | Outcome::Left => Answer::Interrupted,
    }
}

fn failed(error: &BoxError, elapsed: Duration) -> Answer {
    Answer::Failed {
        causes: texts(error.as_ref()),
        is_permanent: is_permanent(error.as_ref()),
        elapsed,
    }
}

/// An error and its causes as text; one that only repeats what stands before it is left out.
fn texts(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.dedup();
    texts
}
