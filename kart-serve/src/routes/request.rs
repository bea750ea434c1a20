//! What a request says: its path, its query, its body.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value as Json};
use tokio::time::timeout;

use crate::answer::Refusal;
use crate::settings::Settings;

/// What stands behind `prefix` in the path, decoded.
pub(super) fn rest(uri: &Uri, prefix: &str) -> Result<String, Refusal> {
    let rest = uri.path().strip_prefix(prefix).unwrap_or_default();
    match percent_encoding::percent_decode_str(rest).decode_utf8() {
        Ok(rest) => Ok(rest.into_owned()),
        Err(_) => Err(Refusal::bad(
            "the path is not UTF-8",
            "percent-encode the UTF-8 bytes of what is not ASCII",
        )),
    }
}

/// The members of the query, in order.
pub(super) fn query(uri: &Uri) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let query = uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).collect()
}

/// A number in the query.
pub(super) fn number(uri: &Uri, name: &str, default: usize) -> Result<usize, Refusal> {
    let query = query(uri);
    let Some((_, text)) = query.iter().find(|(known, _)| known == name) else {
        return Ok(default);
    };
    text.parse().map_err(|_| {
        Refusal::bad(
            format!("`{name}` is no number"),
            format!("write `{name}=20`"),
        )
    })
}

/// Parameters as a JSON object, or nothing.
pub(super) async fn params(settings: &Settings, body: Body) -> Result<Map<String, Json>, Refusal> {
    let bytes = bytes(settings, body).await?;
    object(
        &bytes,
        "send the parameters as an object, such as {\"day\": \"2024-01-31\"}, or nothing",
    )
}

/// A JSON object, or nothing.
pub(super) fn object(bytes: &[u8], hint: &str) -> Result<Map<String, Json>, Refusal> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(bytes) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(Refusal::bad("what was sent is no JSON object", hint)),
        Err(error) => Err(Refusal::bad(
            format!(
                "what was sent is no JSON, at line {}, column {}",
                error.line(),
                error.column()
            ),
            hint,
        )),
    }
}

/// The body, as long as it is neither too long nor too slow.
pub(super) async fn bytes(settings: &Settings, body: Body) -> Result<Bytes, Refusal> {
    let limit = settings.body_limit;
    let whole = Limited::new(body, limit).collect();
    match timeout(settings.read_timeout, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {limit} bytes"),
            "put large data into the workspace, and send its name",
        )),
        Ok(Err(_)) => Err(Refusal::bad("the body broke off", "send it again")),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
            "send it again",
        )),
    }
}
