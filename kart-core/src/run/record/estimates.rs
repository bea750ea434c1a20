//! Estimates of the work ahead, from past durations.

use std::collections::HashMap;

use crate::log::Known;
use crate::plan::{Graph, Status};
use crate::report::{Estimate, TaskCounts};

/// Returns how long the missing tasks take, according to past runs.
pub(crate) fn estimate(graph: &Graph, statuses: &[Status], known: &Known) -> Estimate {
    let mut expected = Estimate::default();
    for (node, _) in graph
        .nodes()
        .zip(statuses)
        .filter(|(_, status)| status.runs())
    {
        match known.expected(node.task.spec()) {
            Some(duration) => expected.work += duration,
            None => expected.unknown += 1,
        }
    }
    expected
}

/// Counts the tasks of each name.
pub(crate) fn counts_by_name(graph: &Graph, statuses: &[Status]) -> Vec<TaskCounts> {
    let mut counts: Vec<TaskCounts> = Vec::new();
    let mut places: HashMap<&'static str, usize> = HashMap::new();
    for (node, status) in graph.nodes().zip(statuses) {
        let name = node.task.spec().name;
        let place = *places.entry(name).or_insert_with(|| {
            counts.push(TaskCounts::new(name));
            counts.len() - 1
        });
        counts[place].tasks += 1;
        counts[place].complete += usize::from(status.is_complete());
        counts[place].missing += usize::from(status.runs());
    }
    counts
}
