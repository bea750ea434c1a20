//! What a run would do, and the graph; nothing is started.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use kart_core::{AnyTask, Given, Plan};
use kart_view::shape;

use super::request;
use crate::answer::{Answer, Refusal, json_answer, kept_answer};
use crate::app::{App, made};

/// `GET /plan` and `GET /plan/{task}`.
pub(super) async fn plan(State(app): State<Arc<App>>, uri: Uri) -> Result<Answer, Refusal> {
    let plan = made_plan(&app, roots(&app, &uri, "/plan")?).await?;
    let json = shape::plan(&plan, app.workspace.location(), app.settings.workers);
    Ok(json_answer(StatusCode::OK, &json))
}

/// `GET /graph` and `GET /graph/{task}`.
pub(super) async fn graph(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Answer, Refusal> {
    let plan = made_plan(&app, roots(&app, &uri, "/graph")?).await?;
    let plan = plan.look(&app.workspace).await;
    let plan = plan.map_err(|error| Refusal::from(kart_core::RunError::from(error)))?;
    let mut text = shape::graph(&plan).to_string();
    text.push('\n');
    let etag = format!("\"{}\"", blake3::hash(text.as_bytes()).to_hex());
    Ok(kept_answer(&headers, &etag, "application/json", || {
        Body::from(text)
    }))
}

/// The task that is named, with the parameters of the query; or what the service was started for.
fn roots(app: &App, uri: &Uri, prefix: &str) -> Result<Vec<AnyTask>, Refusal> {
    let name = request::rest(uri, prefix)?;
    let name = name.trim_start_matches('/');
    let query = request::query(uri);
    if name.is_empty() {
        if query.is_empty() {
            return app.default_roots();
        }
        return Err(Refusal::bad(
            "parameters without a task",
            format!("name the task: GET {prefix}/TASK?param=value"),
        ));
    }
    let spec = app.task(name)?;
    let mut params: Vec<(String, Given)> = Vec::new();
    for (name, value) in query {
        if params.iter().any(|(known, _)| *known == name) {
            let error = format!("the parameter `{name}` is given twice");
            return Err(Refusal::bad(error, "give it once").param(Some(name.into_owned())));
        }
        params.push((name.into_owned(), Given::Text(value.into_owned())));
    }
    made(spec, params).map(|task| vec![task])
}

async fn made_plan(app: &App, roots: Vec<AnyTask>) -> Result<Plan, Refusal> {
    let permit = app.looks.try_acquire().map_err(|_| {
        Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "many plans are being made",
            "ask again later",
        )
        .retry_after(1)
    })?;
    // In a task of its own: what a task requires is the program's code, which may panic or take long.
    let runner = app.runner.clone();
    let plan = tokio::spawn(async move { runner.plan_all(roots).await });
    let plan = plan.await;
    drop(permit);
    match plan {
        Ok(plan) => Ok(plan?),
        Err(_) => Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the plan could not be made",
            "the log of the service says why",
        )),
    }
}
