//! An output is made for a rerun if its provenance says so.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use kart::{
    AttemptFuture, AttemptRequest, Coordination, Executor, RunError, Runner, TaskExt as _, Worker,
    Workspace, task,
};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutOptions};
use tokio::sync::Notify;

use crate::common::{Hooked, Log, memory};
use crate::{
    Derived, SECOND, Sleeper, Source, Sum, cut_off_after_two, is_interrupted, remembered, runner,
    unfinished_rerun_in,
};

/// How an output that was made for a rerun comes to be another one.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Deleted, and made by a run that knows nothing of the rerun.
    MadeAnew,
    /// Cut to nothing, as by a power cut.
    Torn,
    /// Replaced by hand.
    Replaced,
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_another_one_than_was_made_for_a_rerun_is_made_again() {
    for change in [Change::MadeAnew, Change::Torn, Change::Replaced] {
        let store = Arc::new(InMemory::new());
        let workspace = Workspace::from_store(Arc::clone(&store) as _, "");
        let (workspace, log, _) = unfinished_rerun_in(workspace).await;
        let made = Sleeper { n: 0 };
        match change {
            Change::MadeAnew => {
                assert!(made.remove(&workspace).await.unwrap());
                runner(&workspace, &log).run(made).await.unwrap();
            }
            Change::Torn => {
                let path = Path::from(made.path());
                let attributes = store.get(&path).await.unwrap().attributes;
                let options = PutOptions::from(attributes);
                store.put_opts(&path, "".into(), options).await.unwrap();
            }
            Change::Replaced => workspace.replace(&made.path(), "0".into()).await.unwrap(),
        }
        log.take();
        let report = runner(&workspace, &log).run(Sum).await.unwrap();
        assert_eq!(report.counts().ran, 6, "{change:?}");
        let made = [0, 2, 3, 4, 5].map(|n| format!("sleeper {n}"));
        assert_eq!(log.take(), made, "{change:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_rerun_one_object_is_written_and_deleted() {
    let requests = Log::default();
    let notes = requests.clone();
    let workspace = Hooked::workspace(&Arc::default(), move |operation, path| {
        let is_write = matches!(operation, "create" | "put" | "delete");
        if is_write && path.starts_with("_kart/reruns") {
            notes.note(operation);
        }
        ready(()).boxed()
    });
    let log = Log::default();
    for coordination in [
        Coordination::Exclusive,
        Coordination::Shared,
        Coordination::None,
    ] {
        let runner = runner(&workspace, &log).coordination(coordination);
        runner.run(Sum).await.unwrap();
        runner.rerun("Sleeper").run(Sum).await.unwrap();
        assert_eq!(requests.take(), ["create", "delete"]);
    }
}

#[task]
async fn top(#[requires(Derived)] derived: usize, #[resource] log: &Log) -> kart::Result<usize> {
    log.note("top");
    tokio::time::sleep(10 * SECOND).await;
    Ok(derived + 1)
}

#[tokio::test(start_paused = true)]
async fn what_is_above_a_requirement_that_is_made_again_stays_to_be_made_after_a_cut() {
    let (workspace, log) = (memory(), Log::default());
    let runner = runner(&workspace, &log);
    runner.run(Top).await.unwrap();
    let within = |runner: &Runner, seconds| {
        let cut_off = runner.clone().deadline(seconds * SECOND);
        cut_off.grace(Duration::ZERO)
    };
    // The source and what is derived from it are made.
    let cut_off = within(&runner.clone().rerun("Source"), 12).run(Top).await;
    assert!(is_interrupted(&cut_off));
    assert!(Source.remove(&workspace).await.unwrap());
    log.take();
    // The source is made.
    assert!(is_interrupted(&within(&runner, 6).run(Top).await));
    assert_eq!(log.take()[0], "source");
    let rest = runner.run(Top).await.unwrap();
    assert_eq!(rest.counts().ran, 2);
    assert_eq!(log.take(), ["derived", "top"]);
}

#[task]
async fn asks_and_waits(#[context] cx: &kart::Context) -> kart::Result<usize> {
    let source = *cx.get(Source).await?;
    tokio::time::sleep(10 * SECOND).await;
    Ok(source)
}

#[tokio::test(start_paused = true)]
async fn what_a_body_has_asked_for_is_made_once_for_a_rerun() {
    for coordination in [Coordination::Exclusive, Coordination::Shared] {
        let (workspace, log) = (memory(), Log::default());
        let runner = runner(&workspace, &log).coordination(coordination);
        runner.run(AsksAndWaits).await.unwrap();
        let rerun = runner.clone().rerun("Source").rerun("AsksAndWaits");
        let cut_off = rerun.deadline(7 * SECOND).grace(Duration::ZERO);
        assert!(is_interrupted(&cut_off.run(AsksAndWaits).await));
        assert_eq!(log.take(), ["source", "source"]);
        let rest = runner.run(AsksAndWaits).await.unwrap();
        assert_eq!(rest.output(&AsksAndWaits).await.unwrap(), 1);
        assert!(log.all().is_empty(), "{coordination:?}");
        assert!(remembered(&workspace).await.is_empty());
    }
}

/// A run that stops before a request of its own until it is let go.
fn held_before(
    store: &Arc<InMemory>,
    log: &Log,
    is_meant: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
) -> (Runner, Arc<Notify>, Arc<Notify>) {
    let (came, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (comes, goes) = (Arc::clone(&came), Arc::clone(&go));
    let workspace = Hooked::workspace(store, move |operation, path| {
        if !is_meant(operation, &path) {
            return ready(()).boxed();
        }
        comes.notify_one();
        let goes = Arc::clone(&goes);
        async move { goes.notified().await }.boxed()
    });
    let runner = runner(&workspace, log).coordination(Coordination::Shared);
    (runner, came, go)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_a_rerun_late_does_not_end_the_next_one() {
    let (store, log) = (Arc::new(InMemory::new()), Log::default());
    let workspace = Workspace::from_store(Arc::clone(&store) as _, "");
    runner(&workspace, &log).run(Derived).await.unwrap();
    let is_end = |operation: &str, path: &str| {
        // Only the record itself is at that depth.
        operation == "delete" && path.starts_with("_kart/reruns/") && path.split('/').count() == 4
    };
    let (late, came, go) = held_before(&store, &log, is_end);
    let late = late.rerun("Source");
    let next = async {
        came.notified().await;
        let next = runner(&workspace, &log).rerun("Source").deadline(SECOND);
        let cut_off = next.grace(Duration::ZERO).run(Derived).await;
        go.notify_one();
        cut_off
    };
    let (ended, cut_off) = tokio::join!(late.run(Derived), next);
    assert_eq!(ended.unwrap().counts().ran, 2);
    assert!(is_interrupted(&cut_off));
    let rest = runner(&workspace, &log).run(Derived).await.unwrap();
    assert_eq!(rest.counts().ran, 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stands_still_over_the_end_of_a_shared_rerun_makes_nothing_again() {
    let (store, log) = (Arc::new(InMemory::new()), Log::default());
    let workspace = Workspace::from_store(Arc::clone(&store) as _, "");
    runner(&workspace, &log).run(Derived).await.unwrap();
    let claims = format!("_kart/claims/{}/", Source.key());
    let (still, came, go) = held_before(&store, &log, move |operation, path| {
        operation == "create" && path.starts_with(&claims)
    });
    let still = still.rerun("Source");
    let meanwhile = async {
        came.notified().await;
        let shared = runner(&workspace, &log).coordination(Coordination::Shared);
        let made = shared.rerun("Source").run(Derived).await?;
        // It deletes what is left of the rerun.
        let plain = runner(&workspace, &log).coordination(Coordination::Shared);
        plain.run(Derived).await?;
        go.notify_one();
        Ok::<_, RunError>(made)
    };
    let (ended, made) = tokio::join!(still.run(Derived), meanwhile);
    assert_eq!(made.unwrap().counts().ran, 2);
    assert_eq!(ended.unwrap().counts().ran, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_while_a_run_looks_at_a_shared_rerun_is_not_made_again() {
    let (store, log) = (Arc::new(InMemory::new()), Log::default());
    let workspace = Workspace::from_store(Arc::clone(&store) as _, "");
    runner(&workspace, &log).run(Derived).await.unwrap();
    let begun = runner(&workspace, &log).rerun("Source").deadline(SECOND);
    let cut_off = begun.grace(Duration::ZERO).run(Derived).await;
    assert!(is_interrupted(&cut_off));
    // It sees the source as it was before, and what is derived from it as it is then.
    let is_first = AtomicBool::new(true);
    let (looks, came, go) = held_before(&store, &log, move |operation, path| {
        operation == "head" && path == Derived.path() && is_first.swap(false, Ordering::SeqCst)
    });
    let meanwhile = async {
        came.notified().await;
        let shared = runner(&workspace, &log).coordination(Coordination::Shared);
        let made = shared.run(Derived).await;
        go.notify_one();
        made
    };
    let (ended, made) = tokio::join!(looks.run(Derived), meanwhile);
    assert_eq!(made.unwrap().counts().ran, 2);
    assert_eq!(ended.unwrap().counts().ran, 0);
}

#[tokio::test(start_paused = true)]
async fn runs_that_begin_the_same_rerun_at_the_same_moment_make_it_together() {
    for coordination in [Coordination::Exclusive, Coordination::Shared] {
        let (store, log) = (Arc::new(InMemory::new()), Log::default());
        let workspace = Workspace::from_store(Arc::clone(&store) as _, "");
        runner(&workspace, &log).run(Derived).await.unwrap();
        let (first, came, go) = held_before(&store, &log, |operation, path| {
            operation == "create" && path.starts_with("_kart/reruns/")
        });
        let first = first.coordination(coordination).rerun("Source");
        let second = runner(&workspace, &log).coordination(coordination);
        let second = second.rerun("Source");
        let (one, other, ()) = tokio::join!(
            first.run(Derived),
            async {
                came.notified().await;
                second.run(Derived).await
            },
            async {
                tokio::time::sleep(SECOND).await;
                go.notify_one();
            }
        );
        let ran = one.unwrap().counts().ran + other.unwrap().counts().ran;
        assert_eq!(ran, 2, "{coordination:?}");
        assert!(remembered(&workspace).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_its_root_resumes_no_rerun_that_was_dropped_meanwhile() {
    let store = Arc::new(InMemory::new());
    let workspace = Workspace::from_store(Arc::clone(&store) as _, "");
    let (workspace, log, _) = unfinished_rerun_in(workspace).await;
    let (dropping, came, go) = held_before(&store, &log, |operation, path| {
        operation == "delete" && path.starts_with("_kart/reruns/")
    });
    let dropping = dropping.coordination(Coordination::Exclusive);
    let dropping = dropping.abandon_reruns(true);
    let (dropped, waited, ()) = tokio::join!(
        dropping.run(Sum),
        async {
            tokio::time::sleep(SECOND).await;
            runner(&workspace, &log).run(Sum).await
        },
        async {
            came.notified().await;
            tokio::time::sleep(2 * SECOND).await;
            go.notify_one();
        }
    );
    assert_eq!(dropped.unwrap().counts().ran, 0);
    assert_eq!(waited.unwrap().counts().ran, 0);
}

/// A worker of the same process.
#[derive(Debug)]
struct Nearby(Worker);

impl Executor for Nearby {
    fn attempt(&self, request: AttemptRequest) -> AttemptFuture<'_> {
        Box::pin(async move {
            let request = serde_json::from_str(&serde_json::to_string(&request)?)?;
            Ok(self.0.attempt(&request).await)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_workers_make_for_a_rerun_names_it_and_the_run() {
    let (workspace, log) = (memory(), Log::default());
    let runner = || {
        let nearby = Nearby(Worker::new(runner(&workspace, &log)));
        Runner::new(&workspace).workers(1).executor(nearby)
    };
    runner().run(Sum).await.unwrap();
    let cut_off = cut_off_after_two(runner().rerun("Sleeper"));
    assert!(is_interrupted(&cut_off.run(Sum).await));
    let id = remembered(&workspace).await.remove(0);
    log.take();
    let rest = runner().run(Sum).await.unwrap();
    assert_eq!(rest.counts().ran, 5);
    assert_eq!(log.take().len(), 4);
    let output = Sum.stored(&workspace).unwrap();
    let state = output.state().await.unwrap();
    let made = state.provenance().unwrap();
    assert!(id.ends_with(&made.reruns[0].to_string()), "{made:?}");
    assert_eq!(
        made.run,
        workspace.runs().await.unwrap().first().map(|run| run.run)
    );
}

#[task]
async fn left(#[resource] log: &Log) -> kart::Result<u32> {
    log.note("left");
    tokio::time::sleep(5 * SECOND).await;
    Ok(1)
}

#[task]
async fn right(#[resource] log: &Log) -> kart::Result<u32> {
    log.note("right");
    tokio::time::sleep(5 * SECOND).await;
    Ok(2)
}

#[task]
async fn pair(#[requires(Left)] left: u32, #[requires(Right)] right: u32) -> kart::Result<u32> {
    Ok(left + right)
}

#[tokio::test(start_paused = true)]
async fn what_one_of_two_shared_reruns_reaches_is_made_once() {
    let (workspace, log) = (memory(), Log::default());
    let shared = runner(&workspace, &log).coordination(Coordination::Shared);
    shared.run(Pair).await.unwrap();
    log.take();
    let (one, other) = (shared.clone().rerun("Left"), shared.rerun("Right"));
    let (one, other) = tokio::join!(one.run(Pair), async {
        tokio::time::sleep(SECOND).await;
        other.run(Pair).await
    });
    one.unwrap();
    other.unwrap();
    assert_eq!(log.take(), ["left", "right"]);
    assert!(remembered(&workspace).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_release_before_has_left_of_reruns_does_no_harm() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Sum).await.unwrap();
    let cut_off = cut_off_after_two(runner(&workspace, &log).rerun("Sleeper"));
    assert!(is_interrupted(&cut_off.run(Sum).await));
    let record = remembered(&workspace).await.remove(0);
    let (roots, id) = record.rsplit_once('/').unwrap();
    for old in ["all.json".to_owned(), format!("all/{id}/done")] {
        let path = format!("{roots}/{old}");
        workspace.replace(&path, "{".into()).await.unwrap();
    }
    let rest = runner(&workspace, &log).run(Sum).await.unwrap();
    assert_eq!(rest.counts().ran, 5);
    let again = runner(&workspace, &log).run(Sum).await.unwrap();
    assert_eq!(again.counts().ran, 0);
    assert_eq!(remembered(&workspace).await.len(), 2);
}
