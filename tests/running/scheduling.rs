//! Which task is next, and how many run at once.

use std::sync::Arc;
use std::time::Duration;

use kart::{RunError, Runner, Workspace, task};
use tokio::sync::{Barrier, Semaphore};

use crate::common::{Gauge, Log, memory, objects, unless_stuck};

/// Long enough for whatever may run at once to begin.
const A_WHILE: Duration = Duration::from_millis(5);

macro_rules! noted {
    ($($(#[$meta:meta])* fn $name:ident($($requires:expr)?);)*) => {$(
        $(#[$meta])*
        async fn $name(
            #[resource] log: &Log,
            $(#[requires(vec![$requires])] _required: Vec<u32>,)?
        ) -> kart::Result<u32> {
            log.note(stringify!($name));
            Ok(1)
        }
    )*};
}

noted! {
    #[task(priority = 10)] fn a(Z);
    #[task(priority = 5)] fn b();
    #[task(priority = 3)] fn c(Z);
    #[task(priority = 2)] fn d();
    #[task(priority = 1)] fn z();
    #[task] fn shallow();
    #[task] fn deep();
    #[task] fn middle(Deep);
    #[task] fn top_of_chain(Middle);
}

async fn order<T: kart::Task>(root: T) -> Vec<String> {
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace).workers(1).resource(log.clone());
    runner.run(root).await.unwrap();
    log.take()
}

#[tokio::test]
async fn the_higher_priority_goes_first_and_pulls_up_what_it_requires() {
    #[task]
    async fn all(
        #[requires((D, B, C, A))] _all: (u32, u32, u32, u32),
        #[requires(Z)] _z: u32,
    ) -> kart::Result<u32> {
        Ok(1)
    }
    assert_eq!(order(All).await, ["z", "a", "b", "c", "d"]);
}

#[tokio::test]
async fn of_equal_priority_the_one_with_the_longest_chain_above_goes_first() {
    #[task]
    async fn all(#[requires((Shallow, TopOfChain))] _all: (u32, u32)) -> kart::Result<u32> {
        Ok(1)
    }
    assert_eq!(
        order(All).await,
        ["deep", "middle", "shallow", "top_of_chain"]
    );
}

/// Waits until as many as the barrier wants are at work together.
#[task]
async fn together(
    n: u32,
    #[resource] gauge: &Gauge,
    #[resource] barrier: &Arc<Barrier>,
) -> kart::Result<u32> {
    gauge.enter(1);
    barrier.wait().await;
    tokio::time::sleep(A_WHILE).await;
    gauge.leave(1);
    Ok(n)
}

#[task]
async fn all_together(
    #[requires((0..30).map(|n| Together { n }))] all: Vec<u32>,
) -> kart::Result<u32> {
    Ok(all.iter().sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_bodies_run_at_once_as_there_are_workers_and_never_more() {
    let gauge = Gauge::default();
    let runner = Runner::new(&memory())
        .workers(3)
        .resource(gauge.clone())
        .resource(Arc::new(Barrier::new(3)));
    let report = runner.run(AllTogether).await.unwrap();
    assert_eq!((gauge.most(), report.counts().ran), (3, 31));
}

#[tokio::test]
async fn no_workers_are_one_worker() {
    let gauge = Gauge::default();
    let runner = Runner::new(&memory())
        .workers(0)
        .resource(gauge.clone())
        .resource(Arc::new(Barrier::new(1)));
    runner.run(AllTogether).await.unwrap();
    assert_eq!(gauge.most(), 1);
}

#[task(uses(db = 2))]
async fn two(n: u32, #[resource] gauge: &Gauge) -> kart::Result<u32> {
    gauge.enter(2);
    tokio::time::sleep(A_WHILE).await;
    gauge.leave(2);
    Ok(n)
}

#[task(uses(db = 1))]
async fn one(n: u32, #[resource] gauge: &Gauge) -> kart::Result<u32> {
    gauge.enter(1);
    tokio::time::sleep(A_WHILE).await;
    gauge.leave(1);
    Ok(n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_is_never_exceeded() {
    #[task]
    async fn all(
        #[requires((0..40).map(|n| One { n }))] ones: Vec<u32>,
        #[requires((0..40).map(|n| Two { n }))] twos: Vec<u32>,
    ) -> kart::Result<usize> {
        Ok(ones.len() + twos.len())
    }
    let gauge = Gauge::default();
    let runner = Runner::new(&memory())
        .workers(8)
        .limit("db", 3)
        .resource(gauge.clone());
    assert_eq!(runner.run(All).await.unwrap().counts().ran, 81);
    assert!(gauge.most() <= 3, "{} units at once", gauge.most());
}

#[tokio::test]
async fn two_tasks_that_need_two_of_three_units_do_not_overlap() {
    #[task]
    async fn all(#[requires((0..9).map(|n| Two { n }))] twos: Vec<u32>) -> kart::Result<usize> {
        Ok(twos.len())
    }
    let gauge = Gauge::default();
    let runner = Runner::new(&memory())
        .workers(8)
        .limit("db", 3)
        .resource(gauge.clone());
    runner.run(All).await.unwrap();
    assert_eq!(gauge.most(), 2);
}

/// Holds what it uses until the other one has run.
#[task(priority = 9, uses(gpu = 1))]
async fn holder(#[resource] turn: &Arc<Semaphore>) -> kart::Result<u32> {
    turn.acquire().await.unwrap().forget();
    Ok(1)
}

#[task]
async fn unlimited(#[resource] turn: &Arc<Semaphore>) -> kart::Result<u32> {
    turn.add_permits(1);
    Ok(1)
}

#[tokio::test(start_paused = true)]
async fn a_task_that_lacks_a_limit_does_not_hold_up_others() {
    #[task(priority = 8, uses(gpu = 1))]
    async fn waiter() -> kart::Result<u32> {
        Ok(1)
    }
    #[task]
    async fn all(
        #[requires((Holder, Waiter, Unlimited))] all: (u32, u32, u32),
    ) -> kart::Result<u32> {
        Ok(all.0)
    }
    let runner = Runner::new(&memory())
        .workers(2)
        .limit("gpu", 1)
        .resource(Arc::new(Semaphore::new(0)));
    unless_stuck(runner.run(All)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_one_task_cannot_use_yet_goes_to_the_next() {
    /// Ends when `small` has run.
    #[task(priority = 9, uses(db = 1))]
    async fn holds_db(#[resource] turn: &Arc<Semaphore>) -> kart::Result<u32> {
        turn.acquire().await.unwrap().forget();
        Ok(1)
    }
    #[task(priority = 9, uses(gpu = 1))]
    async fn holds_gpu() -> kart::Result<u32> {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        Ok(1)
    }
    #[task(priority = 5, uses(gpu = 1, db = 1))]
    async fn wants_both() -> kart::Result<u32> {
        Ok(1)
    }
    #[task(uses(gpu = 1))]
    async fn small(#[resource] turn: &Arc<Semaphore>) -> kart::Result<u32> {
        turn.add_permits(1);
        Ok(1)
    }
    #[task]
    async fn all(
        #[requires((HoldsDb, HoldsGpu, WantsBoth, Small))] all: (u32, u32, u32, u32),
    ) -> kart::Result<u32> {
        Ok(all.0)
    }
    let runner = Runner::new(&memory())
        .workers(4)
        .limit("gpu", 1)
        .limit("db", 1)
        .resource(Arc::new(Semaphore::new(0)));
    unless_stuck(runner.run(All)).await.unwrap();
}

#[tokio::test]
async fn a_limit_that_can_never_suffice_is_an_error_before_anything_runs() {
    let runner = Runner::new(&memory()).resource(Gauge::default());
    for (runner, part) in [
        (runner.clone(), "add `.limit(\"db\", N)`"),
        (runner.limit("db", 1), "the runner has 1 of it"),
    ] {
        let error = runner.run(Two { n: 1 }).await.unwrap_err();
        assert!(matches!(error, RunError::Settings(_)), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("scheduling/Two uses 2 of the limit `db`"),
            "{text}"
        );
        assert!(text.contains(part), "{text}");
    }
}

/// A cell of a random graph: it requires some cells of the row below.
#[task]
async fn cell(
    seed: u64,
    row: u64,
    column: u64,
    #[requires(below(seed, row, column))] below: Vec<u64>,
) -> kart::Result<u64> {
    tokio::task::yield_now().await;
    let mixed = below.iter().fold(column + 1, |sum, cell| {
        sum.wrapping_mul(31).wrapping_add(*cell)
    });
    Ok(mixed % 1_000_003)
}

fn below(seed: u64, row: u64, column: u64) -> Vec<Cell> {
    let mut state = seed ^ (row << 32) ^ column;
    let mut next = || {
        // The steps of splitmix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % 6
    };
    let count = if row == 0 { 0 } else { 1 + next() % 3 };
    (0..count)
        .map(|_| Cell {
            seed,
            row: row - 1,
            column: next(),
        })
        .collect()
}

#[task]
async fn grid(
    seed: u64,
    #[requires((0..6).map(|column| Cell { seed, row: 8, column }))] cells: Vec<u64>,
) -> kart::Result<Vec<u64>> {
    Ok(cells)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_parallel_run_gives_what_a_serial_run_gives() {
    for seed in 0..20 {
        println!("seed {seed}");
        let run = async |workers| {
            let workspace: Workspace = memory();
            let runner = Runner::new(&workspace).run_log(false).workers(workers);
            runner.run(Grid { seed }).await.unwrap();
            objects(&workspace).await
        };
        let serial = run(1).await;
        assert!(serial.len() > 9, "{} objects", serial.len());
        assert_eq!(serial, run(8).await);
    }
}
