//! The runner: sets up, plans and starts runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::executor::Executor;
use super::history::History;
use super::preflight;
use super::reruns::Reruns;
use super::settings::{Coordination, OnCodeChange, Settings};
use super::start;
use crate::model::{AnyTask, OnTypeChange, StopToken, Task, Verify};
use crate::plan::{Plan, Selector, survey};
use crate::report::{Event, Report, RunError};
use crate::run_id::RunId;
use crate::workspace::Workspace;

/// A heartbeat is due every third of it, over a network.
const SHORTEST_TTL: Duration = Duration::from_millis(100);

/// Runs what is missing of a task and of all that it requires.
///
/// # Examples
///
/// ```
/// use kart::{Runner, Workspace, task};
///
/// struct Rates(f64);
///
/// #[task(uses(gpu = 1))]
/// async fn price(n: u32, #[resource] rates: &Rates) -> kart::Result<f64> {
///     Ok(f64::from(n) * rates.0)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kart::RunError> {
/// let workspace = Workspace::open("memory://")?;
/// let report = Runner::new(&workspace)
///     .workers(8)
///     .limit("gpu", 1)
///     .resource(Rates(0.5))
///     .run(Price { n: 4 })
///     .await?;
/// assert_eq!(report.counts().to_string(), "0 complete before, 1 ran");
/// assert_eq!(report.output(&Price { n: 4 }).await?, 2.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Runner {
    pub(crate) settings: Settings,
}

impl Runner {
    /// Returns a runner with as many workers as there are CPUs.
    #[must_use]
    pub fn new(workspace: &Workspace) -> Self {
        Runner {
            settings: Settings::new(workspace),
        }
    }

    /// Sets how many task bodies run at once; at least 1.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.settings.workers = workers.max(1);
        self
    }

    /// Sets the units of a named limit that running bodies share. A task uses some of them with
    /// `#[task(uses(NAME = N))]`.
    #[must_use]
    pub fn limit(mut self, name: impl Into<String>, units: u32) -> Self {
        self.settings.limits.insert(name.into(), units);
        self
    }

    /// Replaces all named limits.
    #[must_use]
    pub fn limits(mut self, limits: BTreeMap<String, u32>) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Adds a value that tasks take as `#[resource]`, by its type.
    #[must_use]
    pub fn resource<T: Send + Sync + 'static>(mut self, resource: T) -> Self {
        self.settings.resources.insert(resource);
        self
    }

    /// Sets how many bytes of encoded output to keep in memory for consumers that have not run yet, 256 MiB by
    /// default. They load the rest from the workspace.
    #[must_use]
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.settings.memory_budget = bytes;
        self
    }

    /// Sets how many tasks a graph may have, 10,000,000 by default. A larger one, such as one whose requirements never
    /// end, is the error [`Error::TooManyTasks`](crate::Error::TooManyTasks).
    #[must_use]
    pub fn max_tasks(mut self, tasks: usize) -> Self {
        self.settings.max_tasks = tasks;
        self
    }

    /// Sets whether nothing starts any more after the first failure. Running tasks continue.
    #[must_use]
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.settings.fail_fast = fail_fast;
        self
    }

    /// Stops the run gracefully this long after its start: nothing starts any more, bodies
    /// [see it](crate::Context::is_stopping), and those still running when the [`grace`](Self::grace) period ends are
    /// dropped. Set it shorter than the platform's own limit, at least by the grace period and a few seconds.
    #[must_use]
    pub fn deadline(mut self, after: Duration) -> Self {
        self.settings.deadline = Some(after);
        self
    }

    /// Sets how long running bodies may take to finish or save when the run stops; 8 seconds by default.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Stops the run gracefully when `stop` is stopped.
    #[must_use]
    pub fn stop(mut self, stop: &StopToken) -> Self {
        self.settings.stop = stop.clone();
        self
    }

    /// Runs the tasks of that name again although their outputs exist, and all that depends on them. A name is the whole
    /// stable name of a task or the last part of it. You can call this for several names.
    ///
    /// The workspace remembers a rerun until all of it is made. If the run is cut off, a run of the same roots goes on with
    /// it, with or without these names, and so do all processes that share the work.
    #[must_use]
    pub fn rerun(mut self, name: impl Into<String>) -> Self {
        match &mut self.settings.rerun {
            Some(Selector::Named(names)) => {
                names.insert(name.into());
            }
            Some(_) => {}
            none => *none = Some(Selector::Named([name.into()].into())),
        }
        self
    }

    /// Runs every task again although its output exists; see [`rerun`](Self::rerun).
    #[must_use]
    pub fn rerun_all(mut self) -> Self {
        self.settings.rerun = Some(Selector::All);
        self
    }

    /// Discards what the tasks of that name have saved with [`Context::step`](crate::Context::step),
    /// [`save`](crate::Context::save) or [`map`](crate::Context::map), before their bodies run for the first time in this
    /// run. A name is as in [`rerun`](Self::rerun), and you can call this for several names. With an
    /// [`executor`](Self::executor) it does not reach the subtasks of remote attempts.
    #[must_use]
    pub fn fresh(mut self, name: impl Into<String>) -> Self {
        self.settings.fresh.insert(name.into());
        self
    }

    /// Sets whether the run drops the unfinished reruns of its roots: outputs that they have not made yet stay as they are.
    /// `false` by default.
    #[must_use]
    pub fn abandon_reruns(mut self, abandon: bool) -> Self {
        self.settings.abandons_reruns = abandon;
        self
    }

    /// Sets what to do about complete outputs that other code made than today's, as far as the run log knows; a warning
    /// by default.
    #[must_use]
    pub fn on_code_change(mut self, on_code_change: OnCodeChange) -> Self {
        self.settings.on_code_change = on_code_change;
        self
    }

    /// Sets what to do about outputs with stored fields that their type does not have; they fail the task that reads them by
    /// default.
    #[must_use]
    pub fn on_type_change(mut self, on_type_change: OnTypeChange) -> Self {
        self.settings.on_type_change = on_type_change;
        self
    }

    /// Sets which outputs are verified when they are read; by default those of which a hash is known.
    #[must_use]
    pub fn verify(mut self, verify: Verify) -> Self {
        self.settings.verify = verify;
        self
    }

    /// Sets whether to write and read the run log; `true` by default. It costs a listing and a read at the start, two
    /// writes at the end, and one every 5 seconds in between. Without it durations and changed code are unknown.
    #[must_use]
    pub fn run_log(mut self, run_log: bool) -> Self {
        self.settings.run_log = run_log;
        self
    }

    /// Sets the id of the next run, for callers that must publish it beforehand. Use it for one run only. Generated by
    /// default.
    #[must_use]
    pub fn run_id(mut self, run: RunId) -> Self {
        self.settings.run_id = Some(run);
        self
    }

    /// Sets how runs on the workspace share or divide the work.
    #[must_use]
    pub fn coordination(mut self, coordination: Coordination) -> Self {
        self.settings.coordination = coordination;
        self
    }

    /// Sets how long a process may be without a heartbeat before others take over its leases; 60 seconds by default. Use
    /// the same value for all runs on a workspace. Others take over at once from a process of the same machine that has
    /// exited.
    ///
    /// The heartbeat is due every third of it, on a thread of its own. On a current-thread runtime it shares the only
    /// thread with async bodies, and one that blocks it makes the process look dead: put long computations in a plain
    /// `fn`.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl.max(SHORTEST_TTL);
        self
    }

    /// Sets how long to wait for a live run of the same root in another process before the run ends with
    /// [`RunError::AlreadyRunning`]; not at all by default. A run of this process is waited for in any case. Deadline and
    /// stop end the wait too.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    /// Makes attempts in other processes. The number of workers is then the number of attempts in progress at once, and a
    /// limit holds for all of them. Limits and resources that this runner lacks are up to the worker that makes the
    /// attempt. No output passes through this process, and neither do subtasks.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor + 'static) -> Self {
        self.settings.executor = Some(Arc::new(executor));
        self
    }

    /// Calls `handler` with every event, in order. It blocks the event loop, so it should not take long. A panic in it is
    /// only logged.
    #[must_use]
    pub fn on_event(mut self, handler: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.settings.on_event = Some(Arc::new(handler));
        self
    }

    /// Returns the workspace.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.settings.workspace
    }

    /// Returns what a run of `root` would do, and why. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`RunError::Plan`], [`RunError::Settings`] and [`RunError::Store`].
    pub async fn plan<T: Task>(&self, root: T) -> Result<Plan, RunError> {
        self.plan_all([root.into()]).await
    }

    /// Returns what a run of all these tasks would do; see [`plan`](Self::plan).
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Self::plan).
    pub async fn plan_all(
        &self,
        roots: impl IntoIterator<Item = AnyTask>,
    ) -> Result<Plan, RunError> {
        let settings = &self.settings;
        let graph = start::expand(settings, roots, &Arc::default()).await?;
        let history = History::load(settings, &graph).await;
        let mut reruns = Reruns::none(&settings.workspace, &graph);
        if !settings.abandons_reruns {
            let loaded = Reruns::load(&settings.workspace, &graph).await;
            reruns = loaded.map_err(RunError::Store)?;
            reruns.look(&graph).await?;
        }
        let open = reruns.describe(&graph);
        for tasks in history.reruns(settings, &graph, &reruns) {
            reruns.propose(tasks);
        }
        let marks = reruns.marks(&graph);
        let statuses = survey(&graph, &settings.workspace, &marks).await?;
        for (node, status) in graph.nodes().zip(&statuses) {
            let is_written = status.runs() && !node.task.spec().external;
            if is_written && !settings.workspace.takes_any_path() {
                let place = settings.workspace.check_place(&node.path()?).await;
                place.map_err(RunError::Store)?;
            }
        }
        let expected = history.expected(&graph);
        Ok(Plan::new(graph, statuses, expected).with_reruns(open))
    }

    /// Checks that the runner has the resources and limits that the tasks of a plan need, complete or not.
    ///
    /// # Errors
    ///
    /// [`RunError::Resources`] if a resource is missing, [`RunError::Settings`] if a limit is.
    pub fn preflight(&self, plan: &Plan) -> Result<(), RunError> {
        preflight::check(
            &self.settings,
            plan.tasks().map(|planned| planned.task.spec()),
        )
    }

    /// Runs what is missing of `root` and of all that it requires.
    ///
    /// Dropping the future stops the run at once: nothing is left half-written, and published outputs stay.
    ///
    /// # Errors
    ///
    /// [`RunError::Failed`] if tasks failed, and [`RunError::Interrupted`] if the run stopped, or the store failed, before
    /// all was complete; both hold the report. [`RunError::AlreadyRunning`] if another process holds the root.
    /// [`RunError::Runtime`] if the runtime shut down. Any other error means that nothing ran, or that the store failed
    /// during the survey.
    pub async fn run<T: Task>(&self, root: T) -> Result<Report, RunError> {
        self.run_all([root.into()]).await
    }

    /// Runs what is missing of all these tasks as one run; see [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// #[kart::task]
    /// async fn unit(n: u64) -> kart::Result<u64> {
    ///     Ok(n * n)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kart::RunError> {
    /// let workspace = kart::Workspace::open("memory://")?;
    /// let units = (0..3).map(|n| Unit { n }.into());
    /// let report = kart::Runner::new(&workspace).run_all(units).await?;
    /// assert_eq!(report.counts().ran, 3);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run_all(
        &self,
        roots: impl IntoIterator<Item = AnyTask>,
    ) -> Result<Report, RunError> {
        let roots: Vec<AnyTask> = roots.into_iter().collect();
        let run = start::run(Arc::new(self.settings.clone()), roots);
        // A task of its own, like the attempt workers: waking a thread of the runtime costs less than waking one that
        // sleeps in `block_on`.
        let mut runs = JoinSet::new();
        runs.spawn(run.in_current_span());
        match runs.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(start::ended(error)),
            None => Err(RunError::Runtime("the run was lost".into())),
        }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("workspace", &self.settings.workspace.location())
            .field("workers", &self.settings.workers)
            .field("limits", &self.settings.limits)
            .field("memory_budget", &self.settings.memory_budget)
            .field("fail_fast", &self.settings.fail_fast)
            .field("rerun", &self.settings.rerun)
            .finish_non_exhaustive()
    }
}
