//! A message that Pub/Sub pushes, and that asks for a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kart_core::AnyTask;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::request;
use super::run::{self, Asked};
use crate::answer::{Answer, Refusal};
use crate::app::{App, as_json, made};
use crate::auth::Caller;
use crate::deadline::of_caller;

/// The longest time for which Pub/Sub waits for an answer.
const LONGEST: Duration = Duration::from_mins(10);

#[derive(Deserialize)]
struct Push {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    data: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
    #[serde(rename = "messageId")]
    id: Option<String>,
}

/// `POST /pubsub`.
pub(super) async fn pushed(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked = async {
        let waits = run::waits(&uri)?;
        let bytes = request::bytes(&app.settings, body).await?;
        let message = read(&bytes)?;
        let own = of_caller(&headers)?.unwrap_or(LONGEST).min(LONGEST);
        let attributes = message.attributes.unwrap_or_default();
        let link = run::link(
            attributes.get("kart-attempt").map(String::as_str),
            attributes.get("kart-chain").map(String::as_str),
            // However often a message is delivered, it is one row.
            message.id.as_deref().filter(|_| caller.is_known),
        )?;
        Ok(Asked {
            roots: roots(&app, message.data.as_deref().unwrap_or_default())?,
            link,
            own: Some(own),
            waits,
            is_queue: caller.is_known,
        })
    };
    match asked.await {
        Ok(asked) => run::fulfil(&app, asked).await,
        Err(refusal) => Refusal::into_response(refusal),
    }
}

fn read(bytes: &[u8]) -> Result<Message, Refusal> {
    let push: Result<Push, _> = serde_json::from_slice(bytes);
    push.map(|push| push.message).map_err(|_| {
        Refusal::bad(
            "the body is no message that Pub/Sub has pushed",
            "push wrapped messages, {\"message\": {\"data\": \"…\"}, \"subscription\": \"…\"}",
        )
    })
}

/// What the data of a message asks for: the root of the start where it names no task.
fn roots(app: &App, data: &str) -> Result<Vec<AnyTask>, Refusal> {
    let hint =
        "the data of a message is such as {\"task\": \"Agg\", \"params\": {\"n\": 3}}, or nothing";
    let bad = |error: &str| Refusal::bad(error, hint);
    let data = STANDARD
        .decode(data)
        .map_err(|_| bad("the data of the message is no base64"))?;
    let mut order = request::object(&data, hint)?;
    let name = match order.remove("task") {
        None | Some(Json::Null) => None,
        Some(Json::String(name)) => Some(name),
        Some(_) => return Err(bad("the member `task` is no name")),
    };
    let params = match order.remove("params") {
        None | Some(Json::Null) => Map::new(),
        Some(Json::Object(params)) => params,
        Some(_) => return Err(bad("the member `params` is no object")),
    };
    if let Some(name) = order.keys().next() {
        return Err(bad(&format!("the data has a member `{name}`")));
    }
    match name {
        Some(name) => made(app.task(&name)?, as_json(params)).map(|task| vec![task]),
        None => app.default_with(params),
    }
}
