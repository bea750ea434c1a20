//! Events: in order, resumable, and honest about what is missing.

mod common;

use common::{Service, settings};

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_is_told_how_things_stand_and_then_what_happens() {
    let service = Service::start(settings()).await;
    let running = service.begin("POST", "/", &[], "");
    service.gate.until(3).await;
    let mut listener = service.listen(&[]).await;
    let snapshot = listener.next().await;
    assert_eq!(snapshot.kind, "snapshot");
    let run = &snapshot.data["runs"][0];
    assert_eq!(
        (run["state"].as_str(), run["under_way"].as_u64()),
        (Some("running"), Some(3))
    );
    let families = run["families"].as_array().unwrap();
    let family = |name: &str| {
        families
            .iter()
            .find(|family| family["name"] == name)
            .unwrap()
    };
    assert_eq!(family("common/tasks/Unit")["missing"], 3);
    assert_eq!(family("common/tasks/All")["tasks"], 1);
    service.gate.open();
    let done = listener
        .until(|heard| heard.data["event"] == "finished")
        .await;
    assert_eq!(
        (done.kind.as_str(), &done.data["run"]),
        ("task", &run["run"])
    );
    let end = listener.run("complete").await;
    assert_eq!(end["counts"]["ran"], 4, "{end}");
    assert_eq!(running.await.unwrap().status, 200);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_goes_on_where_the_connection_broke() {
    let service = Service::start(settings()).await;
    service.gate.open();
    let mut listener = service.listen(&[]).await;
    let snapshot = listener.next().await.id.unwrap();
    service.ask("POST", "/", "").await;
    let mut ids = vec![snapshot];
    loop {
        let heard = listener.next().await;
        ids.push(heard.id.unwrap());
        if heard.data["state"] == "complete" {
            break;
        }
    }
    assert!(ids.windows(2).all(|two| two[1] == two[0] + 1), "{ids:?}");
    drop(listener);
    let middle = ids[ids.len() / 2];
    let mut again = service
        .listen(&[("Last-Event-ID", &middle.to_string())])
        .await;
    for id in ids.iter().filter(|id| **id > middle) {
        assert_eq!(again.next().await.id, Some(*id));
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_for_too_long_is_told_what_is_missing_and_goes_on() {
    let mut settings = settings();
    settings.kept_events = 2;
    let service = Service::start(settings).await;
    let mut listener = service.listen(&[]).await;
    let first = listener.next().await.id.unwrap();
    service.gate.open();
    service.ask("POST", "/", "").await;
    let last = service.get("/runs").await.json();
    assert_eq!(last["runs"][0]["state"], "complete");
    let mut again = service
        .listen(&[("Last-Event-ID", &first.to_string())])
        .await;
    let missed = again.next().await;
    assert_eq!(missed.kind, "missed");
    assert!(missed.data["missed"].as_u64().unwrap() > 0);
    assert_eq!(again.next().await.kind, "snapshot");
    assert!(again.next().await.id.unwrap() > first);
    again.run("complete").await;
    // An id of another process, of before or of a clock that has been set back, is told so too.
    for strange in ["1", "9007199254740991"] {
        let mut listener = service.listen(&[("Last-Event-ID", strange)]).await;
        assert_eq!(listener.next().await.kind, "missed");
        assert_eq!(listener.next().await.kind, "snapshot");
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_go_on_after_a_restart() {
    let service = Service::start(settings()).await;
    service.gate.open();
    service.ask("POST", "/", "").await;
    let before = service.listen(&[]).await.next().await.id.unwrap();
    let workspace = service.workspace.clone();
    service.end().await;
    let service = Service::on(settings(), workspace).await;
    let mut listener = service
        .listen(&[("Last-Event-ID", &before.to_string())])
        .await;
    assert_eq!(listener.next().await.kind, "missed");
    assert!(listener.next().await.id.unwrap() > before);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_great_many_tasks_are_told_in_few_events() {
    let service = Service::start(settings()).await;
    service.gate.open();
    let mut listener = service.listen(&[]).await;
    let answer = service.ask("POST", "/", "{\"n\": 3000}").await.json();
    assert_eq!(answer["counts"]["ran"], 3001);
    let (mut tasks, mut untold) = (0, 0);
    loop {
        let heard = listener.next().await;
        assert_ne!(heard.kind, "missed");
        tasks += u64::from(heard.kind == "task");
        untold += heard.data["untold"].as_u64().unwrap_or_default();
        if heard.data["state"] == "complete" {
            assert_eq!(heard.data["families"].as_array().unwrap().len(), 2);
            break;
        }
    }
    assert_eq!(tasks + untold, 6002, "each is told, or counted");
    assert!(tasks < 3000, "{tasks}");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_told_what_was_missed_and_holds_up_nobody() {
    let mut settings = settings();
    settings.kept_events = 8;
    settings.allow = kart_serve::Allow::All;
    let service = Service::start(settings).await;
    service.gate.open();
    let mut listener = service.listen(&[]).await;
    // More than the system keeps for a reader who does not come.
    for n in 0..1000 {
        let answer = service
            .ask("POST", "/run/Chatty", &format!("{{\"n\": {n}}}"))
            .await;
        assert_eq!(answer.status, 500);
    }
    let missed = listener.until(|heard| heard.kind == "missed").await;
    assert!(missed.data["missed"].as_u64().unwrap() > 0);
    assert_eq!(listener.next().await.kind, "snapshot");
    service.ask("POST", "/", "").await;
    listener
        .until(|heard| heard.data["root"] == "All { n: 3 }" && heard.data["state"] == "complete")
        .await;
    service.end().await;
}
