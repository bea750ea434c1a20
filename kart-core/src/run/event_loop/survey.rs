//! The survey: looks up needed tasks level by level, emits the plan, and decides when tasks may start.
//!
//! A deep graph in a bucket takes a request's time for each level. Most surveys end soon, and tasks start in the order of
//! the whole graph. After [`EARLY_START_DELAY`], tasks that lack nothing start early, while the survey continues.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::opening::Prepared;
use super::state::RunState;
use crate::error::{Error, StoreError, chain};
use crate::model::{NodeId, hash_of_stored};
use crate::plan::{Finding, Graph, Lookups, Mark, Status, check_outputs};
use crate::report::{Event, Interruption, Outcome, RunError};
use crate::run::message::{FailedAttempt, Lookup, Message};
use crate::run::preflight;
use crate::run::record::tracker::emit;
use crate::run::reruns::made_for;
use crate::run::settings::{FIRST_NEWS, pause_after};
use crate::run::table::State;
use crate::run_id::RunId;
use crate::workspace::{OutputState, Provenance, Workspace};

/// How long a survey may take before tasks start early.
const EARLY_START_DELAY: Duration = Duration::from_millis(200);

impl RunState {
    /// Makes these tasks run again although their output may exist; `changed` are those whose outputs other code made.
    pub(crate) fn mark(&mut self, marks: HashMap<NodeId, Mark>, changed: HashSet<NodeId>) {
        self.table.mark(marks);
        self.changed = changed;
    }

    /// Takes the statuses of complete roots, so no survey is needed.
    pub(crate) fn know(&mut self, roots: Lookups, changed: HashSet<NodeId>) {
        self.changed = changed;
        self.found(roots.findings);
        for (root, status) in roots.statuses {
            self.table.set_status(root, status);
            self.table.need(root, None);
        }
        self.settle();
        self.look_up();
    }

    /// Looks up the roots, and what the roots in `absent` require, since those were missing a moment ago.
    pub(crate) fn survey(&mut self, absent: &[NodeId]) {
        for &root in &self.graph.roots {
            self.table.need(root, None);
        }
        for &root in absent {
            let graph = Arc::clone(&self.graph);
            graph
                .node(root)
                .for_each_requirement(|required| self.table.prefetch(required));
        }
        self.background
            .after(EARLY_START_DELAY, Message::EarlyStartDue);
        self.settle();
        self.look_up();
    }

    /// Starts one dispatched attempt of each of these roots, by its number.
    pub(crate) fn dispatch(&mut self, roots: &[(NodeId, Status, Mark, u32)]) {
        self.is_dispatched = true;
        for &(root, status, ref mark, number) in roots {
            self.table.mark(HashMap::from([(root, mark.clone())]));
            self.table.attempts_mut(root).number = number;
            self.table.need_with_inputs(root, status);
        }
        self.settle();
        self.open();
    }

    /// Looks up the tasks that are newly needed. If there are none, the survey is over.
    pub(super) fn look_up(&mut self) {
        let frontier = self.table.take_frontier();
        if !frontier.is_empty() {
            self.look_up_all(frontier);
        } else if !self.opening.is_planned && self.table.is_surveyed() && self.refused.is_none() {
            self.plan();
        }
    }

    fn look_up_all(&mut self, nodes: Vec<NodeId>) {
        let (graph, workspace) = (Arc::clone(&self.graph), self.settings.workspace.clone());
        let late = nodes.iter().filter_map(|node| {
            let mark = self.table.mark_of(*node).filter(|mark| mark.is_late)?;
            Some((*node, mark.status?, Arc::clone(&mark.wanted_by)))
        });
        let late = late.collect();
        self.background
            .spawn(look_up(graph, workspace, nodes, late));
    }

    pub(super) fn on_status_known(&mut self, lookup: Lookup) {
        match lookup.answer {
            Ok(found) => {
                self.found(found.findings);
                self.table.learn(&found.statuses);
                if self.opening.is_planned {
                    self.check_new(&found.statuses);
                }
            }
            Err(error) if !self.opening.is_planned => {
                self.table.forget_lookup(&lookup.nodes);
                self.refused = Some(error.into());
            }
            // One of them may have failed the others.
            Err(_) if lookup.nodes.len() > 1 => {
                for node in lookup.nodes {
                    self.look_up_all(vec![node]);
                }
            }
            Err(error) => {
                self.table.forget_lookup(&lookup.nodes);
                for node in lookup.nodes {
                    self.lookup_failed(node, &error);
                }
            }
        }
    }

    /// Takes what a person should know of outputs that were looked up.
    fn found(&mut self, findings: Vec<Finding>) {
        for Finding { node, state } in findings {
            match state {
                OutputState::OtherKey { provenance, .. } => {
                    self.record(move |tracker| tracker.replaces(node, provenance));
                    continue;
                }
                OutputState::Unrecorded { bytes } if !self.is_dispatched => self.adopt(node, bytes),
                _ => {}
            }
            self.record(move |tracker| tracker.emit_unexpected(node, &state));
        }
    }

    /// Records that somebody else has put the output of a task there, so that one warning is enough.
    fn adopt(&mut self, node: NodeId, bytes: u64) {
        let node = self.graph.node(node);
        let Ok(address) = node.address() else { return };
        let provenance = Provenance::new(node.key, node.task.spec().name, bytes);
        let workspace = self.settings.workspace.clone();
        self.background.write(async move {
            if let Err(error) = adopt(&workspace, &address.path, provenance).await {
                tracing::debug!(error = chain(&error), "could not record whose an output is");
            }
        });
    }

    /// Interrupts a subtask, or a requirement of one, whose lookup failed.
    fn lookup_failed(&mut self, node: NodeId, error: &Error) {
        for waiter in self.table.waits.take(node) {
            self.deliver(waiter.by, waiter.reply, Err(again(error)));
        }
        if self.table.state(node) == State::Checking {
            let reason = Interruption::Unavailable(chain(error));
            self.table.set_outcome(node, Outcome::Interrupted(reason));
            self.table.set(node, State::Interrupted);
        }
    }

    /// Fails tasks that were not in the plan and need what the runner lacks.
    fn check_new(&mut self, answers: &[(NodeId, Status)]) {
        for &(node, status) in answers {
            let task = Arc::clone(&self.graph.node(node).task);
            let spec = task.spec();
            let needs_nothing = spec.resources.is_empty() && spec.uses.is_empty();
            if needs_nothing || !status.runs() || self.table.state(node) != State::Waiting {
                continue;
            }
            if let Err(error) = preflight::check(&self.settings, [spec]) {
                self.fail(FailedAttempt {
                    node,
                    number: 0,
                    elapsed: Duration::ZERO,
                    error: Arc::new(error.to_string().into()),
                });
            }
        }
    }

    /// Starts tasks early, if the preflight passes for the whole graph.
    pub(super) fn on_early_start(&mut self) {
        if self.opening.is_planned {
            return;
        }
        let news = Message::SurveyNewsDue(FIRST_NEWS);
        let pause = FIRST_NEWS.saturating_sub(EARLY_START_DELAY);
        self.background.after(pause, news);
        let specs = self.graph.nodes().map(|node| node.task.spec());
        if preflight::check(&self.settings, specs).is_ok() {
            self.opening.is_early = true;
            self.open();
        }
    }

    /// Tells how far a long survey is.
    pub(super) fn on_survey_news(&mut self, pause: Duration) {
        if self.opening.is_planned {
            return;
        }
        let planning = Event::Planning {
            tasks: self.graph.len(),
            looked_up: self.table.looked_up(),
            newest: None,
        };
        emit(&self.settings, &planning);
        let pause = pause_after(pause);
        self.background.after(pause, Message::SurveyNewsDue(pause));
    }

    pub(super) fn on_prepared(&mut self, prepared: Result<(), StoreError>) {
        match prepared {
            Ok(()) => {
                self.opening.workspace = Prepared::Yes;
                self.open();
            }
            Err(error) => {
                self.opening.workspace = Prepared::Unknown;
                self.opening.is_early = false;
                if self.opening.is_planned {
                    self.refused = Some(RunError::Store(error));
                }
            }
        }
    }

    /// Lets tasks start, once the workspace is known to be writable.
    fn open(&mut self) {
        let may_open = self.opening.is_planned || self.opening.is_early;
        if !may_open || self.table.is_closed() || self.scheduler.is_open() {
            return;
        }
        match self.opening.workspace {
            Prepared::Yes => self.scheduler.open(&self.table),
            Prepared::Asked => {}
            Prepared::Unknown => {
                self.opening.workspace = Prepared::Asked;
                let workspace = self.settings.workspace.clone();
                self.background
                    .spawn(async move { Message::Prepared(workspace.prepare().await) });
            }
        }
    }

    /// Ends the survey: runs the preflight, emits the plan and lets tasks start.
    fn plan(&mut self) {
        let statuses = self.table.statuses();
        let runs = self.graph.nodes().zip(&statuses);
        let runs = runs.filter(|(_, status)| status.runs());
        let specs = runs.map(|(node, _)| node.task.spec());
        if let Err(error) = preflight::check(&self.settings, specs) {
            self.refused = Some(error);
            return;
        }
        let has_work = statuses.iter().any(|status| status.runs());
        self.tell_plan(&statuses, has_work);
        if has_work {
            self.table.rank_all();
            self.scheduler.rank_again(&self.table);
            self.open();
        }
    }

    /// Emits the plan of a run that ends during its survey; what is not known counts as not needed.
    pub(super) fn plan_as_far_as_known(&mut self) {
        let statuses = self.table.statuses();
        self.tell_plan(&statuses, self.has_run);
    }

    fn tell_plan(&mut self, statuses: &[Status], has_work: bool) {
        if let Some(log) = self.opening.log.filter(|_| has_work) {
            let workspace = &self.settings.workspace;
            let sink = &mut self.tracker.log_sink;
            sink.start(workspace, log, &self.graph, statuses);
        }
        self.tracker.planned(statuses, &self.changed);
        self.opening.is_planned = true;
        self.flush_records();
    }
}

/// Looks up tasks; the `late` ones run, with that status, unless their output is made for all reruns that want it.
async fn look_up(
    graph: Arc<Graph>,
    workspace: Workspace,
    nodes: Vec<NodeId>,
    late: Vec<(NodeId, Status, Arc<[RunId]>)>,
) -> Message {
    let answer = async {
        let mut found = check_outputs(&graph, nodes.clone(), &workspace).await?;
        let wanted = late
            .iter()
            .map(|(node, _, reruns)| (*node, Arc::clone(reruns)));
        let wanted: Vec<_> = wanted.collect();
        let made = made_for(&graph, &workspace, &wanted).await?;
        let unmade = late.iter().zip(made).filter(|(_, is_made)| !is_made);
        let unmade: HashMap<NodeId, Status> = unmade
            .map(|((node, status, _), _)| (*node, *status))
            .collect();
        for (node, status) in &mut found.statuses {
            *status = unmade.get(node).copied().unwrap_or(*status);
        }
        Ok(found)
    };
    let answer = answer.await;
    Message::StatusKnown(Lookup { nodes, answer })
}

/// Records whose an output is that somebody else has put there, with its hash: from now on it is verified as any other.
async fn adopt(
    workspace: &Workspace,
    path: &str,
    provenance: Provenance,
) -> Result<(), StoreError> {
    let blake3 = hash_of_stored(workspace, path, provenance.bytes).await?;
    let provenance = Provenance {
        blake3,
        ..provenance
    };
    workspace.record_elsewhere(path, &provenance).await
}

/// Copies an error for one more waiter.
fn again(error: &Error) -> Error {
    match error {
        Error::Store(error) => Error::Store(StoreError {
            operation: error.operation,
            location: error.location.clone(),
            hint: error.hint.clone(),
            transient: error.transient,
            source: chain(error.source.as_ref()).into(),
        }),
        error => Error::Wire(chain(error)),
    }
}
