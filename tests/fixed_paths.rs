//! Outputs whose path has no key: whose they are, and when they are out of date.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kart::{Coordination, Outcome, RunError, Runner, TaskExt, Workspace, task};

use common::{Faulty, Log, memory, objects, since};

const COMPANION: &str = "_kart/paths/out/report.txt.key";

#[task(path = "out/report.txt")]
async fn report(day: u32, #[resource] log: &Log) -> kart::Result<String> {
    log.note(format!("day {day}"));
    Ok(format!("report of {day}"))
}

fn runner(workspace: &Workspace, log: &Log) -> Runner {
    // Only the writes of outputs and their companions are counted here.
    Runner::new(workspace)
        .coordination(Coordination::None)
        .run_log(false)
        .resource(log.clone())
}

async fn text(workspace: &Workspace, path: &str) -> String {
    let bytes = workspace.read(path).await.unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn an_output_has_a_companion_that_names_its_key() {
    let (workspace, log) = (memory(), Log::default());
    let task = Report { day: 1 };
    runner(&workspace, &log).run(task.clone()).await.unwrap();
    assert_eq!(text(&workspace, "out/report.txt").await, "report of 1");
    assert_eq!(text(&workspace, COMPANION).await, task.key().to_string());
    assert_eq!(objects(&workspace).await.len(), 2);

    let before = workspace.requests();
    runner(&workspace, &log).run(task).await.unwrap();
    assert_eq!(since(before, &workspace), [1, 1, 0, 0, 1]);
    assert_eq!(log.all(), ["day 1"]);
}

#[tokio::test]
async fn an_output_of_another_key_is_out_of_date_and_made_again() {
    let (workspace, log) = (memory(), Log::default());
    let (first, second) = (Report { day: 1 }, Report { day: 2 });
    runner(&workspace, &log).run(first.clone()).await.unwrap();
    assert!(!second.is_complete(&workspace).await.unwrap());
    runner(&workspace, &log).run(second.clone()).await.unwrap();
    assert_eq!(log.take(), ["day 1", "day 2"]);
    assert_eq!(text(&workspace, "out/report.txt").await, "report of 2");
    assert_eq!(text(&workspace, COMPANION).await, second.key().to_string());
    assert!(!first.is_complete(&workspace).await.unwrap());
    assert!(second.is_complete(&workspace).await.unwrap());
}

#[tokio::test]
async fn an_output_that_someone_else_put_there_is_kept() {
    let (workspace, log) = (memory(), Log::default());
    workspace
        .replace("out/report.txt", "by hand".into())
        .await
        .unwrap();
    let output = runner(&workspace, &log)
        .run(Report { day: 1 })
        .await
        .unwrap();
    assert!(log.all().is_empty());
    assert_eq!(output.output(&Report { day: 1 }).await.unwrap(), "by hand");
    assert_eq!(
        objects(&workspace).await.len(),
        1,
        "and no companion claims it"
    );
}

#[tokio::test]
async fn an_output_that_is_pending_is_made_again() {
    let (workspace, log) = (memory(), Log::default());
    let task = Report { day: 1 };
    let pending = format!("pending {}", task.key());
    workspace
        .replace("out/report.txt", "half".into())
        .await
        .unwrap();
    workspace.replace(COMPANION, pending.into()).await.unwrap();
    assert!(!task.is_complete(&workspace).await.unwrap());
    runner(&workspace, &log).run(task.clone()).await.unwrap();
    assert_eq!(text(&workspace, "out/report.txt").await, "report of 1");
    assert_eq!(text(&workspace, COMPANION).await, task.key().to_string());
}

#[tokio::test]
async fn an_output_that_was_deleted_is_made_again_whatever_its_companion_says() {
    let (workspace, log) = (memory(), Log::default());
    let task = Report { day: 1 };
    runner(&workspace, &log).run(task.clone()).await.unwrap();
    workspace.delete("out/report.txt").await.unwrap();
    assert!(!task.is_complete(&workspace).await.unwrap());
    runner(&workspace, &log).run(task.clone()).await.unwrap();
    assert_eq!(log.all(), ["day 1", "day 1"]);
}

#[tokio::test]
async fn removing_an_output_removes_its_companion() {
    let (workspace, log) = (memory(), Log::default());
    let task = Report { day: 1 };
    runner(&workspace, &log).run(task.clone()).await.unwrap();
    assert!(task.remove(&workspace).await.unwrap());
    assert!(objects(&workspace).await.is_empty());
    assert!(!task.remove(&workspace).await.unwrap());
}

#[tokio::test]
async fn a_crash_while_an_output_is_written_is_never_taken_for_a_finished_one() {
    // Each write of the three fails once: the companion before, the output, the companion after.
    for crash_at in 0..3 {
        for old_output in [false, true] {
            let (armed, log) = (Arc::new(AtomicBool::new(false)), Log::default());
            let (fails, writes) = (Arc::clone(&armed), Log::default());
            let workspace = Faulty::workspace(move |operation, path| {
                if operation != "put" || !fails.load(Ordering::SeqCst) {
                    return false;
                }
                writes.note(path);
                writes.all().len() > crash_at
            });
            if old_output {
                let runner = runner(&workspace, &log);
                runner.run(Report { day: 1 }).await.unwrap();
            }
            armed.store(true, Ordering::SeqCst);
            let task = Report { day: 2 };
            let error = runner(&workspace, &log)
                .run(task.clone())
                .await
                .unwrap_err();
            assert!(matches!(error, RunError::Interrupted(_)), "{error:?}");
            armed.store(false, Ordering::SeqCst);
            assert!(
                !task.is_complete(&workspace).await.unwrap(),
                "a crash at write {crash_at}, old output: {old_output}"
            );
            log.take();
            runner(&workspace, &log).run(task.clone()).await.unwrap();
            assert_eq!(log.take(), ["day 2"]);
            assert_eq!(text(&workspace, "out/report.txt").await, "report of 2");
            assert!(task.is_complete(&workspace).await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_crash_after_the_output_does_not_leave_it_to_the_task_that_made_the_old_one() {
    let (armed, log) = (Arc::new(AtomicBool::new(false)), Log::default());
    let (fails, writes) = (Arc::clone(&armed), Log::default());
    let workspace = Faulty::workspace(move |operation, path| {
        if operation == "put" && fails.load(Ordering::SeqCst) {
            writes.note(path);
            return writes.all().len() > 2;
        }
        false
    });
    runner(&workspace, &log)
        .run(Report { day: 1 })
        .await
        .unwrap();
    armed.store(true, Ordering::SeqCst);
    let second = runner(&workspace, &log).run(Report { day: 2 }).await;
    second.unwrap_err();
    assert_eq!(text(&workspace, "out/report.txt").await, "report of 2");
    assert!(!Report { day: 1 }.is_complete(&workspace).await.unwrap());
}

/// What a scanner leaves.
#[task(external, path = "raw/{day}.csv")]
async fn raw(day: u32) -> kart::Result<Vec<(u32, String)>>;

#[task]
async fn rows(day: u32, #[requires(Raw { day })] rows: &[(u32, String)]) -> kart::Result<usize> {
    Ok(rows.len())
}

#[tokio::test]
async fn an_external_output_that_is_missing_fails_by_its_place_and_blocks_its_dependents() {
    let workspace = memory();
    let error = Runner::new(&workspace)
        .run_log(false)
        .run(Rows { day: 3 })
        .await
        .unwrap_err();
    let report = error.report().unwrap();
    match report.outcome(&Raw { day: 3 }) {
        Some(Outcome::Failed(failure)) => assert_eq!(failure.attempts, 1),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        report.outcome(&Rows { day: 3 }),
        Some(Outcome::Blocked { by }) if *by == Raw { day: 3 }.key()
    ));
    let story = format!("{error:#}");
    let place = workspace.display_url("raw/3.csv");
    assert!(
        story.contains(&format!("external input `{place}` is missing")),
        "{story}"
    );
    assert!(objects(&workspace).await.is_empty());
}

#[tokio::test]
async fn an_external_output_that_is_there_is_used_and_left_alone() {
    let workspace = memory();
    let csv = "0,1\n1,a\n2,b\n";
    workspace.replace("raw/3.csv", csv.into()).await.unwrap();
    let runner = Runner::new(&workspace).run_log(false);
    let report = runner.run(Rows { day: 3 }).await.unwrap();
    assert_eq!((report.counts().complete, report.counts().ran), (1, 1));
    for runner in [runner.clone().rerun_all(), runner.clone().rerun("Raw")] {
        runner.run(Rows { day: 3 }).await.unwrap();
        assert_eq!(text(&workspace, "raw/3.csv").await, csv);
    }
    // A companion is no business of what something else has made.
    assert!(workspace.list("_kart").await.unwrap().is_empty());
}

#[task(path = "out/x.json")]
async fn short() -> kart::Result<u32> {
    Ok(1)
}

#[task(path = "out/x.json.key/y.json")]
async fn long(#[requires(Short)] short: u32) -> kart::Result<u32> {
    Ok(short + 1)
}

#[task(path = "out/x.json.key_/y.json")]
async fn longer(#[requires(Long)] long: u32) -> kart::Result<u32> {
    Ok(long + 1)
}

#[cfg(feature = "fs")]
#[tokio::test]
async fn a_path_below_what_looks_like_the_companion_of_another_stands_in_nobodys_way() {
    let directory = tempfile::tempdir().unwrap();
    for workspace in [Workspace::open(directory.path()).unwrap(), memory()] {
        let runner = Runner::new(&workspace);
        assert_eq!(runner.run(Longer).await.unwrap().counts().ran, 3);
        assert_eq!(workspace.list("_kart/paths").await.unwrap().len(), 3);
        assert_eq!(runner.run(Longer).await.unwrap().counts().complete, 1);
        for removed in [
            Short.remove(&workspace).await,
            Long.remove(&workspace).await,
        ] {
            assert!(removed.unwrap());
        }
        assert_eq!(workspace.list("_kart/paths").await.unwrap().len(), 1);
        assert!(Longer.is_complete(&workspace).await.unwrap());
    }
}
