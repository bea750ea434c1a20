//! What a plan costs, what it says, and what it refuses.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use kart::{Dep, Error, RunError, Runner, Status, TaskExt, Workspace, task};

use common::{Log, memory, objects};

/// Runs `body` on a thread with a stack of 2 MiB, as large as those of a runtime's workers.
fn on_a_small_stack(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(body).unwrap().join().unwrap();
}

fn plan<T: kart::Task>(root: T) -> kart::Plan {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(Runner::new(&memory()).plan(root)).unwrap()
}

const CHAIN: u32 = 100_000;

#[task]
async fn link(
    n: u32,
    #[requires((n > 0).then(|| Link { n: n - 1 }))] below: Option<u32>,
) -> kart::Result<u32> {
    Ok(below.unwrap_or(0) + 1)
}

#[test]
fn a_chain_may_be_of_any_length() {
    on_a_small_stack(|| {
        let root = Link { n: CHAIN };
        assert_eq!(plan(root.clone()).runs(), CHAIN as usize + 1);
        assert_ne!(root.key(), Link { n: CHAIN - 1 }.key());
    });
}

#[task]
async fn chosen_link(n: u32, #[requires] below: u32) -> kart::Result<u32> {
    Ok(n + below)
}

#[task]
async fn end() -> kart::Result<u32> {
    Ok(0)
}

#[test]
fn a_chain_of_chosen_tasks_may_be_of_any_length() {
    on_a_small_stack(|| {
        let chain = |end: Dep<u32>| (0..CHAIN).fold(end, |below, n| ChosenLink { n, below }.into());
        let root = ChosenLink {
            n: CHAIN,
            below: chain(End.into()),
        };
        assert_eq!(plan(root.clone()).runs(), CHAIN as usize + 2);
        let clone = root.clone();
        drop(root);
        let shown = format!("{clone:?}");
        assert!(shown.len() < 1000 && shown.contains('…'), "{shown}");
        let other = ChosenLink {
            n: CHAIN,
            below: chain(Link { n: 0 }.into()),
        };
        assert_ne!(clone.key(), other.key());
    });
}

static EXPANDED: AtomicUsize = AtomicUsize::new(0);

/// Two rungs of the same height require both of the height below.
#[task]
async fn rung(
    height: u32,
    side: bool,
    #[requires(rungs_below(height))] below: Vec<u32>,
) -> kart::Result<u32> {
    Ok(below.iter().sum::<u32>() + u32::from(side))
}

fn rungs_below(height: u32) -> Vec<Rung> {
    EXPANDED.fetch_add(1, Ordering::SeqCst);
    match height.checked_sub(1) {
        None => Vec::new(),
        Some(height) => [false, true].map(|side| Rung { height, side }).into(),
    }
}

#[test]
fn a_ladder_of_diamonds_expands_each_rung_once() {
    on_a_small_stack(|| {
        let height = 10_000;
        let root = Rung { height, side: true };
        root.key();
        let expanded = EXPANDED.swap(0, Ordering::SeqCst);
        assert!(
            expanded <= 2 * height as usize + 1,
            "{expanded} expansions for the key"
        );
        assert_eq!(plan(root).runs(), 2 * height as usize + 1);
        let expanded = EXPANDED.load(Ordering::SeqCst);
        assert!(
            expanded <= 2 * height as usize + 1,
            "{expanded} expansions for the plan"
        );
    });
}

#[task]
async fn chosen_rung(n: u32, #[requires] below: (u32, u32)) -> kart::Result<u32> {
    Ok(n + below.0 + below.1)
}

#[test]
fn a_ladder_of_chosen_diamonds_is_told_apart_without_descending() {
    on_a_small_stack(|| {
        let height = 10_000;
        let bottom = (Link { n: 0 }, End);
        let first = ChosenRung {
            n: 0,
            below: kart::dep(bottom),
        };
        let root = (1..height).fold(first, |below, n| ChosenRung {
            n,
            below: kart::dep((below.clone(), below)),
        });
        assert_eq!(plan(root).runs(), height as usize + 2);
    });
}

#[test]
fn a_fan_in_may_be_of_any_width() {
    #[task]
    async fn leaf(n: u32) -> kart::Result<u32> {
        Ok(n)
    }
    #[task]
    async fn gather(
        width: u32,
        #[requires((0..width).map(|n| Leaf { n }))] all: Vec<u32>,
    ) -> kart::Result<usize> {
        Ok(all.len())
    }
    on_a_small_stack(|| {
        let root = Gather { width: 100_000 };
        assert_eq!(plan(root.clone()).runs(), 100_001);
        assert_ne!(root.key(), Gather { width: 99_999 }.key());
    });
}

#[task]
async fn egg(farm: u32, #[requires(Hen { farm })] hen: u32) -> kart::Result<u32> {
    Ok(hen)
}

#[task]
async fn hen(farm: u32, #[requires(Chick { farm })] chick: u32) -> kart::Result<u32> {
    Ok(chick)
}

#[task]
async fn chick(farm: u32, #[requires(Egg { farm })] egg: u32) -> kart::Result<u32> {
    Ok(egg)
}

#[task]
async fn breakfast(#[requires(Egg { farm: 7 })] egg: u32) -> kart::Result<u32> {
    Ok(egg)
}

#[task]
async fn narcissus(#[requires(Narcissus)] again: u32) -> kart::Result<u32> {
    Ok(again)
}

#[tokio::test]
async fn tasks_that_require_each_other_are_an_error_that_prints_the_loop() {
    let workspace = memory();
    let error = Runner::new(&workspace).run(Breakfast).await.unwrap_err();
    assert!(
        matches!(error, RunError::Plan(Error::Cycle { .. })),
        "{error:?}"
    );
    assert!(
        error.to_string().ends_with(
            "Egg { farm: 7 } -> Hen { farm: 7 } -> Chick { farm: 7 } -> Egg { farm: 7 }"
        ),
        "{error}"
    );
    let error = Narcissus.try_key().unwrap_err();
    assert!(
        error.to_string().ends_with(": Narcissus -> Narcissus"),
        "{error}"
    );
    assert!(objects(&workspace).await.is_empty());
}

#[task(path = "out/{day}.json")]
async fn daily(day: u32, city: &str, #[resource] log: &Log) -> kart::Result<u32> {
    log.note(city);
    Ok(day)
}

#[tokio::test]
async fn two_tasks_with_one_path_are_an_error_before_anything_runs() {
    #[task]
    async fn both(
        #[requires(["Bern", "Rome"].map(|city| Daily { day: 3, city: city.to_owned() }))] both: Vec<
            u32,
        >,
    ) -> kart::Result<usize> {
        Ok(both.len())
    }
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace).resource(log.clone());
    let error = runner.run(Both).await.unwrap_err();
    assert!(
        matches!(error, RunError::Plan(Error::PathClash { .. })),
        "{error:?}"
    );
    let text = error.to_string();
    for part in ["`out/3.json`", "Bern", "Rome", "`{key}`"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(log.all().is_empty());
    assert_eq!(workspace.requests(), memory().requests());
}

#[tokio::test]
async fn the_same_task_named_twice_is_one_task() {
    #[task]
    async fn twice(
        #[requires([3, 3].map(|day| Daily { day, city: "Bern".to_owned() }))] both: Vec<u32>,
        #[requires(Daily { day: 3, city: "Bern".to_owned() })] again: u32,
    ) -> kart::Result<u32> {
        Ok(both.iter().sum::<u32>() + again)
    }
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace).resource(log.clone());
    let report = runner.run(Twice).await.unwrap();
    assert_eq!(report.output(&Twice).await.unwrap(), 9);
    assert_eq!(log.all(), ["Bern"]);
}

#[task]
async fn raw() -> kart::Result<u32> {
    Ok(1)
}

#[task(path = "clean.json")]
async fn clean(#[requires(Raw)] raw: u32) -> kart::Result<u32> {
    Ok(raw)
}

#[task(path = "clean.json")]
async fn other_clean() -> kart::Result<u32> {
    Ok(1)
}

#[task]
async fn beside() -> kart::Result<u32> {
    Ok(1)
}

#[task]
async fn report(#[requires((Clean, Beside))] all: (u32, u32)) -> kart::Result<u32> {
    Ok(all.0 + all.1)
}

async fn needs(runner: &Runner) -> Vec<(&'static str, Status)> {
    let plan = runner.plan(Report).await.unwrap();
    let mut needs: Vec<_> = plan
        .tasks()
        .map(|planned| (planned.task.name(), planned.need))
        .collect();
    needs.sort_unstable_by_key(|need| need.0);
    assert_eq!(plan.len(), 4);
    assert_eq!(
        plan.runs(),
        needs.iter().filter(|need| need.1.runs()).count()
    );
    needs
}

#[tokio::test]
async fn a_plan_says_of_every_task_why_it_runs_or_not() {
    use Status::{Complete, Downstream, Missing, NotNeeded, OutOfDate, RerunRequested};
    let workspace: Workspace = memory();
    let runner = Runner::new(&workspace);
    let expect = async |runner: &Runner, [beside, clean, raw, report]: [Status; 4]| {
        let before = objects(&workspace).await;
        let expected = [
            ("Beside", beside),
            ("Clean", clean),
            ("Raw", raw),
            ("Report", report),
        ];
        assert_eq!(needs(runner).await, expected);
        assert_eq!(objects(&workspace).await, before, "a plan writes nothing");
    };
    expect(&runner, [Missing; 4]).await;
    runner.run(Beside).await.unwrap();
    expect(&runner, [Complete, Missing, Missing, Missing]).await;
    runner.run(Report).await.unwrap();
    expect(&runner, [NotNeeded, NotNeeded, NotNeeded, Complete]).await;
    Report.remove(&workspace).await.unwrap();
    expect(&runner, [Complete, Complete, NotNeeded, Missing]).await;
    // Another task writes the same path.
    runner.run(OtherClean).await.unwrap();
    expect(&runner, [Complete, OutOfDate, Complete, Missing]).await;
    runner.run(Report).await.unwrap();
    expect(
        &runner.clone().rerun("Raw"),
        [Complete, Downstream, RerunRequested, Downstream],
    )
    .await;
    expect(&runner.clone().rerun_all(), [RerunRequested; 4]).await;
}

#[tokio::test]
async fn a_planned_task_has_a_name_a_key_a_path_and_its_parameters() {
    let plan = Runner::new(&memory()).plan(Link { n: 1 }).await.unwrap();
    let root = plan
        .tasks()
        .map(|planned| planned.task)
        .find(|task| task.description() == "Link { n: 1 }")
        .unwrap();
    let task = Link { n: 1 };
    assert_eq!(
        (root.name(), root.key(), root.path()),
        ("Link", task.key(), task.path())
    );
    assert!(!plan.is_empty());
    assert_eq!(plan.count(Status::Missing), 2);
}
