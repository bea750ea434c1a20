//! What is missing, and why. The walk starts at the roots and checks nothing below a complete task.

use std::collections::HashMap;

use super::graph::Graph;
use super::rerun::Mark;
use crate::error::Error;
use crate::key::Key;
use crate::model::NodeId;
use crate::workspace::{StoredOutput, Validity, Workspace};

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
        self.replaces() || matches!(self, Status::Torn | Status::OutOfDate)
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
        let (marked, unknown): (Vec<NodeId>, Vec<NodeId>) =
            level.drain(..).partition(|node| marks.contains_key(node));
        let marked = marked.into_iter().map(|node| (node, marks[&node].status));
        for (node, status) in marked.chain(check_outputs(graph, unknown, workspace).await?) {
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

/// Checks the outputs of these tasks in the workspace, all in flight together up to a bound.
pub(crate) async fn check_outputs(
    graph: &Graph,
    nodes: Vec<NodeId>,
    workspace: &Workspace,
) -> Result<Vec<(NodeId, Status)>, Error> {
    // A listing shows what lies at a path with a key, and provenance what lies at any other. In a directory both cost the
    // same, and provenance shows what a power cut has torn.
    let is_directory = workspace.is_directory();
    let is_listed = |node: &NodeId| {
        let spec = graph.node(*node).task.spec();
        spec.external || spec.is_keyed() && !is_directory
    };
    let (listed, looked_up): (Vec<NodeId>, Vec<NodeId>) = nodes.into_iter().partition(is_listed);
    let paths = listed.iter().map(|&node| graph.node(node).path());
    let paths = paths.collect::<Result<Vec<String>, Error>>()?;
    let exists = workspace.exists_many(paths).await?;
    let addresses = looked_up.iter().map(|&node| graph.node(node).address());
    let addresses = addresses.collect::<Result<Vec<_>, Error>>()?;
    let outputs = workspace.outputs(&addresses).await?;
    let listed = listed.into_iter().zip(exists).map(|(node, exists)| {
        let status = if exists {
            Status::Complete
        } else {
            Status::Missing
        };
        (node, status)
    });
    let looked_up = looked_up.into_iter().zip(outputs).map(|(node, output)| {
        let key = graph.node(node).key;
        (
            node,
            output.map_or(Status::Missing, |output| status(key, &output)),
        )
    });
    Ok(listed.chain(looked_up).collect())
}

/// Returns whether an output is what the task of that key has made.
fn status(key: Key, output: &StoredOutput) -> Status {
    match output.origin.validity(key, output.bytes) {
        Validity::Pending | Validity::OtherKey(_) => Status::OutOfDate,
        Validity::Torn(_) => Status::Torn,
        // Whoever reads what was changed hears of it.
        Validity::Valid(_) | Validity::Changed(_) => Status::Complete,
    }
}
