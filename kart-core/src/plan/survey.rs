//! What is missing, and why. The walk starts at the roots and checks nothing below a complete task.

use std::collections::HashMap;

use super::graph::Graph;
use crate::error::{Error, StoreError};
use crate::key::Key;
use crate::model::NodeId;
use crate::workspace::{Workspace, layout};

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

    /// Returns whether the task runs although its output may exist.
    pub(crate) fn replaces(self) -> bool {
        matches!(
            self,
            Status::RerunRequested | Status::CodeChanged | Status::Downstream
        )
    }
}

/// Returns the sidecar's text while the output is being written.
pub(crate) fn pending(key: Key) -> String {
    format!("pending {key}")
}

/// Finds the status of each task of the graph, indexed by node.
pub(crate) async fn survey(
    graph: &Graph,
    workspace: &Workspace,
    marks: &HashMap<NodeId, Status>,
) -> Result<Vec<Status>, Error> {
    let mut statuses = vec![Status::NotNeeded; graph.len()];
    let mut reached = vec![false; graph.len()];
    let mut level: Vec<NodeId> = Vec::new();
    reach(graph.roots.iter().copied(), &mut reached, &mut level);
    while !level.is_empty() {
        let (marked, unknown): (Vec<NodeId>, Vec<NodeId>) =
            level.drain(..).partition(|node| marks.contains_key(node));
        let marked = marked.into_iter().map(|node| (node, marks[&node]));
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
    let paths = nodes
        .iter()
        .map(|&node| graph.node(node).path())
        .collect::<Result<Vec<String>, Error>>()?;
    let unkeyed: Vec<(usize, String)> = nodes
        .iter()
        .zip(&paths)
        .enumerate()
        .filter(|(_, (node, _))| !graph.node(**node).task.spec().is_keyed())
        .map(|(at, (_, path))| (at, layout::sidecar(path)))
        .collect();
    let exists = workspace.exists_many(paths).await?;
    let mut statuses: Vec<(NodeId, Status)> = nodes
        .into_iter()
        .zip(exists)
        .map(|(node, exists)| {
            (
                node,
                if exists {
                    Status::Complete
                } else {
                    Status::Missing
                },
            )
        })
        .collect();
    let there: Vec<(usize, String)> = unkeyed
        .into_iter()
        .filter(|(at, _)| statuses[*at].1.is_complete())
        .collect();
    let sidecars = there.iter().map(|(_, sidecar)| sidecar.clone()).collect();
    let sidecars = workspace.read_many(sidecars).await;
    for ((at, _), sidecar) in there.into_iter().zip(sidecars) {
        let key = graph.node(statuses[at].0).key;
        if is_out_of_date(sidecar, key)? {
            statuses[at].1 = Status::OutOfDate;
        }
    }
    Ok(statuses)
}

/// Returns whether the sidecar names another key. An output without a sidecar was put there by someone else, and counts as
/// complete.
fn is_out_of_date(
    sidecar: Result<Option<bytes::Bytes>, StoreError>,
    key: Key,
) -> Result<bool, StoreError> {
    Ok(sidecar?.is_some_and(|text| text.trim_ascii() != key.to_string().as_bytes()))
}
