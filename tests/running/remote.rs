//! Attempts in other processes: the requests, and what the responses do to the run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use kart::{
    AttemptFuture, AttemptRequest, AttemptResponse, Context, Event, Executor, Failure, Outcome,
    RunError, Runner, StopToken, Task, Worker, Workspace, task,
};

use crate::common::{Gauge, Log, memory, unless_stuck};

/// A worker that is reached by JSON, as any other machine would be.
#[derive(Debug)]
struct ByJson {
    worker: Worker,
    orders: Arc<Mutex<Vec<AttemptRequest>>>,
}

impl Executor for ByJson {
    fn attempt(&self, order: AttemptRequest) -> AttemptFuture<'_> {
        self.orders.lock().unwrap().push(order.clone());
        Box::pin(async move {
            let order = serde_json::to_vec(&order)?;
            let answer = self.worker.attempt(&serde_json::from_slice(&order)?).await;
            Ok(serde_json::from_slice(&serde_json::to_vec(&answer)?)?)
        })
    }
}

/// A runner whose attempts are made by `worker`, and what it orders.
fn ordering(workspace: &Workspace, worker: Runner) -> (Runner, Arc<Mutex<Vec<AttemptRequest>>>) {
    let orders = Arc::default();
    let executor = ByJson {
        worker: Worker::new(worker),
        orders: Arc::clone(&orders),
    };
    (Runner::new(workspace).workers(8).executor(executor), orders)
}

async fn failure<T: Task>(runner: &Runner, root: T) -> Failure {
    let Err(RunError::Failed(report)) = unless_stuck(runner.run(root.clone())).await else {
        panic!("expected a failure");
    };
    match report.outcome(&root) {
        Some(Outcome::Failed(failure)) => failure.clone(),
        other => panic!("expected the root's failure, not {other:?}"),
    }
}

#[task(uses(slot = 1))]
async fn piece(n: u64, #[resource] log: &Log, #[resource] gauge: &Gauge) -> kart::Result<u64> {
    log.note(format!("piece {n}"));
    gauge.enter(1);
    tokio::time::sleep(Duration::from_millis(5)).await;
    gauge.leave(1);
    Ok(n)
}

#[task(path = "total.json")]
async fn total(
    #[requires((0..6).map(|n| Piece { n }))] pieces: Vec<u64>,
    #[requires(Piece { n: 7 })] seven: u64,
) -> kart::Result<u64> {
    Ok(pieces.iter().sum::<u64>() + seven)
}

#[tokio::test]
async fn what_the_worker_has_need_not_be_had_by_the_run() {
    let (workspace, log, gauge) = (memory(), Log::default(), Gauge::default());
    let worker = Runner::new(&workspace)
        .workers(4)
        .limit("slot", 2)
        .resource(log.clone())
        .resource(gauge.clone());
    let (runner, orders) = ordering(&workspace, worker);
    let report = unless_stuck(runner.run(Total)).await.unwrap();
    assert_eq!(report.counts().ran, 8);
    assert_eq!(report.output(&Total).await.unwrap(), 22);
    assert_eq!(log.take().len(), 7, "each once");
    assert_eq!(gauge.most(), 2, "the worker's limit");
    let orders = std::mem::take(&mut *orders.lock().unwrap());
    let keys: BTreeMap<_, _> = orders.iter().map(|order| (order.key, order)).collect();
    assert_eq!((orders.len(), keys.len()), (8, 8));
    assert_eq!((orders[7].name(), orders[7].attempt), ("remote/Total", 1));

    let report = runner.run(Total).await.unwrap();
    assert_eq!((report.counts().complete, report.counts().ran), (1, 0));
}

#[tokio::test]
async fn a_limit_of_the_run_holds_for_all_workers_together() {
    let (workspace, log, gauge) = (memory(), Log::default(), Gauge::default());
    let worker = Runner::new(&workspace)
        .workers(8)
        .limit("slot", 8)
        .resource(log)
        .resource(gauge.clone());
    let (runner, _) = ordering(&workspace, worker);
    unless_stuck(runner.limit("slot", 1).run(Total))
        .await
        .unwrap();
    assert_eq!(gauge.most(), 1);
}

#[tokio::test]
async fn a_worker_that_lacks_something_says_what() {
    let workspace = memory();
    let worker = || Runner::new(&workspace).resource(Log::default());
    let (runner, _) = ordering(&workspace, worker().limit("slot", 1));
    let lacking = failure(&runner, Piece { n: 0 }).await;
    let error = lacking.chain();
    assert!(
        error.contains("takes `gauge: &") && lacking.is_permanent(),
        "{error}"
    );
    let (runner, _) = ordering(&workspace, worker().resource(Gauge::default()));
    let error = failure(&runner, Piece { n: 0 }).await.chain();
    assert!(error.contains("the limit `slot`"), "{error}");
}

#[task(retries = 2, backoff = "1ms")]
async fn stumbles(#[context] cx: &Context) -> anyhow::Result<u32> {
    anyhow::ensure!(cx.attempt() == 3, "not yet");
    Ok(cx.attempt())
}

#[tokio::test]
async fn the_run_retries_and_the_worker_does_not() {
    let workspace = memory();
    let (runner, orders) = ordering(&workspace, Runner::new(&workspace));
    let retries = Log::default();
    let seen = retries.clone();
    let runner = runner.on_event(move |event| {
        if let Event::Retrying { attempt, error, .. } = event {
            seen.note(format!("{attempt} {error}"));
        }
    });
    unless_stuck(runner.run(Stumbles)).await.unwrap();
    assert_eq!(retries.take(), ["1 not yet", "2 not yet"]);
    let attempts = orders
        .lock()
        .unwrap()
        .iter()
        .map(|order| order.attempt)
        .collect::<Vec<_>>();
    assert_eq!(attempts, [1, 2, 3]);
}

#[task(retries = 3)]
async fn hopeless() -> anyhow::Result<u32> {
    let read: Result<u32, _> = "seven".parse();
    Ok(read
        .context("failed to read")
        .map_err(|error| kart::permanent(error.into_boxed_dyn_error()))?)
}

#[task(retries = 1, backoff = "1ms")]
fn panics() -> anyhow::Result<u32> {
    panic!("the floor is lava")
}

#[task(timeout = "20ms")]
async fn hangs() -> anyhow::Result<u32> {
    std::future::pending().await
}

#[tokio::test]
async fn failures_come_back_with_their_causes() {
    let workspace = memory();
    let (runner, orders) = ordering(&workspace, Runner::new(&workspace));
    let hopeless = failure(&runner, Hopeless).await;
    assert_eq!(
        hopeless.chain(),
        "failed to read: invalid digit found in string"
    );
    assert!(hopeless.is_permanent());
    assert_eq!((hopeless.attempts, orders.lock().unwrap().len()), (1, 1));
    let panicked = failure(&runner, Panics).await;
    assert_eq!(
        (panicked.chain().as_str(), panicked.attempts),
        ("panicked: the floor is lava", 2)
    );
    let timed_out = failure(&runner, Hangs).await;
    assert!(
        timed_out.chain().starts_with("timed out after 20ms"),
        "{}",
        timed_out.chain()
    );
}

#[tokio::test]
async fn what_another_made_meanwhile_is_not_made_again() {
    let workspace = memory();
    let worker = Worker::new(Runner::new(&workspace));
    let (runner, orders) = ordering(&workspace, Runner::new(&workspace));
    runner.run(Even { n: 2 }).await.unwrap();
    let mut order = orders.lock().unwrap()[0].clone();
    assert_eq!(worker.attempt(&order).await, AttemptResponse::AlreadyExists);
    order.replaces = true;
    let again = worker.attempt(&order).await;
    assert!(
        matches!(again, AttemptResponse::Published { bytes: 4, .. }),
        "{again:?}"
    );
}

#[task]
async fn even(n: u64) -> kart::Result<bool> {
    Ok(n.is_multiple_of(2))
}

#[tokio::test(start_paused = true)]
async fn a_worker_in_another_directory_is_found_out() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let workspace = Workspace::open(here.path().to_str().unwrap()).unwrap();
    let elsewhere = Workspace::open(there.path().to_str().unwrap()).unwrap();
    let (runner, _) = ordering(&workspace, Runner::new(&elsewhere));
    let error = failure(&runner, Even { n: 2 }).await;
    let location = here.path().to_str().unwrap();
    assert!(
        error.chain().contains(location) && error.chain().contains("the same directory"),
        "{}",
        error.chain()
    );
    assert!(error.is_permanent());
    let (runner, _) = ordering(&workspace, Runner::new(&workspace));
    let report = unless_stuck(runner.run(Even { n: 2 })).await.unwrap();
    assert_eq!(report.counts().ran, 1);
}

type Change = fn(&mut AttemptRequest);

#[tokio::test]
async fn an_order_of_another_build_is_refused() {
    let workspace = memory();
    let worker = Worker::new(Runner::new(&workspace));
    let (runner, orders) = ordering(&workspace, Runner::new(&workspace));
    runner.run(Even { n: 3 }).await.unwrap();
    let order = orders.lock().unwrap()[0].clone();
    let here = kart::registry::fingerprint();
    let changes: [(Change, &str); 3] = [
        (
            |order| order.task["task"] = "etl/Odd".into(),
            "is not linked into this one",
        ),
        (|order| order.code = "other".to_owned(), "has other code"),
        (
            |order| order.task["params"]["n"] = 4.into(),
            "has another key",
        ),
    ];
    for (change, wanted) in changes {
        let mut order = order.clone();
        order.build = "0123456789abcdef".to_owned();
        change(&mut order);
        let AttemptResponse::Failed {
            causes,
            is_permanent,
            ..
        } = worker.attempt(&order).await
        else {
            panic!("expected a failure");
        };
        let [cause] = &causes[..] else {
            panic!("{causes:?}")
        };
        let names_both = cause.contains(here) && cause.contains("0123456789abcdef");
        assert!(
            cause.contains(wanted) && names_both && is_permanent,
            "{cause}"
        );
    }
    let mut order = order;
    order.workspace = "gs://elsewhere".to_owned();
    let AttemptResponse::Failed { causes, .. } = worker.attempt(&order).await else {
        panic!("expected a failure");
    };
    assert!(
        causes[0].contains("the request is for gs://elsewhere"),
        "{causes:?}"
    );
}

/// Asks for evens; with a limit that it does not use itself where `n` is odd.
#[task]
async fn asks(n: u64, #[context] cx: &Context) -> anyhow::Result<bool> {
    let even = *cx.get(Even { n }).await?;
    if !even {
        cx.get(Piece { n }).await?;
    }
    Ok(even)
}

#[tokio::test]
async fn what_a_body_asks_for_is_made_by_its_worker() {
    let workspace = memory();
    let worker = Runner::new(&workspace)
        .workers(1)
        .limit("slot", 1)
        .resource(Log::default())
        .resource(Gauge::default());
    let (runner, orders) = ordering(&workspace, worker);
    let report = unless_stuck(runner.run(Asks { n: 2 })).await.unwrap();
    assert!(report.output(&Asks { n: 2 }).await.unwrap());
    assert!(report.output(&Even { n: 2 }).await.unwrap());
    assert_eq!((report.counts().ran, orders.lock().unwrap().len()), (2, 1));
    let error = unless_stuck(runner.run(Asks { n: 3 })).await.unwrap_err();
    let story = format!("{error:#}");
    assert!(story.contains("uses 1 of the limit `slot`"), "{story}");
}

#[task]
async fn endless(#[resource] started: &StopToken) -> anyhow::Result<u32> {
    started.stop();
    std::future::pending().await
}

#[tokio::test]
async fn an_attempt_of_a_worker_that_stops_is_interrupted() {
    let (workspace, stop) = (memory(), StopToken::new());
    let started = StopToken::new();
    let worker = Runner::new(&workspace)
        .workers(1)
        .stop(&stop)
        .grace(Duration::ZERO)
        .resource(started.clone());
    let (runner, _) = ordering(&workspace, worker);
    let (run, ()) = tokio::join!(unless_stuck(runner.run(Endless)), async {
        started.stopped().await;
        stop.stop();
    });
    let Err(RunError::Interrupted(report)) = run else {
        panic!("expected an interruption");
    };
    assert_eq!(report.counts().interrupted, 1);
    let run = unless_stuck(runner.run(Endless)).await;
    assert!(
        matches!(run, Err(RunError::Interrupted(_))),
        "nothing begins any more"
    );
}

/// Says how far it is for a minute, and asks for a task that says so too.
#[task]
async fn slow(n: u64, #[context] cx: &Context) -> anyhow::Result<u64> {
    if n > 0 {
        cx.get(Slow { n: n - 1 }).await?;
    }
    for done in 0..60 {
        cx.progress(done, 60);
        cx.message(format!("second {done}"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(n)
}

#[tokio::test(start_paused = true)]
async fn how_far_bodies_are_is_told_where_the_run_is_watched() {
    let workspace = memory();
    let (runner, _) = ordering(&workspace, Runner::new(&workspace));
    let heard = Log::default();
    let seen = heard.clone();
    let runner = runner.on_event(move |event| {
        if let Event::Progress {
            task,
            done,
            total: 60,
            message: Some(message),
        } = event
        {
            seen.note(format!("{} {done}, {message}", task.description()));
        }
    });
    let run = async { runner.run(Slow { n: 1 }).await.unwrap() };
    tokio::time::timeout(Duration::from_mins(5), run)
        .await
        .unwrap();
    let heard = heard.take();
    assert!(heard.len() > 20, "every two seconds: {heard:?}");
    let is_of_the_run =
        |line: &String| line.starts_with("Slow { n: 1 } ") && line.contains(", second ");
    assert!(heard.iter().all(is_of_the_run), "{heard:?}");
    let left = || async { workspace.list("_kart/progress").await.unwrap() };
    tokio::time::timeout(Duration::from_secs(10), async {
        while !left().await.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await
    .expect("nothing is left of it");
}
