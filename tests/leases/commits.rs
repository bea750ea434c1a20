//! What a run still writes when it is dropped or has lost its lease, and runs that write one path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use kart::{
    Context, Coordination, Error, Interruption, Outcome, RunError, TaskExt as _, Workspace, task,
};
use object_store::memory::InMemory;

use crate::common::{Hooked, Log, memory, unless_stuck};
use crate::{SECOND, runner};

/// A write to the disk that lasts.
#[cfg(feature = "fs")]
mod large {
    use std::fs;
    use std::path::Path;

    use kart::{RunError, Runner, TaskExt as _, Workspace, task};

    use super::SECOND;

    #[task(path = "latest.bin", format = kart::format::Raw)]
    async fn latest(day: u8, size: usize) -> kart::Result<Vec<u8>> {
        Ok(vec![day; size])
    }

    const LARGE: Latest = Latest {
        day: 1,
        size: 256 << 20,
    };
    const SMALL: Latest = Latest { day: 2, size: 10 };

    /// Whether more than ten megabytes of an output are written that is not at its place yet.
    fn is_under_way(workspace: &Path) -> bool {
        let directories = fs::read_dir(workspace.join("_kart/tmp")).into_iter();
        let files = directories
            .flatten()
            .flatten()
            .flat_map(|directory| fs::read_dir(directory.path()))
            .flatten()
            .flatten();
        let sizes = files.flat_map(|file| file.metadata());
        sizes.map(|size| size.len()).any(|size| size > 10 << 20)
    }

    async fn until(is_so: impl Fn() -> bool) {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_that_is_dropped_in_the_midst_of_a_large_write_publishes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Workspace::open(directory.path()).unwrap();
        let dropped = Runner::new(&workspace);
        let dropped = tokio::spawn(async move { dropped.run(LARGE).await });
        until(|| is_under_way(directory.path())).await;
        assert!(!dropped.is_finished(), "the write was too fast");
        dropped.abort();
        assert!(dropped.await.unwrap_err().is_cancelled());

        Runner::new(&workspace).run(SMALL).await.unwrap();
        until(|| !is_under_way(directory.path())).await;
        let report = Runner::new(&workspace).run(SMALL).await.unwrap();
        assert_eq!(report.counts().complete, 1);
        assert_eq!(report.output(&SMALL).await.unwrap(), [2; 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_loses_its_lease_in_the_midst_of_a_large_write_publishes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Workspace::open(directory.path()).unwrap();
        let late = Runner::new(&workspace).ttl(30 * SECOND);
        let late = tokio::spawn(async move { late.run(LARGE).await });
        until(|| is_under_way(directory.path())).await;
        // The machine stood still for longer than the lease lasts.
        tokio::time::advance(30 * SECOND).await;
        let error = late.await.unwrap().unwrap_err();
        assert!(matches!(error, RunError::Interrupted(_)), "{error:#}");
        until(|| !is_under_way(directory.path())).await;
        assert!(!directory.path().join("latest.bin").exists());
        assert!(!LARGE.is_complete(&workspace).await.unwrap());
    }
}

#[task(path = "latest.json")]
async fn newest(day: u32) -> kart::Result<u32> {
    Ok(day)
}

/// A process that stands still for a while before it writes its output for the first time.
fn halting(inner: &Arc<InMemory>) -> Workspace {
    let writes = AtomicUsize::new(0);
    Hooked::workspace(inner, move |operation, path| {
        let is_output = operation == "create" && path == "latest.json";
        if is_output && writes.fetch_add(1, Ordering::SeqCst) == 0 {
            tokio::time::sleep(5 * SECOND).boxed()
        } else {
            std::future::ready(()).boxed()
        }
    })
}

#[tokio::test(start_paused = true)]
async fn of_two_roots_that_write_one_path_at_once_the_last_one_stands_and_says_what_it_replaced() {
    for are_two_processes in [false, true] {
        let inner = Arc::new(InMemory::new());
        let first = halting(&inner);
        let second = if are_two_processes {
            Hooked::workspace(&inner, |_, _| std::future::ready(()).boxed())
        } else {
            first.clone()
        };
        let log = Log::default();
        let (one, other) = (runner(&first, &log), runner(&second, &log));
        let runs = async {
            tokio::join!(one.run(Newest { day: 1 }), async {
                tokio::time::sleep(SECOND).await;
                other.run(Newest { day: 2 }).await
            })
        };
        let (one, other) = unless_stuck(runs).await;
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.replaced().count(), 1, "day 2 was replaced");
        assert_eq!(other.replaced().count(), 0);
        let is_complete = async |day| Newest { day }.is_complete(&second).await.unwrap();
        assert_eq!((is_complete(1).await, is_complete(2).await), (true, false));
        assert_eq!(Newest { day: 1 }.load(&second).await.unwrap(), 1);
        let error = Newest { day: 2 }.load(&second).await.unwrap_err();
        assert!(matches!(error, Error::OtherKey { .. }), "{error}");
    }
}

/// Longer than a lease of the tests below lasts.
const STANDSTILL: Duration = Duration::from_mins(1);

/// What a process sees whose machine stands still: the time jumps, and nothing of it has run meanwhile.
fn stand_still() {
    let _ = tokio::time::advance(STANDSTILL).now_or_never();
}

/// An output; its process stands still while it makes the bytes of the first one that is to be stored.
#[derive(Clone, Debug, serde::Deserialize)]
struct Slow(u32);

static HAS_STOOD_STILL: AtomicBool = AtomicBool::new(false);

impl serde::Serialize for Slow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !HAS_STOOD_STILL.swap(true, Ordering::SeqCst) {
            stand_still();
        }
        self.0.serialize(serializer)
    }
}

#[task(path = "latest.json")]
async fn noted(#[resource] log: &Log) -> kart::Result<Slow> {
    log.note("body");
    Ok(Slow(1))
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_right_before_the_commit_does_not_commit() {
    let log = Log::default();
    let writes = log.clone();
    let workspace = Hooked::workspace(&Arc::default(), move |operation, path| {
        if operation == "create" && path == "latest.json" {
            writes.note("output");
        }
        std::future::ready(()).boxed()
    });
    let run = runner(&workspace, &log)
        .ttl(STANDSTILL / 2)
        .coordination(Coordination::Shared);
    let report = unless_stuck(run.run(Noted)).await.unwrap();
    assert_eq!(report.counts().ran, 1);
    assert_eq!(log.all(), ["body", "body", "output"]);
}

/// Stands still in its first attempt, and then saves.
#[task]
async fn saves(#[context] cx: &Context, #[resource] log: &Log) -> kart::Result<u32> {
    if log.all().is_empty() {
        stand_still();
    }
    let saved = cx.save("place", &1).await;
    log.note(format!("saved: {}", saved.is_ok()));
    saved.map(|()| 2)
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_process_stood_still_past_its_lease_saves_nothing() {
    let (workspace, log) = (memory(), Log::default());
    let run = runner(&workspace, &log).ttl(STANDSTILL / 2);
    let error = unless_stuck(run.run(Saves)).await.unwrap_err();
    let RunError::Interrupted(report) = error else {
        panic!("{error:#}");
    };
    assert!(matches!(
        report.outcome(&Saves),
        Some(Outcome::Interrupted(Interruption::Stopped))
    ));
    assert_eq!(log.take(), ["saved: false"]);

    let run = run.coordination(Coordination::Shared);
    unless_stuck(run.run(Saves)).await.unwrap();
    assert_eq!(log.all(), ["saved: false", "saved: true"]);
}
