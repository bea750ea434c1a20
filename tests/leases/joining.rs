//! Runs of one process, and runs that share the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use kart::{Coordination, Report, RunError, Runner, StopToken, TaskExt as _, build, task};

use crate::common::{Busy, Hooked, Log, memory, unless_stuck};
use crate::{SECOND, Sum, Unit, all_objects, runner, started};

#[tokio::test(start_paused = true)]
async fn callers_of_one_root_in_one_process_share_one_run() {
    let (workspace, log) = (memory(), Log::default());
    let run = runner(&workspace, &log);
    let began = tokio::time::Instant::now();
    let (one, other) = unless_stuck(async { tokio::join!(run.run(Sum), run.run(Sum)) }).await;
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.counts().ran + other.counts().ran, 41);
    assert_eq!(other.output(&Sum).await.unwrap(), 780);
    assert_eq!(log.all().len(), 40);
    // The second learns of the end of the first at once: forty units of a second, by four workers.
    assert!(began.elapsed() < 10 * SECOND + SECOND / 100);
    assert_eq!(all_objects(&workspace).await, Vec::<String>::new());
}

#[task]
async fn slow(n: u64) -> kart::Result<u64> {
    tokio::time::sleep(SECOND).await;
    Ok(n)
}

#[tokio::test(start_paused = true)]
async fn two_builds_of_one_root_at_once_both_give_its_output() {
    let workspace = memory();
    let root = Slow { n: 7 };
    let (one, other) = tokio::join!(
        build(root.clone(), &workspace),
        build(root.clone(), &workspace)
    );
    assert_eq!((*one.unwrap(), *other.unwrap()), (7, 7));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_for_a_run_of_its_process_leaves_at_its_stop_and_its_deadline() {
    let (workspace, log) = (memory(), Log::default());
    let (first, has_started) = started(runner(&workspace, &log));
    let first = tokio::spawn(async move { first.run(Sum).await });
    has_started.notified().await;

    let began = tokio::time::Instant::now();
    let second = runner(&workspace, &log).deadline(2 * SECOND);
    let error = second.run(Sum).await.unwrap_err();
    assert!(matches!(error, RunError::AlreadyRunning(_)), "{error:#}");
    assert_eq!(began.elapsed().as_secs(), 2);

    let stop = StopToken::new();
    let second = runner(&workspace, &log).stop(&stop);
    let (result, ()) = tokio::join!(second.run(Sum), async {
        tokio::time::sleep(SECOND).await;
        stop.stop();
    });
    let error = result.unwrap_err();
    assert!(matches!(error, RunError::AlreadyRunning(_)), "{error:#}");
    assert_eq!(began.elapsed().as_secs(), 3);
    first.await.unwrap().unwrap();
}

#[task]
async fn flaky(#[resource] tries: &Arc<AtomicU32>) -> anyhow::Result<u32> {
    tokio::time::sleep(SECOND).await;
    let tries = tries.fetch_add(1, Ordering::SeqCst);
    anyhow::ensure!(tries > 0, "not yet");
    Ok(tries)
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waited_for_a_run_that_failed_runs_the_root_itself() {
    let workspace = memory();
    let run = Runner::new(&workspace)
        .run_log(false)
        .resource(Arc::new(AtomicU32::new(0)));
    let (one, other) = unless_stuck(async { tokio::join!(run.run(Flaky), run.run(Flaky)) }).await;
    assert!(one.is_err() != other.is_err(), "{one:?} {other:?}");
    assert_eq!(Flaky.load(&workspace).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_runs_that_name_their_roots_in_different_orders_both_end() {
    // Every request takes its time, so that both claim at once.
    let workspace = Busy::new().workspace();
    let log = Log::default();
    let run = runner(&workspace, &log);
    let (one, other) = (Unit { n: 1 }, Unit { n: 2 });
    let forth = run.run_all([one.clone().into(), other.clone().into()]);
    let back = run.run_all([other.into(), one.into()]);
    let (forth, back) = unless_stuck(async { tokio::join!(forth, back) }).await;
    assert!(forth.is_ok() && back.is_ok(), "{forth:?} {back:?}");
    assert_eq!(log.take_sorted(), ["unit 1", "unit 2"]);
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
    // Alone it takes ten seconds. Together two and a half, and the wait for each other's last tasks: 3.2 to 4.4 s in 200
    // runs.
    assert!(elapsed < 7 * SECOND, "{elapsed:?}");
    assert_eq!(all_objects(&workspace).await, Vec::<String>::new());
}

#[task(retries = 3, backoff = "1s")]
async fn hopeless(#[resource] log: &Log) -> anyhow::Result<u32> {
    log.note("attempt");
    tokio::time::sleep(SECOND).await;
    anyhow::bail!("no")
}

#[tokio::test(start_paused = true)]
async fn runs_that_share_the_work_make_no_more_attempts_together_than_one_alone() {
    let inner = Arc::default();
    let processes: Vec<_> = (0..3)
        .map(|_| Hooked::workspace(&inner, |_, _| std::future::ready(()).boxed()))
        .collect();
    let one_process = memory();
    for workspaces in [processes, vec![one_process; 3]] {
        let log = Log::default();
        let shared = workspaces
            .iter()
            .map(|workspace| runner(workspace, &log).coordination(Coordination::Shared));
        let runs = shared.map(async |shared| shared.run(Hopeless).await);
        for result in unless_stuck(join_all(runs)).await {
            let error = result.unwrap_err();
            assert!(matches!(error, RunError::Failed(_)), "{error:#}");
        }
        assert_eq!(log.all().len(), 4);
    }
}
