//! Who waits for a run, who joins it, and what becomes of it when they go.

mod common;

use std::time::Duration;

use common::{Service, request, settings};
use kart_serve::Ending;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_same_joins_the_run_that_is_under_way() {
    let service = Service::start(settings()).await;
    let mut listener = service.listen(&[]).await;
    let first = service.begin("POST", "/", &[], "");
    service.gate.until(3).await;
    let second = service.begin("POST", "/run/All", &[], "{\"n\": 3}");
    listener.until(|heard| heard.data["waiting"] == 2).await;
    let third = service.ask("POST", "/?wait=false", "").await.json();
    service.gate.open();
    let (first, second) = (first.await.unwrap().json(), second.await.unwrap().json());
    assert_eq!(first["state"], "complete");
    assert_eq!(
        (&first["run"], &first["run"]),
        (&second["run"], &third["run"])
    );
    assert_eq!(service.gate.begun().len(), 3);
    assert_eq!(service.end().await, Ending::Idle);
}

/// A client that goes away when it is dropped.
async fn client(service: &Service, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(service.address).await.unwrap();
    client
        .write_all(&request("POST", path, &[], b""))
        .await
        .unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stops_in_good_order_when_the_last_who_waited_has_gone() {
    let service = Service::start(settings()).await;
    let mut listener = service.listen(&[]).await;
    let one = client(&service, "/").await;
    service.gate.until(3).await;
    drop(one);
    let run = listener.run("interrupted").await;
    assert_eq!(run["counts"]["interrupted"], 3, "{run}");
    // Nothing of it is left that would keep another from running.
    service.gate.open();
    assert_eq!(service.ask("POST", "/", "").await.status, 200);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_as_long_as_one_waits() {
    let service = Service::start(settings()).await;
    let mut listener = service.listen(&[]).await;
    let one = client(&service, "/").await;
    service.gate.until(3).await;
    let other = service.begin("POST", "/", &[], "");
    listener.until(|heard| heard.data["waiting"] == 2).await;
    // A third one comes and goes, with less time than the run has: it is told that the run goes on.
    let third = service
        .ask_with("POST", "/", &[("X-Kart-Deadline", "0.3")], "")
        .await;
    assert_eq!(
        (third.status, third.json()["state"].as_str()),
        (503, Some("running"))
    );
    drop(one);
    service.gate.open();
    assert_eq!(other.await.unwrap().json()["state"], "complete");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_run_goes_on_alone() {
    let mut settings = settings();
    settings.detach = true;
    let service = Service::start(settings).await;
    let mut listener = service.listen(&[]).await;
    let one = client(&service, "/").await;
    service.gate.until(3).await;
    drop(one);
    service.gate.open();
    assert_eq!(listener.run("complete").await["counts"]["ran"], 4);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_service_ends_runs_stop_and_who_waits_is_answered() {
    let service = Service::start(settings()).await;
    let mut listener = service.listen(&[]).await;
    let waiting = service.begin("POST", "/", &[], "");
    service.gate.until(3).await;
    let address = service.address;
    assert_eq!(service.end().await, Ending::WorkLeft);
    let answer = waiting.await.unwrap();
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(answer.json()["state"], "interrupted");
    listener.run("interrupted").await;
    while listener.try_next().await.is_some() {}
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_has_shown_who_it_is_has_its_own_deadline() {
    let mut settings = settings();
    settings.token = Some("secret".into());
    settings.limits.dispatch = Duration::from_millis(400);
    let service = Service::start(settings).await;
    let token = ("Authorization", "Bearer secret");
    let queue = ("X-CloudTasks-QueueName", "queue");
    let answer = service.ask_with("POST", "/", &[token, queue], "").await;
    assert_eq!(
        (answer.status, answer.json()["state"].as_str()),
        (503, Some("interrupted"))
    );
    let deadline = answer.json()["deadline_seconds"].as_f64().unwrap();
    assert!((0.35..0.4).contains(&deadline), "{deadline}");
    let other = service.begin("POST", "/", &[token], "");
    service.gate.until(6).await;
    let listed = service.ask_with("GET", "/runs", &[token], "").await.json();
    let id = listed["runs"][0]["run"].as_str().unwrap().to_owned();
    let run = service
        .ask_with("GET", &format!("/runs/{id}"), &[token], "")
        .await
        .json();
    assert!(run["deadline_seconds"].is_null(), "{run}");
    service.gate.open();
    assert_eq!(other.await.unwrap().status, 200);
    service.end().await;
}
