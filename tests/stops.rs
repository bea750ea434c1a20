//! A stop or the deadline ends a run in every phase, within the grace and two seconds, and the run tells which of them it was.

mod common;

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Hooked, Log, interrupted, memory, unless_stuck};
use futures_util::FutureExt as _;
use kart::{Context, Coordination, Event, Report, Runner, StopToken, Workspace, task};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(8);

#[task]
async fn pause(n: u32) -> kart::Result<u32> {
    sleep(9 * SECOND).await;
    Ok(n)
}

#[task]
async fn pauses(#[requires((0..3).map(|n| Pause { n }))] all: Vec<u32>) -> kart::Result<usize> {
    Ok(all.len())
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
async fn a_long_survey_says_how_far_it_is() {
    let told = Log::default();
    let notes = told.clone();
    let runner = Runner::new(&slow_looks(10 * SECOND)).on_event(move |event| {
        if let Event::Planning {
            tasks,
            looked_up,
            newest: None,
        } = event
        {
            notes.note(format!("{looked_up} of {tasks}"));
        }
    });
    runner.run(Link { n: 7 }).await.unwrap();
    let told = told.take();
    assert!((3..=8).contains(&told.len()), "{told:?}");
    assert_eq!(told[0], "0 of 8");
    assert!(told.is_sorted() && told.last() > told.first(), "{told:?}");
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
        interrupted(unless_stuck(runner.run(Pauses)).await);
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
        interrupted(runner.run(Pauses).await);
        assert_eq!(told.all(), ["Deadline"]);
        let stop = StopToken::new();
        stop.stop();
        let (runner, told) = telling(Runner::new(&memory()).stop(&stop));
        interrupted(runner.run(Pauses).await);
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
    let ((), result) = tokio::join!(stopping, runner.run(Pauses));
    interrupted(result);
    assert_eq!(told.all(), ["Deadline"]);
}
