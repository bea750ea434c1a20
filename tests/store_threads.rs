//! The store has threads of its own: nobody who fills those of the runtime stops it, and one that never answers holds up
//! nobody.
#![cfg(all(feature = "fs", unix))]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use kart::{CreateOutcome, RunError, Runner, Workspace, task};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

/// Long enough for a machine under load, and the sign of a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs that on a thread, which may hang.
fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(PATIENCE).expect("it hangs")
}

/// Opening it for reading waits for somebody who writes.
fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn the_store_works_while_all_blocking_threads_of_the_runtime_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let (release, held) = mpsc::channel::<()>();
    within(move || {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn_blocking(move || held.recv());
        runtime.block_on(async {
            let large = Bytes::from(vec![1; 1 << 20]);
            for bytes in [Bytes::from("small"), large] {
                let created = workspace.create("a", bytes.clone()).await.unwrap();
                assert_eq!(created, CreateOutcome::Written);
                assert_eq!(workspace.read("a").await.unwrap(), Some(bytes));
                assert_eq!(workspace.list("").await.unwrap(), ["a"]);
                assert!(workspace.delete("a").await.unwrap());
            }
        });
        drop(release);
    });
}

#[test]
fn a_file_that_never_answers_holds_up_neither_others_nor_the_end_of_the_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    for n in 0..20 {
        fifo(&directory.path().join(format!("stuck-{n}")));
    }
    within(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stuck = (0..20).map(|n| {
                let workspace = workspace.clone();
                tokio::spawn(async move { workspace.read(&format!("stuck-{n}")).await })
            });
            let stuck: Vec<_> = stuck.collect();
            let others = (0..100).map(|n| {
                let workspace = workspace.clone();
                tokio::spawn(async move { workspace.replace(&format!("{n}"), "x".into()).await })
            });
            for other in others.collect::<Vec<_>>() {
                other.await.unwrap().unwrap();
            }
            assert!(stuck.iter().all(|read| !read.is_finished()));
            let late = timeout(Duration::from_millis(10), workspace.read("stuck-0")).await;
            assert!(late.is_err());
        });
    });
}

#[task(path = "stuck.json")]
async fn stuck() -> kart::Result<u32> {
    Ok(1)
}

/// Puts a file that never answers in place of an output.
#[task]
async fn blocks(
    #[requires(Stuck)] stuck: u32,
    #[resource] output: &PathBuf,
) -> anyhow::Result<u32> {
    std::fs::remove_file(output)?;
    fifo(output);
    Ok(stuck)
}

#[task]
async fn needs_both(#[requires((Stuck, Blocks))] both: (u32, u32)) -> kart::Result<u32> {
    Ok(both.0 + both.1)
}

#[test]
fn a_run_whose_directory_does_not_answer_ends_within_its_grace_and_so_does_its_program() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let output = directory.path().join("stuck.json");
    let began = Instant::now();
    within(move || {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        let runner = Runner::new(&workspace)
            .deadline(Duration::from_millis(500))
            .grace(Duration::from_millis(300))
            .memory_budget(0)
            .resource(output);
        let error = runtime.block_on(runner.run(NeedsBoth)).unwrap_err();
        assert!(matches!(error, RunError::Interrupted(_)), "{error:#}");
    });
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_stands_still_while_the_store_works() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    for size in [1, 8 << 20] {
        let bytes = Bytes::from(vec![1; size]);
        let started = Instant::now();
        tokio::select! {
            () = sleep(Duration::from_hours(1)) => panic!("the clock went on"),
            written = workspace.replace("a", bytes) => written.unwrap(),
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
