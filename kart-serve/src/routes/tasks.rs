//! All about one task: what is known of it now, its attempts in all runs, and the begin of its output.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use kart_core::{Key, StoredOutput};
use kart_view::shape;
use serde_json::{Value as Json, json};

use super::request;
use crate::answer::{Answer, Refusal, json_answer};
use crate::app::App;

/// How many attempts are told.
const ATTEMPTS: usize = 20;
/// How much of an output is shown.
const PREVIEW: u64 = 16 << 10;
/// What can be shown as text.
const TEXTS: [&str; 12] = [
    "json", "jsonl", "ndjson", "csv", "tsv", "txt", "log", "md", "xml", "yaml", "yml", "toml",
];

/// `GET /tasks/{key}`.
pub(super) async fn task(State(app): State<Arc<App>>, uri: Uri) -> Result<Answer, Refusal> {
    let key = key(&request::rest(&uri, "/tasks/")?)?;
    let running = app.runs.all().iter().find_map(|run| run.running(key));
    let records = app.records(|record| record.key == key).await?;
    let planned = app.runs.all().iter().find_map(|run| run.planned(key));
    let last = records.first();
    if planned.is_none() && last.is_none() {
        return Err(unknown());
    }
    let path = last.map(|record| record.path.clone());
    let path = path.or_else(|| Some(planned.as_ref()?["path"].as_str()?.to_owned()));
    let mut json = json!({
        "key": key.to_string(),
        "running": running,
        "path": path,
        "attempts": records.iter().take(ATTEMPTS).map(shape::attempt).collect::<Vec<_>>(),
    });
    if let Some(planned) = planned {
        json["name"] = planned["name"].clone();
        json["params"] = planned["params"].clone();
    }
    if let Some(record) = last {
        json["name"] = record.task.clone().into();
        json["params"] = record.params.clone();
        json["requires"] = json!(
            record
                .requires
                .iter()
                .map(Key::to_string)
                .collect::<Vec<_>>()
        );
        json["required"] = record.required.into();
        json["asked"] = json!(record.asked.iter().map(Key::to_string).collect::<Vec<_>>());
    }
    if let Some(path) = path {
        let output = StoredOutput::at(&app.workspace, &path, key);
        let state = output.state().await?;
        json["location"] = output.location().into();
        json["state"] = shape::output_state(&state).into();
        if state.is_complete() {
            json["bytes"] = output.size().await?.into();
            json["preview"] = preview(&output).await?;
        }
    }
    Ok(json_answer(StatusCode::OK, &json))
}

/// `GET /tasks/{key}/log`: the last lines that attempts of it have logged in this process.
pub(super) async fn log(State(app): State<Arc<App>>, uri: Uri) -> Result<Answer, Refusal> {
    let rest = request::rest(&uri, "/tasks/")?;
    let key = key(rest.trim_end_matches("/log"))?;
    let lines = app.settings.lines.as_ref().map(|lines| lines.of(key));
    let json = json!({"key": key.to_string(), "lines": lines.unwrap_or_default()});
    Ok(json_answer(StatusCode::OK, &json))
}

fn key(text: &str) -> Result<Key, Refusal> {
    text.parse().map_err(|_| unknown())
}

fn unknown() -> Refusal {
    let hint = "a task is named by its key, 32 hex digits, once a run has come to it";
    Refusal::not_found("there is no such task", hint)
}

/// The begin of an output that is text.
async fn preview(output: &StoredOutput) -> Result<Json, Refusal> {
    let extension = output.path().rsplit('.').next().unwrap_or_default();
    if !TEXTS.contains(&extension) {
        return Ok(Json::Null);
    }
    let bytes = output.range(0..PREVIEW).await?;
    Ok(json!(String::from_utf8_lossy(&bytes)))
}
