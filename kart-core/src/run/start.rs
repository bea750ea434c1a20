//! From roots to a report: expands, reads the run log, claims the roots, runs the event loop, closes and leaves.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::{Instant, sleep};

use super::code_change::stale_code;
use super::coordination::Leases;
use super::event_loop;
use super::event_loop::opening::Opening;
use super::event_loop::state::RunState;
use super::record::log_sink::LogSink;
use super::record::tracker::emit;
use super::reruns::Reruns;
use super::run_context::RunContext;
use super::settings::{Coordination, FIRST_NEWS, OnCodeChange, Settings, pause_after};
use super::shutdown::{self, Closing};
use crate::error::StoreError;
use crate::lease::Participant;
use crate::log::{Known, RunId};
use crate::model::{AnyTask, NodeId};
use crate::plan::{ExpandLimits, ExpandProgress, Graph, Selector, Status, check_outputs};
use crate::report::{Event, Report, RunError, StopReason};
use crate::threads;

/// What past runs have shown, according to the run log.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) known: Known,
    /// Tasks whose outputs other code made.
    pub(crate) changed: HashSet<NodeId>,
}

impl History {
    /// Reads the run log. If that fails, nothing is known.
    pub(crate) async fn load(settings: &Settings, graph: &Graph) -> Self {
        if !settings.run_log {
            return History::default();
        }
        let known = Known::load(&settings.workspace)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "failed to read the run log"
                );
                Known::default()
            });
        let changed = stale_code(settings, graph, &known).await;
        History { known, changed }
    }

    /// Returns how long tasks may take, by name.
    pub(crate) fn expected(&self, graph: &Graph) -> HashMap<&'static str, Duration> {
        let mut expected = HashMap::new();
        let mut seen = HashSet::new();
        for node in graph.nodes() {
            let spec = node.task.spec();
            if seen.insert(std::ptr::from_ref(spec))
                && let Some(duration) = self.known.expected(spec)
            {
                expected.insert(spec.name, duration);
            }
        }
        expected
    }

    /// Returns the reruns that the settings ask for, in addition to those that are open.
    pub(crate) fn reruns(
        &self,
        settings: &Settings,
        graph: &Graph,
        open: &Reruns,
    ) -> Vec<Selector> {
        let mut reruns: Vec<Selector> = settings.rerun.iter().cloned().collect();
        if settings.on_code_change == OnCodeChange::Rerun {
            let changed = self.changed.iter().map(|node| graph.node(*node).key);
            let changed = open.not_selected(changed.collect());
            if !changed.is_empty() {
                reruns.push(Selector::OtherCode(changed));
            }
        }
        reruns
    }
}

/// Runs what is missing of the roots, from their expansion to the report.
pub(crate) async fn run(settings: Arc<Settings>, roots: Vec<AnyTask>) -> Result<Report, RunError> {
    let started = Instant::now();
    let progress = Arc::default();
    let expanded = with_news(&settings, &progress, expand(&settings, roots, &progress));
    let closing = Closing::new(&settings, started);
    let Some(graph) = closing.within_grace(expanded).await else {
        return Err(nothing_done(&settings, &Arc::default(), started));
    };
    let graph = graph?;
    let run_id = settings.run_id.unwrap_or_else(RunId::now);
    let participant = Participant::new(&settings.workspace, settings.ttl, run_id.to_string());
    let participant = Arc::new(participant);
    let _dropped = AbandonOnDrop(Arc::clone(&participant));
    let result = Box::pin(start(
        &settings,
        run_id,
        &participant,
        graph,
        started,
        &closing,
    ))
    .await;
    let leaving = async {
        if settings.run_log {
            participant.sweep_unclaimed().await;
        }
        participant.leave().await;
    };
    if closing.within(leaving).await.is_none() {
        tracing::warn!("gave up leaving the workspace: the store does not answer");
    }
    result
}

/// Ends the participant of a dropped run, so this process does not take it for a live one.
struct AbandonOnDrop(Arc<Participant>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

async fn start(
    settings: &Arc<Settings>,
    run_id: RunId,
    participant: &Arc<Participant>,
    graph: Arc<Graph>,
    started: Instant,
    closing: &Closing,
) -> Result<Report, RunError> {
    let known = async {
        let (history, roots, reruns) = tokio::join!(
            History::load(settings, &graph),
            root_statuses(settings, &graph),
            Reruns::load(&settings.workspace, &graph)
        );
        let reruns = begin_reruns(settings, run_id, &graph, &history, reruns).await;
        (history, roots, reruns)
    };
    let Some((history, roots, reruns)) = closing.within_grace(known).await else {
        return Err(nothing_done(settings, &graph, started));
    };
    let (roots, mut reruns) = (roots?, reruns?);
    let is_complete = roots.iter().all(|(_, status)| status.is_complete());
    let mut marks = reruns.marks(&graph);
    let is_exclusive = settings.coordination == Coordination::Exclusive;
    if is_exclusive && is_complete && marks.is_empty() {
        let is_in_vain = |tasks: &Selector| !tasks.selects_any(&graph);
        if settings.rerun.as_ref().is_some_and(is_in_vain) {
            closing.within(reruns.abandon()).await;
            return Err(RunError::Settings(
                "nothing that the roots require has this name, and all is complete: only a body asks for such tasks; name \
                 the task whose body it is too"
                    .to_owned(),
            ));
        }
        let run = RunContext::new(settings, &graph, &Leases::Nothing, reruns);
        let log_sink = LogSink::silent(history.known);
        let mut state = RunState::new(settings, &run, log_sink, Opening::new(None), started);
        state.know(&roots, history.changed);
        let finished = event_loop::run(state, closing).await?;
        // Whoever made the last output for them was cut off before it could say so.
        closing.within(run.reruns.end()).await;
        participant.sweeps();
        return finished.into_report();
    }
    let taken = Leases::take(settings, participant, &graph, started);
    let Some(leases) = closing.within_grace(taken).await else {
        return Err(nothing_done(settings, &graph, started));
    };
    let leases = leases?;
    if is_exclusive && !reruns.is_empty() {
        // Another run may have gone on with them while this one waited for it.
        if let Err(error) = reruns.reload().await {
            closing.within(leases.release(false)).await;
            return Err(RunError::Store(error));
        }
        marks = reruns.marks(&graph);
    }
    if let Err(error) = reruns.forget_made(&graph, &marks).await {
        closing.within(leases.release(false)).await;
        return Err(RunError::Store(error));
    }
    let run = RunContext::new(settings, &graph, &leases, reruns);
    let log = settings.run_log.then_some(run_id);
    let log_sink = LogSink::silent(history.known);
    let mut state = RunState::new(settings, &run, log_sink, Opening::new(log), started);
    state.mark(marks, history.changed);
    let absent: Vec<NodeId> = roots
        .iter()
        .filter(|(_, status)| status.runs())
        .map(|(root, _)| *root)
        .collect();
    state.survey(&absent);
    let mut finished = match event_loop::run(state, closing).await {
        Ok(finished) => finished,
        Err(error) => {
            closing.within(leases.release(false)).await;
            return Err(error);
        }
    };
    let left = async {
        finished.write().await;
        if finished.is_complete() {
            if leases.are_per_task() {
                run.reruns.end_shared().await;
            } else {
                run.reruns.end().await;
            }
        }
        leases.release(finished.is_complete()).await;
    };
    if closing.within(left).await.is_none() {
        tracing::warn!("gave up on the end of the run log: the store does not answer");
    }
    finished.into_report()
}

/// Begins the reruns that the settings ask for, and tells of those that another run has begun.
async fn begin_reruns(
    settings: &Settings,
    run_id: RunId,
    graph: &Graph,
    history: &History,
    reruns: Result<Reruns, StoreError>,
) -> Result<Reruns, RunError> {
    let mut reruns = reruns.map_err(RunError::Store)?;
    reruns.sweep().await;
    if settings.abandons_reruns && !reruns.is_empty() {
        reruns.abandon().await;
    }
    for tasks in history.reruns(settings, graph, &reruns) {
        reruns.end_if_made(graph, &tasks).await;
        let begun = reruns.begin(tasks, run_id).await;
        begun.map_err(RunError::Store)?;
    }
    for rerun in reruns.iter().filter(|rerun| !rerun.is_of(run_id)) {
        emit(
            settings,
            &Event::RerunResumed {
                tasks: &rerun.to_string(),
                since: rerun.since(),
                made: rerun.made(),
            },
        );
    }
    Ok(reruns)
}

/// Reports a run that was stopped before anything was known.
fn nothing_done(settings: &Settings, graph: &Arc<Graph>, started: Instant) -> RunError {
    let is_late = |deadline| deadline <= Instant::now();
    let reason = if shutdown::deadline(settings, started).is_some_and(is_late) {
        StopReason::Deadline
    } else {
        StopReason::Asked
    };
    let stopping = Event::Stopping {
        reason,
        running: 0,
        grace: settings.grace,
    };
    emit(settings, &stopping);
    let outcomes = vec![crate::report::Outcome::NotRun; graph.len()];
    RunError::Interrupted(Box::new(Report::new(
        Arc::clone(graph),
        outcomes,
        settings.workspace.clone(),
        started.elapsed(),
        HashMap::new(),
    )))
}

/// Looks up the roots of an exclusive run. If they are complete, nothing else is looked up.
async fn root_statuses(
    settings: &Settings,
    graph: &Graph,
) -> Result<Vec<(NodeId, Status)>, RunError> {
    if settings.coordination != Coordination::Exclusive {
        return Ok(Vec::new());
    }
    let mut roots = graph.roots.clone();
    roots.sort_unstable();
    roots.dedup();
    Ok(check_outputs(graph, roots, &settings.workspace).await?)
}

/// Expands the roots, on a thread of its own.
pub(crate) async fn expand(
    settings: &Settings,
    roots: impl IntoIterator<Item = AnyTask>,
    progress: &Arc<ExpandProgress>,
) -> Result<Arc<Graph>, RunError> {
    let roots: Vec<_> = roots.into_iter().map(AnyTask::into_dyn).collect();
    if roots.is_empty() {
        return Err(RunError::Settings("there is no task to run".to_owned()));
    }
    let limits = ExpandLimits {
        max_tasks: settings.max_tasks,
        progress: Arc::clone(progress),
        ..ExpandLimits::default()
    };
    // Stop the expansion when this future is dropped.
    let _stops = limits.stop.clone().stop_on_drop();
    let graph = threads::run(move |_| Graph::expand(roots, &limits))
        .await
        .map_err(|error| RunError::Runtime(error.into()))??;
    let unknown = settings.rerun.as_ref().map(|tasks| tasks.unknown(&graph));
    if let [first, ..] = unknown.unwrap_or_default().as_slice() {
        return Err(RunError::Settings(format!(
            "no task named `{first}` to run again; there are {}",
            names(&graph)
        )));
    }
    Ok(Arc::new(graph))
}

/// Tells how far a long expansion is.
async fn with_news<T>(
    settings: &Settings,
    progress: &ExpandProgress,
    expansion: impl Future<Output = T>,
) -> T {
    let mut expansion = pin!(expansion);
    let mut pause = FIRST_NEWS;
    loop {
        tokio::select! {
            biased;
            expanded = &mut expansion => return expanded,
            () = sleep(pause) => {}
        }
        let newest = progress.newest();
        let planning = Event::Planning {
            tasks: progress.tasks(),
            looked_up: 0,
            newest: newest.as_deref(),
        };
        emit(settings, &planning);
        pause = pause_after(pause);
    }
}

fn names(graph: &Graph) -> String {
    let names: BTreeSet<String> = graph
        .nodes()
        .map(|node| format!("`{}`", node.task.spec().name))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// Returns why a tokio task has no result, and resumes its panic if it had one.
pub(crate) fn ended(error: JoinError) -> RunError {
    match error.try_into_panic() {
        Ok(payload) => std::panic::resume_unwind(payload),
        Err(error) => RunError::Runtime(error.into()),
    }
}
