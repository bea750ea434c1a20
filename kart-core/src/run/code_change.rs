//! Stale code: outputs that other code made than today's.

use std::collections::HashSet;

use crate::log::Known;
use crate::model::NodeId;
use crate::plan::Graph;
use crate::run::settings::{OnCodeChange, Settings};

/// Returns the tasks of the graph whose outputs other code made. Reads nothing if the digest of the log shows no other
/// code for any kind of task in the graph.
pub(crate) async fn stale_code(
    settings: &Settings,
    graph: &Graph,
    known: &Known,
) -> HashSet<NodeId> {
    if settings.on_code_change == OnCodeChange::Ignore {
        return HashSet::new();
    }
    let names = names_with_other_code(graph, known);
    if names.is_empty() {
        return HashSet::new();
    }
    let codes = match Known::codes(&settings.workspace, &names).await {
        Ok(codes) => codes,
        Err(error) => {
            tracing::warn!(
                error = crate::error::chain(&error),
                "failed to read the run log"
            );
            return HashSet::new();
        }
    };
    let is_other = |id: &NodeId| {
        let node = graph.node(*id);
        let code = codes.get(&node.key);
        code.is_some_and(|code| code != node.task.spec().code)
    };
    graph.ids().filter(is_other).collect()
}

/// Returns the names of tasks with outputs that other code made.
fn names_with_other_code(graph: &Graph, known: &Known) -> HashSet<&'static str> {
    let mut seen = HashSet::new();
    let specs = graph.nodes().map(|node| node.task.spec());
    specs
        .filter(|spec| seen.insert(std::ptr::from_ref(*spec)))
        .filter(|spec| known.has_other_code(spec))
        .map(|spec| spec.name)
        .collect()
}
