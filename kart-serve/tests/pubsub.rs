//! Messages that Pub/Sub pushes, and runs that hand themselves on by a topic.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, Service, assert_refused, settings};
use kart_serve::{Allow, Settings};
use serde_json::{Value as Json, json};

const SHOWN: (&str, &str) = ("Authorization", "Bearer correct horse");

fn guarded() -> Settings {
    let mut settings = settings();
    settings.token = Some("correct horse".into());
    settings.allow = Allow::Named(vec!["Quick".into(), "Broken".into()]);
    settings
}

/// As Pub/Sub wraps it, with every member that it sends.
fn wrapped(data: &str, attributes: &Json) -> Json {
    json!({
        "message": {
            "data": STANDARD.encode(data),
            "attributes": attributes,
            "messageId": "2070443601311540",
            "message_id": "2070443601311540",
            "publishTime": "2026-11-25T02:00:00.749Z",
            "publish_time": "2026-11-25T02:00:00.749Z",
        },
        "subscription": "projects/p/subscriptions/s",
        "deliveryAttempt": 1,
    })
}

async fn push(service: &Service, query: &str, body: &Json) -> Answer {
    let path = format!("/pubsub{query}");
    let body = body.to_string();
    service.ask_with("POST", &path, &[SHOWN], &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_starts_what_its_data_names() {
    let service = Service::start(guarded()).await;
    service.gate.open();
    for (data, path) in [
        (
            "{\"task\": \"Quick\", \"params\": {\"n\": 2}}",
            "quick-2.txt",
        ),
        ("{\"params\": {\"n\": 1}}", "all-1.txt"),
        ("{\"task\": null, \"params\": null}", "all-3.txt"),
        ("", "all-3.txt"),
    ] {
        let answer = push(&service, "", &wrapped(data, &json!({}))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["roots"][0]["path"], path, "{data}");
    }
    // Attributes alone are a message too.
    let bare = json!({"message": {"attributes": {"a": "b"}, "messageId": "1"}});
    assert_eq!(push(&service, "", &bare).await.status, 200);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused() {
    let service = Service::start(guarded()).await;
    for body in [
        json!({}),
        json!({"task": "Quick"}),
        json!({"message": {"data": "not base64!"}}),
        wrapped("{", &json!({})),
        wrapped("[]", &json!({})),
        wrapped("{\"task\": 1}", &json!({})),
        wrapped("{\"params\": [1]}", &json!({})),
        wrapped("{\"n\": 3}", &json!({})),
        wrapped("{\"params\": {\"n\": \"x\"}}", &json!({})),
        wrapped("{}", &json!({"kart-attempt": "x"})),
        wrapped("{}", &json!({"kart-chain": "a/b"})),
        wrapped("{}", &json!([])),
    ] {
        assert_refused(&push(&service, "", &body).await, 400);
    }
    let hidden = wrapped("{\"task\": \"Hidden\"}", &json!({}));
    assert_refused(&push(&service, "", &hidden).await, 403);
    let unknown = wrapped("{\"task\": \"Nothing\"}", &json!({}));
    assert_refused(&push(&service, "", &unknown).await, 404);
    let body = wrapped("{}", &json!({})).to_string();
    assert_refused(&service.ask("POST", "/pubsub", &body).await, 401);
    assert_refused(&service.ask_with("GET", "/pubsub", &[SHOWN], "").await, 405);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_before_the_time_that_pubsub_waits() {
    let mut long = guarded();
    long.limits.dispatch = std::time::Duration::from_mins(30);
    let service = Service::start(long).await;
    let answer = push(&service, "?wait=false", &wrapped("", &json!({}))).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let location = answer.header("location").unwrap().to_owned();
    let run = service
        .ask_with("GET", &location, &[SHOWN], "")
        .await
        .json();
    assert_eq!(run["deadline_seconds"], 585.0, "{run}");
    service.end().await;
}

#[cfg(feature = "pubsub")]
mod topic {
    //! The documented part of Pub/Sub that is needed: publishing by REST, and a subscription that pushes until it is told
    //! that a message is done.

    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::extract::{Path, State};
    use axum::http::StatusCode;
    use axum::routing::post;
    use kart_serve::ContinueWith;
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::*;
    use crate::common::within;

    const NAME: &str = "projects/p/topics/batch";

    struct Topic {
        url: String,
        is_full: bool,
        published: Mutex<Vec<Json>>,
        /// Where messages are pushed, once it is known.
        endpoint: watch::Sender<Option<String>>,
        /// What was answered to each push.
        answers: watch::Sender<Vec<(u16, Json)>>,
    }

    impl Topic {
        async fn start(is_full: bool) -> Arc<Self> {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let topic = Arc::new(Topic {
                url: format!("http://{}", listener.local_addr().unwrap()),
                is_full,
                published: Mutex::default(),
                endpoint: watch::Sender::new(None),
                answers: watch::Sender::default(),
            });
            let router = Router::new()
                .route("/v1/projects/p/topics/{name}", post(publish))
                .with_state(Arc::clone(&topic));
            tokio::spawn(async move { axum::serve(listener, router).await });
            topic
        }

        async fn settings(&self) -> Settings {
            let mut with = ContinueWith::new(format!("pubsub://{NAME}"));
            with.endpoint = Some(self.url.clone());
            let mut settings = guarded();
            settings.limits.dispatch = Duration::from_millis(500);
            settings.continuation = Some(with.open().await.unwrap());
            settings
        }

        /// Pushes what a publisher has sent, and again whatever is not answered with a 2xx.
        async fn deliver(self: Arc<Self>, message: Json, id: usize) {
            let mut endpoint = self.endpoint.subscribe();
            let endpoint = endpoint.wait_for(Option::is_some).await.unwrap().clone();
            let mut message = message;
            message["messageId"] = id.to_string().into();
            let body = json!({"message": message, "subscription": "projects/p/subscriptions/s"});
            loop {
                let request = reqwest::Client::new()
                    .post(endpoint.clone().unwrap())
                    .header(SHOWN.0, SHOWN.1)
                    .body(body.to_string());
                let answer = request.send().await.unwrap();
                let status = answer.status();
                let json = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                self.answers
                    .send_modify(|answers| answers.push((status.as_u16(), json)));
                if status.is_success() {
                    return;
                }
                // As the retry policy of a subscription.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    async fn publish(
        State(topic): State<Arc<Topic>>,
        Path(name): Path<String>,
        body: String,
    ) -> (StatusCode, String) {
        assert_eq!(name, "batch:publish");
        if topic.is_full {
            let error = json!({"error": {"code": 429, "message": "too many messages"}});
            return (StatusCode::TOO_MANY_REQUESTS, error.to_string());
        }
        let body: Json = serde_json::from_str(&body).unwrap();
        let message = body["messages"][0].clone();
        let id = {
            let mut published = topic.published.lock().unwrap();
            published.push(message.clone());
            published.len()
        };
        tokio::spawn(topic.deliver(message, id));
        let ids = json!({"messageIds": [id.to_string()]});
        (StatusCode::OK, ids.to_string())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_batch_hands_itself_on_until_it_is_complete() {
        let topic = Topic::start(false).await;
        let service = Service::start(topic.settings().await).await;
        let gate = service.gate.clone();
        topic
            .endpoint
            .send_replace(Some(format!("http://{}/pubsub", service.address)));
        let first = push(&service, "", &wrapped("", &json!({}))).await;
        let json = first.json();
        assert_eq!(
            (first.status, &json["handed_on"]),
            (200, &json!(true)),
            "{json}"
        );
        // The second run is interrupted too; the third one gets through.
        let mut answers = topic.answers.subscribe();
        within(answers.wait_for(|answers| !answers.is_empty()))
            .await
            .unwrap();
        gate.open();
        let is_over = |answers: &Vec<(u16, Json)>| {
            answers.iter().any(|(_, json)| json["state"] == "complete")
        };
        let answers = within(answers.wait_for(is_over)).await.unwrap().clone();
        assert!(
            answers.iter().all(|(status, _)| *status == 200),
            "{answers:?}"
        );
        assert!(service.workspace.exists("all-3.txt").await.unwrap());

        let published = topic.published.lock().unwrap().clone();
        assert!(published.len() >= 2, "{published:?}");
        let chain = published[0]["attributes"]["kart-chain"].clone();
        for (index, message) in published.iter().enumerate() {
            let attributes = json!({"kart-attempt": (index + 1).to_string(), "kart-chain": chain});
            assert_eq!(message["attributes"], attributes);
            let data = STANDARD.decode(message["data"].as_str().unwrap()).unwrap();
            let data: Json = serde_json::from_slice(&data).unwrap();
            assert_eq!(
                data,
                json!({"task": "common/tasks/All", "params": {"n": 3}})
            );
        }
        service.end().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_topic_that_takes_nothing_leaves_the_run_to_the_caller() {
        let topic = Topic::start(true).await;
        let service = Service::start(topic.settings().await).await;
        let answer = push(&service, "", &wrapped("", &json!({}))).await;
        let json = assert_refused(&answer, 503);
        let error = json["error"].as_str().unwrap();
        assert!(
            error.contains("429") && error.ends_with("too many messages"),
            "{error}"
        );
        service.end().await;
    }

    #[tokio::test]
    async fn a_name_that_is_none_of_a_topic_is_refused_at_the_start() {
        for target in [
            "pubsub://topic",
            "pubsub://projects/p/subscriptions/s",
            "pubsub://projects//topics/t",
            "pubsub://projects/p/topics/t/..",
            "pubsub://projects/p/topics/t?x",
        ] {
            let mut with = ContinueWith::new(target);
            with.endpoint = Some("http://127.0.0.1:9".into());
            let error = with.open().await.unwrap_err().to_string();
            assert!(error.contains("is no topic"), "{error}");
        }
    }
}
