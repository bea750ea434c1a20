//! Runs of this process and of the past.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use kart_core::{RecordedOutcome, RunId};
use serde_json::{Value as Json, json};

use super::request;
use crate::answer::{Answer, Refusal, json_answer};
use crate::app::App;
use crate::shape;

/// What a list tells of each run.
const BRIEF: [&str; 11] = [
    "run",
    "state",
    "root",
    "start",
    "end",
    "host",
    "pid",
    "tasks",
    "missing",
    "counts",
    "elapsed_seconds",
];

/// `GET /runs`.
pub(super) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Answer, Refusal> {
    let last = request::number(&uri, "last", 20)?;
    let mut runs: Vec<(String, Json)> = Vec::new();
    for run in app.runs.all() {
        let json = run.json();
        let brief = BRIEF
            .iter()
            .map(|name| ((*name).to_owned(), json[*name].clone()));
        runs.push((run.id.to_string(), Json::Object(brief.collect())));
    }
    let past = app.past().await?;
    for run in past.iter().take(last) {
        let id = run.run.to_string();
        if !runs.iter().any(|(known, _)| *known == id) {
            runs.push((id, shape::past_run(run)));
        }
    }
    // Names of runs sort by the time when they began.
    runs.sort_by(|one, other| other.0.cmp(&one.0));
    let runs: Vec<Json> = runs.into_iter().take(last).map(|(_, run)| run).collect();
    Ok(json_answer(StatusCode::OK, &json!({"runs": runs})))
}

/// `GET /runs/{id}`.
pub(super) async fn one(State(app): State<Arc<App>>, uri: Uri) -> Result<Answer, Refusal> {
    let id = request::rest(&uri, "/runs/")?;
    if let Some(run) = app.runs.find(&id) {
        let json = run.json_with(app.workspace.location(), app.workspace.requests());
        return Ok(json_answer(StatusCode::OK, &json));
    }
    let unknown = || {
        Refusal::not_found(
            "there is no such run",
            "GET /runs names those that are known",
        )
    };
    let id: RunId = id.parse().map_err(|_| unknown())?;
    let past = app.past().await?;
    let run = past.iter().find(|run| run.run == id).ok_or_else(unknown)?;
    let failed = app
        .records(|record| record.outcome == RecordedOutcome::Failed)
        .await?;
    let failures: Vec<Json> = failed
        .iter()
        .filter(|record| record.run == Some(id))
        .map(|record| {
            json!({
                "name": record.task,
                "key": record.key.to_string(),
                "path": record.path,
                "params": record.params,
                "attempts": record.attempt,
                "error": shape::past_error(record),
            })
        })
        .collect();
    let mut json = shape::past_run(run);
    json["failures"] = failures.into();
    json["workspace"] = app.workspace.location().into();
    Ok(json_answer(StatusCode::OK, &json))
}
