//! What a page draws of a run: its graph, sent once, and what changes in it.

mod common;

use std::sync::Arc;

use common::{Service, assert_refused, settings};
use kart::{TaskExt as _, Workspace};
use kart_serve::{Allow, LogLine, LogLines, Settings};
use serde_json::{Value as Json, json};

fn open() -> Settings {
    let mut settings = settings();
    settings.allow = Allow::All;
    settings
}

async fn newest(service: &Service) -> String {
    let runs = service.get("/runs").await.json();
    runs["runs"][0]["run"].as_str().unwrap().to_owned()
}

async fn changes(service: &Service, run: &str, since: u64) -> Json {
    let path = format!("/runs/{run}/changes?since={since}");
    service.get(&path).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_is_sent_once_and_then_what_becomes_of_its_tasks() {
    let service = Service::start(open()).await;
    let waiting = service.begin("POST", "/", &[], "");
    service.gate.until(3).await;
    let run = newest(&service).await;
    let answer = service.get(&format!("/runs/{run}/graph")).await;
    let etag = answer.header("etag").unwrap().to_owned();
    let graph = answer.json();
    assert_eq!(graph["roots"], json!([0]));
    assert_eq!(graph["tasks"]["label"][1], "Unit { name: \"u0\" }");
    assert_eq!(graph["tasks"]["requires"][0], json!([1, 2, 3]));
    let again = service
        .ask_with(
            "GET",
            &format!("/runs/{run}/graph"),
            &[("If-None-Match", &etag)],
            "",
        )
        .await;
    assert_eq!((again.status, again.body.len()), (304, 0));

    let first = changes(&service, &run, 0).await;
    assert_eq!(
        (&first["outcome"], &first["tasks"]),
        (&json!("lppp"), &json!(4))
    );
    let attempt = &first["attempts"][0][1];
    assert_eq!((&attempt[3], &attempt[4]), (&Json::Null, &json!("p")));
    service.gate.open();
    assert_eq!(waiting.await.unwrap().status, 200);
    let next = first["next"].as_u64().unwrap();
    let rest = changes(&service, &run, next).await;
    let outcomes = json!([[0, "r"], [1, "r"], [2, "r"], [3, "r"]]);
    assert_eq!(
        (&rest["outcome"], &rest["outcomes"]),
        (&Json::Null, &outcomes)
    );
    assert_eq!(rest["attempts"].as_array().unwrap().len(), 4);
    // A number of another process.
    let whole = changes(&service, &run, 1_000_000).await;
    assert_eq!(
        (&whole["since"], &whole["outcome"]),
        (&json!(0), &json!("rrrr"))
    );
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_hear_of_changes_one_after_the_other() {
    let service = Service::start(open()).await;
    let mut listener = service.listen(&[]).await;
    service.gate.open();
    service.ask("POST", "/", "").await;
    let mut next = 0;
    loop {
        let heard = listener.next().await;
        if heard.kind == "changes" {
            assert_eq!(heard.data["since"], next);
            next = heard.data["next"].as_u64().unwrap();
        } else if heard.data["state"] == "complete" {
            break;
        }
    }
    let run = newest(&service).await;
    assert_eq!(changes(&service, &run, 0).await["next"], next);
    // What is much is not told, but that there is something to ask for.
    service.ask("POST", "/", "{\"n\": 1000}").await;
    let much = |heard: &common::Heard| heard.data["next"].as_u64() > Some(1000);
    let heard = listener.until(much).await;
    assert_eq!(heard.data["outcomes"], Json::Null, "{}", heard.data);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_bodies_ask_for_come_to_the_graph() {
    let service = Service::start(open()).await;
    service.ask("POST", "/run/Asking", "{\"n\": 7}").await;
    let run = newest(&service).await;
    let graph = service.get(&format!("/runs/{run}/graph")).await.json();
    assert_eq!(graph["tasks"]["label"][1], "Quick { n: 7 }");
    let changes = changes(&service, &run, 0).await;
    assert_eq!(
        (&changes["outcome"], &changes["tasks"]),
        (&json!("rr"), &json!(2))
    );
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_process_is_drawn_from_the_log() {
    let workspace = Workspace::open("memory://").unwrap();
    let service = Service::on(open(), workspace.clone()).await;
    service.gate.open();
    service.ask("POST", "/", "{\"n\": 2}").await;
    common::All { n: 2 }.remove(&workspace).await.unwrap();
    service.ask("POST", "/", "{\"n\": 2}").await;
    service
        .ask("POST", "/run/Broken", "{\"is_permanent\": true}")
        .await;
    service.end().await;

    let service = Service::on(open(), workspace).await;
    let runs = service.get("/runs").await.json();
    let id = |n: usize| runs["runs"][n]["run"].as_str().unwrap();
    let whole = changes(&service, id(2), 0).await;
    assert_eq!(
        (&whole["outcome"], &whole["tasks"]),
        (&json!("rrr"), &json!(3))
    );
    // What it found complete is known from the run before.
    let path = format!("/runs/{}/graph", id(1));
    let graph = service.get(&path).await.json();
    assert_eq!(graph["tasks"]["requires"][0].as_array().unwrap().len(), 2);
    assert_eq!(changes(&service, id(1), 0).await["outcome"], "rcc");
    let failed = service
        .get(&format!("/runs/{}/changes", id(0)))
        .await
        .text();
    assert!(
        failed.contains("\"f\"") && !failed.contains("hunter2"),
        "{failed}"
    );
    assert_refused(&service.get("/runs/x/graph").await, 404);
    assert_refused(&service.get("/runs/x/changes").await, 404);
    assert_refused(
        &service
            .get(&format!("/runs/{}/changes?since=x", id(0)))
            .await,
        400,
    );
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_kept_is_sent_once() {
    let service = Service::start(open()).await;
    for path in ["/", "/page.js", "/page.css", "/graph"] {
        let answer = service.get(path).await;
        let etag = answer.header("etag").unwrap_or_else(|| panic!("{path}"));
        let known = format!("W/\"other\", {etag}");
        let again = service
            .ask_with("GET", path, &[("If-None-Match", &known)], "")
            .await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), Some(etag), "{path}");
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_unpack_gets_less() {
    let service = Service::start(open()).await;
    service.gate.open();
    service.ask("POST", "/", "{\"n\": 100}").await;
    let path = format!("/runs/{}/graph", newest(&service).await);
    let whole = service.get(&path).await;
    assert_eq!(whole.header("content-encoding"), None);
    let accept = [("Accept-Encoding", "br, gzip;q=0.8")];
    let packed = service.ask_with("GET", &path, &accept, "").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < whole.body.len());
    assert_eq!(packed.body[..2], [0x1f, 0x8b]);
    let accept = [("Accept-Encoding", "gzip;q=0")];
    let refused = service.ask_with("GET", &path, &accept, "").await;
    assert_eq!(refused.body, whole.body);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_body_logs_is_told_without_its_secrets() {
    let lines = Arc::new(LogLines::default());
    let mut settings = open();
    settings.lines = Some(Arc::clone(&lines));
    let service = Service::start(settings).await;
    let broken = common::Broken {
        is_permanent: true,
        password: "hunter2-secret".to_owned(),
    };
    let log = |text: &str| {
        lines.push(LogLine {
            task: "common/tasks/Broken".to_owned(),
            key: broken.key(),
            attempt: 1,
            level: "INFO",
            text: text.to_owned(),
        });
    };
    // Before an attempt of it has begun its secrets are not known.
    log("with hunter2-secret");
    service
        .ask("POST", "/run/Broken", "{\"is_permanent\": true}")
        .await;
    log("again with hunter2-secret");
    let path = format!("/tasks/{}/log", broken.key());
    let told = service.get(&path).await.json();
    let texts = ["***", "again with ***"];
    assert_eq!(
        (&told["lines"][0]["text"], &told["lines"][1]["text"]),
        (&json!(texts[0]), &json!(texts[1]))
    );
    assert_eq!(told["lines"][0]["level"], "INFO");
    let none = service
        .get("/tasks/00000000000000000000000000000000/log")
        .await;
    assert_eq!(none.json()["lines"], json!([]));
    assert_refused(&service.get("/tasks/x/log").await, 404);
    service.end().await;
}
