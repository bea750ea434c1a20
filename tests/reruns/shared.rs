//! Reruns whose work processes share.

use kart::{Coordination, Report, Runner, TaskExt as _, task};

use crate::common::{Log, memory};
use crate::{Derived, SECOND, Source, Sum, remembered, runner};

#[tokio::test(start_paused = true)]
async fn runs_that_share_a_rerun_make_each_task_once_and_from_new_inputs() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Derived).await.unwrap();
    log.take();
    log.note("source");
    let shared = runner(&workspace, &log)
        .coordination(Coordination::Shared)
        .rerun("Source");
    let (one, other) = tokio::join!(shared.run(Derived), shared.run(Derived));
    assert_eq!(one.unwrap().counts().ran + other.unwrap().counts().ran, 2);
    assert_eq!(log.take(), ["source", "source", "derived"]);
    assert_eq!(Source.load(&workspace).await.unwrap(), 1);
    assert_eq!(Derived.load(&workspace).await.unwrap(), 10);
    let plain = runner(&workspace, &log).run(Derived).await.unwrap();
    assert_eq!(plain.counts().ran, 0);
    assert!(remembered(&workspace).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn runs_that_share_a_rerun_of_many_tasks_make_each_once() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Sum).await.unwrap();
    log.take();
    let shared = runner(&workspace, &log)
        .coordination(Coordination::Shared)
        .rerun("Sleeper");
    let (one, other) = tokio::join!(shared.run(Sum), shared.run(Sum));
    assert_eq!(one.unwrap().counts().ran + other.unwrap().counts().ran, 7);
    let each_once: Vec<String> = (0..6).map(|n| format!("sleeper {n}")).collect();
    assert_eq!(log.take_sorted(), each_once);
}

#[task]
async fn long(#[resource] log: &Log) -> kart::Result<u32> {
    log.note("long");
    tokio::time::sleep(600 * SECOND).await;
    Ok(1)
}

#[task]
async fn above_long(#[requires(Long)] below: u32, #[resource] log: &Log) -> kart::Result<u32> {
    log.note("above");
    Ok(below)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_hears_of_the_end_of_a_shared_rerun_only_later_makes_nothing_again() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(AboveLong).await.unwrap();
    log.take();
    // It looks every ten minutes or so at what the other one makes.
    let shared = runner(&workspace, &log)
        .coordination(Coordination::Shared)
        .ttl(3600 * SECOND)
        .rerun("Long");
    let (one, other) = tokio::join!(shared.run(AboveLong), shared.run(AboveLong));
    assert_eq!(one.unwrap().counts().ran + other.unwrap().counts().ran, 2);
    assert_eq!(log.take(), ["long", "above"]);
}

/// Runs a rerun of the source, and a second later a run that shares its work and is `set_up`.
async fn joined_by(set_up: impl FnOnce(Runner) -> Runner) -> (Report, Report) {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Derived).await.unwrap();
    let shared = runner(&workspace, &log).coordination(Coordination::Shared);
    let rerun = shared.clone().rerun("Source");
    let second = set_up(shared);
    let (one, other) = tokio::join!(rerun.run(Derived), async {
        tokio::time::sleep(SECOND).await;
        second.run(Derived).await
    });
    (one.unwrap(), other.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_plain_run_that_shares_the_work_of_a_rerun_uses_nothing_from_before_it() {
    let (one, other) = joined_by(|plain| plain).await;
    assert_eq!(one.output(&Derived).await.unwrap(), 10);
    assert_eq!(other.output(&Derived).await.unwrap(), 10);
    assert_eq!(one.counts().ran + other.counts().ran, 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_shares_a_rerun_that_is_dropped_still_makes_all_of_it() {
    let (one, other) = joined_by(|second| second.abandon_reruns(true)).await;
    // Whoever drops it wants what there is.
    assert_eq!(other.counts().ran, 0);
    assert_eq!(one.output(&Derived).await.unwrap(), 10);
}
