//! Who may call.

mod common;
mod issuer;

use std::sync::Arc;
use std::time::Duration;

use common::{All, Service, assert_refused, settings, within};
use issuer::{Issuer, claims, now};
use kart::{Runner, TaskExt as _, Workspace};
use kart_serve::{Allow, Oidc, ServeError, Server, Settings};
use serde_json::json;

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
    open.allow_unauthenticated = true;
    open.listen.set_ip("127.0.0.1".parse().unwrap());
    bind(open).await.unwrap();
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

const AUDIENCE: &str = "https://service.example";
const EMAIL: &str = "queue@project.iam.gserviceaccount.com";

async fn with_issuer(emails: &[&str]) -> (Service, Arc<Issuer>) {
    let issuer = Issuer::start().await;
    let mut oidc = Oidc::default();
    oidc.audience = AUDIENCE.into();
    oidc.emails = emails.iter().map(ToString::to_string).collect();
    oidc.issuer = Some(issuer.url());
    oidc.keys = Some(format!("{}/certs", issuer.url()));
    let mut settings = settings();
    settings.oidc = Some(oidc);
    (Service::start(settings).await, issuer)
}

async fn status(service: &Service, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let answer = service
        .ask_with("GET", "/runs", &[("Authorization", &bearer)], "")
        .await;
    if answer.status != 200 {
        assert_refused(&answer, answer.status);
    }
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_token_of_the_issuer_is_taken() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    let good = claims(&issuer, AUDIENCE, EMAIL);
    for kid in ["rsa", "ec"] {
        assert_eq!(
            status(&service, &issuer.sign(kid, &good)).await,
            200,
            "{kid}"
        );
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_signature_is_refused() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    let good = claims(&issuer, AUDIENCE, EMAIL);
    for alg in ["none", "None", "HS256", "RS512", "PS256"] {
        let token = issuer::unsigned(&json!({"alg": alg, "typ": "JWT", "kid": "rsa"}), &good);
        assert_eq!(status(&service, &token).await, 401, "{alg}");
    }
    let signed = issuer.sign("rsa", &good);
    let (unsigned, _) = signed.rsplit_once('.').unwrap();
    assert_eq!(status(&service, &format!("{unsigned}.")).await, 401);
    assert_eq!(status(&service, unsigned).await, 401);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_token_is_refused() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    let good = claims(&issuer, AUDIENCE, EMAIL);
    // Signed by somebody else under the name of the issuer's key.
    let other = Issuer::start().await;
    for kid in ["rsa", "ec"] {
        assert_eq!(
            status(&service, &other.sign(kid, &good)).await,
            401,
            "{kid}"
        );
    }
    // Signed with the public key as if it were a shared secret.
    assert_eq!(
        status(&service, &issuer.sign_with_public_key(&good)).await,
        401
    );
    // Other claims under a good signature, and a key under another algorithm's name.
    let token = issuer.sign("rsa", &good);
    let mut evil = good.clone();
    evil["email"] = "someone@else.example".into();
    let parts: Vec<&str> = token.split('.').collect();
    let forged = format!("{}.{}.{}", parts[0], issuer::encoded(&evil), parts[2]);
    assert_eq!(status(&service, &forged).await, 401);
    let header = issuer::encoded(&json!({"alg": "ES256", "typ": "JWT", "kid": "rsa"}));
    assert_eq!(
        status(&service, &format!("{header}.{}.{}", parts[1], parts[2])).await,
        401
    );
    for garbage in ["a.b.c", "..", "x", &"y".repeat(20_000)] {
        assert_eq!(status(&service, garbage).await, 401);
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_time_is_refused() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    let at = |name: &str, offset: i64| {
        let mut claims = claims(&issuer, AUDIENCE, EMAIL);
        claims[name] = (now() + offset).into();
        issuer.sign("ec", &claims)
    };
    assert_eq!(status(&service, &at("exp", -90)).await, 401);
    assert_eq!(
        status(&service, &at("exp", -20)).await,
        200,
        "clocks may be a minute apart"
    );
    assert_eq!(status(&service, &at("nbf", 90)).await, 401);
    assert_eq!(status(&service, &at("nbf", 20)).await, 200);
    assert_eq!(status(&service, &at("iat", 90)).await, 401);
    let mut endless = claims(&issuer, AUDIENCE, EMAIL);
    endless.as_object_mut().unwrap().remove("exp");
    assert_eq!(status(&service, &issuer.sign("ec", &endless)).await, 401);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_another_audience_is_refused() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    for audience in [
        json!("https://other.example"),
        json!(["https://other.example"]),
        json!(""),
    ] {
        let mut claims = claims(&issuer, AUDIENCE, EMAIL);
        claims["aud"] = audience;
        assert_eq!(status(&service, &issuer.sign("ec", &claims)).await, 401);
    }
    let mut none = claims(&issuer, AUDIENCE, EMAIL);
    none.as_object_mut().unwrap().remove("aud");
    assert_eq!(status(&service, &issuer.sign("ec", &none)).await, 401);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_issuer_is_refused() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    let mut claims = claims(&issuer, AUDIENCE, EMAIL);
    claims["iss"] = "https://accounts.google.com".into();
    assert_eq!(status(&service, &issuer.sign("ec", &claims)).await, 401);
    claims.as_object_mut().unwrap().remove("iss");
    assert_eq!(status(&service, &issuer.sign("ec", &claims)).await, 401);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_forbidden() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    let other = claims(&issuer, AUDIENCE, "someone@else.example");
    assert_eq!(status(&service, &issuer.sign("ec", &other)).await, 403);
    let mut none = claims(&issuer, AUDIENCE, EMAIL);
    none.as_object_mut().unwrap().remove("email");
    assert_eq!(status(&service, &issuer.sign("ec", &none)).await, 403);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_verified_is_forbidden() {
    for emails in [&[EMAIL][..], &[]] {
        let (service, issuer) = with_issuer(emails).await;
        for verified in [json!(false), json!("false"), json!(null), json!(1)] {
            let mut claims = claims(&issuer, AUDIENCE, EMAIL);
            claims["email_verified"] = verified.clone();
            // Without a list, an account that says nothing of an address may call.
            let expected = if verified.is_null() && emails.is_empty() {
                200
            } else {
                403
            };
            assert_eq!(
                status(&service, &issuer.sign("ec", &claims)).await,
                expected,
                "{verified}"
            );
        }
        service.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_once_and_not_for_every_unknown_name() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    let good = claims(&issuer, AUDIENCE, EMAIL);
    let many = (0..20).map(|_| async { status(&service, &issuer.sign("ec", &good)).await });
    let all = within(futures_util::future::join_all(many)).await;
    assert!(all.iter().all(|status| *status == 200), "{all:?}");
    assert_eq!(issuer.fetched(), 1);
    for _ in 0..5 {
        assert_eq!(
            status(&service, &issuer.sign_as("ec", "unknown", &good)).await,
            401
        );
    }
    // The keys had been asked for less than a minute before.
    assert_eq!(issuer.fetched(), 1);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_fetched_are_503() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    issuer.fail();
    let good = claims(&issuer, AUDIENCE, EMAIL);
    assert_eq!(status(&service, &issuer.sign("ec", &good)).await, 503);
    service.end().await;
}
