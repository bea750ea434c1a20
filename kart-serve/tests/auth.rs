//! Who may call.

mod common;

use std::time::Duration;

use common::{All, Service, assert_refused, settings};
use kart::{Runner, TaskExt as _, Workspace};
use kart_serve::{Allow, Oidc, ServeError, Server, Settings, WithoutToken};

const READ: [&str; 6] = [
    "/runs",
    "/plan",
    "/graph",
    "/metrics",
    "/events",
    "/artifacts/x",
];

fn with_token() -> Settings {
    let mut settings = settings();
    settings.token = Some("correct horse".into());
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_there_is_nothing_but_probes() {
    let service = Service::start(with_token()).await;
    for header in [
        None,
        Some("Bearer wrong"),
        Some("Bearer correct hors"),
        Some("Bearer correct horse2"),
        Some("Bearer "),
        Some("Bearer"),
        Some("Basic Y29ycmVjdCBob3JzZQ=="),
        Some("correct horse"),
    ] {
        let headers: Vec<_> = header
            .map(|value| ("Authorization", value))
            .into_iter()
            .collect();
        for path in READ {
            let answer = service.ask_with("GET", path, &headers, "").await;
            assert_refused(&answer, 401);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        for path in ["/", "/run/All", "/nothing"] {
            assert_refused(&service.ask_with("POST", path, &headers, "").await, 401);
        }
    }
    assert_eq!(service.get("/healthz").await.status, 200);
    assert_eq!(service.get("/readyz").await.status, 200);
    // The page holds nothing, and asks for the token.
    let page = service.get("/").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (401, Some("text/html; charset=utf-8"))
    );
    service.gate.open();
    let headers = [("Authorization", "bearer correct horse")];
    assert_eq!(
        service.ask_with("POST", "/", &headers, "").await.status,
        200
    );
    assert_eq!(
        service.ask_with("GET", "/runs", &headers, "").await.status,
        200
    );
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_of_the_page_reads_and_starts_nothing() {
    let service = Service::start(with_token()).await;
    assert_refused(
        &service
            .ask("POST", "/session", "{\"token\": \"wrong\"}")
            .await,
        401,
    );
    assert_refused(&service.ask("POST", "/session", "").await, 401);
    let answer = service
        .ask("POST", "/session", "{\"token\": \"correct horse\"}")
        .await;
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    assert!(!cookie.contains("horse"));
    let cookie = cookie.split(';').next().unwrap();
    let headers = [("Cookie", cookie)];
    assert_eq!(
        service.ask_with("GET", "/runs", &headers, "").await.status,
        200
    );
    assert_eq!(service.ask_with("GET", "/", &headers, "").await.status, 200);
    assert_refused(&service.ask_with("POST", "/", &headers, "").await, 401);
    let forged = [("Cookie", "kart=0000")];
    assert_refused(&service.ask_with("GET", "/runs", &forged, "").await, 401);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_are_refused() {
    let service = Service::start(settings()).await;
    let here = ("Host", "127.0.0.1:8080");
    for origin in ["https://evil.example", "null", "http://127.0.0.1:9999"] {
        let headers = [here, ("Origin", origin)];
        assert_refused(&service.ask_with("POST", "/", &headers, "").await, 403);
    }
    // A name that another site has given to this machine.
    let headers = [("Host", "evil.example:8080")];
    assert_refused(&service.ask_with("GET", "/runs", &headers, "").await, 403);
    let headers = [here, ("Origin", "http://127.0.0.1:8080")];
    assert_eq!(
        service
            .ask_with("POST", "/?wait=false", &headers, "")
            .await
            .status,
        202
    );
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_to_be_a_queue_is_not_believed_without_authentication() {
    let mut settings = settings();
    settings.limits.dispatch = Duration::from_millis(1);
    let service = Service::start(settings).await;
    let waiting = service.begin("POST", "/", &[("X-CloudTasks-QueueName", "q")], "");
    service.gate.until(3).await;
    service.gate.open();
    assert_eq!(waiting.await.unwrap().status, 200);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_platform_has_checked_who_calls_a_queue_is_believed() {
    let mut settings = settings();
    settings.without_token = WithoutToken::Platform;
    settings.limits.dispatch = Duration::from_millis(300);
    let service = Service::start(settings).await;
    // What Cloud Run passes on is the token without its signature, and the name of the service.
    let headers = [
        ("Host", "batch-1.europe-west1.run.app"),
        ("Authorization", "Bearer a.b.SIGNATURE_REMOVED_BY_GOOGLE"),
        ("X-CloudTasks-QueueName", "q"),
    ];
    let answer = service.ask_with("POST", "/", &headers, "").await;
    assert_refused(&answer, 503);
    assert!(answer.json()["deadline_seconds"].as_f64().unwrap() < 1.0);
    let reading = service.ask_with("GET", "/runs", &headers[..1], "").await;
    assert_eq!(reading.status, 200);
    let other = [headers[0], ("Origin", "https://evil.example")];
    assert_refused(&service.ask_with("POST", "/", &other, "").await, 403);
    service.end().await;
}

async fn bind(settings: Settings) -> Result<Server, ServeError> {
    let workspace = Workspace::open("memory://").unwrap();
    let runner = Runner::new(&workspace);
    Server::bind(settings, runner, workspace, All::spec(), Vec::new()).await
}

#[tokio::test]
async fn a_service_that_everybody_could_use_does_not_start_unasked() {
    let mut open = settings();
    open.listen.set_ip("0.0.0.0".parse().unwrap());
    let error = bind(open.clone()).await.unwrap_err().to_string();
    assert!(
        error.contains("KART_TOKEN") && error.contains("--allow-unauthenticated"),
        "{error}"
    );
    // Nothing is served: what is asked here is only whether it would start.
    open.without_token = WithoutToken::Everybody;
    open.listen.set_ip("127.0.0.1".parse().unwrap());
    bind(open).await.unwrap();
    let mut both = with_token();
    both.without_token = WithoutToken::Platform;
    let error = bind(both).await.unwrap_err().to_string();
    assert!(error.contains("--trust-platform"), "{error}");
    let mut empty = settings();
    empty.token = Some(" ".into());
    assert!(bind(empty).await.is_err());
    let mut nameless = settings();
    nameless.oidc = Some(Oidc::default());
    assert!(bind(nameless).await.is_err());
    let mut unknown = settings();
    unknown.allow = Allow::Named(vec!["Nothing".into()]);
    assert!(
        bind(unknown)
            .await
            .unwrap_err()
            .to_string()
            .contains("Nothing")
    );
}
