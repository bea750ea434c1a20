//! What exists is not made again, unless asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kart::{Coordination, Event, Outcome, RunError, Runner, TaskExt, Workspace, task};

use crate::common::{Log, memory, since};

#[task]
async fn base(n: u32, #[resource] log: &Log) -> kart::Result<u32> {
    log.note("base");
    Ok(n)
}

#[task]
async fn left(
    n: u32,
    #[resource] log: &Log,
    #[requires(Base { n })] base: &u32,
) -> kart::Result<u32> {
    log.note("left");
    Ok(base + 10)
}

#[task]
async fn right(
    n: u32,
    #[resource] log: &Log,
    #[requires(Base { n })] base: &u32,
) -> kart::Result<u32> {
    log.note("right");
    Ok(base + 20)
}

#[task]
async fn top(
    n: u32,
    #[resource] log: &Log,
    #[requires((Left { n }, Right { n }))] sides: (u32, u32),
) -> kart::Result<u32> {
    log.note("top");
    Ok(sides.0 + sides.1)
}

fn runner(workspace: &Workspace, log: &Log) -> Runner {
    Runner::new(workspace)
        .run_log(false)
        .workers(4)
        .resource(log.clone())
}

#[tokio::test]
async fn each_task_of_a_diamond_runs_once() {
    let (workspace, log) = (memory(), Log::default());
    let report = runner(&workspace, &log).run(Top { n: 1 }).await.unwrap();
    assert_eq!(log.take_sorted(), ["base", "left", "right", "top"]);
    assert_eq!(report.counts().ran, 4);
    assert_eq!(report.output(&Top { n: 1 }).await.unwrap(), 32);
}

#[tokio::test]
async fn what_is_required_is_done_before_its_dependent_starts() {
    let (workspace, log, events) = (memory(), Log::default(), Log::default());
    let told = events.clone();
    let runner = runner(&workspace, &log).on_event(move |event| match event {
        Event::Started { task, .. } => told.note(format!("start {}", task.name())),
        Event::Finished { task, .. } => told.note(format!("end {}", task.name())),
        _ => {}
    });
    runner.run(Top { n: 1 }).await.unwrap();
    let order = log.take();
    assert_eq!(order.first().unwrap(), "base");
    assert_eq!(order.last().unwrap(), "top");
    let events = events.take();
    assert_eq!(events.len(), 8, "{events:?}");
    let is_base = |event: &String| event.ends_with("Base");
    assert!(events[..2].iter().all(is_base), "{events:?}");
}

#[tokio::test]
async fn a_complete_root_costs_one_existence_request_and_a_look_for_reruns() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Top { n: 1 }).await.unwrap();
    log.take();
    let before = workspace.requests();
    let report = runner(&workspace, &log).run(Top { n: 1 }).await.unwrap();
    assert_eq!(since(before, &workspace), [1, 0, 0, 0, 1]);
    assert!(log.all().is_empty());
    assert_eq!((report.counts().complete, report.counts().unneeded), (1, 3));
    assert!(matches!(
        report.outcome(&Base { n: 1 }),
        Some(Outcome::NotNeeded)
    ));
}

#[tokio::test]
async fn below_a_complete_task_nothing_is_asked() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Left { n: 1 }).await.unwrap();
    runner(&workspace, &log).run(Right { n: 1 }).await.unwrap();
    assert_eq!(log.take_sorted(), ["base", "left", "right"]);
    let before = workspace.requests();
    let alone = runner(&workspace, &log)
        .coordination(Coordination::None)
        .run_log(false);
    alone.run(Top { n: 1 }).await.unwrap();
    assert_eq!(log.take(), ["top"]);
    // The existence of the root and of its two sides; the sides' values; one output; a look for reruns.
    assert_eq!(since(before, &workspace), [3, 2, 1, 0, 1]);
}

#[tokio::test]
async fn a_deleted_middle_output_is_made_again_only_where_something_missing_needs_it() {
    let (workspace, log) = (memory(), Log::default());
    let (root, middle) = (Top { n: 1 }, Left { n: 1 });
    runner(&workspace, &log).run(root.clone()).await.unwrap();
    log.take();
    assert!(middle.remove(&workspace).await.unwrap());
    runner(&workspace, &log).run(root.clone()).await.unwrap();
    assert!(log.all().is_empty());
    assert!(!middle.is_complete(&workspace).await.unwrap());

    assert!(root.remove(&workspace).await.unwrap());
    runner(&workspace, &log).run(root.clone()).await.unwrap();
    assert_eq!(log.take(), ["left", "top"]);
    assert!(middle.is_complete(&workspace).await.unwrap());
    assert_eq!(root.load(&workspace).await.unwrap(), 32);
}

#[tokio::test]
async fn build_gives_the_output_whether_it_was_there_or_not() {
    #[task]
    async fn number() -> kart::Result<u32> {
        Ok(7)
    }
    let workspace = memory();
    assert_eq!(*kart::build(Number, &workspace).await.unwrap(), 7);
    assert_eq!(*kart::build(Number, &workspace).await.unwrap(), 7);
}

#[tokio::test]
async fn an_output_that_was_never_made_is_missing_and_says_where_it_would_be() {
    let workspace = memory();
    let task = Base { n: 5 };
    let error = task.load(&workspace).await.unwrap_err().to_string();
    assert!(
        error.contains(&workspace.display_url(&task.path())),
        "{error}"
    );
    assert!(error.contains("run it first"), "{error}");
    assert!(!task.remove(&workspace).await.unwrap());
}

/// Another number each time it runs.
#[task]
async fn draw(#[resource] counter: &Arc<AtomicU32>) -> kart::Result<u32> {
    Ok(counter.fetch_add(1, Ordering::SeqCst))
}

#[task]
async fn after_draw(#[requires(Draw)] drawn: u32) -> kart::Result<u32> {
    Ok(drawn * 100)
}

#[tokio::test]
async fn a_rerun_replaces_the_output_and_reaches_all_that_depends_on_it() {
    let workspace = memory();
    let runner = Runner::new(&workspace).resource(Arc::new(AtomicU32::new(1)));
    runner.run(AfterDraw).await.unwrap();
    let report = runner.clone().rerun("Draw").run(AfterDraw).await.unwrap();
    assert_eq!(report.counts().ran, 2);
    assert_eq!(Draw.load(&workspace).await.unwrap(), 2);
    assert_eq!(AfterDraw.load(&workspace).await.unwrap(), 200);
    let Some(Outcome::Ran(attempts)) = report.outcome(&Draw) else {
        panic!("{:?}", report.outcome(&Draw));
    };
    assert!(
        !attempts.differed,
        "what was replaced on purpose is no race"
    );
}

#[tokio::test]
async fn a_rerun_leaves_alone_what_does_not_depend_on_it() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Top { n: 1 }).await.unwrap();
    for name in ["Left", "skipping/Left"] {
        log.take();
        let runner = runner(&workspace, &log).rerun(name);
        runner.run(Top { n: 1 }).await.unwrap();
        assert_eq!(log.take(), ["left", "top"], "rerun of {name}");
    }
    runner(&workspace, &log)
        .rerun("Top")
        .run(Top { n: 1 })
        .await
        .unwrap();
    assert_eq!(log.take(), ["top"]);
}

#[tokio::test]
async fn several_names_may_be_run_again_and_so_may_all() {
    let (workspace, log) = (memory(), Log::default());
    runner(&workspace, &log).run(Top { n: 1 }).await.unwrap();
    log.take();
    let both = runner(&workspace, &log).rerun("Right").rerun("Left");
    both.run(Top { n: 1 }).await.unwrap();
    assert_eq!(log.take_sorted(), ["left", "right", "top"]);
    runner(&workspace, &log)
        .rerun_all()
        .run(Top { n: 1 })
        .await
        .unwrap();
    assert_eq!(log.take_sorted(), ["base", "left", "right", "top"]);
}

#[tokio::test]
async fn a_rerun_of_an_unknown_name_says_which_there_are() {
    let (workspace, log) = (memory(), Log::default());
    for name in ["Lef", "eft", "other/Left", ""] {
        let error = runner(&workspace, &log)
            .rerun(name)
            .run(Top { n: 1 })
            .await
            .unwrap_err();
        assert!(matches!(error, RunError::Settings(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&format!("`{name}`")), "{text}");
        assert!(text.contains("`skipping/Left`, `skipping/Right`"), "{text}");
    }
    assert!(log.all().is_empty());
}
