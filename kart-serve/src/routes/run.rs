//! Starting a run, or joining one, and waiting for it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{HeaderValue, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::{Extension, response::IntoResponse as _};
use kart_core::{AnyTask, RunError};
use serde_json::{Map, Value as Json, json};
use tokio::time::{Instant, timeout_at};

use super::request;
use crate::answer::{Answer, Refusal, json_answer};
use crate::app::{App, as_json, made};
use crate::auth::Caller;
use crate::deadline::{Due, of_caller};
use crate::runs::{HANDING_ON, Link, Order, Run, Waiter};

/// `POST /`: what the service was started for.
pub(super) async fn default(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let roots = async |params: Map<String, Json>| app.default_with(params);
    answer(&app, caller, &uri, &headers, body, roots).await
}

/// `POST /run/{task}`.
pub(super) async fn named(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let spec = request::rest(&uri, "/run/").and_then(|name| app.task(&name));
    let spec = match spec {
        Ok(spec) => spec,
        Err(refusal) => return refusal.into_response(),
    };
    let roots = async |params| made(spec, as_json(params)).map(|task| vec![task]);
    answer(&app, caller, &uri, &headers, body, roots).await
}

async fn answer(
    app: &Arc<App>,
    caller: Caller,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
    roots: impl AsyncFnOnce(Map<String, Json>) -> Result<Vec<AnyTask>, Refusal>,
) -> Answer {
    let asked = async {
        let waits = waits(uri)?;
        let own = of_caller(headers)?;
        let link = link(headers, caller)?;
        let params = request::params(&app.settings, body).await?;
        let roots = roots(params).await?;
        let settings = &app.settings;
        let due = settings.limits.due(own, caller.is_queue, settings.grace);
        let order = Order {
            key: key(roots.clone()).await?,
            roots,
            due,
            link,
            is_detached: settings.detach || !waits,
        };
        let asked = Instant::now();
        let (run, waiter) = app.runs.join(order, waits).await?;
        Ok((run, waiter, due, asked))
    };
    match asked.await {
        Ok((run, Some(waiter), due, asked)) => over(app, caller, &run, waiter, due, asked).await,
        Ok((run, None, ..)) => accepted(&run),
        Err(refusal) => Refusal::into_response(refusal),
    }
}

/// Whether the caller waits for the end of the run.
fn waits(uri: &Uri) -> Result<bool, Refusal> {
    let mut waits = true;
    for (name, value) in request::query(uri) {
        waits = match (&*name, &*value) {
            ("wait", "true") => true,
            ("wait", "false") => false,
            _ => {
                return Err(Refusal::bad(
                    "the query has what is not known",
                    "only `?wait=false` is; parameters are sent as the body, in JSON",
                ));
            }
        };
    }
    Ok(waits)
}

/// Which run in a row it is, for who hands an interrupted one on.
fn attempt(headers: &HeaderMap) -> Result<u32, Refusal> {
    let Some(value) = headers.get("x-kart-attempt") else {
        return Ok(0);
    };
    let number = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| Refusal::bad("the header X-Kart-Attempt is no number", "leave it away"))
}

/// Where the run that is asked for stands in a row of runs.
fn link(headers: &HeaderMap, caller: Caller) -> Result<Link, Refusal> {
    let attempt = attempt(headers)?;
    let chain = match headers.get("x-kart-chain") {
        Some(value) => Some(chain(value).ok_or_else(|| {
            Refusal::bad(
                "the header X-Kart-Chain is no name",
                "it has up to 64 letters, digits and hyphens; or leave it away",
            )
        })?),
        // However often a queue delivers one task, it is one row.
        None if caller.is_queue => headers.get("x-cloudtasks-taskname").map(|name| {
            let hash = blake3::hash(name.as_bytes()).to_hex();
            hash[..32].to_owned()
        }),
        None => None,
    };
    Ok(Link { attempt, chain })
}

/// It becomes part of a task's name, and of a header.
fn chain(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    ((1..=64).contains(&text.len()) && text.bytes().all(is_fine)).then(|| text.to_owned())
}

/// One key for all roots. To find it everything is expanded, which may take long.
async fn key(roots: Vec<AnyTask>) -> Result<String, Refusal> {
    let found = tokio::task::spawn_blocking(move || {
        let keys: Result<Vec<_>, _> = roots.iter().map(AnyTask::try_key).collect();
        keys.map(|keys| match keys.as_slice() {
            [key] => key.to_string(),
            keys => {
                let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
                let all = blake3::hash(keys.join("\n").as_bytes());
                all.to_hex().chars().take(32).collect()
            }
        })
    });
    match found.await {
        Ok(found) => found.map_err(|error| Refusal::from(RunError::from(error))),
        Err(_) => Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "what the task requires could not be found",
            "the log of the service says why",
        )),
    }
}

/// Waits for the end of the run, as long as this caller may.
async fn over(
    app: &App,
    caller: Caller,
    run: &Run,
    waiter: Waiter,
    due: Due,
    asked: Instant,
) -> Answer {
    // Who has joined may have less time than who has started it.
    let ended = match due.stop {
        Some(stop) => timeout_at(asked + stop, run.over()).await.ok(),
        None => Some(run.over().await),
    };
    if ended.is_none() {
        waiter.time_is_up();
    } else {
        drop(waiter);
    }
    let ended = match ended {
        Some(ended) => Some(ended),
        // It stops with its last waiter, and its orderly end is worth waiting for.
        None if run.is_ending() => {
            let mut end = Instant::now() + due.grace + Duration::from_secs(1);
            if app.settings.continuation.is_some() {
                end += HANDING_ON;
            }
            timeout_at(end, run.over()).await.ok()
        }
        None => None,
    };
    let mut body = run.json_with(app.workspace.location(), app.workspace.requests());
    let Some(ended) = ended else {
        body["error"] = "the run goes on, and this caller has no more time".into();
        body["hint"] = "ask for it again: who asks for the same joins the run".into();
        let mut answer = json_answer(StatusCode::SERVICE_UNAVAILABLE, &body);
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return answer;
    };
    let verdict = ended.verdict(caller.is_queue, app.settings.ack_permanent);
    if let Some((error, hint)) = verdict.error {
        body["error"] = error.into();
        body["hint"] = hint.into();
    }
    let mut answer = json_answer(verdict.status, &body);
    if let Some(seconds) = verdict.retry_after {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Where to look for a run that nobody waits for.
fn accepted(run: &Run) -> Answer {
    let location = format!("/runs/{}", run.id);
    let body = json!({"run": run.id.to_string(), "location": location});
    let mut answer = json_answer(StatusCode::ACCEPTED, &body);
    if let Ok(location) = HeaderValue::from_str(&location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}
