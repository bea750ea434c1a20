//! Which identity tokens are taken.

mod common;
mod issuer;

use std::sync::Arc;
use std::time::Duration;

use common::{Service, assert_refused, settings, within};
use issuer::{Issuer, claims, now};
use kart_serve::Oidc;
use serde_json::json;

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
    // As a platform passes it on that has checked it.
    let bearer = format!("Bearer {unsigned}.SIGNATURE_REMOVED_BY_GOOGLE");
    let headers = [("Authorization", bearer.as_str())];
    let answer = service.ask_with("GET", "/runs", &headers, "").await;
    let error = assert_refused(&answer, 401)["error"].to_string();
    assert!(error.contains("--trust-platform"), "{error}");
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

/// Lets time pass at once; requests are under way at no other time, so that none of them runs out of it.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_new_key_is_picked_up_and_an_old_one_is_dropped() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    let good = claims(&issuer, AUDIENCE, EMAIL);
    let (old, new) = (issuer.sign("ec", &good), issuer.sign("next", &good));
    assert_eq!(status(&service, &old).await, 200);
    issuer.rotate();
    // The issuer was asked a moment ago.
    assert_eq!(status(&service, &new).await, 401);
    assert_eq!((status(&service, &old).await, issuer.fetched()), (200, 1));
    pass(Duration::from_secs(61)).await;
    assert_eq!((status(&service, &new).await, issuer.fetched()), (200, 2));
    assert_eq!(status(&service, &old).await, 401);
    service.end().await;
}

#[tokio::test]
async fn keys_are_fetched_again_when_they_have_expired() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    let good = issuer.sign("ec", &claims(&issuer, AUDIENCE, EMAIL));
    assert_eq!((status(&service, &good).await, issuer.fetched()), (200, 1));
    // The issuer says: an hour.
    pass(Duration::from_mins(50)).await;
    assert_eq!((status(&service, &good).await, issuer.fetched()), (200, 1));
    pass(Duration::from_secs(601)).await;
    assert_eq!((status(&service, &good).await, issuer.fetched()), (200, 2));
    // A revoked key is taken no longer than that.
    issuer.rotate();
    pass(Duration::from_secs(3610)).await;
    assert_eq!((status(&service, &good).await, issuer.fetched()), (401, 3));
    service.end().await;
}

#[tokio::test]
async fn keys_outlive_an_issuer_that_is_away_for_a_day() {
    let (service, issuer) = with_issuer(&[EMAIL]).await;
    let good = issuer.sign("ec", &claims(&issuer, AUDIENCE, EMAIL));
    assert_eq!(status(&service, &good).await, 200);
    issuer.fail();
    pass(Duration::from_hours(24)).await;
    assert_eq!((status(&service, &good).await, issuer.fetched()), (200, 2));
    pass(Duration::from_hours(2)).await;
    assert_eq!(status(&service, &good).await, 503);
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
