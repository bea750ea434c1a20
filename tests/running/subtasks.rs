//! Tasks that a body asks for while it runs: `cx.get`.

use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kart::{Context, Outcome, Runner, Workspace, task};

use crate::common::{Gauge, Log, memory};

#[task(uses(slot = 1))]
pub(crate) async fn leaf(
    n: u64,
    #[resource] log: &Log,
    #[resource] gauge: &Gauge,
) -> kart::Result<u64> {
    log.note(format!("leaf {n}"));
    gauge.enter(1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    gauge.leave(1);
    Ok(n)
}

/// Asks for its leaves one after the other.
#[task(uses(slot = 1))]
pub(crate) async fn in_turn(
    count: u64,
    #[context] cx: &Context,
    #[resource] log: &Log,
) -> kart::Result<u64> {
    log.note("in turn");
    let mut sum = 0;
    for n in 0..count {
        sum += *cx.get(Leaf { n }).await?;
    }
    Ok(sum)
}

/// Asks for its leaves all at once.
#[task(uses(slot = 1))]
async fn at_once(
    from: u64,
    count: u64,
    #[context] cx: &Context,
    #[resource] log: &Log,
) -> kart::Result<u64> {
    log.note("at once");
    let leaves = try_join_all((from..from + count).map(|n| cx.get(Leaf { n }))).await?;
    Ok(leaves.iter().map(|leaf| **leaf).sum())
}

/// Asks for what asks for leaves.
#[task(uses(slot = 1))]
async fn nested(count: u64, #[context] cx: &Context) -> kart::Result<u64> {
    let halves = (0..2).map(|half| AtOnce {
        from: half * count / 2,
        count: count / 2,
    });
    let halves = try_join_all(halves.map(|half| cx.get(half))).await?;
    Ok(halves.iter().map(|half| **half).sum())
}

pub(crate) struct Bench {
    pub(crate) workspace: Workspace,
    pub(crate) log: Log,
    gauge: Gauge,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Bench {
            workspace: memory(),
            log: Log::default(),
            gauge: Gauge::default(),
        }
    }

    /// One worker and one unit of the limit: whoever held either while it waits would wait for ever.
    pub(crate) fn runner(&self) -> Runner {
        Runner::new(&self.workspace)
            .workers(1)
            .limit("slot", 1)
            .resource(self.log.clone())
            .resource(self.gauge.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_gets_the_outputs_of_tasks_that_it_asks_for_and_is_not_started_again() {
    let bench = Bench::new();
    let report = bench.runner().run(InTurn { count: 3 }).await.unwrap();
    assert_eq!(report.output(&InTurn { count: 3 }).await.unwrap(), 3);
    assert_eq!(bench.log.take(), ["in turn", "leaf 0", "leaf 1", "leaf 2"]);
    assert_eq!(report.counts().ran, 4);
    assert!(matches!(
        report.outcome(&Leaf { n: 1 }),
        Some(Outcome::Ran(_))
    ));

    let again = bench.runner().run(InTurn { count: 3 }).await.unwrap();
    assert_eq!(again.counts().complete, 1);
    assert_eq!(bench.log.take().len(), 0);

    let longer = bench.runner().run(InTurn { count: 4 }).await.unwrap();
    assert_eq!(bench.log.take(), ["in turn", "leaf 3"]);
    assert_eq!((longer.counts().complete, longer.counts().ran), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn bodies_that_wait_hold_neither_a_worker_nor_limits() {
    let bench = Bench::new();
    let report = bench.runner().run(Nested { count: 20 }).await.unwrap();
    assert_eq!(report.output(&Nested { count: 20 }).await.unwrap(), 190);
    assert_eq!(bench.gauge.most(), 1);
    assert_eq!(report.counts().ran, 23);
}

/// Asks, and requires one of the same.
#[task]
async fn both_ways(
    #[requires(Leaf { n: 1 })] required: &u64,
    #[context] cx: &Context,
) -> kart::Result<u64> {
    Ok(*required + *cx.get(Leaf { n: 1 }).await? + *cx.get(Leaf { n: 2 }).await?)
}

#[task]
async fn many_askers(
    #[requires((0..50).map(|from| AtOnce { from, count: 3 }))] sums: Vec<u64>,
    #[requires(BothWays)] both: &u64,
) -> kart::Result<u64> {
    Ok(sums.iter().sum::<u64>() + both)
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_once_however_many_ask_for_it_or_require_it() {
    let bench = Bench::new();
    let report = bench.runner().workers(4).run(ManyAskers).await.unwrap();
    let mut leaves = bench.log.take_sorted();
    leaves.retain(|note| note.starts_with("leaf"));
    let runs = leaves.len();
    leaves.dedup();
    assert_eq!((runs, leaves.len()), (52, 52));
    assert_eq!(report.counts().ran, 52 + 50 + 2);
}

/// Takes its leaves as they come.
#[task(uses(slot = 1))]
async fn as_they_come(
    count: u64,
    #[context] cx: &Context,
    #[resource] gauge: &Gauge,
) -> kart::Result<u64> {
    let mut leaves: FuturesUnordered<_> = (0..count).map(|n| cx.get(Leaf { n })).collect();
    let mut sum = 0;
    while let Some(leaf) = leaves.next().await {
        gauge.enter(1);
        sum += *leaf?;
        gauge.leave(1);
    }
    Ok(sum)
}

#[tokio::test(start_paused = true)]
async fn outputs_can_be_taken_as_they_come() {
    let bench = Bench::new();
    let report = bench.runner().run(AsTheyCome { count: 30 }).await.unwrap();
    assert_eq!(report.counts().ran, 31);
    assert_eq!(bench.gauge.most(), 1);
}

/// Lets others of the runtime ask for it.
#[task(uses(slot = 1))]
async fn through_others(count: u64, #[context] cx: &Context) -> kart::Result<u64> {
    let ask = |n| {
        let cx = cx.clone();
        tokio::spawn(async move { cx.get(Leaf { n }).await })
    };
    let asking: Vec<_> = (0..count).map(ask).collect();
    let mut sum = 0;
    for asked in asking {
        sum += *asked.await.unwrap()?;
    }
    Ok(sum)
}

#[tokio::test(start_paused = true)]
async fn a_body_may_ask_from_tasks_of_the_runtime_that_it_spawned() {
    let bench = Bench::new();
    let report = bench
        .runner()
        .run(ThroughOthers { count: 5 })
        .await
        .unwrap();
    assert_eq!(
        report.output(&ThroughOthers { count: 5 }).await.unwrap(),
        10
    );
}

/// A plain function, on a thread of its own.
#[task(uses(slot = 1))]
fn blocking(count: u64, #[context] cx: &Context) -> kart::Result<u64> {
    let runtime = tokio::runtime::Handle::current();
    (0..count).try_fold(0, |sum, n| Ok(sum + *runtime.block_on(cx.get(Leaf { n }))?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_function_may_ask_too() {
    let bench = Bench::new();
    let report = bench.runner().run(Blocking { count: 3 }).await.unwrap();
    assert_eq!(report.output(&Blocking { count: 3 }).await.unwrap(), 3);
}

/// Waits for a slow task, but not for long.
#[task(uses(slot = 1))]
async fn impatient(#[context] cx: &Context, #[resource] gauge: &Gauge) -> kart::Result<u64> {
    let slow = tokio::time::timeout(Duration::from_secs(1), cx.get(Slow { seconds: 3600 })).await;
    gauge.enter(1);
    tokio::task::yield_now().await;
    gauge.leave(1);
    Ok(slow.map_or(0, |_| 1) + *cx.get(Leaf { n: 1 }).await?)
}

#[task]
pub(crate) async fn slow(seconds: u64) -> kart::Result<u64> {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    Ok(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_body_may_stop_waiting_and_go_on() {
    let bench = Bench::new();
    let report = bench.runner().workers(2).run(Impatient).await.unwrap();
    assert_eq!(report.output(&Impatient).await.unwrap(), 1);
    assert!(matches!(
        report.outcome(&Slow { seconds: 3600 }),
        Some(Outcome::Ran(_))
    ));
}

#[task(timeout = "10s", uses(slot = 1))]
pub(crate) async fn patient(wait: u64, then: u64, #[context] cx: &Context) -> kart::Result<u64> {
    tokio::time::sleep(Duration::from_secs(4)).await;
    cx.get(Slow { seconds: wait }).await?;
    tokio::time::sleep(Duration::from_secs(then)).await;
    Ok(1)
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_body_waits_counts_neither_for_its_timeout_nor_as_its_own() {
    let bench = Bench::new();
    let task = Patient {
        wait: 3600,
        then: 5,
    };
    let report = bench.runner().run(task.clone()).await.unwrap();
    let Some(Outcome::Ran(attempts)) = report.outcome(&task) else {
        panic!("{report:?}");
    };
    assert_eq!(attempts.elapsed.as_secs(), 9);

    let error = bench
        .runner()
        .run(Patient {
            wait: 3600,
            then: 7,
        })
        .await;
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("timed out after 10s"), "{error}");
}

#[task]
async fn errand(#[resource] log: &Log) -> kart::Result<u64> {
    log.note("errand");
    Ok(1)
}

#[task(priority = 2)]
async fn important(#[context] cx: &Context) -> kart::Result<u64> {
    Ok(*cx.get(Errand).await?)
}

#[task(priority = 1)]
async fn ordinary(n: u64, #[resource] log: &Log) -> kart::Result<u64> {
    log.note("ordinary");
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(n)
}

#[task]
async fn all(
    #[requires(Important)] important: u64,
    #[requires((0..3).map(|n| Ordinary { n }))] ordinary: Vec<u64>,
) -> kart::Result<u64> {
    Ok(important + ordinary.iter().sum::<u64>())
}

#[tokio::test(start_paused = true)]
async fn what_a_body_asks_for_is_as_urgent_as_the_body() {
    let bench = Bench::new();
    bench.runner().run(All).await.unwrap();
    // The store is asked about the errand while the first of the others runs.
    let log = ["ordinary", "errand", "ordinary", "ordinary"];
    assert_eq!(bench.log.take(), log);
}
