//! The page that shows what runs, and how a browser shows the token.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use kart_view::assets;
use serde_json::{Value as Json, json};

use super::request;
use crate::answer::{Answer, Refusal, json_answer, kept_answer};
use crate::app::App;
use crate::auth::COOKIE_NAME;

/// How long a browser may look without the token, in seconds.
const LIFE: u32 = 12 * 60 * 60;

const PAGE: &str = include_str!("../../assets/page.html");
/// What the page has beyond what it shares with reports.
const SCRIPTS: [&str; 3] = [
    include_str!("../../assets/run.js"),
    include_str!("../../assets/task.js"),
    include_str!("../../assets/page.js"),
];
const STYLE: &str = include_str!("../../assets/page.css");

/// What the page is made of, and the name of just this text.
struct Asset {
    kind: &'static str,
    text: String,
    etag: String,
}

static HTML: LazyLock<Asset> = LazyLock::new(|| {
    let text = assets::filled(PAGE, &[("{{MARKS}}", assets::MARKS)]);
    Asset::new("text/html; charset=utf-8", text)
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let text = [assets::SCRIPT, &SCRIPTS.concat()].concat();
    Asset::new("text/javascript; charset=utf-8", text)
});
static CSS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("text/css; charset=utf-8", [assets::STYLE, STYLE].concat()));

impl Asset {
    fn new(kind: &'static str, text: String) -> Self {
        let etag = format!("\"{}\"", blake3::hash(text.as_bytes()).to_hex());
        Asset { kind, text, etag }
    }

    fn answer(&'static self, headers: &HeaderMap) -> Answer {
        let body = || Body::from(self.text.as_str());
        kept_answer(headers, &self.etag, self.kind, body)
    }
}

/// `GET /`.
pub(super) async fn html(headers: HeaderMap) -> Answer {
    HTML.answer(&headers)
}

/// The page for those who have to sign in first: it is told in full.
pub(super) fn refused() -> Answer {
    let mut answer = HTML.answer(&HeaderMap::new());
    *answer.status_mut() = StatusCode::UNAUTHORIZED;
    answer
}

/// `GET /page.js`.
pub(super) async fn script(headers: HeaderMap) -> Answer {
    SCRIPT.answer(&headers)
}

/// `GET /page.css`.
pub(super) async fn style(headers: HeaderMap) -> Answer {
    CSS.answer(&headers)
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
