//! What happens, as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::request;
use crate::answer::{Answer, Refusal};
use crate::app::App;
use crate::feed::Happening;

/// How many clients listen at once.
const MOST: usize = 256;
/// How many runs a client is told of when it comes.
const RUNS: usize = 8;
/// How long a client is to wait before it comes back.
const RETRY: Duration = Duration::from_secs(1);

/// Somebody who listens.
struct Listener {
    app: Arc<App>,
    newest: watch::Receiver<u64>,
    /// The number of what it is told next; none where it has just come.
    next: Option<u64>,
    waiting: VecDeque<Event>,
}

/// `GET /events`.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Answer, Refusal> {
    if app.feed.listeners() >= MOST {
        return Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("{MOST} clients listen already"),
            "ask again later, or look at /runs",
        )
        .retry_after(10));
    }
    let listener = Listener {
        newest: app.feed.listen(),
        next: last_seen(&uri, &headers)?.map(|last| last.saturating_add(1)),
        waiting: VecDeque::new(),
        app,
    };
    let stream = stream::unfold(listener, |mut listener| async move {
        let event = listener.event().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let mut answer = Sse::new(stream)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response();
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies such as nginx keep answers back otherwise.
    let buffering = HeaderName::from_static("x-accel-buffering");
    headers.insert(buffering, HeaderValue::from_static("no"));
    Ok(answer)
}

/// What the client has seen last, by the header that a browser sends or by the query.
fn last_seen(uri: &Uri, headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let header = headers
        .get("last-event-id")
        .map(|value| value.to_str().unwrap_or("?"));
    let query = request::query(uri);
    let query = query.iter().find(|(name, _)| name == "last_event_id");
    let text = header.or(query.map(|(_, value)| &**value));
    match text.map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(last) => Ok(Some(last)),
            Err(_) => Err(Refusal::bad(
                "Last-Event-ID is no number",
                "leave it away to begin now",
            )),
        },
    }
}

impl Listener {
    /// What is told next; `None` when the service ends.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            // Before looking, so that nothing new is overlooked.
            self.newest.borrow_and_update();
            self.look();
            if !self.waiting.is_empty() {
                continue;
            }
            let closing = self.app.closing.clone();
            tokio::select! {
                // What happened before the end comes first.
                biased;
                changed = self.newest.changed() => changed.ok()?,
                () = closing.stopped() => return None,
            }
        }
    }

    fn look(&mut self) {
        let Some(next) = self.next else {
            let next = self.app.feed.next();
            self.snapshot(next);
            self.next = Some(next);
            return;
        };
        let batch = self.app.feed.since(next);
        if batch.missed != Some(0) {
            let data = json!({"missed": batch.missed});
            self.waiting
                .push_back(Event::default().event("missed").data(data.to_string()));
            let next = batch
                .happenings
                .first()
                .map_or_else(|| self.app.feed.next(), |one| one.id);
            self.snapshot(next);
            self.next = Some(next);
        }
        for happening in &batch.happenings {
            self.waiting.push_back(event(happening));
            self.next = Some(happening.id + 1);
        }
    }

    /// How things stand, for who cannot know.
    fn snapshot(&mut self, next: u64) {
        let runs: Vec<Json> = self
            .app
            .runs
            .all()
            .iter()
            .take(RUNS)
            .map(|run| run.json())
            .collect();
        let data = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "workspace": self.app.workspace.location(),
            "runs": runs,
        });
        let event = Event::default()
            .event("snapshot")
            .id(next.saturating_sub(1).to_string())
            .retry(RETRY)
            .data(data.to_string());
        self.waiting.push_back(event);
    }
}

fn event(happening: &Happening) -> Event {
    Event::default()
        .event(happening.kind)
        .id(happening.id.to_string())
        .data(&*happening.data)
}
