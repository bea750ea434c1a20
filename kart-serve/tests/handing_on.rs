//! What becomes of an interrupted run that something else goes on with.

mod common;

use std::sync::{Arc, Mutex};

use common::{Service, assert_refused, request, settings, within};
use kart::BoxError;
use kart_serve::{Continuation, ContinueWith, Ending, HandedOn, Interrupted, Settings};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SOON: (&str, &str) = ("X-Kart-Deadline", "300ms");

/// Remembers what was handed on, and refuses what comes after the eighth.
#[derive(Debug, Default)]
struct Next(Mutex<Vec<(String, String, u32)>>);

impl Next {
    fn settings(self: &Arc<Self>) -> Settings {
        let mut settings = settings();
        settings.continuation = Some(self.clone());
        settings
    }

    fn taken(&self) -> Vec<(String, String, u32)> {
        self.0.lock().unwrap().clone()
    }
}

impl Continuation for Next {
    fn hand_on<'a>(&'a self, interrupted: &'a Interrupted) -> HandedOn<'a> {
        Box::pin(async {
            if interrupted.attempt > 7 {
                return Err(BoxError::from("the queue is away"));
            }
            let Interrupted { key, chain, .. } = interrupted;
            let next = (key.clone(), chain.clone(), interrupted.next());
            self.0.lock().unwrap().push(next);
            Ok(())
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_that_is_handed_on_is_200_and_says_what_is_left() {
    let next = Arc::new(Next::default());
    let service = Service::start(next.settings()).await;
    let headers = [SOON, ("X-Kart-Attempt", "7"), ("X-Kart-Chain", "row-1")];
    let answer = service.ask_with("POST", "/", &headers, "").await;
    let json = answer.json();
    assert_eq!(
        (answer.status, &json["state"], &json["handed_on"]),
        (200, &json!("interrupted"), &json!(true))
    );
    assert!(json["error"].is_null(), "{json}");
    assert_eq!(json["left"].as_array().unwrap().len(), 4, "{json}");
    let key = json["roots"][0]["key"].as_str().unwrap().to_owned();
    assert_eq!(json["successor"], format!("{key}-row-1-8"));
    assert_eq!(next.taken(), [(key, "row-1".to_owned(), 8)]);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_handing_on_fails_it_is_503_with_the_reason() {
    let next = Arc::new(Next::default());
    let service = Service::start(next.settings()).await;
    let headers = [SOON, ("X-Kart-Attempt", "8")];
    let answer = service.ask_with("POST", "/", &headers, "").await;
    let json = assert_refused(&answer, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    let error = json["error"].as_str().unwrap();
    assert!(
        error.ends_with("it was not handed on: the queue is away"),
        "{error}"
    );
    for (name, value) in [
        ("X-Kart-Chain", "a/b"),
        ("X-Kart-Chain", ""),
        ("X-Kart-Attempt", "x"),
    ] {
        let answer = service.ask_with("POST", "/", &[(name, value)], "").await;
        assert_refused(&answer, 400);
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_furthest_of_those_who_joined_names_the_successor() {
    let next = Arc::new(Next::default());
    let service = Service::start(next.settings()).await;
    let mut listener = service.listen(&[]).await;
    let first = service.begin("POST", "/", &[("X-Kart-Deadline", "2s")], "");
    service.gate.until(3).await;
    let headers = [("X-Kart-Attempt", "5"), ("X-Kart-Chain", "row")];
    let second = service.begin("POST", "/", &headers, "");
    listener.until(|heard| heard.data["waiting"] == 2).await;
    for answer in [first, second] {
        let answer = answer.await.unwrap();
        assert_eq!(
            (answer.status, answer.json()["handed_on"].as_bool()),
            (200, Some(true))
        );
    }
    let taken = next.taken();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!((taken[0].1.as_str(), taken[0].2), ("row", 6));
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wants_any_more_is_not_handed_on() {
    let next = Arc::new(Next::default());
    let service = Service::start(next.settings()).await;
    let mut listener = service.listen(&[]).await;
    let mut client = TcpStream::connect(service.address).await.unwrap();
    client
        .write_all(&request("POST", "/", &[], b""))
        .await
        .unwrap();
    service.gate.until(3).await;
    drop(client);
    let run = listener.run("interrupted").await;
    assert!(run["handed_on"].is_null(), "{run}");
    assert_eq!(next.taken(), []);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_hands_on_what_nobody_would_ask_for_again() {
    let next = Arc::new(Next::default());
    let service = Service::start(next.settings()).await;
    // Nothing was completed, and the caller is told to ask again.
    let waiting = service.begin("POST", "/", &[], "");
    service.gate.until(3).await;
    assert_eq!(service.end().await, Ending::WorkLeft);
    let answer = waiting.await.unwrap();
    let json = assert_refused(&answer, 503);
    assert!(
        json["error"]
            .as_str()
            .unwrap()
            .contains("nothing was completed"),
        "{json}"
    );
    assert_eq!(next.taken(), []);

    let service = Service::start(next.settings()).await;
    assert_eq!(service.ask("POST", "/?wait=false", "").await.status, 202);
    service.gate.until(3).await;
    assert_eq!(
        service.end().await,
        Ending::Idle,
        "nothing of it is left to the platform"
    );
    assert_eq!(next.taken().len(), 1);
}

/// Takes one request and answers it: what the head and the body were.
async fn webhook(listener: TcpListener, status: &'static str) -> (String, Json) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.unwrap();
        text.extend_from_slice(&piece[..length]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else {
            continue;
        };
        if let Ok(body) = serde_json::from_str(body) {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return (head.to_lowercase(), body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_the_task_and_a_key_that_is_the_same_each_time() {
    for (status, expected) in [("202 Accepted", 200), ("500 Internal Server Error", 503)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?secret=1", listener.local_addr().unwrap());
        let mut with = ContinueWith::new(url);
        with.token = Some("hook-token".into());
        let mut settings = settings();
        settings.continuation = Some(with.open().await.unwrap());
        let service = Service::start(settings).await;
        let hook = tokio::spawn(webhook(listener, status));
        let headers = [SOON, ("X-Kart-Attempt", "1"), ("X-Kart-Chain", "row")];
        let answer = service.ask_with("POST", "/", &headers, "").await;
        assert_eq!(answer.status, expected, "{}", answer.text());
        assert!(!answer.text().contains("secret=1"));
        let (head, body) = within(hook).await.unwrap();
        let key = body["key"].as_str().unwrap();
        for line in [
            "post /hook?secret=1 http/1.1".to_owned(),
            format!("idempotency-key: {key}-row-2"),
            "x-kart-attempt: 2".to_owned(),
            "x-kart-chain: row".to_owned(),
            "authorization: bearer hook-token".to_owned(),
        ] {
            assert!(head.lines().any(|known| known == line), "{line}\n{head}");
        }
        assert_eq!(
            (&body["task"], &body["params"], &body["attempt"]),
            (&json!("common/tasks/All"), &json!({"n": 3}), &json!(2))
        );
        service.end().await;
    }
}

#[tokio::test]
async fn a_target_that_is_no_use_is_refused_at_the_start() {
    for target in [
        "pubsub://topic",
        "ftp://host/path",
        "cloud-tasks://projects/p/queues/q",
        "https://",
        "queue",
    ] {
        let error = ContinueWith::new(target).open().await.unwrap_err();
        assert!(error.to_string().contains("--continue-with"), "{error}");
    }
}
