//! Waits that must end: bodies that wait for what never comes.

mod common;

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Faulty, Hooked, interrupted, memory, unless_stuck};
use futures_util::FutureExt as _;
use kart::{Context, Coordination, Interruption, Outcome, RunError, Runner, Workspace, task};
use object_store::memory::InMemory;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

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
