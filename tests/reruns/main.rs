//! Reruns are remembered by the workspace until all that they are for is made.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/price.rs"]
mod price;

mod made;
mod shared;

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Hooked, Log, memory, unless_stuck};
use futures_util::FutureExt as _;
use kart::{Coordination, Event, OnCodeChange, RunError, Runner, Status, TaskExt, Workspace, task};
use price::{one, two};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// What a source has to say changes with each time that it is asked.
#[task]
async fn source(#[resource] log: &Log) -> kart::Result<usize> {
    let turn = log.all().iter().filter(|line| *line == "source").count();
    log.note("source");
    tokio::time::sleep(5 * SECOND).await;
    Ok(turn)
}

#[task]
async fn derived(#[requires(Source)] source: usize, #[resource] log: &Log) -> kart::Result<usize> {
    log.note("derived");
    tokio::time::sleep(6 * SECOND).await;
    Ok(source * 10)
}

#[task]
async fn sleeper(n: u64, #[resource] log: &Log) -> kart::Result<u64> {
    log.note(format!("sleeper {n}"));
    tokio::time::sleep(SECOND).await;
    Ok(n)
}

#[task]
async fn sum(#[requires((0..6).map(|n| Sleeper { n }))] sleepers: Vec<u64>) -> kart::Result<u64> {
    Ok(sleepers.iter().sum())
}

fn runner(workspace: &Workspace, log: &Log) -> Runner {
    Runner::new(workspace).workers(1).resource(log.clone())
}

/// A run that is cut off while it makes its third sleeper.
fn cut_off_after_two(runner: Runner) -> Runner {
    runner
        .deadline(2 * SECOND + SECOND / 2)
        .grace(Duration::ZERO)
}

/// A complete sum whose sleepers are made again, two of six so far; and the runner that does so.
async fn unfinished_rerun() -> (Workspace, Log, Runner) {
    unfinished_rerun_in(memory()).await
}

async fn unfinished_rerun_in(workspace: Workspace) -> (Workspace, Log, Runner) {
    let log = Log::default();
    runner(&workspace, &log).run(Sum).await.unwrap();
    let cut_off = cut_off_after_two(runner(&workspace, &log).rerun("Sleeper"));
    assert!(is_interrupted(&cut_off.run(Sum).await));
    log.take();
    (workspace, log, cut_off)
}

async fn remembered(workspace: &Workspace) -> Vec<String> {
    workspace.list("_kart/reruns").await.unwrap()
}

fn is_interrupted<T>(result: &Result<T, RunError>) -> bool {
    matches!(result, Err(RunError::Interrupted(_)))
}

#[tokio::test(start_paused = true)]
async fn a_rerun_that_is_cut_off_again_and_again_comes_to_its_end() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Sum).await.unwrap();
    log.take();
    let cut_off = cut_off_after_two(runner(&workspace, &log).rerun("Sleeper"));
    for _ in 0..2 {
        assert!(is_interrupted(&cut_off.run(Sum).await));
    }
    let report = cut_off.run(Sum).await.unwrap();
    assert_eq!((report.counts().ran, report.counts().complete), (3, 4));
    let each_once: Vec<String> = (0..6).map(|n| format!("sleeper {n}")).collect();
    assert_eq!(log.take(), each_once);
    assert!(remembered(&workspace).await.is_empty());
    let again = runner(&workspace, &log).run(Sum).await.unwrap();
    assert_eq!(again.counts().ran, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rerun_whose_record_a_power_cut_has_torn_is_begun_anew() {
    let (workspace, log, cut_off) = unfinished_rerun().await;
    let record = remembered(&workspace).await.remove(0);
    workspace.replace(&record, Vec::new().into()).await.unwrap();
    assert!(is_interrupted(&cut_off.run(Sum).await));
    let report = runner(&workspace, &log).run(Sum).await.unwrap();
    assert_eq!(report.counts().ran, 5);
    assert_eq!(log.take().len(), 6);
    assert!(remembered(&workspace).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_plain_run_of_the_root_goes_on_with_a_rerun_and_says_so() {
    let (workspace, log, _) = unfinished_rerun().await;
    let plan = runner(&workspace, &log).plan(Sum).await.unwrap();
    assert_eq!(plan.count(Status::RerunRequested), 4);
    assert_eq!(plan.count(Status::Downstream), 1);
    let [open] = plan.reruns() else {
        panic!("{:?}", plan.reruns());
    };
    assert_eq!((&*open.tasks, open.made, open.reached), ("Sleeper", 2, 7));
    let told = Log::default();
    let notes = told.clone();
    let telling = runner(&workspace, &log).on_event(move |event| {
        if let Event::RerunResumed { tasks, made, .. } = event {
            notes.note(format!("{tasks}: {made}"));
        }
    });
    let report = telling.run(Sum).await.unwrap();
    assert_eq!(report.counts().ran, 5);
    assert_eq!(told.take(), ["Sleeper: 2"]);
    assert_eq!(log.take().len(), 4);
    assert!(remembered(&workspace).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_rerun_in_one_process_share_it() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Derived).await.unwrap();
    let rerun = runner(&workspace, &log).rerun("Source");
    let (one, other) = tokio::join!(rerun.run(Derived), rerun.run(Derived));
    assert_eq!(one.unwrap().counts().ran + other.unwrap().counts().ran, 2);
    // A later one is another rerun.
    assert_eq!(rerun.run(Derived).await.unwrap().counts().ran, 2);
    assert_eq!(Derived.load(&workspace).await.unwrap(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_rerun_is_dropped_on_demand() {
    let (workspace, log, cut_off) = unfinished_rerun().await;
    let abandoning = runner(&workspace, &log).abandon_reruns(true);
    assert_eq!(abandoning.plan(Sum).await.unwrap().runs(), 0);
    assert!(!remembered(&workspace).await.is_empty());
    assert_eq!(abandoning.run(Sum).await.unwrap().counts().ran, 0);
    assert!(remembered(&workspace).await.is_empty());
    // With a name it begins afresh.
    assert!(is_interrupted(&cut_off.run(Sum).await));
    let afresh = cut_off.abandon_reruns(true).deadline(60 * SECOND);
    assert_eq!(afresh.run(Sum).await.unwrap().counts().ran, 7);
}

#[tokio::test(start_paused = true)]
async fn a_second_rerun_of_other_tasks_makes_again_what_the_first_has_made() {
    let (workspace, log, _) = unfinished_rerun().await;
    let all = runner(&workspace, &log).rerun_all();
    assert_eq!(all.plan(Sum).await.unwrap().runs(), 7);
    assert_eq!(all.run(Sum).await.unwrap().counts().ran, 7);
    assert!(remembered(&workspace).await.is_empty());
}

/// Requires the price, by today's code.
#[task]
async fn bill(#[requires(two::Price { n: 1 })] price: u64) -> kart::Result<u64> {
    tokio::time::sleep(10 * SECOND).await;
    Ok(price * 100)
}

#[tokio::test(start_paused = true)]
async fn what_depends_on_changed_code_is_made_again_although_the_run_was_cut_off() {
    let (workspace, log) = (memory(), Log::default());
    let runner = runner(&workspace, &log);
    runner.run(one::Price { n: 1 }).await.unwrap();
    assert_eq!(*kart::build(Bill, &workspace).await.unwrap(), 200);
    let rerunning = runner.clone().on_code_change(OnCodeChange::Rerun);
    let cut_off = rerunning.clone().deadline(SECOND).grace(Duration::ZERO);
    assert!(is_interrupted(&cut_off.run(Bill).await));
    assert_eq!(log.take(), ["one", "two"]);
    let report = rerunning.run(Bill).await.unwrap();
    assert_eq!(report.output(&Bill).await.unwrap(), 300);
    assert!(log.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rerun_that_does_not_get_its_root_is_remembered() {
    let (workspace, log) = (memory(), Log::default());
    let first = runner(&workspace, &log);
    let impatient = first.clone().rerun("Source").deadline(2 * SECOND);
    let (first, refused) = tokio::join!(first.run(Derived), async {
        tokio::time::sleep(SECOND).await;
        impatient.run(Derived).await
    });
    assert!(matches!(refused, Err(RunError::AlreadyRunning(_))));
    // It is told to be run again, and whoever runs the root again goes on with it.
    let report = first.unwrap();
    assert_eq!(report.output(&Derived).await.unwrap(), 0);
    let next = runner(&workspace, &log).run(Derived).await.unwrap();
    assert_eq!(next.output(&Derived).await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn nobody_drops_a_rerun_that_an_exclusive_run_is_making() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Sum).await.unwrap();
    let rerun = cut_off_after_two(runner(&workspace, &log).rerun("Sleeper"));
    let abandoning = runner(&workspace, &log)
        .abandon_reruns(true)
        .deadline(SECOND);
    let (cut_off, refused) = tokio::join!(rerun.run(Sum), async {
        tokio::time::sleep(SECOND / 2).await;
        abandoning.run(Sum).await
    });
    assert!(is_interrupted(&cut_off));
    assert!(matches!(refused, Err(RunError::AlreadyRunning(_))));
    let rest = runner(&workspace, &log).run(Sum).await.unwrap();
    assert_eq!(rest.counts().ran, 5);
}

#[tokio::test(start_paused = true)]
async fn a_run_says_that_it_begins_or_drops_a_rerun() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Sum).await.unwrap();
    let told = Log::default();
    let notes = told.clone();
    let telling = runner(&workspace, &log).on_event(move |event| match event {
        Event::RerunBegun { tasks } => notes.note(format!("begun: {tasks}")),
        Event::RerunAbandoned { tasks, made, .. } => {
            notes.note(format!("dropped: {tasks}, {made}"));
        }
        _ => {}
    });
    let rerun = cut_off_after_two(telling.clone().rerun("Sleeper"));
    assert!(is_interrupted(&rerun.run(Sum).await));
    assert!(is_interrupted(&rerun.run(Sum).await));
    telling.abandon_reruns(true).run(Sum).await.unwrap();
    assert_eq!(told.take(), ["begun: Sleeper", "dropped: Sleeper, 4"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_see_changed_code_goes_on_with_a_rerun_for_its_sake() {
    let (workspace, log) = (memory(), Log::default());
    let runner = runner(&workspace, &log);
    runner.run(one::Price { n: 1 }).await.unwrap();
    let rerunning = runner.clone().on_code_change(OnCodeChange::Rerun);
    let impatient = rerunning.deadline(2 * SECOND);
    let (first, refused) = tokio::join!(runner.run(Bill), async {
        tokio::time::sleep(SECOND).await;
        impatient.run(Bill).await
    });
    assert_eq!(first.unwrap().output(&Bill).await.unwrap(), 200);
    assert!(matches!(refused, Err(RunError::AlreadyRunning(_))));
    let report = runner.run_log(false).run(Bill).await.unwrap();
    assert_eq!(report.output(&Bill).await.unwrap(), 300);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_run_whose_store_says_nothing_of_a_rerun_once_the_root_is_claimed() {
    let claimed = Arc::new(AtomicBool::new(false));
    let is_claimed = Arc::clone(&claimed);
    let workspace = Hooked::workspace(&Arc::default(), move |operation, path| {
        if operation == "create" && path.starts_with("_kart/claims/") {
            claimed.store(true, Ordering::SeqCst);
        }
        if claimed.load(Ordering::SeqCst) && path.starts_with("_kart/reruns") {
            return pending().boxed();
        }
        ready(()).boxed()
    });
    let log = Log::default();
    let alone = runner(&workspace, &log).coordination(Coordination::None);
    alone.run(Sum).await.unwrap();
    let cut_off = cut_off_after_two(alone.rerun("Sleeper"));
    assert!(is_interrupted(&cut_off.run(Sum).await));
    for runner in [
        runner(&workspace, &log),
        runner(&workspace, &log).rerun("Sum"),
    ] {
        let began = Instant::now();
        let ended = unless_stuck(runner.deadline(5 * SECOND).run(Sum)).await;
        assert!(is_interrupted(&ended));
        assert!(began.elapsed() <= 15 * SECOND, "{:?}", began.elapsed());
        is_claimed.store(false, Ordering::SeqCst);
    }
}

#[task]
async fn asks_for_source(#[context] cx: &kart::Context) -> kart::Result<usize> {
    Ok(*cx.get(Source).await?)
}

#[tokio::test(start_paused = true)]
async fn a_rerun_of_what_only_a_body_asks_for_names_that_task_too() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(AsksForSource).await.unwrap();
    let alone = runner(&workspace, &log).rerun("Source");
    let error = alone.run(AsksForSource).await.unwrap_err();
    assert!(matches!(error, RunError::Settings(_)), "{error:?}");
    let error = error.to_string();
    assert!(
        error.contains("AsksForSource does not require `Source`"),
        "{error}"
    );
    assert!(remembered(&workspace).await.is_empty());
    let both = alone.rerun("AsksForSource").run(AsksForSource).await;
    assert_eq!(both.unwrap().output(&AsksForSource).await.unwrap(), 1);
}

/// A complete root with the record of a rerun whose run was killed when all was made, before it could say so.
async fn killed_at_its_end() -> (Workspace, Log) {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Derived).await.unwrap();
    let rerun = runner(&workspace, &log).rerun("Source");
    let (report, (path, record)) = tokio::join!(rerun.run(Derived), async {
        tokio::time::sleep(SECOND).await;
        let path = remembered(&workspace).await.remove(0);
        let record = workspace.read(&path).await.unwrap().unwrap();
        (path, record)
    });
    report.unwrap();
    workspace.replace(&path, record).await.unwrap();
    (workspace, log)
}

#[tokio::test(start_paused = true)]
async fn a_rerun_that_was_killed_at_its_end_does_not_stand_for_the_next() {
    let (workspace, log) = killed_at_its_end().await;
    let rerun = runner(&workspace, &log).rerun("Source");
    assert_eq!(rerun.run(Derived).await.unwrap().counts().ran, 2);
    assert!(remembered(&workspace).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_plain_run_ends_a_rerun_that_was_killed_at_its_end() {
    let (workspace, log) = killed_at_its_end().await;
    let report = runner(&workspace, &log).run(Derived).await.unwrap();
    assert_eq!(report.counts().ran, 0);
    assert!(remembered(&workspace).await.is_empty());
}
