//! A worker: makes attempts that runs in other processes dispatch. Requests that arrive together are the roots of one run
//! of the worker's own.

mod response;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::response::response;
use crate::error::{BoxError, Error, chain, permanent};
use crate::key::Key;
use crate::model::{AnyTask, NodeId, TaskSpec, linked};
use crate::plan::{Graph, Mark, Status, check_outputs};
use crate::registry;
use crate::report::{Report, RunError};
use crate::run::attempt::caught;
use crate::run::coordination::Leases;
use crate::run::errors::unavailable::is_unavailable;
use crate::run::event_loop;
use crate::run::event_loop::opening::Opening;
use crate::run::event_loop::state::RunState;
use crate::run::executor::{AttemptRequest, AttemptResponse};
use crate::run::preflight;
use crate::run::record::log_sink::{LogSink, Notes};
use crate::run::remote::progress::ProgressPublisher;
use crate::run::reruns::Reruns;
use crate::run::run_context::RunContext;
use crate::run::runner::Runner;
use crate::run::settings::{Coordination, Settings};
use crate::run::shutdown::Closing;
use crate::run::start;
use crate::run::subtask_report::SubtaskReport;
use crate::run_id::RunId;

/// Makes attempts that an [`Executor`](crate::Executor) brings, at most as many at once as its runner has workers and
/// limits. The requirements of each task have to be complete. A worker claims nothing: the caller must not send one task
/// twice at a time.
///
/// Subtasks run in this process, within the limits that the task itself uses; the response reports them.
///
/// # Examples
///
/// An executor within one process:
///
/// ```
/// use kart::{AttemptFuture, Executor, AttemptRequest, Runner, Worker, Workspace, task};
///
/// #[derive(Debug)]
/// struct ByJson(Worker);
///
/// impl Executor for ByJson {
///     fn attempt(&self, request: AttemptRequest) -> AttemptFuture<'_> {
///         Box::pin(async move {
///             let sent = serde_json::to_vec(&request)?;
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
    settings: Settings,
    /// How many bodies run at once.
    slots: u32,
    bodies: Arc<Semaphore>,
    limits: BTreeMap<String, Arc<Semaphore>>,
    progress: Arc<ProgressPublisher>,
}

/// A root, and the request that it is made for.
type Asked<'a> = (NodeId, &'a AttemptRequest);

/// The slots and limits that a run of the worker holds.
#[derive(Debug)]
struct Held {
    /// How many bodies may run at once.
    slots: usize,
    limits: BTreeMap<String, u32>,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Worker {
    /// Returns a worker with the workspace, workers, limits, resources, stop and grace of `runner`.
    #[must_use]
    pub fn new(runner: Runner) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let slots = u32::try_from(runner.settings.workers).unwrap_or(u32::MAX);
        let limits = runner.settings.limits.iter();
        let limits = limits.map(|(name, &units)| (name.clone(), semaphore(units as usize)));
        Worker {
            slots,
            bodies: semaphore(slots as usize),
            limits: limits.collect(),
            progress: Arc::new(ProgressPublisher::new(&runner.settings.workspace)),
            settings: Settings {
                workers: 1,
                executor: None,
                fail_fast: false,
                deadline: None,
                rerun: None,
                fresh: BTreeSet::new(),
                run_log: false,
                coordination: Coordination::None,
                on_event: None,
                ..runner.settings
            },
        }
    }

    /// Makes one attempt, or finds that its output exists. Never panics.
    pub async fn attempt(&self, request: &AttemptRequest) -> AttemptResponse {
        let mut answers = self.attempts(std::slice::from_ref(request)).await;
        answers.pop().unwrap_or(AttemptResponse::Interrupted)
    }

    /// Makes attempts that arrive together, and returns a response for each, in order. Never panics. They are one run, which
    /// takes the slots that are free when it starts, and at least one.
    pub async fn attempts(&self, requests: &[AttemptRequest]) -> Vec<AttemptResponse> {
        let started = Instant::now();
        let mut answers: Vec<Option<AttemptResponse>> = Vec::with_capacity(requests.len());
        let (mut taken, mut tasks) = (Vec::new(), Vec::new());
        for request in requests {
            let task = caught(async { self.task(request) }).await;
            answers.push(task.map_or_else(
                |error| Some(AttemptResponse::failed(&error, started.elapsed())),
                |task| {
                    taken.push(request);
                    tasks.push(task);
                    None
                },
            ));
        }
        let made = Box::pin(caught(self.make(&taken, tasks))).await;
        let made = match made {
            Ok(made) => made,
            Err(error) if taken.len() == 1 && is_unavailable(error.as_ref()) => {
                let error = chain(error.as_ref());
                vec![AttemptResponse::Unavailable { error }]
            }
            Err(error) if taken.len() == 1 => {
                vec![AttemptResponse::failed(&error, started.elapsed())]
            }
            // One of them may have failed the others.
            Err(_) => {
                let mut made = Vec::with_capacity(taken.len());
                for request in taken {
                    made.push(Box::pin(self.attempt(request)).await);
                }
                made
            }
        };
        let mut made = made.into_iter();
        let answers = answers.into_iter();
        answers
            .map(|answer| answer.or_else(|| made.next()))
            .map(|answer| answer.unwrap_or(AttemptResponse::Interrupted))
            .collect()
    }

    /// Waits until no attempt is in progress.
    pub async fn idle(&self) {
        drop(self.bodies.acquire_many(self.slots).await);
    }

    /// Returns the requested task, if it can run here.
    fn task(&self, request: &AttemptRequest) -> Result<AnyTask, BoxError> {
        self.check_workspace(request)?;
        let task = task(request)?;
        preflight::check(&self.settings, [task.spec()]).map_err(permanent)?;
        Ok(task)
    }

    async fn make(
        &self,
        requests: &[&AttemptRequest],
        tasks: Vec<AnyTask>,
    ) -> Result<Vec<AttemptResponse>, BoxError> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let specs: Vec<&TaskSpec> = tasks.iter().map(AnyTask::spec).collect();
        let Some(held) = self.hold(&specs).await else {
            return Ok(vec![AttemptResponse::Interrupted; requests.len()]);
        };
        let started = Instant::now();
        let graph = start::expand(&self.settings, tasks, &Arc::default())
            .await
            .map_err(permanent)?;
        let asked = graph.roots.iter().copied().zip(requests.iter().copied());
        let asked: Vec<Asked<'_>> = asked.collect();
        let statuses = self.statuses(&graph, &asked).await?;
        let notes = Notes::default();
        let report = if statuses.iter().any(|(_, status)| status.runs()) {
            let report = self.run(&held, &graph, &statuses, &asked, &notes, started);
            Some(report.await?)
        } else {
            None
        };
        let notes = mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner));
        let has_asked = notes.iter().any(|note| !note.asked.is_empty());
        let answers = asked.iter().map(|&(root, request)| {
            if !is_same(&graph, root, request) {
                let error = other_build(request, "has another key");
                return AttemptResponse::failed(&error, started.elapsed());
            }
            let Some(report) = &report else {
                return AttemptResponse::AlreadyExists;
            };
            let mut answer = response(report, root);
            if let Some(subtasks) = answer.subtasks().filter(|_| has_asked) {
                *subtasks = SubtaskReport::of(report, &graph, &notes, root);
            }
            answer
        });
        Ok(answers.collect())
    }

    async fn run(
        &self,
        held: &Held,
        graph: &Arc<Graph>,
        statuses: &[(NodeId, Status)],
        asked: &[Asked<'_>],
        notes: &Notes,
        started: Instant,
    ) -> Result<Report, BoxError> {
        let keys: Arc<[Key]> = asked.iter().map(|&(_, request)| request.key).collect();
        let _told = self.progress.until_end(Arc::clone(&keys));
        let progress = Arc::clone(&self.progress);
        // Subtasks get no more than it holds.
        let settings = Arc::new(Settings {
            workers: held.slots,
            limits: held.limits.clone(),
            on_type_change: asked
                .first()
                .map(|(_, request)| request.on_type_change)
                .unwrap_or_default(),
            on_event: Some(Arc::new(move |event| progress.take(event, &keys))),
            ..self.settings.clone()
        });
        let run = RunContext::new(
            &settings,
            graph,
            &Leases::Nothing,
            Reruns::none(&settings.workspace, graph),
            run_of(asked),
        );
        let log_sink = LogSink::kept(notes);
        let mut state = RunState::new(&settings, &run, log_sink, Opening::planned(), started);
        let dispatched = |&(root, status): &(NodeId, Status)| {
            let (_, request) = asked.iter().find(|(asked, _)| *asked == root)?;
            let mark = Mark::dispatched(status, request.making, &request.reruns);
            Some((root, status, mark, request.attempt))
        };
        let roots: Vec<_> = statuses.iter().filter_map(dispatched).collect();
        state.dispatch(&roots);
        let closing = Closing::new(&settings, started);
        match event_loop::run(state, &closing).await?.into_report() {
            Ok(report) => Ok(report),
            Err(RunError::Failed(report) | RunError::Interrupted(report)) => Ok(*report),
            Err(error) => Err(error.into()),
        }
    }

    fn check_workspace(&self, request: &AttemptRequest) -> Result<(), BoxError> {
        if self.settings.workspace.is_same_place(&request.workspace) {
            return Ok(());
        }
        let (this_process, there) = (self.settings.workspace.location(), &request.workspace);
        let reason = format!("the request is for {there}, and this worker works in {this_process}");
        Err(permanent(reason).into())
    }

    /// Returns the status of each root on whose key this program and the dispatching run agree.
    async fn statuses(
        &self,
        graph: &Graph,
        asked: &[Asked<'_>],
    ) -> Result<Vec<(NodeId, Status)>, Error> {
        let known = asked.iter().copied();
        let known = known.filter(|(root, request)| is_same(graph, *root, request));
        let (replaced, unsure): (Vec<Asked<'_>>, Vec<Asked<'_>>) =
            known.partition(|(_, request)| request.replaces);
        let replaced = replaced
            .into_iter()
            .map(|(root, _)| (root, Status::RerunRequested));
        let unsure = unsure.into_iter().map(|(root, _)| root).collect();
        let mut statuses: Vec<_> = replaced.collect();
        let found = check_outputs(graph, unsure, &self.settings.workspace).await?;
        statuses.extend(found.statuses);
        statuses.sort_unstable_by_key(|(root, _)| *root);
        statuses.dedup_by_key(|(root, _)| *root);
        Ok(statuses)
    }

    /// Waits for limits and slots; returns `None` when the worker stops first. Takes limits before slots and in one order,
    /// so no waits form a cycle, and no slot is held while waiting for a limit.
    async fn hold(&self, specs: &[&TaskSpec]) -> Option<Held> {
        let mut limits = BTreeMap::new();
        for &(name, units) in specs.iter().flat_map(|spec| spec.uses) {
            let most = limits.entry(name.to_owned()).or_insert(units);
            *most = units.max(*most);
        }
        let holding = async {
            let mut permits = Vec::with_capacity(limits.len() + 1);
            for (name, &units) in &limits {
                let limit = Arc::clone(self.limits.get(name)?);
                permits.push(limit.acquire_many_owned(units).await.ok()?);
            }
            permits.push(Arc::clone(&self.bodies).acquire_owned().await.ok()?);
            Some(permits)
        };
        let mut permits = tokio::select! {
            biased;
            () = self.settings.stop.stopped() => return None,
            permits = holding => permits?,
        };
        // Tasks that use limits run one by one.
        let most = specs.iter().filter(|spec| spec.uses.is_empty()).count()
            + usize::from(!limits.is_empty());
        let mut slots = 1;
        while slots < most
            && let Ok(place) = Arc::clone(&self.bodies).try_acquire_owned()
        {
            permits.push(place);
            slots += 1;
        }
        Some(Held {
            slots,
            limits,
            _permits: permits,
        })
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("workspace", &self.settings.workspace.location())
            .field("free", &self.bodies.available_permits())
            .finish_non_exhaustive()
    }
}

/// Returns the requested task, as this program knows it.
fn task(request: &AttemptRequest) -> Result<AnyTask, BoxError> {
    let Some(spec) = linked().find(|spec| spec.name == request.name()) else {
        return Err(other_build(request, "is not linked into this one"));
    };
    if spec.code != request.code {
        return Err(other_build(request, "has other code"));
    }
    Ok(AnyTask::from_json(request.task.clone()).map_err(permanent)?)
}

/// Returns the run that has dispatched all of these tasks, if it was one.
fn run_of(asked: &[Asked<'_>]) -> Option<RunId> {
    let (_, first) = asked.first()?;
    let mut others = asked.iter();
    first
        .run
        .filter(|_| others.all(|(_, it)| it.run == first.run))
}

/// Returns whether this program and the dispatching run agree on the key of a task.
fn is_same(graph: &Graph, root: NodeId, request: &AttemptRequest) -> bool {
    graph.node(root).key == request.key
}

/// Returns the error for a request of another build.
fn other_build(request: &AttemptRequest, how: &str) -> BoxError {
    let this_process = registry::fingerprint();
    let there = &request.build;
    let name = request.name();
    permanent(format!(
        "task `{name}` {how}: the request is of build {there}, this worker of build {this_process}; run both from one build"
    ))
    .into()
}
