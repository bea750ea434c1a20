//! The runner's settings, and what it checks before anything runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::code_change::OnCodeChange;
use super::coordination::Coordination;
use super::remote::executor::Executor;
use super::settings::Settings;
use super::start::{self, History};
use crate::log::RunId;
use crate::model::{AnyTask, StopToken, Task};
use crate::plan::{Plan, Rerun, TaskExt, survey};
use crate::report::{Event, Report, RunError};
use crate::workspace::Workspace;

/// A renewal is due every third of it, over whatever network there is.
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
    /// A runner with as many workers as there are CPUs.
    #[must_use]
    pub fn new(workspace: &Workspace) -> Self {
        Runner {
            settings: Settings::new(workspace),
        }
    }

    /// How many task bodies run at once; at least 1.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.settings.workers = workers.max(1);
        self
    }

    /// Units of a named limit that running bodies share; a task takes its part with
    /// `#[task(uses(NAME = N))]`.
    #[must_use]
    pub fn limit(mut self, name: impl Into<String>, units: u32) -> Self {
        self.settings.limits.insert(name.into(), units);
        self
    }

    /// All the named limits, in place of those that were given before.
    #[must_use]
    pub fn limits(mut self, limits: BTreeMap<String, u32>) -> Self {
        self.settings.limits = limits;
        self
    }

    /// What tasks take as `#[resource]`, found by its type.
    #[must_use]
    pub fn resource<T: Send + Sync + 'static>(mut self, resource: T) -> Self {
        self.settings.resources.insert(resource);
        self
    }

    /// How many bytes of encoded output are kept in memory for consumers that have not run yet;
    /// the rest is loaded from the workspace. 256 MiB by default.
    #[must_use]
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.settings.memory_budget = bytes;
        self
    }

    /// Sets how many tasks a graph may have, 10,000,000 by default: one whose requirements never come to an end is
    /// refused with [`Error::TooManyTasks`](crate::Error::TooManyTasks).
    #[must_use]
    pub fn max_tasks(mut self, tasks: usize) -> Self {
        self.settings.max_tasks = tasks;
        self
    }

    /// Whether the first failure keeps everything else from starting. What runs already goes on.
    #[must_use]
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.settings.fail_fast = fail_fast;
        self
    }

    /// Stops the run in good order this long after it began: nothing new starts, bodies are told
    /// (see [`Context::is_stopping`](crate::Context::is_stopping)), and those still running when the
    /// [`grace`](Self::grace) ends are dropped. Set it shorter than the platform's own limit, by the
    /// grace at least.
    #[must_use]
    pub fn deadline(mut self, after: Duration) -> Self {
        self.settings.deadline = Some(after);
        self
    }

    /// How long bodies may go on when the run stops; 8 seconds by default.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Stops the run in good order when `stop` says so.
    #[must_use]
    pub fn stop(mut self, stop: &StopToken) -> Self {
        self.settings.stop = stop.clone();
        self
    }

    /// Runs the tasks of that name again although their outputs exist, and all that depends on
    /// them; may be called for several names. A name is the whole stable name of a task or the
    /// last part of it.
    ///
    /// That they are to run again is not remembered: a run that was cut off is to be run again with
    /// the same names, and begins again with them.
    #[must_use]
    pub fn rerun(mut self, name: impl Into<String>) -> Self {
        match &mut self.settings.rerun {
            Rerun::All => {}
            Rerun::Named(names) => names.push(name.into()),
            Rerun::None => self.settings.rerun = Rerun::Named(vec![name.into()]),
        }
        self
    }

    /// Runs every task again although its output exists.
    #[must_use]
    pub fn rerun_all(mut self) -> Self {
        self.settings.rerun = Rerun::All;
        self
    }

    /// What to do about complete outputs that other code made than today's; a warning unless said otherwise.
    /// Only what the run log knows of is looked at.
    #[must_use]
    pub fn on_code_change(mut self, on_code_change: OnCodeChange) -> Self {
        self.settings.on_code_change = on_code_change;
        self
    }

    /// Whether the run log is written and read; it is unless said otherwise. It costs a listing and a read at
    /// the start, two writes at the end, and one every 5 seconds in between. Without it nothing is known of
    /// durations and of changed code.
    #[must_use]
    pub fn run_log(mut self, run_log: bool) -> Self {
        self.settings.run_log = run_log;
        self
    }

    /// The name of the next run in the log, for who has to tell it before the run has begun; it is for one run
    /// only. Found by itself unless said otherwise.
    #[must_use]
    pub fn run_id(mut self, run: RunId) -> Self {
        self.settings.run_id = Some(run);
        self
    }

    /// How this run and others on the workspace keep out of each other's way.
    #[must_use]
    pub fn coordination(mut self, coordination: Coordination) -> Self {
        self.settings.coordination = coordination;
        self
    }

    /// How long a process may be silent before others take over what it holds; 60 seconds by default, and the
    /// same for all that work on a workspace. One that was cut off on this very machine is found out at once.
    ///
    /// A process says every third of it that it is there. A body that keeps the runtime's threads busy for
    /// longer makes its process look dead: long computations belong into a plain `fn`.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl.max(SHORTEST_TTL);
        self
    }

    /// How long to wait for another run of the same root before it is [`RunError::AlreadyRunning`]; not at all by
    /// default. The deadline and the stop end the wait too.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    /// Has attempts made elsewhere. The number of workers says then how many are under way at once, and a limit how
    /// many units they share; limits and resources that the runner was not given are the affair of whoever makes
    /// the attempts. No output comes through this process, nor what bodies ask for.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor + 'static) -> Self {
        self.settings.executor = Some(Arc::new(executor));
        self
    }

    /// Calls `handler` with every event, in order. It is called between the steps of the run, so
    /// it should not take long. A panic in it is logged, and nothing else.
    #[must_use]
    pub fn on_event(mut self, handler: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.settings.on_event = Some(Arc::new(handler));
        self
    }

    /// Where it runs.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.settings.workspace
    }

    /// What a run of `root` would do, and why; nothing is written.
    ///
    /// # Errors
    ///
    /// [`RunError::Plan`], [`RunError::Settings`] and [`RunError::Store`].
    pub async fn plan<T: Task>(&self, root: T) -> Result<Plan, RunError> {
        self.plan_all([root.into()]).await
    }

    /// What a run of all these tasks would do; see [`plan`](Self::plan).
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
        let marks = history.marks(settings, &graph);
        let statuses = survey(&graph, &settings.workspace, &marks).await?;
        let expected = history.expected(&graph);
        Ok(Plan::new(graph, statuses, expected))
    }

    /// Runs what is missing of `root` and of all that it requires.
    ///
    /// Dropping the future stops the run: nothing is left half-written, and what was published
    /// stays.
    ///
    /// # Errors
    ///
    /// [`RunError::AlreadyRunning`] if another run has the root, [`RunError::Failed`] if tasks failed, [`RunError::Interrupted`] if the run was stopped before
    /// all was complete; both hold the report. [`RunError::Runtime`] if the runtime shut down.
    /// Everything else means that nothing was run, or that the store failed while it was looked what is missing.
    pub async fn run<T: Task>(&self, root: T) -> Result<Report, RunError> {
        self.run_all([root.into()]).await
    }

    /// Runs what is missing of all these tasks, as one run; see [`run`](Self::run).
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
        // Beside the attempts, and not in the caller's own task: a message from one thread of the runtime to
        // another costs less than one to a thread that sleeps in `block_on`.
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

/// Runs what is missing of `root` with the default settings, and gives its output.
///
/// # Errors
///
/// Those of [`Runner::run`], and [`RunError::Output`] if the output cannot be loaded.
pub async fn build<T: Task>(root: T, workspace: &Workspace) -> Result<Arc<T::Output>, RunError> {
    let mut report = Runner::new(workspace).run(root.clone()).await?;
    if let Some(output) = report.take_root().and_then(|root| root.downcast().ok()) {
        return Ok(output);
    }
    let output = root.load(workspace).await.map_err(RunError::Output)?;
    Ok(Arc::new(output))
}
