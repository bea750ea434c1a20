//! From roots to a report: expands, reads the run log, claims the roots, runs the event loop, closes and leaves.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;

use tokio::task::JoinError;
use tokio::time::{Instant, sleep};

use super::coordination::Leases;
use super::event_loop;
use super::event_loop::opening::Opening;
use super::event_loop::state::RunState;
use super::history::History;
use super::record::log_sink::LogSink;
use super::record::tracker::emit;
use super::reruns::Reruns;
use super::run_context::RunContext;
use super::saved_state;
use super::settings::{Coordination, FIRST_NEWS, Settings, pause_after};
use super::shutdown::{self, Closing};
use crate::error::Error;
use crate::lease::Participant;
use crate::model::{AnyTask, NodeId};
use crate::plan::{
    ExpandLimits, ExpandProgress, Graph, Lookups, Mark, Selector, check_outputs, describe,
};
use crate::report::{Event, Report, RunError, StopReason};
use crate::run_id::RunId;
use crate::threads;

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
    let all = Arc::clone(&graph);
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
    let leaving = async {
        if settings.run_log && participant.is_sweeping() {
            Box::pin(saved_state::sweep(&settings.workspace, &all, leaving)).await;
        } else {
            leaving.await;
        }
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
        tokio::join!(
            History::load(settings, &graph),
            root_statuses(settings, &graph),
            Reruns::load(&settings.workspace, &graph)
        )
    };
    let Some((history, roots, reruns)) = closing.within_grace(known).await else {
        return Err(nothing_done(settings, &graph, started));
    };
    let (roots, mut reruns) = (roots?, reruns.map_err(RunError::Store)?);
    let looked = has_nothing_to_do(settings, &graph, &history, &roots, &mut reruns);
    let Some(has_nothing_to_do) = closing.within_grace(looked).await else {
        return Err(nothing_done(settings, &graph, started));
    };
    if has_nothing_to_do? {
        if let Some(tasks) = &settings.rerun {
            return Err(in_vain(tasks, &graph));
        }
        let run = RunContext::new(settings, &graph, &Leases::Nothing, reruns, Some(run_id));
        let log_sink = LogSink::silent(history.known);
        let mut state = RunState::new(settings, &run, log_sink, Opening::new(None), started);
        state.know(roots, history.changed);
        let mut finished = event_loop::run(state, closing).await?;
        closing.within(finished.write()).await;
        // Whoever made the last output for them was cut off before it could say so.
        closing.within(run.reruns.end()).await;
        participant.sweeps();
        return finished.into_report();
    }
    let starting = Starting {
        settings,
        run_id,
        graph: &graph,
        history: &history,
        participant,
    };
    if !settings.abandons_reruns {
        // Before the roots are claimed, so that runs that wait for each other make one rerun.
        let begun = starting.begin_reruns(&mut reruns);
        let Some(begun) = closing.within_grace(begun).await else {
            return Err(nothing_done(settings, &graph, started));
        };
        begun?;
    }
    let taken = Leases::take(settings, participant, &graph, started);
    let Some(leases) = closing.within_grace(taken).await else {
        return Err(nothing_done(settings, &graph, started));
    };
    let leases = leases?;
    let settled = starting.settle_reruns(&mut reruns, &leases);
    let marks = match closing.within_grace(settled).await {
        Some(Ok(marks)) => marks,
        settled => {
            closing.within(leases.release(false)).await;
            let failed = settled.and_then(Result::err).map(RunError::from);
            return Err(failed.unwrap_or_else(|| nothing_done(settings, &graph, started)));
        }
    };
    let run = RunContext::new(settings, &graph, &leases, reruns, Some(run_id));
    let log = settings.run_log.then_some(run_id);
    let log_sink = LogSink::silent(history.known);
    let mut state = RunState::new(settings, &run, log_sink, Opening::new(log), started);
    state.mark(marks, history.changed);
    let absent: Vec<NodeId> = roots
        .statuses
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
            run.reruns.end().await;
        }
        leases.release(finished.is_complete()).await;
    };
    if closing.within(left).await.is_none() {
        tracing::warn!("gave up on the end of the run log: the store does not answer");
    }
    let report = finished.into_report()?;
    for name in unmatched(settings, &report) {
        tracing::warn!(
            name,
            "nothing was run again: no task of this run has that name"
        );
    }
    Ok(report)
}

/// Returns the names of tasks to run again that no task of the run has, those that bodies asked for included.
fn unmatched(settings: &Settings, report: &Report) -> Vec<String> {
    let tasks = settings.rerun.as_ref();
    tasks.map_or_else(Vec::new, |tasks| tasks.unmatched(&report.graph))
}

/// Returns whether the roots of an exclusive run are complete, and made for all reruns.
async fn has_nothing_to_do(
    settings: &Settings,
    graph: &Graph,
    history: &History,
    roots: &Lookups,
    reruns: &mut Reruns,
) -> Result<bool, Error> {
    let mut roots = roots.statuses.iter();
    let mut begun = history.reruns(settings, graph, reruns).into_iter();
    Ok(settings.coordination == Coordination::Exclusive
        && roots.all(|(_, status)| status.is_complete())
        && !begun.any(|tasks| tasks.selects_any(graph))
        && reruns.are_made(graph, |_| true).await?)
}

/// What the reruns of a run depend on while it starts.
struct Starting<'r> {
    settings: &'r Settings,
    run_id: RunId,
    graph: &'r Graph,
    history: &'r History,
    participant: &'r Participant,
}

impl Starting<'_> {
    /// Begins the reruns that the settings ask for.
    async fn begin_reruns(&self, reruns: &mut Reruns) -> Result<(), Error> {
        let (settings, participant) = (self.settings, self.participant);
        for tasks in self.history.reruns(settings, self.graph, reruns) {
            let text = tasks.to_string();
            let begun = reruns.begin(tasks, self.run_id, self.graph, settings, participant);
            if begun.await? {
                emit(settings, &Event::RerunBegun { tasks: &text });
            }
        }
        Ok(())
    }

    /// Settles which reruns are made, once the roots are claimed. Returns what they want of the tasks.
    async fn settle_reruns(
        &self,
        reruns: &mut Reruns,
        leases: &Leases,
    ) -> Result<HashMap<NodeId, Mark>, Error> {
        reruns.reload(leases).await?;
        reruns.look(self.graph).await?;
        if self.settings.abandons_reruns {
            abandon_reruns(self.settings, reruns).await;
            self.begin_reruns(reruns).await?;
        }
        tell_resumed(self.settings, reruns);
        reruns.forget_made(self.graph, leases).await
    }
}

/// Drops the unfinished reruns.
async fn abandon_reruns(settings: &Settings, reruns: &mut Reruns) {
    for rerun in reruns.iter() {
        let event = Event::RerunAbandoned {
            tasks: &rerun.tasks.to_string(),
            since: rerun.id.time(),
            made: rerun.made.len(),
        };
        emit(settings, &event);
    }
    reruns.abandon().await;
}

/// Tells of the reruns that other runs have begun.
fn tell_resumed(settings: &Settings, reruns: &Reruns) {
    for rerun in reruns.iter().filter(|rerun| rerun.looked_at.is_some()) {
        let event = Event::RerunResumed {
            tasks: &rerun.tasks.to_string(),
            since: rerun.id.time(),
            made: rerun.made.len(),
        };
        emit(settings, &event);
    }
}

/// Reports names of tasks that no output is made again for.
fn in_vain(tasks: &Selector, graph: &Graph) -> RunError {
    let root = graph.roots.first().map(|root| graph.node(*root));
    let root = root.map_or_else(String::new, |node| describe(node.task.as_ref()));
    let names = tasks.unmatched(graph).join("`, `");
    RunError::Settings(format!(
        "{root} does not require `{names}`, so there is nothing to run again; if a body asks for it, name that body's task \
         too"
    ))
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
async fn root_statuses(settings: &Settings, graph: &Graph) -> Result<Lookups, RunError> {
    if settings.coordination != Coordination::Exclusive {
        return Ok(Lookups::default());
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
    let fresh = Selector::Named(settings.fresh.clone());
    for (tasks, what) in [
        (settings.rerun.as_ref(), "run again"),
        (Some(&fresh), "start afresh"),
    ] {
        let unknown = tasks.map(|tasks| tasks.unknown(&graph));
        if let [first, ..] = unknown.unwrap_or_default().as_slice() {
            return Err(RunError::Settings(format!(
                "no task named `{first}` to {what}; there are {}",
                names(&graph)
            )));
        }
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
