//! What a run has before it.

use std::collections::HashMap;

use crate::log::Known;
use crate::plan::{Graph, Status};
use crate::report::{Estimate, Outcome, TaskCounts};

/// How long what is missing takes, as far as past runs have shown.
pub(crate) fn expected(graph: &Graph, needs: &[Status], known: &Known) -> Estimate {
    let mut expected = Estimate::default();
    for (node, _) in graph.nodes().zip(needs).filter(|(_, need)| need.runs()) {
        match known.expected(node.task.spec()) {
            Some(duration) => expected.work += duration,
            None => expected.unknown += 1,
        }
    }
    expected
}

/// How many tasks there are of each name.
pub(crate) fn families(graph: &Graph, needs: &[Status]) -> Vec<TaskCounts> {
    let mut families: Vec<TaskCounts> = Vec::new();
    let mut places: HashMap<&'static str, usize> = HashMap::new();
    for (node, need) in graph.nodes().zip(needs) {
        let name = node.task.spec().name;
        let place = *places.entry(name).or_insert_with(|| {
            families.push(TaskCounts::new(name));
            families.len() - 1
        });
        families[place].tasks += 1;
        families[place].complete += usize::from(need.is_complete());
        families[place].missing += usize::from(need.runs());
    }
    families
}

/// The outcome of a task that nothing has been done about.
pub(crate) fn before(need: Status) -> Outcome {
    match need {
        Status::NotNeeded => Outcome::NotNeeded,
        Status::Complete => Outcome::Complete,
        _ => Outcome::NotRun,
    }
}
