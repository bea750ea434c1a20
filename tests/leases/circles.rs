//! Bodies that wait for each other through several processes.

use std::time::Duration;

use kart::{Context, Coordination, Outcome, Runner, TaskExt as _, Workspace, task};
use tokio::time::Instant;

use crate::SECOND;
use crate::common::{memory, unless_stuck};

const TTL: Duration = Duration::from_mins(1);

#[task]
async fn ping(#[context] cx: &Context) -> kart::Result<u64> {
    tokio::time::sleep(SECOND).await;
    Ok(*cx.get(Pong).await?)
}

#[task]
async fn pong(#[context] cx: &Context) -> kart::Result<u64> {
    tokio::time::sleep(SECOND).await;
    Ok(*cx.get(Above).await?)
}

#[task]
async fn above(#[requires(Ping)] ping: u64) -> kart::Result<u64> {
    Ok(ping)
}

/// Asks for a task that asks for it, and can do without.
#[task]
async fn left(#[context] cx: &Context) -> kart::Result<u64> {
    tokio::time::sleep(SECOND).await;
    Ok(cx.get(Right).await.map_or(1, |right| *right + 1))
}

#[task]
async fn right(#[context] cx: &Context) -> kart::Result<u64> {
    tokio::time::sleep(SECOND).await;
    Ok(cx.get(Left).await.map_or(1, |left| *left + 1))
}

/// Two bodies at fixed paths, whose runs claim nothing else of each other.
#[task(path = "latest/heads.json")]
async fn heads(#[context] cx: &Context) -> kart::Result<u64> {
    tokio::time::sleep(SECOND).await;
    Ok(*cx.get(Tails).await?)
}

#[task(path = "latest/tails.json")]
async fn tails(#[context] cx: &Context) -> kart::Result<u64> {
    tokio::time::sleep(SECOND).await;
    Ok(*cx.get(Heads).await?)
}

fn runner(workspace: &Workspace) -> Runner {
    Runner::new(workspace)
        .run_log(false)
        .coordination(Coordination::Shared)
        .ttl(TTL)
}

#[tokio::test(start_paused = true)]
async fn bodies_of_two_runs_that_wait_for_each_other_fail_with_the_circle() {
    let run = runner(&memory());
    let began = Instant::now();
    let both = unless_stuck(async { tokio::join!(run.run(Ping), run.run(Pong)) }).await;
    let (one, other) = (both.0.unwrap_err(), both.1.unwrap_err());
    let told = [format!("{one:#}"), format!("{other:#}")];
    let circle = |told: &String| {
        told.contains("require each other in a cycle: Ping -> Pong -> Ping")
            || told.contains("require each other in a cycle: Pong -> Ping -> Pong")
    };
    assert!(told.iter().any(circle), "{told:?}");
    assert!(began.elapsed() < 3 * TTL, "{:?}", began.elapsed());
    // Only one of them asked for what closes the circle.
    let failed = one.report().unwrap().counts().failed + other.report().unwrap().counts().failed;
    assert!(failed >= 1, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn the_circle_is_refused_to_one_body_only_and_the_other_gets_its_output() {
    let workspace = memory();
    let run = runner(&workspace);
    let both = unless_stuck(async { tokio::join!(run.run(Left), run.run(Right)) }).await;
    let (one, other) = (both.0.unwrap(), both.1.unwrap());
    let mut values = [
        one.output(&Left).await.unwrap(),
        other.output(&Right).await.unwrap(),
    ];
    values.sort_unstable();
    assert_eq!(values, [1, 2]);
    assert!(matches!(one.outcome(&Left), Some(Outcome::Ran(_))));
    assert!(matches!(other.outcome(&Right), Some(Outcome::Ran(_))));
}

#[tokio::test(start_paused = true)]
async fn bodies_that_hold_paths_for_each_other_fail_with_the_circle() {
    let run = runner(&memory()).coordination(Coordination::Exclusive);
    let both = unless_stuck(async { tokio::join!(run.run(Heads), run.run(Tails)) }).await;
    let told = format!("{:#} {:#}", both.0.unwrap_err(), both.1.unwrap_err());
    assert!(told.contains("in a cycle: "), "{told}");
}

#[task]
async fn long() -> kart::Result<u64> {
    tokio::time::sleep(20 * TTL).await;
    Ok(7)
}

#[task]
async fn patient(#[context] cx: &Context) -> kart::Result<u64> {
    Ok(*cx.get(Long).await?)
}

#[tokio::test(start_paused = true)]
async fn a_body_waits_for_another_process_as_long_as_it_takes() {
    let workspace = memory();
    let run = runner(&workspace);
    let (holder, held) = (run.clone(), Long);
    let holder = tokio::spawn(async move { holder.run(held).await });
    tokio::time::sleep(SECOND).await;
    let report = unless_stuck(run.run(Patient)).await.unwrap();
    assert!(matches!(
        report.outcome(&Long),
        Some(Outcome::CompletedByOther)
    ));
    assert_eq!(report.output(&Patient).await.unwrap(), 7);
    assert_ne!(Patient.key(), Long.key());
    holder.await.unwrap().unwrap();
}
