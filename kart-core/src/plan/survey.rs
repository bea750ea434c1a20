//! What is missing, and why. The walk starts at the roots and checks nothing below a complete task.

use std::collections::HashMap;

use super::graph::Graph;
use super::rerun::Mark;
use crate::error::Error;
use crate::model::NodeId;
use crate::workspace::{OutputState, Workspace};

/// Whether a task has to run, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Nothing missing needs it, so its output was not checked.
    NotNeeded,
    /// Its output exists.
    Complete,
    /// Its output does not exist.
    Missing,
    /// Its path has no key, and another version or other parameters made the object there, or a run was cut off while it
    /// wrote it.
    OutOfDate,
    /// Its output is shorter than what was written, as a power cut leaves it.
    Torn,
    /// You asked to run it again.
    RerunRequested,
    /// Other code made its output, and [`OnCodeChange::Rerun`](crate::OnCodeChange::Rerun) is set.
    CodeChanged,
    /// A task that it requires runs again.
    Downstream,
    /// Its output has a field that its type does not have, and [`OnTypeChange::Rerun`](crate::OnTypeChange::Rerun) is set.
    TypeChanged,
}

impl Status {
    /// Returns whether the output exists, so there is nothing to do.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self == Status::Complete
    }

    /// Returns whether the task has to run.
    #[must_use]
    pub fn runs(self) -> bool {
        !matches!(self, Status::NotNeeded | Status::Complete)
    }

    /// Returns whether an object may lie at a path with a key that the output has to take the place of.
    pub(crate) fn overwrites(self) -> bool {
        self.replaces() || matches!(self, Status::Torn | Status::OutOfDate | Status::TypeChanged)
    }

    /// Returns whether the task runs although its output may exist.
    pub(crate) fn replaces(self) -> bool {
        matches!(
            self,
            Status::RerunRequested | Status::CodeChanged | Status::Downstream
        )
    }
}

/// Finds the status of each task of the graph, indexed by node.
pub(crate) async fn survey(
    graph: &Graph,
    workspace: &Workspace,
    marks: &HashMap<NodeId, Mark>,
) -> Result<Vec<Status>, Error> {
    let mut statuses = vec![Status::NotNeeded; graph.len()];
    let mut reached = vec![false; graph.len()];
    let mut level: Vec<NodeId> = Vec::new();
    reach(graph.roots.iter().copied(), &mut reached, &mut level);
    while !level.is_empty() {
        let (mut marked, mut unknown) = (Vec::new(), Vec::new());
        for node in level.drain(..) {
            match marks.get(&node).and_then(|mark| mark.status) {
                Some(status) => marked.push((node, status)),
                None => unknown.push(node),
            }
        }
        let found = check_outputs(graph, unknown, workspace).await?;
        for (node, status) in marked.into_iter().chain(found.statuses) {
            statuses[node.index()] = status;
            if status.runs() {
                let mut below = Vec::new();
                graph
                    .node(node)
                    .for_each_requirement(|required| below.push(required));
                reach(below, &mut reached, &mut level);
            }
        }
    }
    Ok(statuses)
}

fn reach(nodes: impl IntoIterator<Item = NodeId>, reached: &mut [bool], level: &mut Vec<NodeId>) {
    for node in nodes {
        if !std::mem::replace(&mut reached[node.index()], true) {
            level.push(node);
        }
    }
}

/// What was found of the outputs of tasks.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    /// In the order of the tasks.
    pub(crate) statuses: Vec<(NodeId, Status)>,
    /// The outputs that a person should know of.
    pub(crate) findings: Vec<Finding>,
}

/// An output that is not simply there or missing.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) node: NodeId,
    pub(crate) state: OutputState,
}

/// Checks the outputs of these tasks in the workspace, all in flight together up to a bound.
pub(crate) async fn check_outputs(
    graph: &Graph,
    nodes: Vec<NodeId>,
    workspace: &Workspace,
) -> Result<Lookups, Error> {
    // A listing shows what lies at a path with a key, and provenance what lies at any other. In a directory both cost the
    // same, and provenance shows what a power cut has torn.
    let is_directory = workspace.is_directory();
    let is_listed = |node: NodeId| {
        let spec = graph.node(node).task.spec();
        spec.external || spec.is_keyed() && !is_directory
    };
    let (mut paths, mut addresses) = (Vec::new(), Vec::new());
    for &node in &nodes {
        if is_listed(node) {
            paths.push(graph.node(node).path()?);
        } else {
            addresses.push(graph.node(node).address()?);
        }
    }
    let exists = workspace.exists_many(paths).await?;
    let looked_up = workspace.output_states(&addresses).await?;
    let (mut exists, mut looked_up) = (exists.into_iter(), looked_up.into_iter());
    let mut found = Lookups::default();
    for node in nodes {
        let status = if is_listed(node) {
            match exists.next() {
                Some(true) => Status::Complete,
                _ => Status::Missing,
            }
        } else {
            let state = looked_up.next().unwrap_or(OutputState::Missing);
            let status = status(&state);
            let is_keyed = graph.node(node).task.spec().is_keyed();
            if is_news(&state, is_keyed) {
                found.findings.push(Finding { node, state });
            }
            status
        };
        found.statuses.push((node, status));
    }
    Ok(found)
}

/// Returns whether a person should know of what lies at the path of an output.
fn is_news(state: &OutputState, is_keyed: bool) -> bool {
    match state {
        OutputState::Missing | OutputState::Complete { .. } | OutputState::Unfinished => false,
        OutputState::Unrecorded { .. } => !is_keyed,
        OutputState::OtherKey { .. } | OutputState::Torn { .. } | OutputState::Changed { .. } => {
            true
        }
    }
}

/// Returns whether a task has to run, by what lies at the path of its output.
fn status(state: &OutputState) -> Status {
    match state {
        OutputState::Missing => Status::Missing,
        OutputState::Unfinished | OutputState::OtherKey { .. } => Status::OutOfDate,
        OutputState::Torn { .. } => Status::Torn,
        // Whoever reads what somebody has changed gets an error.
        OutputState::Complete { .. }
        | OutputState::Unrecorded { .. }
        | OutputState::Changed { .. } => Status::Complete,
    }
}
