//! All about one task: what is known of it now, its attempts in all runs, and the begin of its output.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use kart_core::{Key, TaskRecord};
use serde_json::{Value as Json, json};

use super::request;
use crate::answer::{Answer, Refusal, json_answer};
use crate::app::App;
use crate::shape;

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
    let unknown = || {
        let hint = "a task is named by its key, 32 hex digits, once it has run";
        Refusal::not_found("there is no such task", hint)
    };
    let key: Key = request::rest(&uri, "/tasks/")?
        .parse()
        .map_err(|_| unknown())?;
    let running = app.runs.all().iter().find_map(|run| run.running(key));
    let records = app.records(|record| record.key == key).await?;
    let last = records.first();
    if running.is_none() && last.is_none() {
        return Err(unknown());
    }
    let path = last.map(|record| record.path.clone());
    let mut json = json!({
        "key": key.to_string(),
        "running": running,
        "path": path,
        "attempts": records.iter().take(ATTEMPTS).map(attempt).collect::<Vec<_>>(),
    });
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
        let bytes = app.workspace.size(&path).await?;
        json["location"] = app.workspace.locate(&path).into();
        json["bytes"] = bytes.into();
        if bytes.is_some() {
            json["preview"] = preview(&app, &path).await?;
        }
    }
    Ok(json_answer(StatusCode::OK, &json))
}

fn attempt(record: &TaskRecord) -> Json {
    let mut json = serde_json::to_value(record).unwrap_or_default();
    json["run"] = record.run.map(|run| run.to_string()).into();
    json["error"] = shape::past_error(record).into();
    json
}

/// The begin of an output that is text.
async fn preview(app: &App, path: &str) -> Result<Json, Refusal> {
    let extension = path.rsplit('.').next().unwrap_or_default();
    if !TEXTS.contains(&extension) {
        return Ok(Json::Null);
    }
    let bytes = app.workspace.read_range(path, 0..PREVIEW).await?;
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(json!(text))
}
