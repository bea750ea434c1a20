//! What a body is told when a task that it asks for cannot be had, and tasks that are known already.

use std::sync::Arc;
use std::time::Duration;

use kart::{Context, Error, Event, Outcome, RunError, StopToken, TaskExt as _, task};

use crate::common::unless_stuck;
use crate::subtasks::{Bench, InTurn, Leaf, Patient};

#[task]
async fn ping(n: u64, #[context] cx: &Context) -> kart::Result<u64> {
    Ok(*cx.get(Pong { n }).await?)
}

#[task]
async fn pong(n: u64, #[requires(Middle { n })] middle: u64) -> kart::Result<u64> {
    Ok(middle + n)
}

#[task]
async fn middle(n: u64, #[context] cx: &Context) -> kart::Result<u64> {
    Ok(*cx.get(Ping { n }).await?)
}

/// Asks for what requires it.
#[task]
async fn below(n: u64, #[context] cx: &Context) -> kart::Result<u64> {
    Ok(*cx.get(Above { n }).await?)
}

#[task]
async fn above(n: u64, #[requires(Below { n })] below: u64) -> kart::Result<u64> {
    Ok(below + n)
}

#[task]
async fn selfish(#[context] cx: &Context) -> kart::Result<u64> {
    Ok(*cx.get(Selfish).await?)
}

#[tokio::test(start_paused = true)]
async fn bodies_that_wait_for_each_other_in_a_circle_fail_with_the_circle() {
    let bench = Bench::new();
    let error = bench.runner().run(Ping { n: 7 }).await.unwrap_err();
    let story = format!("{error:#}");
    assert!(
        story.contains(
            "tasks require each other in a cycle: Middle { n: 7 } -> Ping { n: 7 } -> Pong { n: 7 } -> Middle { n: 7 }"
        ),
        "{story}"
    );
    let report = error.report().unwrap();
    assert!(matches!(
        report.outcome(&Ping { n: 7 }),
        Some(Outcome::Blocked { by }) if *by == Middle { n: 7 }.key()
    ));

    let story = format!(
        "{:#}",
        bench.runner().run(Above { n: 1 }).await.unwrap_err()
    );
    assert!(
        story.contains("Below { n: 1 } -> Above { n: 1 } -> Below { n: 1 }"),
        "{story}"
    );
    let story = format!(
        "{:#}",
        bench.runner().run(Below { n: 2 }).await.unwrap_err()
    );
    assert!(
        story.contains("Below { n: 2 } -> Above { n: 2 } -> Below { n: 2 }"),
        "{story}"
    );
    let story = format!("{:#}", bench.runner().run(Selfish).await.unwrap_err());
    assert!(story.contains("Selfish -> Selfish"), "{story}");
}

#[task]
async fn broken(n: u64) -> Result<u64, std::io::Error> {
    Err(std::io::Error::other(format!("no {n}")))
}

#[task(retries = 3)]
async fn hopeful(
    n: u64,
    #[context] cx: &Context,
    #[resource] log: &crate::common::Log,
) -> anyhow::Result<u64> {
    log.note("hopeful");
    Ok(*cx.get(Broken { n }).await?)
}

#[task]
async fn above_hopeful(#[requires(Hopeful { n: 1 })] hopeful: u64) -> kart::Result<u64> {
    Ok(hopeful)
}

/// Goes on without.
#[task]
async fn resigned(#[context] cx: &Context) -> anyhow::Result<String> {
    match cx.get(Broken { n: 2 }).await {
        Err(error @ Error::Required { .. }) => Ok(kart::chain(&error)),
        _ => Ok("something else".to_owned()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_with_what_it_asked_for_is_blocked_and_not_retried() {
    let bench = Bench::new();
    let error = bench.runner().run(AboveHopeful).await.unwrap_err();
    let report = error.report().unwrap();
    let broken = Broken { n: 1 }.key();
    for outcome in [
        report.outcome(&Hopeful { n: 1 }),
        report.outcome(&AboveHopeful),
    ] {
        assert!(matches!(outcome, Some(Outcome::Blocked { by }) if *by == broken));
    }
    assert_eq!(report.counts().failed, 1);
    assert_eq!(bench.log.take(), ["hopeful"]);
    assert!(format!("{error:#}").contains("no 1"));
}

#[task]
async fn above_broken(#[requires(Broken { n: 3 })] broken: u64) -> kart::Result<u64> {
    Ok(broken)
}

/// Asks for what requires a task that has failed before.
#[task]
async fn asks_late(#[context] cx: &Context) -> anyhow::Result<String> {
    let broken = cx.get(Broken { n: 3 }).await;
    let above = cx.get(AboveBroken).await;
    let told = [broken.err(), above.err()].map(|error| error.map(|error| kart::chain(&error)));
    Ok(told.into_iter().flatten().collect())
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_after_its_requirement_has_failed_is_blocked_at_once() {
    let bench = Bench::new();
    let error = unless_stuck(bench.runner().run(AsksLate))
        .await
        .unwrap_err();
    let report = error.report().unwrap();
    let said = report.output(&AsksLate).await.unwrap();
    assert_eq!(said.matches("no 3").count(), 2, "{said}");
    let broken = Broken { n: 3 }.key();
    assert!(matches!(
        report.outcome(&AboveBroken),
        Some(Outcome::Blocked { by }) if *by == broken
    ));
}

#[tokio::test(start_paused = true)]
async fn a_body_may_go_on_without_what_it_asked_for() {
    let bench = Bench::new();
    let error = bench.runner().run(Resigned).await.unwrap_err();
    let report = error.report().unwrap();
    assert_eq!((report.counts().ran, report.counts().failed), (1, 1));
    let said = report.output(&Resigned).await.unwrap();
    assert_eq!(
        said,
        "Broken { n: 2 } was asked for, and did not complete: no 2"
    );
}

#[tokio::test(start_paused = true)]
async fn bodies_that_wait_are_interrupted_when_the_run_stops() {
    let bench = Bench::new();
    let stop = StopToken::new();
    let asked = Arc::new(tokio::sync::Notify::new());
    let heard = Arc::clone(&asked);
    let runner = bench
        .runner()
        .workers(2)
        .stop(&stop)
        .on_event(move |event| {
            if matches!(event, Event::SubtaskRequested { .. }) {
                heard.notify_one();
            }
        });
    let run = tokio::spawn(async move {
        runner
            .run(Patient {
                wait: 3600,
                then: 1,
            })
            .await
    });
    asked.notified().await;
    stop.stop();
    let error = run.await.unwrap().unwrap_err();
    let RunError::Interrupted(report) = error else {
        panic!("{error:#}");
    };
    assert_eq!(report.counts().interrupted, 2);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_what_cannot_start_any_more_is_told_at_once() {
    let bench = Bench::new();
    let stop = StopToken::new();
    let stopping = stop.clone();
    // The stop comes while the one worker is taken by the task that asks.
    let runner = bench.runner().stop(&stop).on_event(move |event| {
        if matches!(event, Event::SubtaskRequested { .. }) {
            stopping.stop();
        }
    });
    let started = tokio::time::Instant::now();
    let error = runner.run(InTurn { count: 3 }).await.unwrap_err();
    assert!(matches!(error, RunError::Interrupted(_)), "{error:#}");
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[derive(Debug, Default)]
struct Nothing;

#[task]
async fn needs_nothing(#[resource] nothing: &Nothing) -> kart::Result<String> {
    Ok(format!("{nothing:?}"))
}

#[task]
async fn asks_in_vain(#[context] cx: &Context) -> kart::Result<String> {
    Ok((*cx.get(NeedsNothing).await?).clone())
}

#[tokio::test(start_paused = true)]
async fn what_the_runner_lacks_for_a_task_that_is_asked_for_is_an_error_of_the_body() {
    let bench = Bench::new();
    let error = bench.runner().run(AsksInVain).await.unwrap_err();
    let story = format!("{error:#}");
    assert!(story.contains("NeedsNothing takes `nothing: &"), "{story}");
}

/// Asks for one of its tasks before it is run again, for one that differs in nothing that counts, and
/// for two that would write one object.
#[task]
async fn asks_twice(
    #[requires(Noted { n: 1, note: String::new() })] one: u64,
    #[context] cx: &Context,
) -> anyhow::Result<u64> {
    let same = cx
        .get(Noted {
            n: 1,
            note: "other".to_owned(),
        })
        .await?;
    let new = cx
        .get(Noted {
            n: 2,
            note: "a".to_owned(),
        })
        .await?;
    let again = cx
        .get(Noted {
            n: 2,
            note: "b".to_owned(),
        })
        .await?;
    Ok(one + *same + *new + *again)
}

#[task]
async fn noted(
    n: u64,
    #[param(insignificant)] note: &str,
    #[resource] log: &crate::common::Log,
) -> kart::Result<u64> {
    log.note(format!("noted {n}{note}"));
    Ok(n)
}

#[tokio::test(start_paused = true)]
async fn tasks_that_differ_in_nothing_that_counts_are_one_also_when_asked_for() {
    let bench = Bench::new();
    let report = bench.runner().run(AsksTwice).await.unwrap();
    assert_eq!(report.output(&AsksTwice).await.unwrap(), 6);
    assert_eq!(bench.log.take(), ["noted 1", "noted 2a"]);
    assert_eq!(report.counts().ran, 3);
}

#[task(path = "here.json")]
async fn here(n: u64) -> kart::Result<u64> {
    Ok(n)
}

#[task]
async fn clashes(#[context] cx: &Context) -> anyhow::Result<String> {
    cx.get(Here { n: 1 }).await?;
    let clash = cx.get(Here { n: 2 }).await.unwrap_err();
    let first = cx.get(Here { n: 1 }).await?;
    Ok(format!("{clash}, and {first}"))
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_path_is_taken_is_refused_and_the_others_stay_as_they_are() {
    let bench = Bench::new();
    let report = bench.runner().run(Clashes).await.unwrap();
    let said = report.output(&Clashes).await.unwrap();
    assert!(
        said.starts_with(
            "two tasks have the one path `here.json`: Here { n: 1 } and Here { n: 2 };"
        ),
        "{said}"
    );
    assert!(said.ends_with(", and 1"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_is_named_to_run_again_runs_again_when_it_is_asked_for() {
    let bench = Bench::new();
    bench.runner().run(InTurn { count: 2 }).await.unwrap();
    bench.log.take();
    let again = bench.runner().rerun("Leaf").rerun("InTurn");
    let report = again.run(InTurn { count: 2 }).await.unwrap();
    assert_eq!(bench.log.take(), ["in turn", "leaf 0", "leaf 1"]);
    assert_eq!(report.counts().ran, 3);
    assert!(report.outcome(&Leaf { n: 5 }).is_none());
}

#[task(priority = 1)]
async fn waits_in_vain(#[context] cx: &Context) -> kart::Result<u64> {
    Ok(*cx.get(InTurn { count: 1 }).await?)
}

#[task]
async fn fails_later() -> Result<u64, std::io::Error> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Err(std::io::Error::other("too late"))
}

#[task]
async fn both(#[requires((WaitsInVain, FailsLater))] both: (u64, u64)) -> kart::Result<u64> {
    Ok(both.0 + both.1)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_a_task_in_line_for_a_worker_hears_of_the_first_failure() {
    let bench = Bench::new();
    let run = bench.runner().fail_fast(true);
    let error = unless_stuck(run.run(Both)).await.unwrap_err();
    assert!(matches!(error, RunError::Failed(_)), "{error:#}");
    assert_eq!(bench.log.take(), Vec::<String>::new());
}
