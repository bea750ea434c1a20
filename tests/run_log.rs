//! What runs write down, and what later runs and people make of it.

mod common;
#[path = "common/price.rs"]
mod price;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Faulty, Log, described, memory, since};
use kart::{
    Context, Coordination, Event, OnCodeChange, Outcome, RecordedOutcome, RunError, Runner,
    TaskExt, Workspace, task,
};
use price::{one, two};

const SECOND: Duration = Duration::from_secs(1);

#[task(retries = 1, backoff = "1ms")]
async fn leaf(n: u64, #[param(secret)] token: &str) -> anyhow::Result<String> {
    tokio::time::sleep(SECOND).await;
    anyhow::ensure!(n != 7, "no luck with {n} and {token}");
    Ok("x".repeat(usize::try_from(n)?))
}

#[task(version = 3)]
async fn sum(
    count: u64,
    #[requires((0..count).map(|n| Leaf { n, token: "t0k3n".to_owned() }))] leaves: Vec<String>,
) -> anyhow::Result<usize> {
    Ok(leaves.iter().map(String::len).sum())
}

fn token() -> String {
    "t0k3n".to_owned()
}

async fn segments(workspace: &Workspace) -> Vec<String> {
    let mut paths = workspace.list("_kart/runs").await.unwrap();
    paths.retain(|path| !path.ends_with("known.json"));
    paths
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_on_record_with_what_it_was_made_of() {
    let workspace = memory();
    Runner::new(&workspace).run(Sum { count: 6 }).await.unwrap();
    let history = workspace.history(&Sum { count: 6 }).await.unwrap();
    let [record] = history.as_slice() else {
        panic!("{history:?}");
    };
    assert_eq!(
        (record.task.as_str(), record.version, record.attempt),
        ("Sum", 3, 1)
    );
    assert_eq!(record.outcome, RecordedOutcome::Ran);
    assert_eq!(record.path, Sum { count: 6 }.path());
    assert_eq!(record.params, serde_json::json!({"count": 6}));
    assert_eq!((record.requires.len(), record.required), (6, 6));
    assert_eq!(
        record.requires[2],
        Leaf {
            n: 2,
            token: token()
        }
        .key()
    );
    let bytes = workspace.read(&record.path).await.unwrap().unwrap();
    assert_eq!(record.bytes, Some(bytes.len() as u64));
    let hash = blake3::hash(&bytes).to_hex();
    assert_eq!(record.blake3.as_deref(), Some(hash.as_str()));
    assert!(record.worker.ends_with(&format!("/{}", std::process::id())));

    let leaf = workspace
        .history(&Leaf {
            n: 2,
            token: token(),
        })
        .await
        .unwrap();
    assert_eq!(leaf[0].params, serde_json::json!({"n": 2, "token": "***"}));
    assert_eq!(leaf[0].duration, SECOND);
    assert_ne!(leaf[0].blake3, record.blake3);

    let runs = workspace.runs().await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(
        (runs[0].root.as_str(), runs[0].tasks, runs[0].missing),
        ("Sum { count: 6 }", 7, 7)
    );
    assert_eq!(runs[0].counts.unwrap().ran, 7);
    assert!(runs[0].end.unwrap() >= runs[0].start);
    assert_eq!(record.run, Some(runs[0].run));
    assert!(runs[0].run.time() <= runs[0].end.unwrap());
}

#[tokio::test(start_paused = true)]
async fn failures_are_on_record_with_their_causes_and_without_secrets() {
    let workspace = memory();
    Runner::new(&workspace)
        .run(Sum { count: 8 })
        .await
        .unwrap_err();
    let failed = workspace
        .history(&Leaf {
            n: 7,
            token: token(),
        })
        .await
        .unwrap();
    let outcomes: Vec<_> = failed
        .iter()
        .map(|record| (record.outcome, record.attempt))
        .collect();
    assert_eq!(
        outcomes,
        [(RecordedOutcome::Failed, 2), (RecordedOutcome::Retrying, 1)]
    );
    assert_eq!(failed[0].error.as_deref(), Some("no luck with 7 and ***"));
    let blocked = workspace.history(&Sum { count: 8 }).await.unwrap();
    assert_eq!(blocked[0].outcome, RecordedOutcome::Blocked);
    for segment in segments(&workspace).await {
        let text = workspace.read(&segment).await.unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("t0k3n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_segment_is_written_every_five_seconds_and_a_run_without_work_writes_none() {
    let workspace = memory();
    // Seven seconds.
    Runner::new(&workspace)
        .workers(1)
        .run(Sum { count: 7 })
        .await
        .unwrap();
    assert_eq!(segments(&workspace).await.len(), 2);
    let before = workspace.requests();
    Runner::new(&workspace).run(Sum { count: 7 }).await.unwrap();
    // The root; a listing and the digest of what is known; a look for reruns; three listings for what dead processes
    // have left.
    assert_eq!(since(before, &workspace), [1, 1, 0, 0, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_dropped_has_on_record_what_it_had_done() {
    let workspace = memory();
    let runner = Runner::new(&workspace).workers(1);
    let dropped = tokio::time::timeout(Duration::from_millis(6_500), runner.run(Sum { count: 7 }));
    dropped.await.unwrap_err();
    let runs = workspace.runs().await.unwrap();
    assert_eq!((runs[0].end, runs[0].counts), (None, None));
    let recorded = workspace
        .history(&Leaf {
            n: 3,
            token: token(),
        })
        .await
        .unwrap();
    assert_eq!(recorded.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_written_or_read_is_a_warning_and_the_run_completes() {
    let workspace = Faulty::workspace(|_, path| path.starts_with("_kart/runs"));
    let warned = Log::default();
    let notes = warned.clone();
    let runner = Runner::new(&workspace).on_event(move |event| {
        if let Event::LogFailed { error } = event {
            notes.note(*error);
        }
    });
    let report = runner.run(Sum { count: 3 }).await.unwrap();
    assert_eq!(report.counts().ran, 4);
    let warned = warned.all();
    assert_eq!(warned.len(), 1);
    assert!(warned[0].contains("no put of _kart/runs/"), "{warned:?}");
}

#[tokio::test(start_paused = true)]
async fn many_past_runs_are_packed_and_a_start_stays_as_cheap() {
    let workspace = memory();
    let run = async |n: u64| {
        let before = workspace.requests();
        let runner = Runner::new(&workspace).coordination(Coordination::None);
        runner.run(Sum { count: n }).await.unwrap();
        since(before, &workspace)
    };
    run(0).await;
    let first = run(1).await;
    for n in 2..7 {
        run(n).await;
    }
    // Runs of the past, as many as fit in a test.
    for _ in 0..300 {
        let rerun = Runner::new(&workspace)
            .coordination(Coordination::None)
            .rerun("Sum");
        rerun.run(Sum { count: 0 }).await.unwrap();
    }
    Sum { count: 1 }.remove(&workspace).await.unwrap();
    Leaf {
        n: 0,
        token: token(),
    }
    .remove(&workspace)
    .await
    .unwrap();
    let later = run(1).await;
    assert_eq!(later, first, "requests of a start after 306 runs");
    let objects = workspace.list("_kart/runs").await.unwrap().len();
    assert!(objects < 140, "{objects} objects");
    assert_eq!(workspace.runs().await.unwrap().len(), 308);
    assert_eq!(
        workspace.history(&Sum { count: 0 }).await.unwrap().len(),
        301
    );
}

/// Requires the price, by today's code.
#[task]
async fn bill(#[requires(two::Price { n: 1 })] price: u64) -> kart::Result<u64> {
    Ok(price * 100)
}

#[tokio::test]
async fn outputs_of_other_code_are_told_of_and_made_again_on_demand() {
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace).resource(log.clone());
    runner.run(one::Price { n: 1 }).await.unwrap();
    runner.run(one::Price { n: 2 }).await.unwrap();
    log.take();

    let told = Log::default();
    let notes = told.clone();
    let telling = runner.clone().on_event(move |event| {
        if let Event::StaleCode { task } = event {
            notes.note(task.description());
        }
    });
    let report = telling.run(Bill).await.unwrap();
    assert_eq!(report.output(&Bill).await.unwrap(), 200);
    let others = described(report.stale_code());
    assert_eq!(others, ["Price { n: 1 }"]);
    assert_eq!(told.take(), ["Price { n: 1 }"]);
    // It is told although the root is complete.
    telling.run(Bill).await.unwrap();
    assert_eq!(told.take(), ["Price { n: 1 }"]);
    let ignoring = telling.clone().on_code_change(OnCodeChange::Ignore);
    ignoring.run(Bill).await.unwrap();
    assert!(told.take().is_empty() && log.take().is_empty());

    let rerunning = telling.clone().on_code_change(OnCodeChange::Rerun);
    let plan = rerunning.plan(Bill).await.unwrap();
    assert_eq!((plan.count(kart::Status::CodeChanged), plan.runs()), (1, 2));
    let report = rerunning.run(Bill).await.unwrap();
    assert_eq!(report.output(&Bill).await.unwrap(), 300);
    assert_eq!(log.take(), ["two"]);
    assert_eq!(report.counts().ran, 2);
    // Now it is of today's code; the other one still is not.
    let report = rerunning.run(Bill).await.unwrap();
    assert_eq!((report.counts().ran, report.stale_code().count()), (0, 0));
    let report = telling.run(two::Price { n: 2 }).await.unwrap();
    assert_eq!(report.stale_code().count(), 1);
}

#[tokio::test]
async fn outputs_that_nobody_has_on_record_are_left_alone() {
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace).resource(log.clone());
    runner
        .clone()
        .run_log(false)
        .run(one::Price { n: 1 })
        .await
        .unwrap();
    runner.run(one::Price { n: 2 }).await.unwrap();
    log.take();
    let rerunning = runner.on_code_change(OnCodeChange::Rerun);
    let report = rerunning.run(two::Price { n: 1 }).await.unwrap();
    assert_eq!(report.counts().ran, 0);
    assert!(log.all().is_empty());
}

/// Takes as long as it is told, which is not part of what it is.
#[task]
async fn unit(n: u64, #[param(insignificant)] seconds: u64) -> kart::Result<u64> {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    Ok(n)
}

#[task]
async fn units(
    #[param(insignificant)] seconds: u64,
    count: u64,
    #[requires((0..count).map(|n| Unit { n, seconds }))] units: Vec<u64>,
) -> kart::Result<u64> {
    Ok(units.iter().sum())
}

#[tokio::test(start_paused = true)]
async fn a_task_that_would_not_end_before_the_deadline_is_held_back_and_named() {
    let workspace = memory();
    let runner = Runner::new(&workspace).workers(1);
    runner.run(Unit { n: 99, seconds: 40 }).await.unwrap();
    let task = Units {
        seconds: 40,
        count: 4,
    };
    let limited = runner.clone().deadline(100 * SECOND);
    let error = limited.run(task.clone()).await.unwrap_err();
    let RunError::Interrupted(report) = &error else {
        panic!("{error:#}");
    };
    // Two fit; at 80 seconds the third is not begun.
    assert_eq!(report.elapsed(), 80 * SECOND);
    assert_eq!((report.counts().ran, report.counts().left), (2, 3));
    let held = described(report.deferred());
    assert_eq!(
        held,
        ["Unit { n: 2, seconds: 40 }", "Unit { n: 3, seconds: 40 }"]
    );
    assert!(matches!(
        report.outcome(&Unit { n: 2, seconds: 40 }),
        Some(Outcome::NotRun)
    ));
    let story = format!("{error:#}");
    assert!(story.contains("was deferred"), "{story}");

    limited.run(task).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_can_never_fit_starts_if_nothing_else_has_and_is_a_warning() {
    let workspace = memory();
    let runner = Runner::new(&workspace).workers(1);
    runner
        .run(Unit {
            n: 99,
            seconds: 400,
        })
        .await
        .unwrap();
    let warned = Log::default();
    let notes = warned.clone();
    let limited = runner.deadline(100 * SECOND).on_event(move |event| {
        if let Event::TooLong { task, expected, .. } = event {
            notes.note(format!("{} {expected:?}", task.name()));
        }
    });
    // It is quicker than it was.
    let report = limited.run(Unit { n: 1, seconds: 40 }).await.unwrap();
    assert_eq!(report.counts().ran, 1);
    assert_eq!(warned.take(), ["Unit 400s"]);
}

#[task]
async fn slow_start(
    #[context] cx: &Context,
    #[resource] told: &Arc<AtomicBool>,
) -> kart::Result<u64> {
    cx.stopped().await;
    told.store(true, Ordering::SeqCst);
    Err(kart::interrupted().into())
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_is_on_record_to_its_end() {
    let workspace = memory();
    let runner = Runner::new(&workspace).resource(Arc::new(AtomicBool::new(false)));
    runner.deadline(SECOND).run(SlowStart).await.unwrap_err();
    let runs = workspace.runs().await.unwrap();
    assert_eq!(runs[0].counts.unwrap().interrupted, 1);
    let history = workspace.history(&SlowStart).await.unwrap();
    assert_eq!(history[0].outcome, RecordedOutcome::Interrupted);
    assert_eq!(history[0].duration, SECOND);
}
