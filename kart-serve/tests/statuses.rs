//! What is answered, over a real socket.

mod common;

use std::time::Duration;

use common::{All, Service, assert_refused, settings};
use kart::{Key, TaskExt as _, Workspace};
use kart_serve::{Allow, Ending, Settings};
use serde_json::json;
use tokio::task::JoinHandle;

fn open() -> Settings {
    let mut settings = settings();
    let names = ["Quick", "Broken", "Unit", "Rate"]
        .map(|name| format!("common/tasks/{name}"))
        .to_vec();
    settings.allow = Allow::Named(names);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_completes_is_200() {
    let service = Service::start(open()).await;
    service.gate.open();
    let answer = service.ask("POST", "/", "").await;
    let json = answer.json();
    assert_eq!(answer.status, 200, "{json}");
    assert_eq!(json["state"], "complete");
    assert_eq!(json["counts"]["ran"], 4);
    assert_eq!(json["roots"][0]["path"], "all-3.txt");
    let again = service.ask("POST", "/run/All", "{\"n\": 3}").await.json();
    assert_eq!(again["counts"]["complete"], 1, "{again}");
    let other = service.ask("POST", "/", "{\"n\": 1}").await.json();
    assert_eq!(other["roots"][0]["path"], "all-1.txt");
    assert_eq!(service.end().await, Ending::Idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_waiting_it_is_202_and_says_where_to_look() {
    let service = Service::start(open()).await;
    let answer = service.ask("POST", "/?wait=false", "").await;
    assert_eq!(answer.status, 202);
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(answer.json()["location"], location);
    let mut listener = service.listen(&[]).await;
    let run = service.get(&location).await.json();
    assert_eq!(
        (&run["state"], run["run"].as_str().unwrap()),
        (&json!("running"), &location[6..])
    );
    service.gate.open();
    listener.run("complete").await;
    let run = service.get(&location).await;
    assert_eq!(
        (run.status, run.json()["state"].clone()),
        (200, json!("complete"))
    );
    // The run log knows it by the same name, as another process would read it.
    let past = service.workspace.runs().await.unwrap();
    assert_eq!(format!("/runs/{}", past[0].run), location);
    let listed = service.get("/runs").await.json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 1, "{listed}");
    let other = Service::on(open(), service.workspace.clone()).await;
    let run = other.get(&location).await.json();
    assert_eq!(
        (&run["state"], &run["counts"]["ran"]),
        (&json!("complete"), &json!(4))
    );
    assert_eq!(
        other.get("/runs").await.json()["runs"][0]["run"],
        location[6..]
    );
    other.end().await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_is_503_with_what_is_left() {
    let service = Service::start(open()).await;
    let answer = service
        .ask_with("POST", "/", &[("X-Kart-Deadline", "0.5")], "")
        .await;
    let json = assert_refused(&answer, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(json["state"], "interrupted");
    assert_eq!(json["left"].as_array().unwrap().len(), 4, "{json}");
    assert_eq!(service.end().await, Ending::Idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_500_and_permanent_ones_are_acknowledged_if_asked_for() {
    let service = Service::start(open()).await;
    let answer = service
        .ask("POST", "/run/Broken", "{\"is_permanent\": false}")
        .await;
    let json = assert_refused(&answer, 500);
    assert_eq!(json["failures"][0]["permanent"], false);
    assert_eq!(json["failures"][0]["params"]["password"], "***");
    assert_eq!(json["failures"][0]["error"], "refused with password ***");
    assert!(!answer.text().contains("hunter2"), "{json}");
    let permanent = service
        .ask("POST", "/run/Broken", "{\"is_permanent\": true}")
        .await;
    assert_refused(&permanent, 500);
    service.end().await;

    let mut settings = open();
    settings.ack_permanent = true;
    let service = Service::start(settings).await;
    let answer = service
        .ask("POST", "/run/Broken", "{\"is_permanent\": true}")
        .await;
    let json = answer.json();
    assert_eq!(answer.status, 200);
    assert_eq!(
        (&json["state"], &json["failures"][0]["permanent"]),
        (&json!("failed"), &json!(true))
    );
    assert_refused(
        &service
            .ask("POST", "/run/Broken", "{\"is_permanent\": false}")
            .await,
        500,
    );
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_has_is_409_and_503_for_a_queue() {
    let mut settings = open();
    settings.token = Some("t".into());
    let service = Service::start(settings).await;
    let heartbeat = claim_from_afar(&service.workspace, All { n: 3 }.key()).await;
    let token = ("Authorization", "Bearer t");
    let answer = service.ask_with("POST", "/", &[token], "").await;
    let json = assert_refused(&answer, 409);
    assert_eq!(json["owner"]["what"], "All { n: 3 }");
    assert_eq!(answer.header("retry-after"), Some("10"));
    let queue = ("X-CloudTasks-QueueName", "q");
    let answer = service.ask_with("POST", "/", &[token, queue], "").await;
    assert_refused(&answer, 503);
    assert!(answer.header("retry-after").is_some());
    heartbeat.abort();
    service.gate.open();
    service.end().await;
}

/// A claim of a process on another machine, whose heartbeat goes on until the result is aborted.
async fn claim_from_afar(workspace: &Workspace, key: Key) -> JoinHandle<()> {
    let record = format!(
        r#"{{"process":"{:032x}","nonce":"{:032x}","host":"afar","pid":7,"run":"r","since":{{"secs_since_epoch":1,"nanos_since_epoch":0}},"what":"All {{ n: 3 }}"}}"#,
        5, 6
    );
    let claim = format!("_kart/claims/{key}/1");
    workspace.replace(&claim, record.into()).await.unwrap();
    let liveness = format!("_kart/workers/{:032x}", 5);
    workspace.replace(&liveness, "0".into()).await.unwrap();
    let workspace = workspace.clone();
    tokio::spawn(async move {
        for beat in 1_u32.. {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let beat = beat.to_string();
            workspace.replace(&liveness, beat.into()).await.unwrap();
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_400_and_names_what_is_wrong() {
    let service = Service::start(open()).await;
    for (path, body, param) in [
        ("/", "{\"n\": \"many\"}", Some("n")),
        ("/", "{\"m\": 1}", Some("m")),
        ("/run/Quick", "", Some("n")),
        ("/run/Unit", "{\"name\": 7}", Some("name")),
        ("/", "{\"n\": 1", None),
        ("/", "[1]", None),
        ("/", "\u{1}", None),
        ("/?wait=maybe", "", None),
        ("/?n=1", "", None),
        ("/run/%ff", "", None),
    ] {
        let json = assert_refused(&service.ask("POST", path, body).await, 400);
        assert_eq!(json["param"].as_str(), param, "{path} {body} {json}");
    }
    for header in [
        ("X-Kart-Deadline", "soon"),
        ("X-Kart-Deadline", "0"),
        ("X-Kart-Attempt", "-1"),
    ] {
        assert_refused(&service.ask_with("POST", "/", &[header], "").await, 400);
    }
    assert_refused(&service.get("/plan/All?n=x").await, 400);
    assert_refused(&service.get("/plan?n=1").await, 400);
    assert_refused(&service.get("/plan/All?n=1&n=2").await, 400);
    assert_refused(&service.get("/plan/Rate?rate=NaN").await, 400);
    assert_refused(&service.get("/runs?last=few").await, 400);
    assert_refused(
        &service
            .ask_with("GET", "/events", &[("Last-Event-ID", "x")], "")
            .await,
        400,
    );
    assert_eq!(service.gate.begun(), Vec::<String>::new());
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_404_and_what_is_not_allowed_403() {
    let service = Service::start(open()).await;
    for path in [
        "/nothing",
        "/runs/1",
        "/runs/018f0000-0000-7000-8000-000000000000",
        "/plan/Nothing",
    ] {
        assert_refused(&service.get(path).await, 404);
    }
    assert_refused(&service.ask("POST", "/run/Nothing", "").await, 404);
    assert_refused(
        &service.ask("POST", "/run/common/tasks/Hidden", "").await,
        403,
    );
    assert_refused(&service.ask("POST", "/run/Hidden", "").await, 403);
    assert_refused(&service.get("/plan/Hidden").await, 403);
    service.end().await;
    let mut settings = settings();
    settings.allow = Allow::All;
    let service = Service::start(settings).await;
    assert_eq!(service.ask("POST", "/run/Hidden", "").await.status, 200);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_starts_nothing_and_other_methods_are_405() {
    let service = Service::start(open()).await;
    let answer = service.get("/run/All").await;
    assert_refused(&answer, 405);
    assert_eq!(answer.header("allow"), Some("POST"));
    for path in [
        "/runs",
        "/plan",
        "/graph",
        "/events",
        "/metrics",
        "/healthz",
        "/artifacts/x",
    ] {
        let answer = service.ask("POST", path, "").await;
        assert_refused(&answer, 405);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    for path in [
        "/", "/plan", "/graph", "/runs", "/metrics", "/readyz", "/healthz",
    ] {
        assert_eq!(service.get(path).await.status, 200, "{path}");
        assert_eq!(service.ask("HEAD", path, "").await.body, b"", "{path}");
    }
    assert_eq!(service.get("/runs").await.json(), json!({"runs": []}));
    assert_eq!(service.workspace.requests().write, 0);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_413_429_or_431() {
    let mut settings = open();
    settings.max_runs = 1;
    let service = Service::start(settings).await;
    let large = format!("{{\"n\": {}1}}", " ".repeat(1 << 20));
    assert_refused(&service.ask("POST", "/", &large).await, 413);
    assert_eq!(service.ask("POST", "/?wait=false", "").await.status, 202);
    let answer = service.ask("POST", "/", "{\"n\": 2}").await;
    assert_refused(&answer, 429);
    assert!(answer.header("retry-after").is_some());
    // Who asks for the same joins, and is not one more.
    assert_eq!(service.ask("POST", "/?wait=false", "").await.status, 202);
    let long = "x".repeat(64 << 10);
    assert_eq!(
        service
            .ask_with("GET", "/", &[("X-Long", &long)], "")
            .await
            .status,
        431
    );
    service.gate.open();
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_in_time_is_408() {
    let mut settings = open();
    settings.read_timeout = Duration::from_millis(200);
    let service = Service::start(settings).await;
    let slow =
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{";
    assert_refused(&common::send(service.address, slow).await, 408);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_does_not_answer_is_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    // A file stands where the directory would be.
    let path = directory.path().join("workspace");
    std::fs::write(&path, "").unwrap();
    let service = Service::on(open(), Workspace::open(&path).unwrap()).await;
    assert_eq!(service.get("/healthz").await.status, 200);
    assert_refused(&service.get("/readyz").await, 503);
    assert_refused(&service.ask("POST", "/", "").await, 503);
    service.end().await;
}
