//! Workers and limits that others are waiting for: while outputs are published, and when bodies stop waiting.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use kart::{Context, Runner, task};
use object_store::memory::InMemory;
use tokio::time::{Instant, sleep, timeout};

use crate::common::{Gauge, Hooked, Log, memory, unless_stuck};

const SECOND: Duration = Duration::from_secs(1);

#[task]
async fn item(n: u32, #[resource] unpublished: &Gauge) -> kart::Result<u32> {
    unpublished.enter(1);
    Ok(n)
}

#[task]
async fn items(#[requires((0..200).map(|n| Item { n }))] items: Vec<u32>) -> kart::Result<usize> {
    Ok(items.len())
}

#[task]
async fn long(n: u32) -> kart::Result<u32> {
    sleep(100 * SECOND).await;
    Ok(n)
}

/// Ends while a task of the runtime that it has spawned still waits for another.
#[task]
async fn ends_early(n: u32, #[context] cx: &Context) -> kart::Result<u32> {
    let asking = cx.clone();
    tokio::spawn(async move { drop(asking.get(Long { n: 0 }).await) });
    sleep(SECOND).await;
    Ok(n)
}

#[task]
async fn items_after_others(
    #[requires((0..100).map(|n| EndsEarly { n }))] early: Vec<u32>,
    #[context] cx: &Context,
) -> kart::Result<usize> {
    Ok(early.len() + *cx.get(Items).await?)
}

/// A run on a store that takes a while for each output of an item, and the outputs that are made and not stored yet.
fn slow() -> (Runner, Gauge) {
    let gauge = Gauge::default();
    let unpublished = gauge.clone();
    let workspace = Hooked::workspace(&Arc::new(InMemory::new()), move |operation, path| {
        let unpublished = unpublished.clone();
        if operation != "create" || !path.contains("/Item/") {
            return std::future::ready(()).boxed();
        }
        async move {
            sleep(10 * SECOND).await;
            unpublished.leave(1);
        }
        .boxed()
    });
    let runner = Runner::new(&workspace).workers(2);
    (runner.resource(gauge.clone()), gauge)
}

#[tokio::test(start_paused = true)]
async fn bodies_run_on_while_outputs_are_published_but_not_without_bound() {
    let (runner, unpublished) = slow();
    unless_stuck(runner.run(Items)).await.unwrap();
    assert_eq!(unpublished.most(), 2 + 64);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_ended_while_they_waited_do_not_count_as_waiting() {
    let (runner, unpublished) = slow();
    unless_stuck(runner.run(ItemsAfterOthers)).await.unwrap();
    // The other worker has the long task.
    assert_eq!(unpublished.most(), 1 + 64);
}

/// Waits for its input no longer than a second, and ends.
#[task(uses(gpu = 1), priority = 2)]
async fn impatient(#[context] cx: &Context) -> kart::Result<bool> {
    Ok(timeout(SECOND, cx.get(Half)).await.is_ok())
}

#[task]
async fn half() -> kart::Result<u32> {
    sleep(SECOND / 2).await;
    Ok(1)
}

#[task(uses(gpu = 1), priority = 1)]
async fn holds() -> kart::Result<bool> {
    sleep(2 * SECOND).await;
    Ok(true)
}

#[task(uses(gpu = 1))]
async fn last() -> kart::Result<bool> {
    Ok(true)
}

#[task]
async fn gpu(#[requires((Impatient, Holds, Last))] all: (bool, bool, bool)) -> kart::Result<bool> {
    Ok(all.0)
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_was_meant_for_a_body_that_has_ended_goes_to_the_next() {
    let runner = Runner::new(&memory()).workers(4).limit("gpu", 1);
    let report = unless_stuck(runner.run(Gpu)).await.unwrap();
    assert!(
        !report.output(&Gpu).await.unwrap(),
        "its turn came too soon"
    );
}

/// Notes what happened when, in milliseconds.
#[derive(Clone, Debug)]
struct Diary(Instant, Log);

impl Diary {
    fn note(&self, what: &str) {
        self.1
            .note(format!("{what} {}", self.0.elapsed().as_millis()));
    }
}

/// Gives up waiting while it stands in line for its worker, and goes on.
#[task]
async fn goes_on(#[context] cx: &Context, #[resource] diary: &Diary) -> kart::Result<u32> {
    let input = timeout(SECOND, cx.get(Half)).await;
    assert!(input.is_err(), "its turn came too soon");
    diary.note("goes on");
    sleep(10 * SECOND).await;
    Ok(0)
}

#[task]
async fn gate() -> kart::Result<u32> {
    sleep(SECOND * 2 / 5).await;
    Ok(0)
}

#[task(priority = 1)]
async fn urgent(
    n: u32,
    #[requires(Gate)] gate: u32,
    #[resource] diary: &Diary,
) -> kart::Result<u32> {
    diary.note("urgent");
    sleep(SECOND).await;
    Ok(n + gate)
}

#[task]
async fn in_line(
    #[requires(GoesOn)] goes_on: u32,
    #[requires((0..4).map(|n| Urgent { n }))] urgent: Vec<u32>,
) -> kart::Result<u32> {
    Ok(goes_on + urgent.iter().sum::<u32>())
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_waiting_for_its_turn_and_goes_on_holds_a_worker() {
    let diary = Diary(Instant::now(), Log::default());
    let runner = Runner::new(&memory()).workers(2).resource(diary.clone());
    unless_stuck(runner.run(InLine)).await.unwrap();
    let expected = [
        "urgent 400",
        "urgent 500",
        "goes on 1000",
        "urgent 1500",
        "urgent 2500",
    ];
    assert_eq!(diary.1.all(), expected);
}
