//! What a run has before it.

use std::collections::HashMap;

use crate::log::Known;
use crate::plan::{Graph, Need};
use crate::report::{Expected, Family, Outcome};

/// How long what is missing takes, as far as past runs have shown.
pub(super) fn expected(graph: &Graph, needs: &[Need], known: &Known) -> Expected {
    let mut expected = Expected::default();
    for (node, _) in graph.nodes().zip(needs).filter(|(_, need)| need.runs()) {
        match known.expected(node.task.spec()) {
            Some(duration) => expected.work += duration,
            None => expected.unknown += 1,
        }
    }
    expected
}

/// How many tasks there are of each name.
pub(super) fn families(graph: &Graph, needs: &[Need]) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    let mut places: HashMap<&'static str, usize> = HashMap::new();
    for (node, need) in graph.nodes().zip(needs) {
        let name = node.task.spec().name;
        let place = *places.entry(name).or_insert_with(|| {
            families.push(Family::new(name));
            families.len() - 1
        });
        families[place].tasks += 1;
        families[place].complete += usize::from(need.is_complete());
        families[place].missing += usize::from(need.runs());
    }
    families
}

/// The outcome of a task that nothing has been done about.
pub(super) fn before(need: Need) -> Outcome {
    match need {
        Need::Unasked => Outcome::Unneeded,
        Need::Complete => Outcome::Complete,
        _ => Outcome::Left,
    }
}
