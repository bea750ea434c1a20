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
        let link = link_of(headers, caller)?;
        let params = request::params(&app.settings, body).await?;
        Ok(Asked {
            roots: roots(params).await?,
            link,
            own,
            waits,
            is_queue: caller.is_queue,
        })
    };
    match asked.await {
        Ok(asked) => fulfil(app, asked).await,
        Err(refusal) => Refusal::into_response(refusal),
    }
}

/// What a caller asks for, however they say it.
pub(super) struct Asked {
    pub(super) roots: Vec<AnyTask>,
    pub(super) link: Link,
    /// How long the caller waits.
    pub(super) own: Option<Duration>,
    pub(super) waits: bool,
    pub(super) is_queue: bool,
}

/// Starts the run, or joins it, and answers when it is over.
pub(super) async fn fulfil(app: &App, asked: Asked) -> Answer {
    let is_queue = asked.is_queue;
    let settings = &app.settings;
    let due = settings.limits.due(asked.own, is_queue, settings.grace);
    let joined = async {
        let order = Order {
            key: key(asked.roots.clone()).await?,
            roots: asked.roots,
            due,
            link: asked.link,
            is_detached: settings.detach || !asked.waits,
        };
        let at = Instant::now();
        let (run, waiter) = app.runs.join(order, asked.waits).await?;
        Ok((run, waiter, at))
    };
    match joined.await {
        Ok((run, Some(waiter), at)) => over(app, is_queue, &run, waiter, due, at).await,
        Ok((run, None, _)) => accepted(&run),
        Err(refusal) => Refusal::into_response(refusal),
    }
}

/// Whether the caller waits for the end of the run.
pub(super) fn waits(uri: &Uri) -> Result<bool, Refusal> {
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

fn link_of(headers: &HeaderMap, caller: Caller) -> Result<Link, Refusal> {
    // What is no text is no number and no name either.
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    // However often a queue delivers one task, it is one row.
    let delivered = text("x-cloudtasks-taskname").filter(|_| caller.is_queue);
    link(text("x-kart-attempt"), text("x-kart-chain"), delivered)
}

/// Where the run that is asked for stands in a row of runs, for who hands an interrupted one on; a row without a name
/// takes it from what was delivered.
pub(super) fn link(
    attempt: Option<&str>,
    chain: Option<&str>,
    delivered: Option<&str>,
) -> Result<Link, Refusal> {
    let attempt = attempt.map_or(Ok(0), |text| text.trim().parse());
    // It becomes part of a task's name, and of a header.
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_name = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(is_fine);
    if chain.is_some_and(|chain| !is_name(chain)) {
        return Err(Refusal::bad(
            "X-Kart-Chain is no name",
            "it has up to 64 letters, digits and hyphens; or leave it away",
        ));
    }
    let of_delivered = |name: &str| {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        hash[..32].to_owned()
    };
    Ok(Link {
        attempt: attempt
            .map_err(|_| Refusal::bad("X-Kart-Attempt is no number", "leave it away"))?,
        chain: chain
            .map(str::to_owned)
            .or_else(|| delivered.map(of_delivered)),
    })
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
    is_queue: bool,
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
    let verdict = ended.verdict(is_queue, app.settings.ack_permanent);
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
