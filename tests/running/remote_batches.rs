//! Orders that came together: what a worker makes of them, and what it answers to each.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kart::{
    AnyTask, AttemptFuture, AttemptRequest, AttemptResponse, Context, Executor, Runner, StopToken,
    Worker, Workspace, task,
};

use crate::common::{Gauge, Log, memory, unless_stuck};

/// Keeps what is ordered, and makes none of it.
#[derive(Debug, Default)]
struct Ledger(Arc<Mutex<Vec<AttemptRequest>>>);

impl Executor for Ledger {
    fn attempt(&self, order: AttemptRequest) -> AttemptFuture<'_> {
        self.0.lock().unwrap().push(order);
        Box::pin(async { Ok(AttemptResponse::AlreadyExists) })
    }
}

/// The orders of these tasks, in that order.
async fn orders(
    workspace: &Workspace,
    tasks: impl IntoIterator<Item = impl Into<AnyTask>>,
) -> Vec<AttemptRequest> {
    let orders = Arc::default();
    let executor = Ledger(Arc::clone(&orders));
    let runner = Runner::new(workspace).workers(1).executor(executor);
    let tasks = tasks.into_iter().map(Into::into);
    runner.run_all(tasks).await.unwrap();
    std::mem::take(&mut *orders.lock().unwrap())
}

#[task]
async fn part(n: u64, #[resource] log: &Log, #[resource] gauge: &Gauge) -> anyhow::Result<u64> {
    log.note(format!("part {n}"));
    gauge.enter(1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    gauge.leave(1);
    anyhow::ensure!(n != 3, "three is too many");
    Ok(n)
}

#[task(uses(slot = 2))]
async fn pair(n: u64, #[resource] gauge: &Gauge) -> kart::Result<u64> {
    gauge.enter(1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    gauge.leave(1);
    Ok(n)
}

fn published(answers: &[AttemptResponse]) -> Vec<bool> {
    let is_published =
        |answer: &AttemptResponse| matches!(answer, AttemptResponse::Published { .. });
    answers.iter().map(is_published).collect()
}

#[tokio::test(start_paused = true)]
async fn each_is_made_and_answered_by_itself() {
    let (workspace, log, gauge) = (memory(), Log::default(), Gauge::default());
    let worker = Runner::new(&workspace)
        .workers(3)
        .resource(log.clone())
        .resource(gauge.clone());
    let worker = Worker::new(worker);
    let mut orders = orders(&workspace, (0..8).map(|n| Part { n })).await;
    let n = |order: &AttemptRequest| order.task["params"]["n"].as_u64().unwrap();
    orders.sort_by_key(n);
    orders[5].code = "other".to_owned();
    orders[6].task["params"]["n"] = 60.into();

    let answers = unless_stuck(worker.attempts(&orders)).await;
    let made = [true, true, true, false, true, false, false, true];
    assert_eq!(published(&answers), made, "{answers:?}");
    for (at, wanted) in [
        (3, "three is too many"),
        (5, "has other code"),
        (6, "has another key"),
    ] {
        let AttemptResponse::Failed { causes, .. } = &answers[at] else {
            panic!("{answers:?}");
        };
        assert!(causes[0].contains(wanted), "{causes:?}");
    }
    assert_eq!(log.take().len(), 6, "what is refused does not run");
    assert_eq!(gauge.most(), 3, "as many at once as the worker has places");

    let again = unless_stuck(worker.attempts(&orders)).await;
    assert_eq!(again[0], AttemptResponse::AlreadyExists);
    assert_eq!(log.take(), ["part 3"], "what is there is not made again");
    assert!(worker.attempts(&[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn together_they_take_no_more_than_one_by_one() {
    let (workspace, gauge) = (memory(), Gauge::default());
    let worker = Runner::new(&workspace)
        .workers(4)
        .limit("slot", 5)
        .resource(gauge.clone());
    let worker = Worker::new(worker);
    let orders = orders(&workspace, (0..8).map(|n| Pair { n })).await;
    let (first, second) = orders.split_at(4);
    let both = async { tokio::join!(worker.attempts(first), worker.attempts(second)) };
    let (first, second) = unless_stuck(both).await;
    assert_eq!(published(&[first, second].concat()), [true; 8]);
    assert_eq!(gauge.most(), 2, "two of five units each");
}

#[task(path = "taken.json")]
async fn taken(n: u64) -> kart::Result<u64> {
    Ok(n)
}

#[tokio::test]
async fn what_cannot_be_made_together_is_made_one_by_one() {
    let workspace = memory();
    let worker = Worker::new(Runner::new(&workspace));
    let mut together = orders(&workspace, [Taken { n: 1 }]).await;
    together.extend(orders(&workspace, [Taken { n: 2 }]).await);
    let answers = unless_stuck(worker.attempts(&together)).await;
    assert_eq!(published(&answers), [true, true], "{answers:?}");
}

#[task(retries = 5, backoff = "1ms")]
async fn third(n: u64, #[context] cx: &Context) -> anyhow::Result<u64> {
    anyhow::ensure!(cx.attempt() == 3, "not yet");
    Ok(n)
}

#[tokio::test]
async fn each_is_the_attempt_that_was_ordered() {
    let workspace = memory();
    let worker = Worker::new(Runner::new(&workspace));
    let mut orders = orders(&workspace, (0..2).map(|n| Third { n })).await;
    orders[1].attempt = 3;
    let answers = unless_stuck(worker.attempts(&orders)).await;
    assert_eq!(published(&answers), [false, true], "{answers:?}");
}

#[tokio::test]
async fn a_worker_that_has_stopped_makes_none() {
    let (workspace, stop) = (memory(), StopToken::new());
    let worker = Worker::new(Runner::new(&workspace).stop(&stop));
    let orders = orders(&workspace, (0..2).map(|n| Taken { n }).take(1)).await;
    stop.stop();
    let answers = unless_stuck(worker.attempts(&orders)).await;
    assert_eq!(answers, [AttemptResponse::Interrupted]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_idle_when_its_last_attempt_has_ended() {
    let (workspace, log, gauge) = (memory(), Log::default(), Gauge::default());
    let worker = Runner::new(&workspace)
        .workers(2)
        .resource(log.clone())
        .resource(gauge.clone());
    let worker = Worker::new(worker);
    unless_stuck(worker.idle()).await;
    let orders = orders(&workspace, (0..2).map(|n| Part { n })).await;
    let idle = async {
        while gauge.most() == 0 {
            tokio::task::yield_now().await;
        }
        worker.idle().await;
        log.take().len()
    };
    let (answers, ended) =
        unless_stuck(async { tokio::join!(worker.attempts(&orders), idle) }).await;
    assert_eq!((published(&answers), ended), (vec![true; 2], 2));
}
