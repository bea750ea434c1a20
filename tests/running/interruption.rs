//! Runs that stop gracefully: at their deadline, or by their stop token.

use std::time::Duration;

use kart::{Context, Event, Outcome, RunError, Runner, StopReason, StopToken, TaskExt, task};

use crate::common::{Faulty, Log, interrupted, memory};

const SECOND: Duration = Duration::from_secs(1);

/// A unit of ten seconds that hears nothing.
#[task]
async fn unit(n: u32, #[resource] log: &Log) -> kart::Result<u32> {
    log.note(format!("unit {n}"));
    tokio::time::sleep(10 * SECOND).await;
    Ok(n)
}

#[task]
async fn sum(#[requires((0..4).map(|n| Unit { n }))] units: Vec<u32>) -> kart::Result<u32> {
    Ok(units.iter().sum())
}

#[tokio::test(start_paused = true)]
async fn from_the_deadline_on_nothing_starts_and_what_ends_in_the_grace_is_kept() {
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace)
        .run_log(false)
        .workers(1)
        .resource(log.clone());
    let first = runner.clone().deadline(15 * SECOND);
    let report = interrupted(first.run(Sum).await);
    let counts = report.counts();
    assert_eq!((counts.ran, counts.left, counts.interrupted), (2, 3, 0));
    assert_eq!(report.elapsed(), 20 * SECOND);
    assert_eq!(log.take(), ["unit 0", "unit 1"]);
    assert!(matches!(report.outcome(&Sum), Some(Outcome::NotRun)));

    let report = runner.run(Sum).await.unwrap();
    assert_eq!(report.output(&Sum).await.unwrap(), 6);
    assert_eq!(log.take(), ["unit 2", "unit 3"]);
}

#[tokio::test(start_paused = true)]
async fn what_still_runs_when_the_grace_ends_is_dropped_and_leaves_nothing() {
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace)
        .run_log(false)
        .workers(4)
        .resource(log.clone());
    let runner = runner.deadline(5 * SECOND).grace(2 * SECOND);
    let report = interrupted(runner.run(Sum).await);
    assert_eq!((report.counts().interrupted, report.counts().left), (4, 1));
    assert_eq!(report.elapsed(), 7 * SECOND);
    assert!(matches!(
        report.outcome(&Unit { n: 3 }),
        Some(Outcome::Interrupted(_))
    ));
    assert!(workspace.list("").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_hears_of_it_and_gives_up_has_not_failed() {
    #[task(retries = 3)]
    async fn patient(#[context] cx: &Context, #[resource] log: &Log) -> anyhow::Result<u32> {
        assert!(!cx.is_stopping());
        cx.stopped().await;
        assert!(cx.is_stopping());
        log.note("heard");
        Err(anyhow::Error::from(kart::interrupted()).context("saved page 7"))
    }
    let log = Log::default();
    let runner = Runner::new(&memory()).resource(log.clone());
    let report = interrupted(runner.deadline(SECOND).run(Patient).await);
    assert_eq!(log.all(), ["heard"]);
    assert_eq!(report.elapsed(), SECOND, "the grace is not waited out");
    assert!(matches!(
        report.outcome(&Patient),
        Some(Outcome::Interrupted(_))
    ));
    assert_eq!(report.counts().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_asked_for_before_lets_nothing_start() {
    let (workspace, log, stop) = (memory(), Log::default(), StopToken::new());
    stop.stop();
    let runner = Runner::new(&workspace).resource(log.clone()).stop(&stop);
    let report = interrupted(runner.run(Sum).await);
    assert_eq!(report.counts().left, 5);
    assert!(log.all().is_empty());
}

/// Before the timer of so short a deadline fires, nothing is under way that the run could wait for.
#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_before_anything_starts_is_no_complete_run() {
    let log = Log::default();
    let runner = Runner::new(&memory()).resource(log.clone());
    for deadline in [Duration::ZERO, Duration::from_nanos(1)] {
        let report = interrupted(runner.clone().deadline(deadline).run(Sum).await);
        assert_eq!(report.counts().ran, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_completes_in_the_grace_is_complete() {
    let (log, stop) = (Log::default(), StopToken::new());
    let runner = Runner::new(&memory())
        .resource(log.clone())
        .grace(20 * SECOND)
        .stop(&stop);
    let run = tokio::spawn(async move { runner.run(Unit { n: 7 }).await });
    while log.all().is_empty() {
        tokio::task::yield_now().await;
    }
    stop.stop();
    assert_eq!(run.await.unwrap().unwrap().counts().ran, 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_stops_its_own_run_and_no_other() {
    let (log, stop) = (Log::default(), StopToken::new());
    let runner = Runner::new(&memory()).resource(log.clone()).stop(&stop);
    let short = runner.clone().deadline(SECOND).grace(SECOND);
    interrupted(short.run(Unit { n: 1 }).await);
    assert!(!stop.is_stopping());
    assert_eq!(runner.run(Unit { n: 1 }).await.unwrap().counts().ran, 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_pauses_before_a_retry_is_interrupted_and_failures_are_still_told() {
    #[task]
    async fn broken() -> kart::Result<u32, kart::BoxError> {
        Err("the disk is on fire".into())
    }
    #[task(retries = 5, backoff = "30m")]
    async fn flaky() -> kart::Result<u32, kart::BoxError> {
        Err("not yet".into())
    }
    #[task]
    async fn both(#[requires((Broken, Flaky))] both: (u32, u32)) -> kart::Result<u32> {
        Ok(both.0 + both.1)
    }
    let runner = Runner::new(&memory()).deadline(Duration::from_nanos(1));
    let error = runner.run(Both).await.unwrap_err();
    let RunError::Interrupted(report) = &error else {
        panic!("not interrupted: {error:?}");
    };
    let counts = report.counts();
    assert_eq!(
        (counts.failed, counts.blocked, counts.interrupted),
        (1, 1, 1)
    );
    let story = format!("{error:#}");
    assert!(story.contains("run it again"), "{story}");
    assert!(story.contains("the disk is on fire"), "{story}");
}

#[tokio::test(start_paused = true)]
async fn events_tell_why_it_stops_and_what_was_cut_off() {
    let log = Log::default();
    let seen = log.clone();
    let runner = Runner::new(&memory())
        .resource(Log::default())
        .deadline(SECOND)
        .grace(SECOND)
        .on_event(move |event| match event {
            Event::Stopping {
                reason,
                running,
                grace,
            } => {
                assert_eq!((*reason, *grace), (StopReason::Deadline, SECOND));
                seen.note(format!("stopping with {running} under way"));
            }
            Event::Interrupted { task, elapsed, .. } => {
                seen.note(format!("interrupted {} after {elapsed:?}", task.name()));
            }
            _ => {}
        });
    let unit = Unit { n: 1 };
    interrupted(runner.run(unit.clone()).await);
    let name = Unit::spec().name;
    let expected = [
        "stopping with 1 under way".to_owned(),
        format!("interrupted {name} after 2s"),
    ];
    assert_eq!(log.all(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_interrupts_the_task_and_does_not_fail_it() {
    let workspace =
        Faulty::workspace(|operation, path| operation == "put" && path.contains("/Unit/"));
    let log = Log::default();
    let runner = Runner::new(&workspace).run_log(false).resource(log.clone());
    let error = runner.run(Unit { n: 1 }).await.unwrap_err();
    let RunError::Interrupted(report) = &error else {
        panic!("{error:#}");
    };
    assert_eq!(
        (report.counts().interrupted, report.counts().failed),
        (1, 0)
    );
    let story = format!("{error:#}");
    for part in ["Unit { n: 1 } was interrupted", "failed to write", "today"] {
        assert!(story.contains(part), "no {part} in {story}");
    }
    assert_eq!(log.all(), ["unit 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_with_the_end_of_a_task_lets_no_other_start() {
    let (log, stop) = (Log::default(), StopToken::new());
    let stopping = stop.clone();
    let runner = Runner::new(&memory())
        .workers(1)
        .resource(log.clone())
        .stop(&stop)
        .on_event(move |event| {
            if matches!(event, Event::Finished { .. }) {
                stopping.stop();
            }
        });
    let report = interrupted(runner.run(Sum).await);
    assert_eq!((report.counts().ran, report.counts().left), (1, 4));
    assert_eq!(log.all(), ["unit 0"]);
}
