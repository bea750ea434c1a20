//! Answers: JSON, and one shape for all that is refused.

use std::any::Any;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use kart_core::{Error, RunError, StoreError, chain};
use serde_json::{Value as Json, json};

pub(crate) type Answer = Response<Body>;

/// A request that is not fulfilled: why, and what to do.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    error: String,
    hint: String,
    param: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        error: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Refusal {
            status,
            error: error.into(),
            hint: hint.into(),
            param: None,
            headers: Vec::new(),
        }
    }

    pub(crate) fn bad(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, error, hint)
    }

    pub(crate) fn not_found(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal::new(StatusCode::NOT_FOUND, error, hint)
    }

    pub(crate) fn unauthorized(error: impl Into<String>) -> Self {
        let hint = "send `Authorization: Bearer TOKEN`";
        Refusal::new(StatusCode::UNAUTHORIZED, error, hint)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(crate) fn forbidden(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal::new(StatusCode::FORBIDDEN, error, hint)
    }

    pub(crate) fn unavailable(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, hint).retry_after(10)
    }

    pub(crate) fn method(allowed: &'static str) -> Self {
        Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not know that method",
            format!("it knows {allowed}"),
        )
        .with(ALLOW, HeaderValue::from_static(allowed))
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Names the parameter that is to blame.
    pub(crate) fn param(mut self, param: Option<String>) -> Self {
        self.param = param;
        self
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        self.with(RETRY_AFTER, HeaderValue::from(seconds))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Refusal::unavailable(chain(&error), "the workspace did not answer: try again")
    }
}

/// For an output that is read.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (status, hint) = match error {
            Error::Store(error) => return Refusal::from(error),
            Error::Missing { .. } | Error::Torn { .. } => {
                (StatusCode::NOT_FOUND, "run the task that makes it")
            }
            Error::OtherKey { .. } => (
                StatusCode::NOT_FOUND,
                "run the task again to have its output there",
            ),
            _ => (
                StatusCode::CONFLICT,
                "delete the object to have it made again",
            ),
        };
        let text = chain(&error);
        let first = text.lines().next().unwrap_or_default();
        Refusal::new(status, first, hint)
    }
}

/// For what is only looked at: a plan, a key.
impl From<RunError> for Refusal {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Store(error) => Refusal::from(error),
            RunError::Plan(Error::Key { ref param, .. }) => {
                let param = Some(param.clone());
                Refusal::bad(format!("{error}"), "give it another value").param(param)
            }
            error => Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("{error:#}"),
                "the tasks make no plan: the program is to be mended",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Answer {
        let mut body = json!({"error": self.error, "hint": self.hint});
        if let Some(param) = self.param {
            body["param"] = param.into();
        }
        let mut answer = json_answer(self.status, &body);
        answer.headers_mut().extend(self.headers);
        answer
    }
}

/// An answer in JSON. What it tells may be another thing in a second.
pub(crate) fn json_answer(status: StatusCode, body: &Json) -> Answer {
    let mut text = body.to_string();
    text.push('\n');
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// What may be kept, and is asked for again only if it is another by then.
pub(crate) fn kept_answer(
    headers: &HeaderMap,
    etag: &str,
    kind: &'static str,
    body: impl FnOnce() -> Body,
) -> Answer {
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok());
    let is_known = known.is_some_and(|known| {
        let same = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == etag;
        known.split(',').map(str::trim).any(same)
    });
    let mut answer = Response::new(Body::empty());
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *answer.body_mut() = body();
    }
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(ETAG, etag);
    }
    answer
}

/// JSON that is compressed, for those who say that they can read that; others get it as it was.
pub(crate) fn packed_answer(headers: &HeaderMap, etag: &str, packed: &Bytes) -> Answer {
    let accepted = headers
        .get(ACCEPT_ENCODING)
        .and_then(|text| text.to_str().ok());
    let takes = |text: &str| {
        let mut parts = text.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.all(|part| part != "q=0")
    };
    let is_taken = accepted.is_some_and(|text| text.split(',').any(takes));
    let mut answer = kept_answer(headers, etag, "application/json", || {
        if is_taken {
            Body::from(packed.clone())
        } else {
            Body::from(kart_view::unpacked(packed))
        }
    });
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_taken {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

/// A bug of kart's: the caller is not told what the panic said.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Answer {
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the service failed to answer",
        "its log says why; it is a bug",
    )
    .into_response()
}
