//! What is made for reruns, as the provenance of outputs says.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::Error;
use crate::model::NodeId;
use crate::plan::{Dependents, Graph, Rerun};
use crate::run_id::RunId;
use crate::workspace::{OutputState, Provenance, Workspace};

/// Looks at those outputs that the reruns reach which are meant.
pub(super) async fn look(
    graph: &Graph,
    workspace: &Workspace,
    reruns: &mut [&mut Rerun],
    is_meant: impl Fn(NodeId) -> bool,
) -> Result<(), Error> {
    if reruns.is_empty() {
        return Ok(());
    }
    let dependents = Dependents::of(graph);
    let reached = reruns.iter().map(|rerun| rerun.reached(graph, &dependents));
    let reached = reached.flat_map(HashMap::into_keys);
    let nodes: BTreeSet<NodeId> = reached.filter(|node| is_meant(*node)).collect();
    let found = provenances(graph, workspace, nodes.iter().copied()).await?;
    for rerun in reruns {
        let names = |found: &Provenance| found.reruns.contains(&rerun.id);
        let made = nodes.iter().zip(&found).filter_map(|(node, found)| {
            let found = found.as_ref().filter(|found| names(found))?;
            Some((*node, found.run))
        });
        rerun.made = made.collect();
        rerun.looked_at = Some(graph.len());
    }
    Ok(())
}

/// Returns for each task whether its output is made for all of the reruns.
pub(crate) async fn made_for(
    graph: &Graph,
    workspace: &Workspace,
    wanted: &[(NodeId, Arc<[RunId]>)],
) -> Result<Vec<bool>, Error> {
    let found = provenances(graph, workspace, wanted.iter().map(|(node, _)| *node)).await?;
    let is_made = |(found, (_, reruns)): (Option<Provenance>, &(NodeId, Arc<[RunId]>))| {
        found.is_some_and(|found| reruns.iter().all(|rerun| found.reruns.contains(rerun)))
    };
    Ok(found.into_iter().zip(wanted).map(is_made).collect())
}

/// Returns what is recorded of the outputs, of those that are complete.
async fn provenances(
    graph: &Graph,
    workspace: &Workspace,
    nodes: impl Iterator<Item = NodeId>,
) -> Result<Vec<Option<Provenance>>, Error> {
    let addresses = nodes.map(|node| graph.node(node).address());
    let addresses: Vec<_> = addresses.collect::<Result<_, _>>()?;
    let states = workspace.output_states(&addresses).await?.into_iter();
    let provenance = |state| match state {
        OutputState::Complete { provenance, .. } => Some(provenance),
        _ => None,
    };
    Ok(states.map(provenance).collect())
}

/// Records of an output anew that it is not made for these reruns, unless it was replaced.
pub(super) async fn forget(
    graph: &Graph,
    workspace: &Workspace,
    node: NodeId,
    by: Option<RunId>,
    reruns: &[RunId],
) -> Result<(), Error> {
    let found = provenances(graph, workspace, std::iter::once(node)).await?;
    for mut found in found.into_iter().flatten().filter(|found| found.run == by) {
        found.reruns.retain(|rerun| !reruns.contains(rerun));
        let path = graph.node(node).path()?;
        workspace.record_provenance(&path, &found).await?;
    }
    Ok(())
}
