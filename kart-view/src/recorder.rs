//! What a run does, as it does it: its attempts, what becomes of each task, and what has changed since somebody looked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use kart_core::{Event, Plan, Report, chain};
use serde::{Serialize, Serializer};

use crate::letters;

/// How many characters of an error are kept.
const LONGEST_ERROR: usize = 20_000;

/// One attempt: `[task, number, start, end, outcome, bytes, error]`, the times in seconds since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The place of its task.
    pub task: usize,
    /// Which attempt of the task it is, from 1.
    pub number: u32,
    /// When it began.
    pub start: f64,
    /// When it ended; none while it is under way.
    pub end: Option<f64>,
    /// Its letter: `r`an, `y` to be retried, `f`ailed, `i`nterrupted, `p` under way.
    pub outcome: char,
    /// The size of its output.
    pub bytes: u64,
    /// The place of its error.
    pub error: Option<usize>,
}

impl Changes {
    /// All that there is to tell of a run that is over.
    #[must_use]
    pub fn whole(letters: String, attempts: Vec<Attempt>, errors: BTreeMap<usize, String>) -> Self {
        Changes {
            since: 0,
            next: 1,
            tasks: letters.chars().count(),
            outcome: Some(letters),
            outcomes: Vec::new(),
            attempts: attempts.into_iter().enumerate().collect(),
            errors,
        }
    }
}

impl Serialize for Attempt {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let micros = |seconds: f64| (seconds * 1e6).round() / 1e6;
        let error = self.error.and_then(|error| i64::try_from(error).ok());
        (
            self.task,
            self.number,
            micros(self.start),
            self.end.map(micros),
            self.outcome,
            self.bytes,
            error.unwrap_or(-1),
        )
            .serialize(to)
    }
}

/// What has changed since somebody looked.
#[derive(Debug, Serialize)]
pub struct Changes {
    /// The number of the first change that is told.
    pub since: usize,
    /// The number of the next.
    pub next: usize,
    /// How many tasks there are.
    pub tasks: usize,
    /// The letters of all tasks, where nothing was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// The letters of the tasks that changed.
    outcomes: Vec<(usize, char)>,
    /// Attempts that started or ended, after their places.
    attempts: Vec<(usize, Attempt)>,
    /// The errors of those attempts, by their places.
    errors: BTreeMap<usize, String>,
}

/// Takes the events of a run.
#[derive(Debug)]
pub struct Recorder {
    started: SystemTime,
    begin: Instant,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    plan: Option<Plan>,
    outcomes: Vec<char>,
    attempts: Vec<Attempt>,
    /// The attempt of a task that is under way.
    open: HashMap<usize, usize>,
    errors: Vec<Arc<str>>,
    places: HashMap<Arc<str>, usize>,
    /// Of each change the task, and the attempt if it is about one.
    changes: Vec<(usize, Option<usize>)>,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder {
            started: SystemTime::now(),
            begin: Instant::now(),
            recorded: Mutex::default(),
        }
    }
}

impl Recorder {
    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the run began.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Takes in what has happened. It does little: it may be called 100,000 times a second.
    pub fn take(&self, event: &Event<'_>) {
        let now = self.begin.elapsed().as_secs_f64();
        let error_of = |error: &(dyn std::error::Error + 'static)| {
            let mut text = chain(error);
            if let Some((end, _)) = text.char_indices().nth(LONGEST_ERROR) {
                text.truncate(end);
            }
            Some(text)
        };
        let elapsed = match event {
            Event::Finished { elapsed, .. } | Event::Failed { elapsed, .. } => *elapsed,
            _ => Duration::ZERO,
        };
        let (task, attempt, outcome, bytes, error) = match event {
            Event::Planned { plan, .. } => return self.recorded().begin(plan),
            Event::Started { task, attempt, .. } => {
                return self.recorded().start(task.index(), *attempt, now);
            }
            Event::Finished { task, bytes, .. } => (task, 'r', 'r', *bytes, None),
            Event::Retrying { task, error, .. } => (task, 'y', 'l', 0, error_of(*error)),
            Event::Failed { task, error, .. } => (task, 'f', 'f', 0, error_of(*error)),
            Event::Interrupted { task, .. } => (task, 'i', 'i', 0, None),
            Event::Blocked { task, .. } => (task, 'b', 'b', 0, None),
            Event::CompletedByOther { task } => (task, 'e', 'e', 0, None),
            _ => return,
        };
        let mut recorded = self.recorded();
        let error = error.map(|error| recorded.error(error));
        let place = task.index();
        recorded.end(place, now, |ended| {
            // A worker tells of some only when they have ended.
            ended.start = ended.start.min(now - elapsed.as_secs_f64()).max(0.0);
            ended.outcome = attempt;
            ended.bytes = bytes;
            ended.error = error;
        });
        recorded.become_of(place, outcome);
    }

    /// The run has ended: what its report says holds, also of tasks that no event was about.
    pub fn settle(&self, report: &Report) {
        let now = self.begin.elapsed().as_secs_f64();
        let mut recorded = self.recorded();
        for place in recorded.open.keys().copied().collect::<Vec<_>>() {
            recorded.end(place, now, |ended| ended.outcome = 'i');
        }
        for task in report.tasks() {
            let letter = letters::letter(task.outcome);
            if recorded.outcome(task.task.index()) != letter {
                recorded.become_of(task.task.index(), letter);
            }
        }
    }

    /// All attempts, and their errors.
    #[must_use]
    pub fn attempts(&self) -> (Vec<Attempt>, Vec<String>) {
        let recorded = self.recorded();
        let errors = recorded.errors.iter().map(ToString::to_string);
        (recorded.attempts.clone(), errors.collect())
    }

    /// The graph of the run, once it is known and until it is [let go](Self::let_go).
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        self.recorded().plan.clone()
    }

    /// Lets the graph go. What has become of its tasks stays.
    pub fn let_go(&self) {
        let plan = self.recorded().plan.take();
        drop(plan);
    }

    /// Forgets all that was recorded.
    pub fn forget(&self) {
        let recorded = std::mem::take(&mut *self.recorded());
        drop(recorded);
    }

    /// The number of the next change.
    #[must_use]
    pub fn next(&self) -> usize {
        self.recorded().changes.len()
    }

    /// About how many bytes it holds, without the graph.
    #[must_use]
    pub fn weight(&self) -> usize {
        let recorded = self.recorded();
        let errors: usize = recorded.errors.iter().map(|error| error.len()).sum();
        size_of_val(recorded.attempts.as_slice())
            + size_of_val(recorded.changes.as_slice())
            + size_of_val(recorded.outcomes.as_slice())
            + errors
    }

    /// What has changed since `since`, which is the `next` of changes that were told before; all, if there is no such
    /// change.
    #[must_use]
    pub fn changes(&self, since: usize) -> Changes {
        let recorded = self.recorded();
        let next = recorded.changes.len();
        let since = if since > next { 0 } else { since };
        let grown = recorded.plan.as_ref().map_or(0, Plan::len);
        let mut changes = Changes {
            since,
            next,
            tasks: recorded.outcomes.len().max(grown),
            outcome: None,
            outcomes: Vec::new(),
            attempts: Vec::new(),
            errors: BTreeMap::new(),
        };
        let new = &recorded.changes[since..];
        if since == 0 {
            changes.outcome = Some(recorded.outcomes.iter().collect());
            changes.attempts = recorded.attempts.iter().copied().enumerate().collect();
        } else {
            let mut tasks: Vec<usize> = new.iter().map(|(task, _)| *task).collect();
            tasks.sort_unstable();
            tasks.dedup();
            let letter = |task| (task, recorded.outcome(task));
            changes.outcomes = tasks.into_iter().map(letter).collect();
            let mut attempts: Vec<usize> = new.iter().filter_map(|(_, at)| *at).collect();
            attempts.sort_unstable();
            attempts.dedup();
            let row = |at: usize| (at, recorded.attempts[at]);
            changes.attempts = attempts.into_iter().map(row).collect();
        }
        for (_, attempt) in &changes.attempts {
            if let Some(error) = attempt.error {
                let text = recorded.errors[error].to_string();
                changes.errors.insert(error, text);
            }
        }
        changes
    }
}

impl Recorded {
    fn begin(&mut self, plan: &Plan) {
        self.outcomes = plan
            .tasks()
            .map(|planned| letters::need(planned.need))
            .collect();
        self.plan = Some(plan.clone());
        self.changes.push((0, None));
    }

    fn start(&mut self, task: usize, number: u32, now: f64) {
        self.open.insert(task, self.attempts.len());
        self.attempts.push(Attempt {
            task,
            number,
            start: now,
            end: None,
            outcome: 'p',
            bytes: 0,
            error: None,
        });
        self.changes.push((task, Some(self.attempts.len() - 1)));
        self.set(task, 'p');
    }

    /// Ends the attempt of that task which is under way.
    fn end(&mut self, task: usize, now: f64, how: impl FnOnce(&mut Attempt)) {
        if let Some(at) = self.open.remove(&task) {
            let attempt = &mut self.attempts[at];
            attempt.end = Some(now);
            how(attempt);
            self.changes.push((task, Some(at)));
        }
    }

    fn become_of(&mut self, task: usize, letter: char) {
        self.set(task, letter);
        if self.changes.last().is_none_or(|(last, _)| *last != task) {
            self.changes.push((task, None));
        }
    }

    fn set(&mut self, task: usize, letter: char) {
        if self.outcomes.len() <= task {
            // Bodies have asked for more tasks than there were at first.
            self.outcomes.resize(task + 1, 'l');
        }
        self.outcomes[task] = letter;
    }

    fn outcome(&self, task: usize) -> char {
        self.outcomes.get(task).copied().unwrap_or('l')
    }

    fn error(&mut self, text: String) -> usize {
        let text: Arc<str> = text.into();
        if let Some(place) = self.places.get(&text) {
            return *place;
        }
        self.errors.push(Arc::clone(&text));
        self.places.insert(text, self.errors.len() - 1);
        self.errors.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_kept_once_and_a_task_that_nobody_knew_has_room() {
        let mut recorded = Recorded::default();
        assert_eq!(recorded.error("no".to_owned()), 0);
        assert_eq!(recorded.error("not".to_owned()), 1);
        assert_eq!(recorded.error("no".to_owned()), 0);
        recorded.start(2, 1, 0.5);
        assert_eq!(recorded.outcomes, ['l', 'l', 'p']);
        recorded.end(2, 0.7, |ended| ended.outcome = 'r');
        recorded.become_of(2, 'r');
        assert_eq!(recorded.changes, [(2, Some(0)), (2, Some(0))]);
        assert_eq!(recorded.attempts[0].end, Some(0.7));
        // An end without a begin is none.
        recorded.end(2, 0.9, |ended| ended.outcome = 'f');
        assert_eq!(recorded.attempts[0].outcome, 'r');
    }
}
