//! What bodies ask for where a worker runs them: the run that ordered them tells of it as if it had made it itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::try_join_all;
use kart::{
    AttemptFuture, AttemptRequest, AttemptResponse, Context, Event, Executor, Outcome, Report,
    RunError, Runner, Task, Worker, Workspace, task,
};
use tokio::sync::{Mutex, oneshot};

use crate::common::{Log, memory, unless_stuck};

#[task]
async fn ground(n: u64) -> kart::Result<u64> {
    Ok(n)
}

#[task(retries = 1, backoff = "1ms")]
async fn deep(#[context] cx: &Context) -> anyhow::Result<u64> {
    anyhow::ensure!(cx.attempt() == 2, "not yet");
    Ok(100)
}

/// Is asked for, requires a task, asks for one itself, and then fails once.
#[task(retries = 1, backoff = "1ms")]
async fn below(
    n: u64,
    #[param(secret)] token: String,
    #[requires(Ground { n })] ground: u64,
    #[context] cx: &Context,
) -> anyhow::Result<u64> {
    anyhow::ensure!(token == "s3cret", "another token");
    let deep = *cx.get(Deep).await?;
    anyhow::ensure!(n != 2 || cx.attempt() == 2, "once more");
    Ok(n + ground + deep)
}

#[task]
async fn asker(n: u64, #[context] cx: &Context) -> anyhow::Result<u64> {
    let token = "s3cret".to_owned();
    Ok(*cx.get(Below { n, token }).await?)
}

#[task]
async fn all_well(
    #[requires((1..4).map(|n| Asker { n }))] askers: Vec<u64>,
    #[requires(Ground { n: 9 })] nine: u64,
) -> kart::Result<u64> {
    Ok(askers.iter().sum::<u64>() + nine)
}

#[task]
async fn broken(n: u64) -> anyhow::Result<u64> {
    Err(anyhow::anyhow!("the disk is full").context(format!("failed to write {n}")))
}

#[task]
async fn above_broken(#[requires(Broken { n: 1 })] broken: u64) -> kart::Result<u64> {
    Ok(broken)
}

#[task]
async fn hopes(n: u64, #[context] cx: &Context) -> anyhow::Result<u64> {
    if n == 1 {
        Ok(*cx.get(AboveBroken).await?)
    } else {
        Ok(cx.get(Broken { n }).await.map_or(0, |n| *n))
    }
}

#[task]
async fn ends_badly(#[requires((1..3).map(|n| Hopes { n }))] all: Vec<u64>) -> kart::Result<u64> {
    Ok(all.iter().sum())
}

/// Carries so many orders together to one worker, and those that come after them one by one.
#[derive(Debug)]
struct Together {
    worker: Arc<Worker>,
    size: AtomicUsize,
    waiting: Mutex<Vec<(AttemptRequest, oneshot::Sender<AttemptResponse>)>>,
}

impl Executor for Together {
    fn attempt(&self, order: AttemptRequest) -> AttemptFuture<'_> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let mut waiting = self.waiting.lock().await;
            waiting.push((order, reply));
            if waiting.len() >= self.size.load(Ordering::Relaxed) {
                self.size.store(1, Ordering::Relaxed);
                let (orders, replies): (Vec<AttemptRequest>, Vec<_>) = waiting.drain(..).unzip();
                let answers = self.worker.attempts(&orders).await;
                for (reply, answer) in replies.into_iter().zip(answers) {
                    let answer = serde_json::from_slice(&serde_json::to_vec(&answer)?)?;
                    reply.send(answer).unwrap();
                }
            }
            drop(waiting);
            Ok(answer.await?)
        })
    }
}

/// All that a run tells: its events, what became of each task, and what the log says, sorted.
#[derive(Debug, PartialEq)]
struct Told {
    events: Vec<String>,
    outcomes: Vec<String>,
    records: Vec<String>,
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ran(ran) => format!("ran {} bytes, attempt {}", ran.bytes, ran.attempts),
        Outcome::Failed(failure) => format!("{} in attempt {}", failure.chain(), failure.attempts),
        other => format!("{other:?}"),
    }
}

async fn told<T: Task>(runner: Runner, root: T) -> Told {
    let heard = Log::default();
    let seen = heard.clone();
    let runner = runner.on_event(move |event| {
        let told = match event {
            Event::SubtaskRequested { task, by } => {
                Some((task, format!("asked by {}", by.description())))
            }
            Event::Started { task, .. } => Some((task, "started".to_owned())),
            Event::Finished { task, bytes, .. } => Some((task, format!("finished, {bytes}"))),
            Event::Failed { task, error, .. } => {
                Some((task, format!("failed: {}", kart::chain(*error))))
            }
            Event::Blocked { task, by } => Some((task, format!("blocked by {}", by.description()))),
            _ => None,
        };
        if let Some((task, told)) = told {
            seen.note(format!("{} {told}", task.description()));
        }
    });
    let report: Report = match unless_stuck(runner.run(root)).await {
        Ok(report) => report,
        Err(RunError::Failed(report)) => *report,
        Err(error) => panic!("{error}"),
    };
    let tasks = report.tasks();
    let tasks = tasks.map(|task| format!("{} {}", task.task.description(), outcome(task.outcome)));
    let mut outcomes: Vec<String> = tasks.collect();
    outcomes.sort_unstable();
    Told {
        // A retry starts once more, and is told of with its end where another process made it.
        events: {
            let mut events = heard.take_sorted();
            events.dedup();
            events
        },
        outcomes,
        records: records(runner.workspace()).await,
    }
}

async fn records(workspace: &Workspace) -> Vec<String> {
    let records = workspace.records(|_| true).await.unwrap();
    let line = |record: &kart::TaskRecord| {
        format!(
            "{} {} {} {:?} {} {:?} {:?} {:?} {:?}",
            record.task,
            record.params,
            record.key,
            record.outcome,
            record.attempt,
            record.asked,
            record.error,
            record.bytes,
            record.blake3,
        )
    };
    let mut lines: Vec<String> = records.iter().map(line).collect();
    lines.sort_unstable();
    lines
}

/// What a run tells whose bodies run here, and one whose orders travel `size` together.
async fn here_and_there<T: Task>(root: T, size: usize) -> (Told, Told) {
    let (here, there) = (memory(), memory());
    for workspace in [&here, &there] {
        let runner = Runner::new(workspace).run_log(false);
        runner.run(Ground { n: 2 }).await.unwrap();
    }
    let executor = Together {
        worker: Arc::new(Worker::new(Runner::new(&there).workers(1))),
        size: AtomicUsize::new(size),
        waiting: Mutex::default(),
    };
    (
        told(Runner::new(&here).workers(1), root.clone()).await,
        told(Runner::new(&there).workers(8).executor(executor), root).await,
    )
}

#[tokio::test]
async fn what_bodies_ask_for_is_told_alike_wherever_they_run() {
    let (here, there) = here_and_there(AllWell, 1).await;
    assert_eq!(here, there);
    let ran = |told: &Told| {
        let outcomes = told.outcomes.iter();
        outcomes.filter(|outcome| outcome.contains(" ran ")).count()
    };
    assert_eq!(ran(&there), 11, "{:#?}", there.outcomes);
    assert!(
        there.outcomes.iter().any(|line| line.ends_with("Complete")),
        "{:#?}",
        there.outcomes
    );
}

#[tokio::test]
async fn failures_of_what_bodies_ask_for_are_told_alike_wherever_they_run() {
    let (here, there) = here_and_there(EndsBadly, 1).await;
    assert_eq!(here, there);
    let says = |part: &str| there.outcomes.iter().any(|line| line.contains(part));
    assert!(
        says("AboveBroken Blocked") && says("EndsBadly Blocked"),
        "{:#?}",
        there.outcomes
    );
    assert!(says("Broken { n: 1 } failed to write 1: the disk is full"));
}

#[tokio::test]
async fn what_bodies_ask_for_is_told_alike_by_orders_that_travel_together() {
    let (here, there) = here_and_there(Askers, 3).await;
    assert_eq!(here, there);
    let (here, there) = here_and_there(Hopers, 3).await;
    assert_eq!(here, there);
    let blocked = |line: &&String| line.starts_with("Hopes { n: 1 } Blocked");
    assert_eq!(there.outcomes.iter().filter(blocked).count(), 1);
}

/// What it requires is ordered together.
#[task]
async fn askers(
    #[requires((1..4).map(|n| Asker { n }))] askers: Vec<u64>,
    #[requires(Ground { n: 2 })] two: u64,
) -> kart::Result<u64> {
    Ok(askers.iter().sum::<u64>() + two)
}

#[task]
async fn hopers(#[requires((1..4).map(|n| Hopes { n }))] all: Vec<u64>) -> kart::Result<u64> {
    Ok(all.iter().sum())
}

#[tokio::test]
async fn the_first_failure_of_what_a_body_asked_for_ends_a_run_that_is_to_fail_fast() {
    #[task(priority = 1)]
    async fn front(#[context] cx: &Context) -> anyhow::Result<u64> {
        Ok(cx.get(Broken { n: 7 }).await.map_or(0, |n| *n))
    }
    let workspace = memory();
    let orders = Log::default();
    let executor = Noting {
        worker: Worker::new(Runner::new(&workspace).workers(1)),
        orders: orders.clone(),
    };
    let runner = Runner::new(&workspace)
        .workers(1)
        .fail_fast(true)
        .executor(executor);
    let roots = [Front.into(), Ground { n: 1 }.into(), Ground { n: 2 }.into()];
    let run = unless_stuck(runner.run_all(roots)).await;
    assert!(matches!(run, Err(RunError::Failed(_))), "{run:?}");
    assert_eq!(orders.take(), ["remote_subtasks/Front"]);
}

#[tokio::test]
async fn what_the_run_was_to_order_itself_is_not_ordered_any_more() {
    #[task(priority = 1)]
    async fn first(#[context] cx: &Context) -> anyhow::Result<u64> {
        let both = try_join_all([1, 2].map(|n| cx.get(Ground { n }))).await?;
        Ok(both.iter().map(|n| **n).sum())
    }
    #[task]
    async fn last(
        #[requires(First)] first: u64,
        #[requires((1..3).map(|n| Ground { n }))] all: Vec<u64>,
    ) -> kart::Result<u64> {
        Ok(first + all.len() as u64)
    }
    let workspace = memory();
    let orders = Log::default();
    let executor = Noting {
        worker: Worker::new(Runner::new(&workspace).workers(1)),
        orders: orders.clone(),
    };
    let runner = Runner::new(&workspace).workers(1).executor(executor);
    let report = unless_stuck(runner.run(Last)).await.unwrap();
    assert_eq!(report.counts().ran, 4);
    let orders = orders.take();
    assert_eq!(orders.len(), 2, "{orders:?}");
    assert_eq!(report.output(&Last).await.unwrap(), 5);
}

/// Carries orders one by one, and notes them.
#[derive(Debug)]
struct Noting {
    worker: Worker,
    orders: Log,
}

impl Executor for Noting {
    fn attempt(&self, order: AttemptRequest) -> AttemptFuture<'_> {
        self.orders.note(order.name());
        Box::pin(async move { Ok(self.worker.attempt(&order).await) })
    }
}
