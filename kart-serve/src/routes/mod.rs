//! What can be asked, a file for each kind of thing.

mod artifacts;
mod events;
mod page;
mod plan;
mod probes;
mod push;
mod request;
mod run;
mod runs;
mod tasks;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::answer::{Answer, Refusal, panicked};
use crate::app::App;

/// What a page of this service may do: nothing but what comes with it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

type Routes = Router<Arc<App>>;

/// All routes, with what holds for each of them.
pub(crate) fn router(app: Arc<App>) -> Router {
    let read = |handler: MethodRouter<Arc<App>>| {
        handler.fallback(|| async { Refusal::method("GET, HEAD") })
    };
    let write =
        |handler: MethodRouter<Arc<App>>| handler.fallback(|| async { Refusal::method("POST") });
    let routes: Routes = Router::new()
        .route(
            "/",
            get(page::html)
                .post(run::default)
                .fallback(|| async { Refusal::method("GET, HEAD, POST") }),
        )
        .route("/page.js", read(get(page::script)))
        .route("/page.css", read(get(page::style)))
        .route("/session", write(post(page::session)))
        .route("/run/{*task}", write(post(run::named)))
        .route("/pubsub", write(post(push::pushed)))
        .route("/runs", read(get(runs::list)))
        .route("/runs/{id}", read(get(runs::one)))
        .route("/runs/{id}/graph", read(get(runs::graph)))
        .route("/runs/{id}/changes", read(get(runs::changes)))
        .route("/tasks/{key}", read(get(tasks::task)))
        .route("/tasks/{key}/log", read(get(tasks::log)))
        .route("/plan", read(get(plan::plan)))
        .route("/plan/{*task}", read(get(plan::plan)))
        .route("/graph", read(get(plan::graph)))
        .route("/graph/{*task}", read(get(plan::graph)))
        .route("/events", read(get(events::events)))
        .route("/artifacts/{*path}", read(get(artifacts::artifact)))
        .route("/healthz", read(get(probes::health)))
        .route("/readyz", read(get(probes::ready)))
        .route("/metrics", read(get(probes::metrics)))
        .fallback(|| async {
            Refusal::not_found(
                "there is nothing here",
                "docs/http.md of kart names every path",
            )
        });
    let set = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    routes
        .layer(from_fn_with_state(Arc::clone(&app), guarded))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(set(CONTENT_SECURITY_POLICY, POLICY))
        .layer(set(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(set(REFERRER_POLICY, "no-referrer"))
        .with_state(app)
}

/// What holds no data is for everybody: probes, and what the page is made of.
const OPEN: [&str; 5] = ["/healthz", "/readyz", "/page.js", "/page.css", "/session"];

/// Lets through those who may call.
async fn guarded(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Answer {
    let path = request.uri().path().to_owned();
    if OPEN.contains(&path.as_str()) {
        return next.run(request).await;
    }
    let method = request.method().clone();
    let is_page = path == "/" && method == Method::GET;
    let answer = match app.guard.caller(request.method(), request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        // The page asks for the token, and holds nothing else.
        Err(refusal) if is_page && refusal.status == StatusCode::UNAUTHORIZED => page::refused(),
        Err(refusal) => refusal.into_response(),
    };
    let status = answer.status();
    if status.is_client_error() || status.is_server_error() {
        tracing::info!(%method, path, status = status.as_u16(), "refused, or not done");
    }
    answer
}
