//! Bodies on threads of their own: how many there may be, how long they hold what they have, and what a time limit means
//! for them.

#[path = "common/capture.rs"]
mod capture;
mod common;

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use capture::Capture;
use common::{Gauge, Log, memory};
use kart::{Context, Outcome, Report, RunError, Runner, Workspace, task};
use tokio::runtime::{Builder, Runtime};

const SECOND: Duration = Duration::from_secs(1);

/// Long enough for a machine under load, and the sign of a hang.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs that on a thread, which may hang.
fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(RecvTimeoutError::Disconnected) => resume_unwind(thread.join().unwrap_err()),
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Runs a task to its end and ends the runtime, which waits for the runtime's threads.
fn run<T: kart::Task>(runner: Runner, task: T) -> Result<Report, RunError> {
    within(move || runtime().block_on(runner.run(task)))
}

#[task]
fn deep(n: u32, #[context] cx: &Context) -> anyhow::Result<u32> {
    match n.checked_sub(1) {
        Some(below) => Ok(*cx.block_on(cx.get(Deep { n: below }))? + 1),
        None => Ok(0),
    }
}

#[test]
fn hundreds_of_plain_bodies_may_wait_for_each_other() {
    let report = run(Runner::new(&memory()).workers(4), Deep { n: 600 }).unwrap();
    assert_eq!(report.counts().ran, 601);
}

#[task]
async fn common_input() -> kart::Result<u32> {
    tokio::time::sleep(SECOND / 2).await;
    Ok(1)
}

#[task]
fn one_of_many(n: u32, #[context] cx: &Context) -> anyhow::Result<u32> {
    Ok(n + *cx.block_on(cx.get(CommonInput))?)
}

#[task]
async fn wide(
    width: u32,
    #[requires((0..width).map(|n| OneOfMany { n }))] all: Vec<u32>,
) -> kart::Result<usize> {
    Ok(all.len())
}

#[cfg(feature = "fs")]
#[test]
fn hundreds_of_plain_bodies_may_wait_for_one_task() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let report = run(Runner::new(&workspace).workers(4), Wide { width: 600 }).unwrap();
    assert_eq!(report.counts().ran, 602);
}

/// Where a test meets a body.
struct Meeting {
    go_on: Mutex<mpsc::Receiver<()>>,
    ended: mpsc::Sender<String>,
}

#[task]
async fn quick() -> kart::Result<u32> {
    Ok(1)
}

#[task]
fn asks_late(#[context] cx: &Context, #[resource] meeting: &Meeting) -> anyhow::Result<u32> {
    let _ = meeting.go_on.lock().unwrap().recv();
    let answer = cx.block_on(cx.get(Quick));
    meeting
        .ended
        .send(kart::chain(answer.as_ref().unwrap_err()))?;
    Ok(*answer?)
}

#[test]
fn a_plain_body_that_asks_after_its_run_is_over_gets_an_error_and_holds_up_nothing() {
    let (go_on, waits) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let meeting = Meeting {
        go_on: waits.into(),
        ended,
    };
    let runner = Runner::new(&memory())
        .deadline(SECOND / 10)
        .grace(SECOND / 10)
        .resource(meeting);
    within(move || {
        let runtime = runtime();
        let error = runtime.block_on(runner.run(AsksLate)).unwrap_err();
        assert!(matches!(error, RunError::Interrupted(_)), "{error:#}");
        go_on.send(()).unwrap();
        let answer = end.recv().unwrap();
        assert!(answer.contains("interrupted"), "{answer}");
    });
}

#[task(timeout = "50ms", retries = 1, backoff = "1ms", uses(gpu = 1))]
fn encode(n: u32, #[resource] gauge: &Gauge, #[resource] log: &Log) -> anyhow::Result<u32> {
    gauge.enter(1);
    thread::sleep(SECOND / 5);
    gauge.leave(1);
    log.note("ended");
    Ok(n)
}

#[task]
async fn film(#[requires((0..3).map(|n| Encode { n }))] scenes: Vec<u32>) -> kart::Result<usize> {
    Ok(scenes.len())
}

/// A run of three that all are past their time limit, twice.
fn past_the_limit(workers: usize, gpus: u32) -> (Gauge, Log, usize) {
    let (gauge, log) = (Gauge::default(), Log::default());
    let runner = Runner::new(&memory())
        .workers(workers)
        .limit("gpu", gpus)
        .resource(gauge.clone())
        .resource(log.clone());
    let error = run(runner, Film).unwrap_err();
    let story = format!("{error:#}");
    assert!(story.contains("timed out after 50ms"), "{story}");
    (gauge, log, error.report().unwrap().counts().failed)
}

#[test]
fn a_plain_body_past_its_timeout_holds_worker_limits_and_retry_until_it_ends() {
    for (workers, gpus) in [(1, 9), (9, 1)] {
        let (gauge, log, failed) = past_the_limit(workers, gpus);
        assert_eq!(gauge.most(), 1);
        assert_eq!(log.all().len(), 6, "the run waits for the threads");
        assert_eq!(failed, 3);
    }
    // Only its own thread holds up the retry of each.
    let (gauge, ..) = past_the_limit(9, 9);
    assert!(gauge.most() <= 3);
}

/// Waits for that long and then computes for that long, in milliseconds.
#[task(timeout = "1s")]
fn waits_and_works(wait: u64, work: u64, #[context] cx: &Context) -> anyhow::Result<u64> {
    let wait = *cx.block_on(cx.get(Pause { ms: wait }))?;
    thread::sleep(Duration::from_millis(work));
    Ok(wait)
}

#[task]
async fn pause(ms: u64) -> kart::Result<u64> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(ms)
}

const WAITS: [(u64, u64); 2] = [(1_200, 2_000), (700, 500)];

#[task]
async fn both(
    #[requires(WAITS.map(|(wait, work)| WaitsAndWorks { wait, work }))] all: Vec<u64>,
) -> kart::Result<usize> {
    Ok(all.len())
}

#[test]
fn the_timeout_of_a_plain_body_counts_what_it_computes_and_not_what_it_waits() {
    let runner = Runner::new(&memory()).workers(4);
    let error = run(runner, Both).unwrap_err();
    let [long, short] = WAITS.map(|(wait, work)| WaitsAndWorks { wait, work });
    let report = error.report().unwrap();
    let outcomes = (report.outcome(&long), report.outcome(&short));
    assert!(
        matches!(outcomes, (Some(Outcome::Failed(_)), Some(Outcome::Ran(_)))),
        "{outcomes:?}"
    );
}

#[task(timeout = "50ms")]
async fn inconsiderate(n: u32) -> kart::Result<u32> {
    thread::sleep(SECOND / 10);
    Ok(n)
}

#[tokio::test]
async fn an_async_body_that_blocks_its_thread_past_its_timeout_is_named_in_a_warning() {
    let capture = Capture::default();
    let subscribed = capture.subscribe();
    Runner::new(&memory())
        .run(Inconsiderate { n: 3 })
        .await
        .unwrap();
    drop(subscribed);
    let text = capture.text();
    let warning = text.lines().find(|line| line.contains("WARN"));
    let warning = warning.unwrap_or_else(|| panic!("no warning in {text}"));
    for part in [
        "Inconsiderate { n: 3 }",
        "blocked its thread",
        "timeout=50ms",
    ] {
        assert!(warning.contains(part), "{warning}");
    }
}

#[task]
fn hold(n: u32) -> kart::Result<u32> {
    thread::sleep(5 * SECOND / 2);
    Ok(n)
}

#[task]
async fn held(#[requires((0..520).map(|n| Hold { n }))] all: Vec<u32>) -> kart::Result<usize> {
    Ok(all.len())
}

#[cfg(feature = "fs")]
#[test]
fn hundreds_of_plain_bodies_do_not_starve_the_heartbeat_of_their_process() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let runner = Runner::new(&workspace).workers(600).ttl(SECOND);
    assert_eq!(run(runner, Held).unwrap().counts().ran, 521);
}

#[cfg(feature = "fs")]
#[test]
fn a_program_that_takes_all_blocking_threads_of_the_runtime_loses_no_lease() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let runner = Runner::new(&workspace).ttl(SECOND);
    let (release, held) = mpsc::channel::<()>();
    within(move || {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn_blocking(move || held.recv());
        let report = runtime.block_on(runner.run(Pause { ms: 2_500 })).unwrap();
        assert_eq!(report.counts().ran, 1);
        drop(release);
    });
}
