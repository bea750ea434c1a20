//! What platforms and monitors ask.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::answer::{Answer, Refusal, json_answer};
use crate::app::App;
use crate::metrics::Now;

/// `GET /healthz`: the process answers.
pub(super) async fn health() -> Answer {
    json_answer(StatusCode::OK, &json!({"status": "ok"}))
}

/// `GET /readyz`: the workspace answers.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Answer, Refusal> {
    app.ready().await?;
    Ok(json_answer(StatusCode::OK, &json!({"status": "ready"})))
}

/// `GET /metrics`.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Answer {
    let (runs, attempts) = app.runs.under_way();
    let text = app.metrics.text(Now {
        runs,
        attempts,
        listeners: app.feed.listeners(),
        requests: app.workspace.requests(),
    });
    let mut answer = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
