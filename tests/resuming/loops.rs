//! Long loops: `cx.map`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use kart::{Context, Error, RunError, Workspace, task};

use crate::common::{Faulty, Log, memory, since};
use crate::{SECOND, runner, saved, story};

/// A loop whose items take a second each; `bad` fails.
#[task(name = "looped")]
async fn looped(
    #[param(insignificant)] count: u64,
    #[param(insignificant)] every: u64,
    #[param(insignificant)] bad: u64,
    #[context] cx: &Context,
    #[resource] log: &Log,
) -> kart::Result<Vec<u64>> {
    cx.map(0..count, |n| async move {
        tokio::time::sleep(SECOND).await;
        if n == bad {
            return Err(std::io::Error::other("a bad item"));
        }
        log.note(n.to_string());
        Ok(n * n)
    })
    .concurrency(3)
    .save_interval(SECOND * u32::try_from(every).unwrap())
    .await
}

fn looped_with(count: u64, every: u64) -> Looped {
    Looped {
        count,
        every,
        bad: u64::MAX,
    }
}

fn squares(count: u64) -> Vec<u64> {
    (0..count).map(|n| n * n).collect()
}

#[tokio::test(start_paused = true)]
async fn a_loop_gives_its_results_in_order_and_a_short_one_saves_nothing() {
    let (workspace, log) = (memory(), Log::default());
    let before = workspace.requests();
    let alone = runner(&workspace, &log)
        .coordination(kart::Coordination::None)
        .run_log(false);
    let report = alone.run(looped_with(20, 30)).await.unwrap();
    assert_eq!(report.elapsed().as_secs(), 7);
    assert_eq!(
        report.output(&looped_with(20, 30)).await.unwrap(),
        squares(20)
    );
    // Three listings: unfinished reruns, what was saved before, and what is to be deleted.
    assert_eq!(since(before, &workspace), [1, 1, 1, 0, 3]);
}

#[tokio::test(start_paused = true)]
async fn finished_items_run_no_more_whatever_the_interval_the_process_or_the_length() {
    let (workspace, log) = (memory(), Log::default());
    let short = runner(&workspace, &log).deadline(5 * SECOND);
    let error = short.run(looped_with(30, 2)).await.unwrap_err();
    assert!(matches!(error, RunError::Interrupted(_)), "{error:#}");
    let mut first = log.take_sorted();
    assert_eq!(first.len(), 15);
    assert!(saved(&workspace).await.len() >= 2);

    let error = short.run(looped_with(40, 1000)).await.unwrap_err();
    assert!(matches!(error, RunError::Interrupted(_)), "{error:#}");
    let report = runner(&workspace, &log)
        .run(looped_with(50, 7))
        .await
        .unwrap();
    assert_eq!(
        report.output(&looped_with(50, 7)).await.unwrap(),
        squares(50)
    );
    let mut all = log.take_sorted();
    all.append(&mut first);
    let runs = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((runs, all.len()), (50, 50));
    assert_eq!(saved(&workspace).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_failing_item_names_itself_and_the_others_are_saved() {
    let (workspace, log) = (memory(), Log::default());
    let bad = Looped {
        count: 20,
        every: 30,
        bad: 10,
    };
    let story = story(&runner(&workspace, &log), bad).await;
    assert!(
        story.contains("item 10 of the loop, 10, failed: a bad item"),
        "{story}"
    );
    let before = log.take().len();
    runner(&workspace, &log)
        .run(looped_with(20, 30))
        .await
        .unwrap();
    assert_eq!(before + log.take().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_store_operation_loses_no_saved_item() {
    for at in 0.. {
        let (log, operations) = (Log::default(), Arc::new(AtomicUsize::new(0)));
        let counting = Arc::clone(&operations);
        let killed = Arc::new(tokio::sync::Notify::new());
        let kill = Arc::clone(&killed);
        // From the operation on nothing reaches the store, as if the process were gone.
        let workspace = Faulty::workspace(move |_, path| {
            if !path.contains("_kart/steps") && !path.contains("looped") {
                return false;
            }
            let number = counting.fetch_add(1, Ordering::SeqCst);
            let is_dead = number >= at && number < 1_000;
            if is_dead {
                kill.notify_one();
            }
            is_dead
        });
        let first = runner(&workspace, &log);
        let was_killed = tokio::select! {
            biased;
            () = killed.notified() => true,
            done = first.run(looped_with(12, 1)) => done.is_err(),
        };
        operations.store(1_000, Ordering::SeqCst);
        let saved_before = items_saved(&workspace).await;
        log.take();
        let report = runner(&workspace, &log)
            .run(looped_with(12, 1))
            .await
            .unwrap();
        assert_eq!(
            report.output(&looped_with(12, 1)).await.unwrap(),
            squares(12)
        );
        let again = log.take();
        assert!(
            again.iter().all(|item| !saved_before.contains(item)),
            "killed at {at}: {saved_before:?} were saved, {again:?} ran again"
        );
        if !was_killed {
            assert!(at > 5, "{at}");
            return;
        }
    }
}

/// The items whose results are in a chunk.
async fn items_saved(workspace: &Workspace) -> Vec<String> {
    let mut items = Vec::new();
    for path in saved(workspace).await {
        let chunk = workspace.read(&path).await.unwrap().unwrap();
        let chunk = String::from_utf8(chunk.to_vec()).unwrap();
        // The first line is that of the envelope.
        for line in chunk.lines().skip(1) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let square = line["result"].as_u64().unwrap();
            items.push(square.isqrt().to_string());
        }
    }
    items
}

/// Equal items, and more chunks than are kept apart.
#[task]
async fn alike(#[context] cx: &Context, #[resource] log: &Log) -> kart::Result<usize> {
    let items = std::iter::repeat_n("same", 100);
    let results = cx
        .map(items, |item| async move {
            tokio::time::sleep(SECOND).await;
            log.note(item);
            if cx.is_stopping() {
                return Err(kart::interrupted());
            }
            Ok(item.len())
        })
        .concurrency(1)
        .save_interval(SECOND)
        .await?;
    Ok(results.len())
}

#[tokio::test(start_paused = true)]
async fn each_of_equal_items_runs_and_many_small_chunks_become_few() {
    let (workspace, log) = (memory(), Log::default());
    let short = runner(&workspace, &log).deadline(Duration::from_millis(70_500));
    short.run(Alike).await.unwrap_err();
    let chunks = saved(&workspace).await.len();
    assert!(chunks > 60, "{chunks}");
    let stopped = short.deadline(Duration::from_millis(2_500));
    stopped.run(Alike).await.unwrap_err();
    let chunks = saved(&workspace).await.len();
    assert!(chunks < 5, "{chunks}");
    let report = runner(&workspace, &log).run(Alike).await.unwrap();
    assert_eq!(report.output(&Alike).await.unwrap(), 100);
}

/// Counts how many results live.
#[derive(Debug)]
struct Counted(u64);

static LIVING: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

impl Counted {
    fn new(n: u64) -> Self {
        let living = LIVING.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(living, Ordering::SeqCst);
        Counted(n)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::SeqCst);
    }
}

impl serde::Serialize for Counted {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Counted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Counted::new)
    }
}

#[task]
async fn streamed(#[context] cx: &Context, #[resource] log: &Log) -> Result<u64, Error> {
    let results = cx
        .map(0..1_000_u64, |n| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            log.note(n.to_string());
            std::io::Result::Ok(Counted::new(n))
        })
        .concurrency(4)
        .save_interval(SECOND)
        .stream();
    let sum = results.try_fold((0, 0), |(next, sum), result| async move {
        assert_eq!(result.0, next);
        Ok((next + 1, sum + result.0))
    });
    Ok(sum.await?.1)
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_in_order_resumes_and_holds_a_chunk_at_a_time() {
    let (workspace, log) = (memory(), Log::default());
    let short = runner(&workspace, &log).deadline(10 * SECOND);
    short.run(Streamed).await.unwrap_err();
    let first = log.take().len();
    assert!((300..600).contains(&first), "{first}");
    let report = runner(&workspace, &log).run(Streamed).await.unwrap();
    assert_eq!(report.output(&Streamed).await.unwrap(), 499_500);
    assert_eq!(first + log.take().len(), 1_000);
    let most = MOST.load(Ordering::SeqCst);
    assert!(most < 100, "{most} results at once");
    assert_eq!(LIVING.load(Ordering::SeqCst), 0);
}
