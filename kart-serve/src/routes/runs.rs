//! Runs of this process and of the past.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use kart_core::{RecordedOutcome, RunId, RunSummary};
use kart_view::shape;
use serde_json::{Value as Json, json};

use super::request;
use crate::answer::{Answer, Refusal, json_answer, packed_answer};
use crate::app::App;

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
    let run = past_run(&app, &id).await?;
    let id = run.run;
    let failed = app
        .records(|record| record.run == Some(id) && record.outcome == RecordedOutcome::Failed)
        .await?;
    let failures: Vec<Json> = failed.iter().map(shape::past_failure).collect();
    let mut json = shape::past_run(&run);
    json["failures"] = failures.into();
    json["workspace"] = app.workspace.location().into();
    Ok(json_answer(StatusCode::OK, &json))
}

/// A run of the log.
async fn past_run(app: &App, id: &str) -> Result<RunSummary, Refusal> {
    let unknown = || {
        Refusal::not_found(
            "there is no such run",
            "GET /runs names those that are known",
        )
    };
    let id: RunId = id.parse().map_err(|_| unknown())?;
    let past = app.past().await?;
    let run = past.iter().find(|run| run.run == id);
    run.cloned().ok_or_else(unknown)
}

/// The run that `/runs/{id}/{part}` is about.
fn run_of(uri: &Uri, part: &str) -> Result<String, Refusal> {
    let rest = request::rest(uri, "/runs/")?;
    Ok(rest.trim_end_matches(part).to_owned())
}

/// `GET /runs/{id}/graph`: what a page draws of a run, and does not change.
pub(super) async fn graph(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Answer, Refusal> {
    let id = run_of(&uri, "/graph")?;
    if let Some(run) = app.runs.find(&id) {
        if let Some(graph) = run.graph().await {
            return Ok(packed_answer(&headers, &graph.etag, &graph.bytes));
        }
        if run.ended().is_none() {
            return Err(Refusal::unavailable(
                "what the run has to do is not known yet",
                "ask again when GET /events tells of its changes",
            )
            .retry_after(1));
        }
    }
    let past = app.picture(&past_run(&app, &id).await?).await?;
    let graph = &past.graph;
    Ok(packed_answer(&headers, &graph.etag, &graph.bytes))
}

/// `GET /runs/{id}/changes`: what has become of it since.
pub(super) async fn changes(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Answer, Refusal> {
    let id = run_of(&uri, "/changes")?;
    let since = request::number(&uri, "since", 0)?;
    let live = app.runs.find(&id).filter(|run| run.has_picture());
    let past;
    let now;
    let changes = if let Some(run) = live {
        now = run.changes(since);
        &now
    } else {
        past = app.picture(&past_run(&app, &id).await?).await?;
        &past.changes
    };
    let etag = format!("\"{id}-{}-{}\"", changes.since, changes.next);
    let packed = kart_view::packed_fast(changes).into();
    Ok(packed_answer(&headers, &etag, &packed))
}
