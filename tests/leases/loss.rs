//! Leases that are lost, and stores that do not do as the protocol needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use kart::{Context, Coordination, Outcome, RunError, TaskExt as _, task};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::common::{Faulty, Hooked, Log, Metadata, memory, objects};
use crate::{SECOND, Unit, all_objects, runner, started};

/// Never ends by itself.
#[task]
async fn endless(#[context] cx: &Context, #[resource] log: &Log) -> kart::Result<u64> {
    log.note("begun");
    tokio::time::sleep(1000 * SECOND).await;
    log.note(format!("ended, stopping: {}", cx.is_stopping()));
    Ok(1)
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_heartbeat_fails_drops_what_it_runs() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let workspace = Faulty::workspace(move |operation, path| {
        operation == "put" && path.contains("workers") && failing.load(Ordering::SeqCst)
    });
    let log = Log::default();
    let (first, has_started) = started(runner(&workspace, &log).ttl(30 * SECOND));
    let first = tokio::spawn(async move { first.run(Endless).await });
    has_started.notified().await;
    fails.store(true, Ordering::SeqCst);
    let began = tokio::time::Instant::now();
    let error = first.await.unwrap().unwrap_err();
    let lost = began.elapsed();
    assert!(lost <= 20 * SECOND && lost > 10 * SECOND, "{lost:?}");
    let RunError::Interrupted(report) = error else {
        panic!("{error:#}");
    };
    assert!(matches!(
        report.outcome(&Endless),
        Some(Outcome::Interrupted(_))
    ));
    assert_eq!(log.all(), ["begun"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_heartbeat_gets_no_answer_stops_at_the_moment_of_the_loss() {
    let hangs = Arc::new(AtomicBool::new(false));
    let hanging = Arc::clone(&hangs);
    let workspace = Hooked::workspace(&Arc::default(), move |operation, path| {
        if operation == "put" && path.contains("workers") && hanging.load(Ordering::SeqCst) {
            return std::future::pending().boxed();
        }
        std::future::ready(()).boxed()
    });
    let log = Log::default();
    let (first, has_started) = started(runner(&workspace, &log).ttl(30 * SECOND));
    let first = tokio::spawn(async move { first.run(Endless).await });
    has_started.notified().await;
    hangs.store(true, Ordering::SeqCst);
    let began = tokio::time::Instant::now();
    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::Interrupted(_)), "{error:#}");
    // Two thirds of the ttl after the first heartbeat.
    let lost = began.elapsed();
    assert!(lost <= 20 * SECOND && lost > 19 * SECOND, "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_during_a_heartbeat_leaves_no_liveness_behind() {
    let workspace = Hooked::workspace(&Arc::default(), |operation, path| {
        let is_heartbeat = operation == "put" && path.contains("workers");
        let time = if is_heartbeat { 2 } else { 0 };
        tokio::time::sleep(time * SECOND).boxed()
    });
    let log = Log::default();
    // The body runs from 2 s to 3 s, and the second heartbeat is under way from 2.5 s to 4.5 s.
    let run = runner(&workspace, &log).ttl(15 * SECOND / 2);
    run.run(Unit { n: 1 }).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(all_objects(&workspace).await, Vec::<String>::new());
}

#[task(path = "latest.txt", format = kart::format::Text)]
async fn latest(text: String, #[resource] log: &Log) -> kart::Result<String> {
    log.note("begun");
    tokio::time::sleep(25 * SECOND).await;
    Ok(text)
}

#[task]
async fn keyed(#[resource] log: &Log) -> kart::Result<usize> {
    log.note("begun");
    tokio::time::sleep(25 * SECOND).await;
    Ok(log.all().len())
}

/// Makes another process take all claims over but those on `spared`, while a run that started beforehand continues.
async fn take_over(workspace: &kart::Workspace, spared: Option<kart::Key>) {
    let mut claims = workspace.list("_kart/claims").await.unwrap();
    claims.retain(|claim| spared.is_none_or(|spared| !claim.contains(&spared.to_string())));
    assert!(!claims.is_empty());
    for claim in claims {
        let next = format!("{}/2", claim.strip_suffix("/1").unwrap());
        workspace.replace(&next, "another's".into()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_output_without_a_key_replaces_no_other_after_a_takeover() {
    for was_there in [true, false] {
        let (workspace, log) = (memory(), Log::default());
        let newer = latest_of("newer");
        let runs = runner(&workspace, &log).ttl(30 * SECOND);
        let other = runs.clone().coordination(Coordination::None);
        let task = newer.clone();
        let other = tokio::spawn(async move { other.run(task).await });
        // It takes 25 seconds.
        tokio::time::sleep(if was_there { 30 } else { 5 } * SECOND).await;
        let (run, has_started) = started(runs.clone());
        let run = tokio::spawn(async move { run.run(latest_of("old")).await });
        has_started.notified().await;
        take_over(&workspace, None).await;
        other.await.unwrap().unwrap();
        assert!(run.await.unwrap().is_err());
        assert_eq!(newer.load(&workspace).await.unwrap(), "newer");
    }
}

fn latest_of(text: &str) -> Latest {
    Latest {
        text: text.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_metadata_is_kept_a_path_is_not_written_after_it_was_taken_over_alone() {
    let workspace = Faulty::keeping(Metadata::Refused, |_, _| false);
    let log = Log::default();
    runner(&workspace, &log)
        .run(latest_of("older"))
        .await
        .unwrap();
    log.take();
    let run = runner(&workspace, &log).ttl(30 * SECOND);
    let latest = latest_of("old");
    let root = latest.key();
    let run = tokio::spawn(async move { run.run(latest).await });
    while log.all().is_empty() {
        tokio::task::yield_now().await;
    }
    take_over(&workspace, Some(root)).await;
    assert!(run.await.unwrap().is_err());
    let older = latest_of("older").load(&workspace).await;
    assert_eq!(older.unwrap(), "older");
}

#[tokio::test(start_paused = true)]
async fn a_rerun_does_not_replace_an_output_after_a_takeover() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Keyed).await.unwrap();
    let again = runner(&workspace, &log).ttl(30 * SECOND).rerun("Keyed");
    let (run, has_started) = started(again);
    let run = tokio::spawn(async move { run.run(Keyed).await });
    has_started.notified().await;
    take_over(&workspace, None).await;
    assert!(run.await.unwrap().is_err());
    assert_eq!(Keyed.load(&workspace).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shared_run_that_lost_its_leases_starts_again_under_another_id() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let workspace = Faulty::workspace(move |operation, path| {
        operation == "put" && path.contains("workers") && failing.load(Ordering::SeqCst)
    });
    let log = Log::default();
    let shared = runner(&workspace, &log)
        .ttl(30 * SECOND)
        .coordination(Coordination::Shared);
    let (shared, has_started) = started(shared);
    let run = tokio::spawn(async move { shared.run(Endless).await });
    has_started.notified().await;
    fails.store(true, Ordering::SeqCst);
    tokio::time::sleep(25 * SECOND).await;
    fails.store(false, Ordering::SeqCst);
    let report = run.await.unwrap().unwrap();
    assert_eq!(report.counts().ran, 1);
    assert_eq!(log.all(), ["begun", "begun", "ended, stopping: false"]);
}

#[tokio::test]
async fn a_store_that_does_not_support_create_only_writes_is_refused() {
    let workspace = Faulty::overwriting();
    let log = Log::default();
    let error = runner(&workspace, &log)
        .run(Unit { n: 1 })
        .await
        .unwrap_err();
    let story = format!("{error:#}");
    assert!(
        story.contains("does not support create-only writes"),
        "{story}"
    );
    assert!(story.contains("Coordination::None"), "{story}");
    assert!(log.all().is_empty());
    let alone = runner(&workspace, &log).coordination(Coordination::None);
    alone.run(Unit { n: 1 }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_takeover_right_after_the_first_heartbeat_says_nothing_about_the_store() {
    let inner = Arc::new(InMemory::new());
    let (store, is_first) = (Arc::clone(&inner), AtomicBool::new(true));
    let workspace = Hooked::workspace(&inner, move |operation, path| {
        let is_probe = operation == "create" && path.contains("workers");
        if !is_probe || !is_first.swap(false, Ordering::SeqCst) {
            return std::future::ready(()).boxed();
        }
        // The process stands still; another calls it dead and deletes its liveness.
        let store = Arc::clone(&store);
        async move { store.delete(&Path::from(path)).await.unwrap() }.boxed()
    });
    let log = Log::default();
    for n in 1..=2 {
        runner(&workspace, &log).run(Unit { n }).await.unwrap();
    }
    let left = objects(&workspace).await;
    assert!(
        left.iter().all(|(path, _)| !path.starts_with("_kart")),
        "{left:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_longest_ttl_runs_like_any_other() {
    for coordination in [Coordination::Exclusive, Coordination::Shared] {
        let (workspace, log) = (memory(), Log::default());
        let run = runner(&workspace, &log).ttl(Duration::MAX);
        let run = run.coordination(coordination).wait(Duration::MAX);
        run.run(Unit { n: 1 }).await.unwrap();
        assert_eq!(all_objects(&workspace).await, Vec::<String>::new());
    }
}
