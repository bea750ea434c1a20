//! `history` and `runs`: what the run log tells.

use kart_core::{RecordedOutcome, TaskRecord};
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

pub(crate) async fn runs(session: &Session) -> Result<(), End> {
    let runs = session.workspace.runs().await?;
    if session.out.is_json {
        let runs: Vec<Json> = runs
            .iter()
            .take(last(session))
            .map(shape::past_run)
            .collect();
        session.out.json(&json!({"runs": runs}));
        return Ok(());
    }
    if runs.is_empty() {
        session.out.line(format!(
            "no run is in the log of {}",
            session.workspace.location()
        ));
    }
    for run in runs.iter().take(last(session)) {
        let how = match (run.end, run.counts) {
            (Some(end), Some(counts)) => {
                let took = end.duration_since(run.start).unwrap_or_default();
                format!("{counts} in {}", duration(took))
            }
            _ => session.out.ink(Ink::Warn, "under way, or cut off"),
        };
        session.out.line(format!(
            "{}  {}\n    {how}, on {}/{}",
            time(run.start),
            run.root,
            run.host,
            run.pid
        ));
    }
    if runs.len() > last(session) {
        session.out.line(format!(
            "… and {} older: --last N shows more",
            runs.len() - last(session)
        ));
    }
    Ok(())
}
