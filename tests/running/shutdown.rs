//! Runs that are dropped, runs that meet each other, and bodies of plain functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, ThreadId};

use kart::{Coordination, Outcome, Report, Runner, Task, TaskExt, task};
use tokio::sync::{Barrier, Semaphore, mpsc};

use crate::common::{Log, memory};

#[tokio::test]
async fn a_plain_function_runs_on_the_blocking_pool() {
    #[task]
    fn plain(#[resource] threads: &mpsc::UnboundedSender<ThreadId>) -> kart::Result<u32> {
        threads.send(thread::current().id()).unwrap();
        Ok(1)
    }
    #[task]
    async fn asynchronous(
        #[requires(Plain)] plain: u32,
        #[resource] threads: &mpsc::UnboundedSender<ThreadId>,
    ) -> kart::Result<u32> {
        threads.send(thread::current().id()).unwrap();
        Ok(plain)
    }
    let (threads, mut seen) = mpsc::unbounded_channel::<ThreadId>();
    let runner = Runner::new(&memory()).resource(threads);
    runner.run(Asynchronous).await.unwrap();
    let runtime = thread::current().id();
    assert_ne!(seen.recv().await.unwrap(), runtime);
    assert_eq!(seen.recv().await.unwrap(), runtime);
}

/// Tells when a body that was under way is no more.
struct Gone(mpsc::UnboundedSender<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.send("gone");
    }
}

#[task]
async fn quick(#[resource] log: &Log) -> kart::Result<u32> {
    log.note("quick");
    Ok(1)
}

#[task(path = "slow.json")]
async fn slow(
    #[requires(Quick)] quick: u32,
    #[resource] log: &Log,
    #[resource] notes: &mpsc::UnboundedSender<&'static str>,
    #[resource] gate: &Arc<Semaphore>,
) -> kart::Result<u32> {
    let _gone = Gone(notes.clone());
    notes.send("started").unwrap();
    gate.acquire().await.unwrap().forget();
    log.note("slow");
    Ok(quick + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_run_stops_its_bodies_and_the_next_run_goes_on() {
    let (workspace, log) = (memory(), Log::default());
    let (notes, mut heard) = mpsc::unbounded_channel::<&'static str>();
    let gate = Arc::new(Semaphore::new(0));
    let runner = Runner::new(&workspace)
        .resource(log.clone())
        .resource(notes)
        .resource(Arc::clone(&gate));
    {
        let run = runner.run(Slow);
        tokio::pin!(run);
        tokio::select! {
            _ = &mut run => panic!("the body waits for a gate that is shut"),
            note = heard.recv() => assert_eq!(note, Some("started")),
        }
    }
    assert_eq!(heard.recv().await, Some("gone"));
    let mut left = workspace.list("").await.unwrap();
    left.retain(|path| !path.starts_with("_kart/"));
    assert_eq!(left, [Quick.path()]);

    gate.add_permits(1);
    let report = runner.run(Slow).await.unwrap();
    assert_eq!((report.counts().complete, report.counts().ran), (1, 1));
    assert_eq!(log.all(), ["quick", "slow"]);
    assert_eq!(Slow.load(&workspace).await.unwrap(), 2);
}

/// Ends when the same task runs in the other run too.
#[task]
async fn meet(#[resource] barrier: &Arc<Barrier>) -> kart::Result<String> {
    barrier.wait().await;
    Ok("the same".to_owned())
}

/// As above, and never the same.
#[task]
async fn race(
    #[resource] barrier: &Arc<Barrier>,
    #[resource] counter: &Arc<AtomicU32>,
) -> kart::Result<u32> {
    barrier.wait().await;
    Ok(counter.fetch_add(1, Ordering::SeqCst))
}

#[task]
async fn after_race(#[requires(Race)] race: u32, #[resource] log: &Log) -> kart::Result<u32> {
    log.note(race.to_string());
    Ok(race)
}

fn differed<T: Task>(report: &Report, task: &T) -> bool {
    match report.outcome(task) {
        Some(Outcome::Ran(attempts)) => attempts.differed,
        other => panic!("expected that it ran, not {other:?}"),
    }
}

fn two_runs() -> (Runner, Log) {
    let log = Log::default();
    let runner = Runner::new(&memory())
        .coordination(Coordination::None)
        .resource(Arc::new(Barrier::new(2)))
        .resource(Arc::new(AtomicU32::new(1)))
        .resource(log.clone());
    (runner, log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_of_a_deterministic_task_agree() {
    let (runner, _) = two_runs();
    let (first, second) = tokio::join!(runner.run(Meet), runner.run(Meet));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(!differed(&first, &Meet) && !differed(&second, &Meet));
    assert_eq!(first.output(&Meet).await.unwrap(), "the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_writer_wins_and_the_second_adopts_and_says_so() {
    let (runner, log) = two_runs();
    let (first, second) = tokio::join!(runner.run(AfterRace), runner.run(AfterRace));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(differed(&first, &Race), differed(&second, &Race));
    let stored = first.output(&Race).await.unwrap();
    assert_eq!(log.all(), [stored.to_string(), stored.to_string()]);
    assert_eq!(second.output(&AfterRace).await.unwrap(), stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_beside_others_leaves_them_and_the_run_alone() {
    #[task]
    async fn panics(n: u32) -> kart::Result<u32> {
        tokio::task::yield_now().await;
        panic!("boom {n}")
    }
    #[task]
    fn blocks(n: u32) -> kart::Result<u32> {
        assert!(n.is_multiple_of(2), "odd");
        Ok(n)
    }
    #[task]
    async fn all(
        #[requires((0..20).map(|n| Panics { n }))] panics: Vec<u32>,
        #[requires((0..20).map(|n| Blocks { n }))] blocks: Vec<u32>,
    ) -> kart::Result<usize> {
        Ok(panics.len() + blocks.len())
    }
    let error = Runner::new(&memory())
        .workers(3)
        .run(All)
        .await
        .unwrap_err();
    let counts = error.report().unwrap().counts();
    assert_eq!((counts.ran, counts.failed, counts.blocked), (10, 30, 1));
}
