//! Requirements that come to no end.

#[path = "common/capture.rs"]
mod capture;
mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use capture::Capture;
use common::{Log, memory};
use kart::{Context, Error, Event, RunError, Runner, StopToken, task};

static NAMED: AtomicU64 = AtomicU64::new(0);

/// One, and counts it.
fn step(counted: bool) -> u64 {
    NAMED.fetch_add(u64::from(counted), Ordering::SeqCst);
    1
}

/// Requires another of its kind, without end.
#[task]
async fn endless(
    n: u64,
    counted: bool,
    #[requires(Endless { n: n + step(counted), counted })] next: u64,
) -> kart::Result<u64> {
    Ok(next)
}

#[task]
async fn leaf(n: u64) -> kart::Result<u64> {
    Ok(n)
}

#[task]
async fn wide(#[requires((0..).map(|n| Leaf { n }))] all: Vec<u64>) -> kart::Result<u64> {
    Ok(all.into_iter().sum())
}

#[task]
async fn keyed(
    #[requires((0..).map(|n| (n, Leaf { n })))] all: BTreeMap<u64, u64>,
) -> kart::Result<u64> {
    Ok(all.into_values().sum())
}

#[task]
async fn same(#[requires(std::iter::repeat(Leaf { n: 1 }))] all: Vec<u64>) -> kart::Result<u64> {
    Ok(all.into_iter().sum())
}

/// As many as it says.
#[task]
async fn finite(
    count: u64,
    #[requires((0..count).map(|n| Leaf { n }))] all: Vec<u64>,
) -> kart::Result<u64> {
    Ok(all.into_iter().sum::<u64>() + count)
}

/// Asks for one that never comes to an end, and bears it.
#[task]
async fn asks(#[context] cx: &Context) -> anyhow::Result<String> {
    let n = cx
        .get(Endless {
            n: 0,
            counted: false,
        })
        .await;
    Ok(n.unwrap_err().to_string())
}

async fn refused(task: impl kart::Task) -> String {
    let error = Runner::new(&memory())
        .max_tasks(1000)
        .run(task)
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            RunError::Plan(Error::TooManyTasks {
                max_tasks: 1000,
                ..
            })
        ),
        "{error:?}"
    );
    error.to_string()
}

#[tokio::test]
async fn a_requirement_without_end_is_refused_at_the_most_tasks_and_named() {
    let error = refused(Endless {
        n: 0,
        counted: false,
    })
    .await;
    assert!(
        error.contains("more than 1000 tasks are required, the newest Endless { n: 1"),
        "{error}"
    );
    assert!(error.contains("\nhint: "), "{error}");
    refused(Keyed).await;
    let error = refused(Wide).await;
    assert!(error.contains("the newest Leaf { n: "), "{error}");
    refused(Same).await;
}

#[tokio::test]
async fn as_many_tasks_as_may_be_are_run() {
    let runner = Runner::new(&memory()).max_tasks(1000);
    runner.run(Finite { count: 999 }).await.unwrap();
    refused(Finite { count: 1000 }).await;
}

#[tokio::test]
async fn a_body_that_asks_for_a_task_without_end_gets_the_error() {
    let runner = Runner::new(&memory()).max_tasks(1000);
    let report = runner.run(Asks).await.unwrap();
    let error = report.output(&Asks).await.unwrap();
    assert!(
        error.contains("more than 1000 tasks are required"),
        "{error}"
    );
}

/// Waits until a requirement has named more tasks than before.
async fn planning() {
    let before = NAMED.load(Ordering::SeqCst);
    while NAMED.load(Ordering::SeqCst) < before + 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_stop_and_a_drop_end_a_plan_without_end() {
    let stop = StopToken::new();
    let runner = Runner::new(&memory()).stop(&stop).max_tasks(usize::MAX);
    let task = Endless {
        n: 0,
        counted: true,
    };
    let (stopped, ()) = tokio::join!(runner.run(task.clone()), async {
        planning().await;
        stop.stop();
    });
    let error = kart::chain(&stopped.unwrap_err());
    assert!(error.contains("interrupted"), "{error}");

    let runner = Runner::new(&memory()).max_tasks(usize::MAX);
    tokio::select! {
        run = runner.run(task) => unreachable!("{run:?}"),
        () = planning() => {}
    }
    loop {
        let named = NAMED.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        if NAMED.load(Ordering::SeqCst) == named {
            break;
        }
    }
}

static IS_HELD: AtomicBool = AtomicBool::new(false);
static MAY_GO_ON: AtomicBool = AtomicBool::new(false);

/// The third takes as long as the test wants.
fn held(n: u64) -> Leaf {
    while n == 2 && !MAY_GO_ON.load(Ordering::SeqCst) {
        IS_HELD.store(true, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
    }
    Leaf { n }
}

#[task]
async fn slow(#[requires((0..4).map(held))] all: Vec<u64>) -> kart::Result<u64> {
    Ok(all.into_iter().sum())
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_takes_long_says_how_many_tasks_it_has_found_and_the_newest() {
    let capture = Capture::default();
    let _subscribed = capture.subscribe();
    let events = Log::default();
    let notes = events.clone();
    let runner = Runner::new(&memory()).on_event(move |event| {
        if let Event::Planning { tasks, newest, .. } = event {
            notes.note(format!("{tasks}, now {}", newest.unwrap_or_default()));
        }
    });
    let (report, told) = tokio::join!(runner.run(Slow), async {
        while !IS_HELD.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        let before = capture.text();
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let told = capture.text();
        MAY_GO_ON.store(true, Ordering::SeqCst);
        told.strip_prefix(&before).unwrap().to_owned()
    });
    assert_eq!(report.unwrap().counts().ran, 5);
    assert_eq!(events.take(), ["3, now Leaf { n: 1 }"]);
    for part in ["planning", "tasks=3", "newest=\"Leaf { n: 1 }\""] {
        assert!(told.contains(part), "no {part} in {told:?}");
    }
}
