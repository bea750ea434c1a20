//! `history` and `runs`: what the run log tells.

use std::collections::HashMap;

use kart_core::{RecordedOutcome, RunId, RunSummary, TaskRecord};
use kart_view::shape;
use serde_json::{Value as Json, json};

use crate::out::{Ink, bytes, duration, time};
use crate::target::target;
use crate::{End, Session};

fn last(session: &Session) -> usize {
    session.parsed.get::<u32>("last").unwrap_or(20) as usize
}

pub(crate) async fn history(session: &Session) -> Result<(), End> {
    let target = target(session).await?;
    let records = session
        .workspace
        .records(|record| record.key == target.key)
        .await?;
    if session.out.is_json {
        let records = records.iter().take(last(session)).map(shape::attempt);
        let records: Vec<Json> = records.collect();
        session.out.json(
            &json!({"key": target.key.to_string(), "path": target.path, "attempts": records}),
        );
        return Ok(());
    }
    if records.is_empty() {
        session.out.line("the run log has no attempt of it");
    }
    for record in records.iter().take(last(session)) {
        session.out.line(attempt(session, record));
    }
    if records.len() > last(session) {
        session.out.line(format!(
            "… and {} older: --last N shows more",
            records.len() - last(session)
        ));
    }
    Ok(())
}

/// An attempt on one line, and its error below.
pub(super) fn attempt(session: &Session, record: &TaskRecord) -> String {
    let (word, ink) = outcome(record.outcome);
    let size = record
        .bytes
        .map(|size| format!(", {}", bytes(size)))
        .unwrap_or_default();
    let error = record
        .error
        .as_ref()
        .map(|error| format!("\n    {}", error.replace('\n', "\n    ")));
    format!(
        "{}  {} in {}{size}, attempt {}, on {}{}",
        time(record.start),
        session.out.ink(ink, format!("{word:<11}")),
        duration(record.duration),
        record.attempt,
        record.worker,
        error.unwrap_or_default(),
    )
}

fn outcome(outcome: RecordedOutcome) -> (&'static str, Ink) {
    match outcome {
        RecordedOutcome::Ran => ("ran", Ink::Good),
        RecordedOutcome::Retrying => ("retrying", Ink::Warn),
        RecordedOutcome::Failed => ("failed", Ink::Bad),
        RecordedOutcome::Blocked => ("blocked", Ink::Warn),
        RecordedOutcome::Interrupted => ("interrupted", Ink::Warn),
        _ => ("unknown", Ink::Dim),
    }
}

/// What the log says of the tasks of a run besides its begin and its end.
#[derive(Default)]
struct Told {
    ran: usize,
    /// The last attempts of tasks that failed, in the order in which they did.
    failures: Vec<TaskRecord>,
}

/// How many failures of a run are told in a line, and how many in JSON.
const LINES: usize = 3;
const OBJECTS: usize = 20;

/// What is told of runs that have failures, or no end.
async fn told(session: &Session, runs: &[RunSummary]) -> Result<HashMap<RunId, Told>, End> {
    let is_plain = |run: &RunSummary| run.counts.is_some_and(|counts| counts.failed == 0);
    let wanted = runs.iter().filter(|run| !is_plain(run));
    let mut told: HashMap<RunId, Told> = wanted.map(|run| (run.run, Told::default())).collect();
    if told.is_empty() {
        return Ok(told);
    }
    let records = session.workspace.records(|record| {
        let is_of_one = record.run.is_some_and(|run| told.contains_key(&run));
        let outcomes = [RecordedOutcome::Ran, RecordedOutcome::Failed];
        is_of_one && outcomes.contains(&record.outcome)
    });
    let records = records.await?;
    for record in records.into_iter().rev() {
        let Some(of_run) = record.run.and_then(|run| told.get_mut(&run)) else {
            continue;
        };
        match record.outcome {
            RecordedOutcome::Failed => of_run.failures.push(record),
            _ => of_run.ran += 1,
        }
    }
    Ok(told)
}

impl Told {
    fn so_far(&self, run: &RunSummary) -> String {
        let (ran, missing) = (self.ran, run.missing);
        match self.failures.len() {
            0 => format!("{ran} of {missing} ran so far"),
            failed => format!("{ran} of {missing} ran so far, {failed} failed"),
        }
    }

    fn json(&self, mut run: Json) -> Json {
        if run["counts"].is_null() {
            run["so_far"] = json!({"ran": self.ran, "failed": self.failures.len()});
        }
        if !self.failures.is_empty() {
            let failures = self.failures.iter().take(OBJECTS);
            run["failures"] = failures.map(shape::past_failure).collect();
        }
        run
    }
}

pub(crate) async fn runs(session: &Session) -> Result<(), End> {
    let all = session.workspace.runs().await?;
    let runs = &all[..all.len().min(last(session))];
    let told = told(session, runs).await?;
    if session.out.is_json {
        let json = |run: &RunSummary| match told.get(&run.run) {
            Some(told) => told.json(shape::past_run(run)),
            None => shape::past_run(run),
        };
        let runs: Vec<Json> = runs.iter().map(json).collect();
        session.out.json(&json!({"runs": runs}));
        return Ok(());
    }
    if all.is_empty() {
        session.out.line(format!(
            "no run is in the log of {}",
            session.workspace.location()
        ));
    }
    for run in runs {
        let told = told.get(&run.run);
        let how = if let (Some(end), Some(counts)) = (run.end, run.counts) {
            let took = end.duration_since(run.start).unwrap_or_default();
            format!("{counts} in {}", duration(took))
        } else {
            let so_far = told.map(|told| told.so_far(run)).unwrap_or_default();
            let how = session.out.ink(Ink::Warn, "under way, or cut off");
            format!("{how}: {so_far}")
        };
        session.out.line(format!(
            "{}  {}\n    {how}, on {}/{}",
            time(run.start),
            run.root,
            run.host,
            run.pid
        ));
        if let Some(told) = told {
            failures(session, &told.failures);
        }
    }
    if all.len() > runs.len() {
        session.out.line(format!(
            "… and {} older: --last N shows more",
            all.len() - runs.len()
        ));
    }
    Ok(())
}

/// The first tasks of a run that failed, one on each line.
fn failures(session: &Session, failures: &[TaskRecord]) {
    for failed in failures.iter().take(LINES) {
        let error = failed
            .error
            .as_deref()
            .and_then(|error| error.lines().next());
        session.out.line(format!(
            "    {} {}: {}",
            session.out.ink(Ink::Bad, "failed"),
            shape::described(failed),
            error.unwrap_or("the log does not say why")
        ));
    }
    if failures.len() > LINES {
        let more = failures.len() - LINES;
        session.out.line(format!(
            "    … and {more} more failed: `history` of each tells why"
        ));
    }
}
