//! The page that shows what runs, and how a browser shows the token.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Value as Json, json};

use super::request;
use crate::answer::{Answer, Refusal, json_answer};
use crate::app::App;
use crate::auth::COOKIE_NAME;

/// How long a browser may look without the token, in seconds.
const LIFE: u32 = 12 * 60 * 60;

fn asset(text: &'static str, kind: &'static str) -> Answer {
    let mut answer = Response::new(Body::from(text));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// `GET /`.
pub(super) async fn html() -> Answer {
    asset(
        include_str!("../../assets/page.html"),
        "text/html; charset=utf-8",
    )
}

/// `GET /page.js`.
pub(super) async fn script() -> Answer {
    asset(
        include_str!("../../assets/page.js"),
        "text/javascript; charset=utf-8",
    )
}

/// `GET /page.css`.
pub(super) async fn style() -> Answer {
    asset(
        include_str!("../../assets/page.css"),
        "text/css; charset=utf-8",
    )
}

/// `POST /session`: for the token there is a cookie, by which the page can read, and start nothing.
pub(super) async fn session(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let params = request::params(&app.settings, body).await?;
    let token = params
        .get("token")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let cookie = app.guard.cookie().filter(|_| app.guard.is_token(token));
    let Some(cookie) = cookie else {
        return Err(Refusal::unauthorized(
            "the token is not that of this service",
        ));
    };
    let is_https = headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let secure = if is_https { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE_NAME}={cookie}; Path=/; Max-Age={LIFE}; HttpOnly; SameSite=Strict{secure}"
    );
    let mut answer = json_answer(StatusCode::OK, &json!({"status": "ok"}));
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(answer)
}
