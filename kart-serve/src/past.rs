//! A run of the past as a page draws it, put together from its lines in the run log.
//!
//! The log tells of attempts, and of what was required. Tasks that were complete before are known where another run has
//! made them; tasks that nobody came to are not known.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::SystemTime;

use kart_core::{Key, RecordedOutcome, RunSummary, TaskRecord, registry};
use kart_view::shape::described;
use kart_view::{Attempt, Changes, Graph, Task, TaskCounts};

use crate::answer::Refusal;
use crate::app::App;
use crate::runs::Packed;

/// What a page is told of a run of the past.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) graph: Packed,
    pub(crate) changes: Changes,
}

impl Past {
    pub(crate) async fn of(app: &App, run: &RunSummary) -> Result<Self, Refusal> {
        let mut records = app.records(|record| record.run == Some(run.run)).await?;
        records.reverse();
        let ran: HashSet<Key> = records.iter().map(|record| record.key).collect();
        let required = records.iter().flat_map(|record| &record.requires);
        let before: HashSet<Key> = required.filter(|key| !ran.contains(key)).copied().collect();
        let mut others = Vec::new();
        if !before.is_empty() {
            let wanted = |record: &TaskRecord| {
                before.contains(&record.key) && record.outcome == RecordedOutcome::Ran
            };
            others = app.records(wanted).await?;
        }
        let run = run.clone();
        let draw = move || draw(&run, &records, &others);
        tokio::task::spawn_blocking(draw).await.map_err(|_| {
            Refusal::unavailable(
                "the run could not be drawn",
                "the log of the service says why",
            )
        })
    }
}

/// `records` are those of the run, in order; `others` of what it found complete.
fn draw(run: &RunSummary, records: &[TaskRecord], others: &[TaskRecord]) -> Past {
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut tasks: Vec<&TaskRecord> = Vec::new();
    for record in records.iter().chain(others) {
        places.entry(record.key).or_insert_with(|| {
            tasks.push(record);
            tasks.len() - 1
        });
    }
    let mut letters: Vec<char> = vec!['c'; tasks.len()];
    let (mut attempts, mut errors) = (Vec::new(), BTreeMap::new());
    for record in records {
        let place = places[&record.key];
        letters[place] = letter(record.outcome);
        if record.outcome != RecordedOutcome::Blocked {
            let error = record.error.clone().map(|error| {
                errors.insert(errors.len(), error);
                errors.len() - 1
            });
            attempts.push(attempt(run.start, place, record, error));
        }
    }
    let known = registry::tasks();
    let required: HashSet<&Key> = records.iter().flat_map(|record| &record.requires).collect();
    let is_root = |record: &&TaskRecord| !required.contains(&record.key);
    let roots = tasks.iter().filter(|record| is_root(record));
    let mut graph = Graph::new(roots.map(|record| places[&record.key]).collect());
    for record in &tasks {
        let spec = known.iter().find(|spec| spec.name == record.task);
        let family = || match spec {
            Some(spec) => TaskCounts::from(*spec),
            None => TaskCounts::named(record.task.clone()),
        };
        let task = Task {
            key: record.key.to_string(),
            label: described(record),
            path: record.path.clone(),
            requires: record
                .requires
                .iter()
                .filter_map(|key| places.get(key).copied())
                .collect(),
        };
        graph.push(&record.task, family, task);
    }
    Past {
        graph: Packed::new(run.run, &graph),
        changes: Changes::whole(letters.into_iter().collect(), attempts, errors),
    }
}

fn letter(outcome: RecordedOutcome) -> char {
    match outcome {
        RecordedOutcome::Ran => 'r',
        RecordedOutcome::Failed => 'f',
        RecordedOutcome::Blocked => 'b',
        RecordedOutcome::Interrupted => 'i',
        _ => 'l',
    }
}

fn attempt(begin: SystemTime, task: usize, record: &TaskRecord, error: Option<usize>) -> Attempt {
    let start = record.start.duration_since(begin).unwrap_or_default();
    let start = start.as_secs_f64();
    Attempt {
        task,
        number: record.attempt,
        start,
        end: Some(start + record.duration.as_secs_f64()),
        outcome: match record.outcome {
            RecordedOutcome::Retrying => 'y',
            outcome => letter(outcome),
        },
        bytes: record.bytes.unwrap_or(0),
        error,
    }
}
