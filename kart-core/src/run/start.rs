//! From a root to a run under way: what the past tells, what is missing, who may do it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::lease::Participant;
use crate::log::{Known, RunId};
use crate::model::{AnyTask, NodeId};
use crate::off_thread::off_thread;
use crate::plan::{Graph, Rerun, Status, Watch, ask, survey};
use crate::report::{Report, RunError};
use crate::run::attempt::RunContext;
use crate::run::code_change::{OnCodeChange, stale_code};
use crate::run::coordination::{Coordination, Leases};
use crate::run::event_loop as desk;
use crate::run::event_loop::early_start::{EarlyAttempts, EarlyStarter};
use crate::run::event_loop::state::RunState;
use crate::run::record::log_sink::LogSink;
use crate::run::record::tracker::RunTracker;
use crate::run::runner::{Runner, ended};

/// What the run log tells.
#[derive(Debug, Default)]
pub(crate) struct History {
    known: Known,
    /// The tasks whose outputs other code made.
    changed: HashSet<NodeId>,
}

impl History {
    /// How long tasks may take, by their names.
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
}

fn names(graph: &Graph) -> String {
    let names: BTreeSet<String> = graph
        .nodes()
        .map(|node| format!("`{}`", node.task.spec().name))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

impl Runner {
    /// What the log tells of the past; nothing where it cannot be read.
    pub(crate) async fn past(&self, graph: &Graph) -> History {
        if !self.run_log {
            return History::default();
        }
        let known = Known::load(&self.workspace).await.unwrap_or_else(|error| {
            tracing::warn!(
                error = crate::error::chain(&error),
                "failed to read the run log"
            );
            Known::default()
        });
        let changed = stale_code(self, graph, &known).await;
        History { known, changed }
    }

    /// Runs what is missing, as a member of those that work in the workspace.
    pub(crate) async fn launch(
        &self,
        run: RunId,
        member: &Arc<Participant>,
        graph: Arc<Graph>,
        started: Instant,
    ) -> Result<Report, RunError> {
        let (past, needs) = tokio::join!(self.past(&graph), self.root_needs(&graph));
        let needs = needs?;
        let is_exclusive = self.coordination == Coordination::Exclusive;
        if is_exclusive && self.has_nothing_to_do(&needs, &past) {
            let run_context = RunContext::new(self, &graph, &Leases::Nothing);
            let begun = EarlyAttempts::default();
            return self
                .drive(run, run_context, needs, begun, past, started)
                .await;
        }
        let ownership = Leases::take(self, member, &graph, started).await?;
        let result = self
            .run_owning(run, &ownership, graph, &needs, past, started)
            .await;
        ownership.release(result.is_ok()).await;
        result
    }

    async fn run_owning(
        &self,
        run: RunId,
        ownership: &Leases,
        graph: Arc<Graph>,
        before: &[Status],
        past: History,
        started: Instant,
    ) -> Result<Report, RunError> {
        let is_absent = |root: &NodeId| before[root.index()].runs();
        let absent: Vec<NodeId> = graph.roots.iter().copied().filter(is_absent).collect();
        let run_context = RunContext::new(self, &graph, ownership);
        let early = EarlyStarter::new(self, &graph, &past.known, &run_context, started);
        let survey = self.survey(&graph, &past, &absent, &early);
        let (needs, begun) = early.beside(survey).await;
        let needs = needs?;
        self.check_runs(&graph, &needs)?;
        if needs.iter().any(|need| need.runs()) {
            self.workspace.prepare().await.map_err(RunError::Store)?;
        }
        self.drive(run, run_context, needs, begun, past, started)
            .await
    }

    async fn drive(
        &self,
        run: RunId,
        run_context: Arc<RunContext>,
        needs: Vec<Status>,
        begun: EarlyAttempts,
        past: History,
        started: Instant,
    ) -> Result<Report, RunError> {
        let graph = &run_context.graph;
        let writes = self.run_log && needs.iter().any(|need| need.runs());
        let log_sink = if writes {
            LogSink::begin(&self.workspace, run, past.known, graph, &needs)
        } else {
            LogSink::silent(past.known)
        };
        let runner = Arc::new(self.clone());
        let mut tracker = RunTracker::new(
            Arc::clone(&runner),
            Arc::clone(graph),
            &needs,
            log_sink,
            started,
        );
        tracker.planned(&needs);
        tracker.stale_code(&past.changed, &needs);
        let drive = RunState::new(runner, run_context, needs, tracker, started);
        desk::run(drive, begun).await
    }

    /// The needs of the roots alone: where they are complete, nobody asks for the others.
    async fn root_needs(&self, graph: &Graph) -> Result<Vec<Status>, RunError> {
        let mut needs = vec![Status::NotNeeded; graph.len()];
        if self.coordination == Coordination::Exclusive {
            for (root, need) in ask(graph, graph.roots.clone(), &self.workspace).await? {
                needs[root.index()] = need;
            }
        }
        Ok(needs)
    }

    fn has_nothing_to_do(&self, needs: &[Status], past: &History) -> bool {
        let reruns = self.on_code_change == OnCodeChange::Rerun && !past.changed.is_empty();
        matches!(self.rerun, Rerun::None) && !reruns && !needs.iter().any(|need| need.runs())
    }

    fn check_runs(&self, graph: &Graph, needs: &[Status]) -> Result<(), RunError> {
        let runs = graph.nodes().zip(needs).filter(|(_, need)| need.runs());
        self.check(runs.map(|(node, _)| node.task.spec()))
    }

    /// Expands the roots, which takes a while for a large graph.
    pub(crate) async fn expand(
        &self,
        roots: impl IntoIterator<Item = AnyTask>,
    ) -> Result<Arc<Graph>, RunError> {
        let roots: Vec<_> = roots.into_iter().map(AnyTask::into_dyn).collect();
        if roots.is_empty() {
            return Err(RunError::Settings("there is no task to run".to_owned()));
        }
        let expand = move || Graph::expand(roots);
        let graph = off_thread(expand).await.map_err(ended)??;
        if let [first, ..] = self.rerun.unknown(&graph).as_slice() {
            return Err(RunError::Settings(format!(
                "no task named `{first}` to run again; there are {}",
                names(&graph)
            )));
        }
        Ok(Arc::new(graph))
    }

    pub(crate) async fn survey(
        &self,
        graph: &Graph,
        past: &History,
        absent: &[NodeId],
        watch: &dyn Watch,
    ) -> Result<Vec<Status>, RunError> {
        let again = match self.on_code_change {
            OnCodeChange::Rerun => &past.changed,
            OnCodeChange::Ignore | OnCodeChange::Warn => &HashSet::new(),
        };
        Ok(survey(graph, &self.workspace, &self.rerun, again, absent, watch).await?)
    }
}
