//! Outputs that vanish while a run needs them.

#[path = "common/capture.rs"]
mod capture;
mod common;

use std::sync::Arc;
use std::time::Duration;

use capture::Capture;
use common::{Hooked, Log, memory, unless_stuck};
use futures_util::FutureExt as _;
use kart::{Context, Report, RunError, Runner, TaskExt as _, Workspace, task};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;

const SECOND: Duration = Duration::from_secs(1);

#[task]
async fn first(#[resource] log: &Log) -> kart::Result<u32> {
    log.note("first");
    tokio::time::sleep(SECOND).await;
    Ok(1)
}

/// Deletes what the task needs that comes next.
#[task]
async fn deletes(
    #[requires(First)] first: u32,
    #[resource] workspace: &Workspace,
) -> anyhow::Result<u32> {
    First.remove(workspace).await?;
    tokio::time::sleep(SECOND).await;
    Ok(first)
}

#[task]
async fn second(
    #[requires(First)] first: u32,
    #[requires(Deletes)] deletes: u32,
    #[resource] log: &Log,
) -> kart::Result<u32> {
    log.note("second");
    Ok(first + deletes)
}

/// Without a budget outputs are read back from the workspace.
async fn run(
    workspace: &Workspace,
    task: impl kart::Task,
) -> (Result<Report, RunError>, Vec<String>, String) {
    let log = Log::default();
    let runner = Runner::new(workspace)
        .run_log(false)
        .memory_budget(0)
        .resource(log.clone())
        .resource(workspace.clone());
    let capture = Capture::default();
    let subscribed = capture.subscribe();
    let result = unless_stuck(runner.run(task)).await;
    drop(subscribed);
    (result, log.all(), capture.text())
}

#[tokio::test(start_paused = true)]
async fn an_input_that_vanishes_is_made_again_with_a_warning() {
    let (result, log, told) = run(&memory(), Second).await;
    let report = result.unwrap();
    assert_eq!(report.output(&Second).await.unwrap(), 2);
    assert_eq!(log, ["first", "first", "second"]);
    let warning = told.lines().find(|line| line.contains("WARN")).unwrap();
    for part in ["an input is gone", "Second", "First"] {
        assert!(warning.contains(part), "{warning}");
    }
}

#[task]
async fn slow() -> kart::Result<u32> {
    tokio::time::sleep(10 * SECOND).await;
    Ok(1)
}

#[task]
async fn third(#[requires((First, Slow))] both: (u32, u32)) -> kart::Result<u32> {
    Ok(both.0 + both.1)
}

#[task]
async fn second_and_third(#[requires((Second, Third))] both: (u32, u32)) -> kart::Result<u32> {
    Ok(both.0 + both.1)
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_more_than_the_input_that_is_made_again_waits_on() {
    let (result, log, told) = run(&memory(), SecondAndThird).await;
    assert_eq!(result.unwrap().counts().failed, 0);
    assert_eq!(log, ["first", "first", "second"]);
    assert_eq!(told.matches("an input is gone").count(), 1, "{told}");
}

#[task]
async fn above(#[requires(First)] first: u32) -> kart::Result<u32> {
    Ok(first)
}

#[task]
async fn asks(#[context] cx: &Context) -> kart::Result<u32> {
    Ok(*cx.get(First).await?)
}

/// A store that has what it was given, until somebody wants to read it and has waited for so long.
fn forgetful(delay: Duration) -> Workspace {
    let inner = Arc::new(InMemory::new());
    let store = Arc::clone(&inner);
    Hooked::workspace(&inner, move |operation, path| {
        if operation != "get" || !path.starts_with("First/") {
            return std::future::ready(()).boxed();
        }
        let store = Arc::clone(&store);
        async move {
            tokio::time::sleep(delay).await;
            drop(store.delete(&Path::from(path)).await);
        }
        .boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn an_input_that_vanishes_again_and_again_is_an_error_after_two_more_times() {
    for (result, log, told) in [
        run(&forgetful(Duration::ZERO), Above).await,
        run(&forgetful(Duration::ZERO), Asks).await,
    ] {
        let story = format!("{:#}", result.unwrap_err());
        assert!(story.contains("First has no output"), "{story}");
        assert_eq!(log, ["first"; 3], "{told}");
    }
}

#[task]
async fn asks_for_above(#[context] cx: &Context) -> kart::Result<u32> {
    Ok(*cx.get(Above).await?)
}

#[tokio::test(start_paused = true)]
async fn a_body_hears_at_once_that_a_vanished_input_is_not_made_again_after_the_stop() {
    let runner = Runner::new(&forgetful(5 * SECOND))
        .memory_budget(0)
        .resource(Log::default());
    let runner = runner.deadline(3 * SECOND).grace(100 * SECOND);
    let began = tokio::time::Instant::now();
    let error = unless_stuck(runner.run(AsksForAbove)).await.unwrap_err();
    assert!(matches!(error, RunError::Interrupted(_)), "{error:#}");
    // A second to make it, and five until it has vanished.
    assert_eq!(began.elapsed().as_secs(), 6);
}
