//! Runs that meet on one workspace: who runs what, who waits, and who takes over.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Faulty, Log, memory, since};
use kart::{
    Context, Coordination, Event, Outcome, Report, RunError, Runner, TaskExt, Workspace, task,
};
use tokio::sync::Notify;

const SECOND: Duration = Duration::from_secs(1);

#[task]
async fn unit(n: u64, #[resource] log: &Log) -> kart::Result<u64> {
    log.note(format!("unit {n}"));
    tokio::time::sleep(SECOND).await;
    Ok(n)
}

#[task]
async fn sum(#[requires((0..40).map(|n| Unit { n }))] units: Vec<u64>) -> kart::Result<u64> {
    Ok(units.iter().sum())
}

fn runner(workspace: &Workspace, log: &Log) -> Runner {
    Runner::new(workspace)
        .run_log(false)
        .workers(4)
        .resource(log.clone())
}

/// A runner, and what is told when its first task has started.
fn started(runner: Runner) -> (Runner, Arc<Notify>) {
    let started = Arc::new(Notify::new());
    let tell = Arc::clone(&started);
    let runner = runner.on_event(move |event| {
        if matches!(event, Event::Started { .. }) {
            tell.notify_one();
        }
    });
    (runner, started)
}

async fn all_objects(workspace: &Workspace) -> Vec<String> {
    workspace.list("_kart").await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_second_run_of_the_root_is_busy_and_says_with_whom() {
    let (workspace, log) = (memory(), Log::default());
    let (first, has_started) = started(runner(&workspace, &log));
    let first = tokio::spawn(async move { first.run(Sum).await });
    has_started.notified().await;

    let error = runner(&workspace, &log).run(Sum).await.unwrap_err();
    let RunError::AlreadyRunning(owner) = &error else {
        panic!("{error:#}");
    };
    assert_eq!(owner.pid, std::process::id());
    assert_eq!(owner.what, "Sum");
    let story = error.to_string();
    assert!(story.starts_with("busy: process "), "{story}");
    assert!(story.contains(" runs Sum since "), "{story}");
    // Another root is nobody's.
    runner(&workspace, &log).run(Unit { n: 99 }).await.unwrap();

    first.await.unwrap().unwrap();
    assert_eq!(log.all().len(), 41);
    assert_eq!(all_objects(&workspace).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_run_may_wait_for_its_turn_and_then_runs_nothing_that_is_done() {
    let (workspace, log) = (memory(), Log::default());
    let (first, has_started) = started(runner(&workspace, &log));
    let first = tokio::spawn(async move { first.run(Sum).await });
    has_started.notified().await;

    let impatient = runner(&workspace, &log).wait(SECOND).run(Sum).await;
    assert!(matches!(impatient, Err(RunError::AlreadyRunning(_))));
    let report = runner(&workspace, &log)
        .wait(60 * SECOND)
        .run(Sum)
        .await
        .unwrap();
    assert_eq!((report.counts().complete, report.counts().ran), (1, 0));
    first.await.unwrap().unwrap();
    assert_eq!(log.all().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn runs_that_share_the_work_do_each_task_once_and_all_see_every_output() {
    let (workspace, log) = (memory(), Log::default());
    let shared = runner(&workspace, &log).coordination(Coordination::Shared);
    let began = tokio::time::Instant::now();
    let runs = (0..4).map(|_| shared.run(Sum));
    let reports: Vec<Report> = futures_util::future::try_join_all(runs).await.unwrap();
    let elapsed = began.elapsed();

    let mut notes = log.take_sorted();
    notes.dedup();
    assert_eq!(notes.len(), 40);
    let ran: Vec<usize> = reports.iter().map(|report| report.counts().ran).collect();
    assert_eq!(ran.iter().sum::<usize>(), 41, "{ran:?}");
    assert!(ran.iter().all(|ran| *ran >= 5), "{ran:?}");
    for report in &reports {
        let counts = report.counts();
        assert_eq!(counts.ran + counts.elsewhere + counts.complete, 41);
        assert_eq!(report.output(&Sum).await.unwrap(), 780);
    }
    // Alone it takes ten seconds. Together two and a half, and what they wait for each other's last tasks, which chance decides: 3.2 to 4.4 s in 200 runs.
    assert!(elapsed < 7 * SECOND, "{elapsed:?}");
    assert_eq!(all_objects(&workspace).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_a_run_that_was_dropped_has_claimed_is_taken_over_at_once() {
    for coordination in [Coordination::Exclusive, Coordination::Shared] {
        let (workspace, log) = (memory(), Log::default());
        let (first, has_started) = started(runner(&workspace, &log).coordination(coordination));
        tokio::select! {
            _ = first.run(Sum) => panic!("it takes seconds"),
            () = has_started.notified() => {}
        }
        assert!(!all_objects(&workspace).await.is_empty());
        let began = tokio::time::Instant::now();
        let second = runner(&workspace, &log).coordination(coordination);
        second.run(Sum).await.unwrap();
        assert!(
            began.elapsed() < 12 * SECOND,
            "{coordination:?}: {:?}",
            began.elapsed()
        );
        let left = all_objects(&workspace).await;
        assert_eq!(left, Vec::<String>::new(), "{coordination:?}");
    }
}

/// A claim of a process that is on no machine that anyone knows.
async fn claim_from_afar(workspace: &Workspace, task: &impl kart::Task) {
    let body = format!(
        r#"{{"process":"{:032x}","nonce":"{:032x}","host":"afar","pid":7,"run":"r","since":{{"secs_since_epoch":1,"nanos_since_epoch":0}},"what":"it"}}"#,
        5, 6
    );
    let claim = format!("_kart/claims/{}/1", task.key());
    workspace
        .replace(&claim, body.clone().into())
        .await
        .unwrap();
    let worker = format!("_kart/workers/{:032x}", 5);
    workspace.replace(&worker, body.into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_silent_for_a_whole_ttl_is_succeeded_and_not_before() {
    let (workspace, log) = (memory(), Log::default());
    let task = Unit { n: 1 };
    claim_from_afar(&workspace, &task).await;
    let patient = runner(&workspace, &log).ttl(30 * SECOND).wait(300 * SECOND);
    let busy = patient.clone().wait(29 * SECOND).run(task.clone()).await;
    assert!(matches!(busy, Err(RunError::AlreadyRunning(_))), "{busy:?}");
    assert!(log.all().is_empty());

    let began = tokio::time::Instant::now();
    patient.run(task.clone()).await.unwrap();
    let waited = began.elapsed();
    assert!(waited >= 30 * SECOND && waited < 60 * SECOND, "{waited:?}");
    assert_eq!(all_objects(&workspace).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_says_that_it_is_there_is_never_succeeded() {
    let (workspace, log) = (memory(), Log::default());
    let task = Unit { n: 1 };
    claim_from_afar(&workspace, &task).await;
    let beats = workspace.clone();
    let beating = tokio::spawn(async move {
        for beat in 0_u32.. {
            let worker = format!("_kart/workers/{:032x}", 5);
            beats
                .replace(&worker, beat.to_string().into())
                .await
                .unwrap();
            tokio::time::sleep(20 * SECOND).await;
        }
    });
    let patient = runner(&workspace, &log).ttl(30 * SECOND).wait(900 * SECOND);
    let busy = patient.run(task).await.unwrap_err();
    assert!(
        busy.to_string().contains("process 7 on host afar (run r)"),
        "{busy}"
    );
    assert!(log.all().is_empty());
    beating.abort();
}

/// Never ends by itself.
#[task]
async fn endless(#[context] cx: &Context, #[resource] log: &Log) -> kart::Result<u64> {
    log.note("begun");
    tokio::time::sleep(1000 * SECOND).await;
    log.note(format!("ended, told: {}", cx.is_stopping()));
    Ok(1)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_say_that_it_is_there_drops_what_it_runs() {
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
async fn a_shared_run_that_lost_its_claims_begins_again_under_another_name() {
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
    assert_eq!(log.all(), ["begun", "begun", "ended, told: false"]);
}

#[tokio::test]
async fn a_store_that_does_not_honour_create_only_writes_is_refused_by_name() {
    let workspace = Faulty::overwriting();
    let log = Log::default();
    let error = runner(&workspace, &log)
        .run(Unit { n: 1 })
        .await
        .unwrap_err();
    let story = format!("{error:#}");
    assert!(
        story.contains("does not honour create-only writes"),
        "{story}"
    );
    assert!(story.contains("Coordination::None"), "{story}");
    assert!(log.all().is_empty());
    let alone = runner(&workspace, &log).coordination(Coordination::None);
    alone.run(Unit { n: 1 }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_run_costs_five_requests_more_than_one_that_claims_nothing() {
    let log = Log::default();
    let cost = async |coordination| {
        let workspace = memory();
        let before = workspace.requests();
        let runner = runner(&workspace, &log).coordination(coordination);
        runner.run(Sum).await.unwrap();
        since(before, &workspace)
    };
    let nothing = cost(Coordination::None).await;
    let exclusive = cost(Coordination::Exclusive).await;
    let more: u64 = exclusive.iter().sum::<u64>() - nothing.iter().sum::<u64>();
    assert_eq!(more, 5, "{nothing:?} {exclusive:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shared_run_alone_costs_three_requests_more_for_each_task_that_runs() {
    let log = Log::default();
    let workspace = memory();
    let cost = async |workspace: &Workspace, coordination| {
        let before = workspace.requests();
        let runner = runner(workspace, &log).coordination(coordination);
        runner.run(Sum).await.unwrap();
        since(before, workspace).iter().sum::<u64>()
    };
    let nothing = cost(&memory(), Coordination::None).await;
    let shared = cost(&workspace, Coordination::Shared).await;
    // And two for its liveness, two to look for what the dead have left.
    assert_eq!(shared - nothing, 41 * 3 + 4);
    assert_eq!(cost(&workspace, Coordination::Shared).await, 1);
}
