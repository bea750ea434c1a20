//! Small graphs, killed at every single store operation: right before it takes effect, and right after.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Log, Moment, Mortal};
use kart::{Coordination, RunError, Runner, Task, TaskExt as _, Workspace, task};

#[task]
async fn base(n: u64, #[resource] log: &Log) -> kart::Result<u64> {
    log.note(format!("base {n}"));
    Ok(n)
}

#[task(path = "named.txt")]
async fn named(
    #[requires(Base { n: 1 })] base: &u64,
    #[resource] log: &Log,
) -> kart::Result<String> {
    log.note("named");
    Ok(format!("named {base}"))
}

#[task]
async fn left(#[requires(Base { n: 1 })] base: &u64, #[resource] log: &Log) -> kart::Result<u64> {
    log.note("left");
    Ok(base + 10)
}

#[task]
async fn top(
    #[requires(Left)] left: u64,
    #[requires(Named)] named: &str,
    #[requires((0..3).map(|n| Base { n }))] all: Vec<u64>,
    #[resource] log: &Log,
    #[context] cx: &kart::Context,
) -> kart::Result<String> {
    let asked = cx.get(Base { n: 7 }).await?;
    let step = cx
        .step("step", async {
            Ok::<_, kart::Error>(log.all().len() / 100)
        })
        .await?;
    cx.save("state", &step).await?;
    log.note("top");
    Ok(format!("{left} {named} {all:?} {asked} {step}"))
}

/// What each path should hold, and the paths of the tasks by the notes that they make.
fn outputs() -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let mut outputs = BTreeMap::new();
    let mut paths = BTreeMap::new();
    let mut add = |path: String, note: &str, text: &str| {
        outputs.insert(path.clone(), text.to_owned());
        paths.insert(note.to_owned(), path);
    };
    for n in [0, 1, 2, 7] {
        add(Base { n }.path(), &format!("base {n}"), &n.to_string());
    }
    add(Left.path(), "left", "11");
    add(Named.path(), "named", "named 1");
    add(Top.path(), "top", "\"11 named 1 [0, 1, 2] 7 0\"");
    (outputs, paths)
}

/// The outputs that are there.
async fn complete(workspace: &Workspace) -> BTreeMap<String, String> {
    let mut there = BTreeMap::new();
    for path in workspace.list("").await.unwrap() {
        if path.starts_with("_kart/") {
            continue;
        }
        let text = workspace.read(&path).await.unwrap().unwrap();
        there.insert(path, String::from_utf8(text.to_vec()).unwrap());
    }
    there
}

/// Runs until the process is killed, or to the end: whether it came to the end.
async fn run_until_killed<T: Task>(mortal: &Mortal, runner: &Runner, task: T) -> bool {
    tokio::select! {
        biased;
        result = runner.run(task) => match result {
            Ok(_) => true,
            Err(RunError::Store(_) | RunError::Failed(_) | RunError::Interrupted(_)) => false,
            Err(error) => panic!("{error:#}"),
        },
        () = mortal.killed() => false,
    }
}

async fn killed_everywhere(moment: Moment, coordination: Coordination) -> usize {
    let (expected, paths) = outputs();
    for at in 0.. {
        let log = Log::default();
        let mortal = Mortal::new(at, moment);
        let doomed = Runner::new(&mortal.workspace())
            .workers(2)
            .resource(log.clone());
        let is_done = run_until_killed(&mortal, &doomed.coordination(coordination), Top).await;
        // Another process, on what is there now.
        let workspace = mortal.survivors();
        let before = complete(&workspace).await;
        for (path, text) in &before {
            assert_eq!(
                expected.get(path),
                Some(text),
                "{path}, killed at {at} ({moment:?})"
            );
        }
        log.take();
        let runner = Runner::new(&workspace).workers(2).resource(log.clone());
        let report = runner.coordination(coordination).run(Top).await;
        let report = report.unwrap_or_else(|error| {
            panic!("killed at {at} ({moment:?}, {coordination:?}): {error:#}")
        });
        assert_eq!(report.counts().failed, 0);
        assert_eq!(
            complete(&workspace).await,
            expected,
            "killed at {at} ({moment:?})"
        );
        for note in log.take() {
            let path = &paths[&note];
            assert!(
                !before.contains_key(path),
                "{note} ran again, killed at {at} ({moment:?})"
            );
        }
        // A liveness object without claims stays until somebody sweeps, and a claim until somebody has to do with it again.
        let left = workspace.list("_kart/claims").await.unwrap();
        assert!(
            left.is_empty() || before.contains_key(&Top.path()),
            "{left:?}, killed at {at}"
        );
        let left = workspace.list("_kart/steps").await.unwrap();
        // Without coordination nobody looks for what others have left.
        let is_left = before.contains_key(&Top.path()) && coordination == Coordination::None;
        assert!(left.is_empty() || is_left, "{left:?}, killed at {at}");
        if is_done {
            return at;
        }
    }
    0
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_store_operation_loses_nothing_and_nothing_runs_in_vain() {
    for coordination in [
        Coordination::Exclusive,
        Coordination::Shared,
        Coordination::None,
    ] {
        for moment in [Moment::Before, Moment::After] {
            let operations = killed_everywhere(moment, coordination).await;
            println!("{coordination:?}, {moment:?}: {operations} operations");
            assert!(operations > 20, "{operations}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rerun_that_is_killed_anywhere_leaves_the_old_output_or_the_new_one() {
    for at in 0.. {
        let counter = Arc::new(AtomicUsize::new(1));
        let mortal = Mortal::new(usize::MAX, Moment::Before);
        let runner = Runner::new(&mortal.workspace()).resource(Arc::clone(&counter));
        runner.run(Counted).await.unwrap();
        mortal.kill_after(at);
        let is_done = run_until_killed(&mortal, &runner.rerun_all(), Counted).await;
        let workspace = mortal.survivors();
        let text = workspace.read(&Counted.path()).await.unwrap().unwrap();
        assert!(matches!(&*text, b"1" | b"2"), "{text:?}, killed at {at}");
        if is_done {
            assert_eq!(&*text, b"2");
            assert!(at > 4, "{at}");
            return;
        }
    }
}

#[task]
async fn counted(#[resource] counter: &Arc<AtomicUsize>) -> kart::Result<usize> {
    Ok(counter.fetch_add(1, Ordering::SeqCst))
}

/// Gives how often its step was done.
#[task]
async fn stepped(
    #[context] cx: &kart::Context,
    #[resource] counter: &Arc<AtomicUsize>,
) -> kart::Result<usize> {
    let count = async { Ok::<_, kart::Error>(counter.fetch_add(1, Ordering::SeqCst) + 1) };
    cx.step("step", count).await
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_anywhere_a_removal_and_a_rerun_use_nothing_that_was_saved() {
    for (at, moment) in (0..).flat_map(|at| [(at, Moment::Before), (at, Moment::After)]) {
        for removes in [true, false] {
            let counter = Arc::new(AtomicUsize::new(0));
            let process = Mortal::new(at, moment);
            let doomed = Runner::new(&process.workspace()).resource(Arc::clone(&counter));
            let is_done = run_until_killed(&process, &doomed, Stepped).await;
            let workspace = process.survivors();
            let runner = Runner::new(&workspace).resource(Arc::clone(&counter));
            let again = if removes {
                Stepped.remove(&workspace).await.unwrap();
                runner
            } else {
                runner.rerun("Stepped")
            };
            let before = counter.load(Ordering::SeqCst);
            let report = again.run(Stepped).await.unwrap();
            let output = report.output(&Stepped).await.unwrap();
            assert_eq!(output, before + 1, "killed at {at} ({moment:?})");
            assert_eq!(
                workspace.list("_kart/steps").await.unwrap(),
                Vec::<String>::new()
            );
            if is_done && !removes {
                assert!(at > 8, "{at}");
                return;
            }
        }
    }
}
