//! Waits that must end: bodies that wait for what never comes, and runs that are to stop whatever they are doing.

mod common;

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Faulty, Hooked, Log, memory, unless_stuck};
use futures_util::FutureExt as _;
use kart::{
    Context, Coordination, Event, Interruption, Outcome, Report, RunError, Runner, StopToken,
    Workspace, task,
};
use object_store::memory::InMemory;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(8);

/// The report of a run that was interrupted.
fn interrupted(result: Result<Report, RunError>) -> Report {
    match result {
        Err(RunError::Interrupted(report)) => *report,
        other => panic!("not interrupted: {other:?}"),
    }
}

/// Asks for what requires what does not come.
#[task]
async fn quits() -> anyhow::Result<u32> {
    Err(kart::interrupted().into())
}

#[task]
async fn above(#[requires(Quits)] quits: u32) -> kart::Result<u32> {
    Ok(quits)
}

#[task]
async fn asks(#[context] cx: &Context) -> kart::Result<u32> {
    Ok(*cx.get(Above).await?)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_gives_up_without_a_stop_has_failed_and_says_so() {
    let error = unless_stuck(Runner::new(&memory()).run(Asks)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, RunError::Failed(_)), "{error:?}");
    let report = error.report().unwrap();
    assert_eq!((report.counts().failed, report.counts().blocked), (1, 2));
    let story = format!("{error:#}");
    assert!(story.contains("nothing asked it to stop"), "{story}");
}

#[task]
async fn stored() -> kart::Result<u32> {
    Ok(1)
}

#[task]
async fn above_stored(#[requires(Stored)] stored: u32) -> kart::Result<u32> {
    Ok(stored)
}

#[task]
async fn asks_for_stored(#[context] cx: &Context) -> kart::Result<u32> {
    Ok(*cx.get(AboveStored).await?)
}

#[task]
async fn beside(
    #[requires((0..3).map(|n| Pause { n, seconds: 9 }))] all: Vec<u32>,
) -> kart::Result<usize> {
    Ok(all.len())
}

#[task]
async fn pause(n: u32, #[param(insignificant)] seconds: u64) -> kart::Result<u32> {
    sleep(Duration::from_secs(seconds)).await;
    Ok(n)
}

#[task]
async fn stored_and_others(
    #[requires(AsksForStored)] stored: u32,
    #[requires(Beside)] beside: usize,
) -> kart::Result<usize> {
    Ok(beside + stored as usize)
}

#[tokio::test(start_paused = true)]
async fn a_task_that_the_store_keeps_from_its_end_interrupts_who_waits_for_it_and_nobody_else() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let workspace = Faulty::workspace(move |operation, path| {
        operation == "put" && path.starts_with("Stored/") && failing.load(Ordering::SeqCst)
    });
    let runner = Runner::new(&workspace).workers(1);
    let error = unless_stuck(runner.run(StoredAndOthers)).await.unwrap_err();
    let story = format!("{error:#}");
    for part in ["Stored was interrupted", "failed to write", "today"] {
        assert!(story.contains(part), "no {part} in {story}");
    }
    let report = interrupted(Err(error));
    let counts = report.counts();
    assert_eq!((counts.ran, counts.failed), (4, 0), "{counts:?}");
    match report.outcome(&Stored) {
        Some(Outcome::Interrupted(Interruption::Unavailable(error))) => {
            assert!(error.contains("failed to write"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        report.outcome(&AsksForStored),
        Some(Outcome::Interrupted(Interruption::Subtask))
    ));
    fails.store(false, Ordering::SeqCst);
    let counts = runner.run(StoredAndOthers).await.unwrap().counts();
    assert_eq!((counts.ran, counts.complete), (4, 1), "{counts:?}");
}

/// Asks for a short task, and then for one that would not end before the deadline.
#[task]
async fn asks_for_long(#[context] cx: &Context) -> kart::Result<u32> {
    cx.get(Soon).await?;
    Ok(*cx.get(Pause { n: 1, seconds: 60 }).await?)
}

#[task]
async fn soon() -> kart::Result<u32> {
    sleep(SECOND).await;
    Ok(1)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_asks_for_what_is_held_back_hears_of_it_at_once() {
    let workspace = memory();
    let runner = Runner::new(&workspace).workers(1);
    runner.run(Pause { n: 0, seconds: 60 }).await.unwrap();
    let began = Instant::now();
    let limited = runner.deadline(50 * SECOND);
    let report = interrupted(unless_stuck(limited.run(AsksForLong)).await);
    assert_eq!(began.elapsed().as_secs(), 1);
    assert_eq!(report.deferred().count(), 1);
    assert_eq!(report.counts().interrupted, 1);
}

#[task]
async fn fails_later() -> anyhow::Result<u32> {
    sleep(10 * SECOND).await;
    anyhow::bail!("out of paper")
}

#[task]
async fn asks_for_foreign(#[context] cx: &Context) -> kart::Result<u32> {
    Ok(*cx
        .get(Pause {
            n: 7,
            seconds: 1000,
        })
        .await?)
}

#[task]
async fn foreign_and_failing(
    #[requires((AsksForForeign, FailsLater))] both: (u32, u32),
) -> kart::Result<u32> {
    Ok(both.0 + both.1)
}

#[tokio::test(start_paused = true)]
async fn what_another_has_is_not_waited_for_once_the_first_failure_has_ended_the_run() {
    let inner = Arc::new(InMemory::new());
    let task = Pause {
        n: 7,
        seconds: 1000,
    };
    let claim = format!("_kart/claims/{}", kart::TaskExt::key(&task));
    let holder = Hooked::workspace(&inner, |_, _| ready(()).boxed());
    // The answer to who has it comes after the failure.
    let late = Hooked::workspace(&inner, move |operation, path| {
        if operation == "create" && path.starts_with(&claim) {
            sleep(20 * SECOND).boxed()
        } else {
            ready(()).boxed()
        }
    });
    let runner = |workspace: &Workspace| Runner::new(workspace).coordination(Coordination::Shared);
    let holder = runner(&holder);
    let held = tokio::spawn(async move { holder.run(task).await });
    sleep(SECOND).await;
    let began = Instant::now();
    let error = unless_stuck(runner(&late).fail_fast(true).run(ForeignAndFailing)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, RunError::Failed(_)), "{error:?}");
    assert!(began.elapsed() < 25 * SECOND, "{:?}", began.elapsed());
    held.abort();
}

#[task]
async fn link(
    n: u32,
    #[requires((n > 0).then(|| Link { n: n - 1 }))] below: Option<u32>,
) -> kart::Result<u32> {
    Ok(below.unwrap_or(0) + 1)
}

/// A store whose looks for objects take that long.
fn slow_looks(delay: Duration) -> Workspace {
    Hooked::workspace(&Arc::default(), move |operation, path| {
        if operation == "head" || operation == "list" && !path.starts_with("_kart") {
            sleep(delay).boxed()
        } else {
            ready(()).boxed()
        }
    })
}

/// What stopped a run, of which the run tells.
fn telling(runner: Runner) -> (Runner, Log) {
    let log = Log::default();
    let told = log.clone();
    let runner = runner.on_event(move |event| {
        if let Event::Stopping { reason, .. } = event {
            told.note(format!("{reason:?}"));
        }
    });
    (runner, log)
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_long_survey_within_the_grace() {
    let stop = StopToken::new();
    let (runner, told) = telling(Runner::new(&slow_looks(10 * SECOND)).stop(&stop));
    let began = Instant::now();
    let (result, ()) = tokio::join!(runner.run(Link { n: 100 }), async {
        sleep(SECOND).await;
        stop.stop();
    });
    interrupted(result);
    assert!(
        began.elapsed() <= SECOND + GRACE + 2 * SECOND,
        "{:?}",
        began.elapsed()
    );
    assert_eq!(told.all(), ["Asked"]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_run_whose_store_takes_hours_to_answer() {
    let (runner, told) = telling(Runner::new(&slow_looks(10 * 3600 * SECOND)));
    let began = Instant::now();
    interrupted(runner.deadline(30 * SECOND).run(Link { n: 3 }).await);
    assert!(
        began.elapsed() <= 30 * SECOND + GRACE + 2 * SECOND,
        "{:?}",
        began.elapsed()
    );
    assert_eq!(told.all(), ["Deadline"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_has_one_grace_period_and_not_one_in_each_phase() {
    let (workspace, stop) = (slow_looks(10 * SECOND), StopToken::new());
    for runner in [
        Runner::new(&workspace).deadline(3 * SECOND),
        Runner::new(&workspace).stop(&stop),
    ] {
        let began = Instant::now();
        let (result, ()) = tokio::join!(runner.run(Link { n: 3 }), async {
            sleep(3 * SECOND).await;
            stop.stop();
        });
        interrupted(result);
        let taken = began.elapsed();
        assert!(taken <= 3 * SECOND + GRACE + 2 * SECOND, "{taken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_run_whose_store_does_not_answer_any_more() {
    for coordination in [Coordination::Exclusive, Coordination::Shared] {
        let silent = Arc::new(AtomicBool::new(false));
        let is_silent = Arc::clone(&silent);
        let workspace = Hooked::workspace(&Arc::default(), move |_, _| {
            if is_silent.load(Ordering::SeqCst) {
                pending().boxed()
            } else {
                ready(()).boxed()
            }
        });
        let runner = Runner::new(&workspace)
            .coordination(coordination)
            .deadline(5 * SECOND)
            .on_event(move |event| {
                if matches!(event, Event::Started { .. }) {
                    silent.store(true, Ordering::SeqCst);
                }
            });
        let began = Instant::now();
        interrupted(unless_stuck(runner.run(Beside)).await);
        assert!(
            began.elapsed() <= 5 * SECOND + GRACE + 2 * SECOND,
            "{:?}",
            began.elapsed()
        );
    }
}

/// Requires another of its kind, without end.
#[task]
async fn endless(n: u64, #[requires(Endless { n: n + 1 })] next: u64) -> kart::Result<u64> {
    Ok(next)
}

#[task]
async fn asks_for_endless(#[context] cx: &Context) -> kart::Result<u64> {
    Ok(*cx.get(Endless { n: 0 }).await?)
}

#[tokio::test]
async fn a_stop_and_the_deadline_end_the_planning_of_what_a_body_asks_for_without_end() {
    let runner = Runner::new(&memory())
        .max_tasks(usize::MAX)
        .grace(SECOND / 10);
    let began = Instant::now();
    interrupted(
        runner
            .clone()
            .deadline(SECOND / 10)
            .run(AsksForEndless)
            .await,
    );
    let stop = StopToken::new();
    let stopping = stop.clone();
    let runner = runner.stop(&stop);
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(SECOND / 10);
        stopping.stop();
    });
    interrupted(runner.run(AsksForEndless).await);
    stopper.join().unwrap();
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
}

#[task(retries = 5, backoff = "1ms")]
async fn fails_slowly() -> anyhow::Result<u32> {
    sleep(2 * SECOND).await;
    anyhow::bail!("the pipe burst")
}

#[task(retries = 5, backoff = "1ms", timeout = "2s")]
async fn takes_too_long() -> kart::Result<u32> {
    pending().await
}

async fn stopped_after_a_second(task: impl kart::Task) -> (Report, String) {
    let stop = StopToken::new();
    let runner = Runner::new(&memory()).stop(&stop);
    let (result, ()) = tokio::join!(runner.run(task), async {
        sleep(SECOND).await;
        stop.stop();
    });
    let error = result.unwrap_err();
    let story = format!("{error:#}");
    (interrupted(Err(error)), story)
}

#[tokio::test(start_paused = true)]
async fn what_fails_or_times_out_within_the_grace_with_retries_left_is_interrupted() {
    let (failed, story) = stopped_after_a_second(FailsSlowly).await;
    assert_eq!(
        (failed.counts().interrupted, failed.counts().failed),
        (1, 0)
    );
    assert_eq!(failed.elapsed(), 2 * SECOND);
    assert!(story.contains("the pipe burst"), "{story}");
    let (late, story) = stopped_after_a_second(TakesTooLong).await;
    assert_eq!((late.counts().interrupted, late.counts().failed), (1, 0));
    assert!(story.contains("timed out after 2s"), "{story}");
}

#[tokio::test(start_paused = true)]
async fn the_reason_that_is_told_is_the_deadline_where_the_deadline_came() {
    for tenths in 0..20 {
        let (runner, told) = telling(Runner::new(&memory()).workers(2));
        let runner = runner.deadline(SECOND * tenths / 10).grace(GRACE);
        interrupted(runner.run(Beside).await);
        assert_eq!(told.all(), ["Deadline"]);
        let stop = StopToken::new();
        stop.stop();
        let (runner, told) = telling(Runner::new(&memory()).stop(&stop));
        interrupted(runner.run(Beside).await);
        assert_eq!(told.all(), ["Asked"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_with_the_deadline_is_told_as_the_deadline() {
    let stop = StopToken::new();
    let (runner, told) = telling(Runner::new(&memory()).stop(&stop));
    let stopping = async {
        sleep(2 * SECOND).await;
        stop.stop();
    };
    let runner = runner.deadline(2 * SECOND);
    let ((), result) = tokio::join!(stopping, runner.run(Beside));
    interrupted(result);
    assert_eq!(told.all(), ["Deadline"]);
}
