//! What can be looked at: plans, tasks, figures.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::{Service, assert_refused, settings};
use kart::{BoxError, TaskExt as _, Workspace, task};
use kart_serve::{Allow, Settings};
use serde_json::{Map, json};

fn open() -> Settings {
    let mut settings = settings();
    let names = ["Quick", "Broken", "Unit", "Rate"]
        .map(|name| format!("common/tasks/{name}"))
        .to_vec();
    settings.allow = Allow::Named(names);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_and_graphs_say_what_would_run() {
    let service = Service::start(open()).await;
    let plan = service.get("/plan").await.json();
    assert_eq!((&plan["tasks"], &plan["runs"]), (&json!(4), &json!(4)));
    assert_eq!(plan["would_run"][0]["path"], "all-3.txt");
    let plan = service.get("/plan/All?n=5").await.json();
    assert_eq!(plan["tasks"], 6);
    let graph = service.get("/graph/All?n=2").await.json();
    assert_eq!(graph["tasks"][0]["requires"], json!([1, 2]));
    assert_eq!(graph["roots"], json!([0]));
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_told_as_prometheus_reads_them() {
    let service = Service::start(open()).await;
    service.gate.open();
    service.ask("POST", "/", "").await;
    service
        .ask("POST", "/run/Broken", "{\"is_permanent\": true}")
        .await;
    let answer = service.get("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let text = answer.text();
    for line in [
        "kart_tasks_total{outcome=\"ran\"} 4",
        "kart_tasks_total{outcome=\"failed\"} 1",
        "kart_attempt_duration_seconds_count 5",
        "kart_attempt_duration_seconds_bucket{le=\"+Inf\"} 5",
        "kart_runs_total{state=\"complete\"} 1",
        "kart_runs_total{state=\"failed\"} 1",
        "kart_runs_running 0",
        "kart_attempts_running 0",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    assert!(text.contains("kart_build_info{version="));
    assert!(text.contains("kart_store_requests_total{kind=\"write\"}"));
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_forbids_what_the_page_does_not_need() {
    let service = Service::start(open()).await;
    for path in [
        "/",
        "/page.js",
        "/page.css",
        "/runs",
        "/nothing",
        "/healthz",
        "/artifacts/none",
    ] {
        let answer = service.get(path).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_about_a_task_is_told_by_its_key() {
    let service = Service::start(open()).await;
    let waiting = service.begin("POST", "/", &[], "");
    service.gate.until(3).await;
    let id = service.get("/runs").await.json()["runs"][0]["run"]
        .as_str()
        .unwrap()
        .to_owned();
    let run = service.get(&format!("/runs/{id}")).await.json();
    let key = run["running"][0]["key"].as_str().unwrap().to_owned();
    let task = service.get(&format!("/tasks/{key}")).await.json();
    assert_eq!(
        (&task["running"]["attempt"], &task["attempts"]),
        (&json!(1), &json!([]))
    );
    service.gate.open();
    assert_eq!(waiting.await.unwrap().status, 200);
    let task = service.get(&format!("/tasks/{key}")).await.json();
    assert_eq!(
        (&task["name"], &task["attempts"][0]["outcome"]),
        (&json!("common/tasks/Unit"), &json!("ran"))
    );
    assert!(
        task["preview"].as_str().unwrap().ends_with(" is done\n"),
        "{task}"
    );
    assert_eq!(task["attempts"][0]["run"], id);
    // What the log says of a task with a secret may quote it.
    let failed = service
        .ask("POST", "/run/Broken", "{\"is_permanent\": true}")
        .await
        .json();
    let key = failed["failures"][0]["key"].as_str().unwrap();
    let answer = service.get(&format!("/tasks/{key}")).await;
    assert!(
        answer.status == 200 && !answer.text().contains("hunter2"),
        "{}",
        answer.text()
    );
    for unknown in ["x", "../runs", "00000000000000000000000000000000"] {
        assert_refused(&service.get(&format!("/tasks/{unknown}")).await, 404);
    }
    service.end().await;
}

static DAY: AtomicU64 = AtomicU64::new(1);

/// A root whose default is another at each time, as that of a date is.
#[task]
async fn nightly(
    #[param(default = DAY.fetch_add(1, Ordering::Relaxed))] day: u64,
    part: u32,
) -> Result<u64, BoxError> {
    Ok(day + u64::from(part))
}

#[tokio::test]
async fn a_default_is_found_anew_for_each_run_of_the_root() {
    let workspace = Workspace::open("memory://").unwrap();
    let given = Map::from_iter([("part".to_owned(), 7.into())]);
    let service = Service::of(settings(), workspace, Nightly::spec(), given).await;
    for _ in 0..2 {
        let answer = service.ask("POST", "/", "").await.json();
        assert_eq!(answer["counts"]["ran"], 1, "{answer}");
    }
    let answer = service.ask("POST", "/", "{\"day\": 3000}").await.json();
    assert_eq!(answer["counts"]["ran"], 1, "{answer}");
    service.end().await;
}
