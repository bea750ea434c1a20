//! State that other code has saved is resumed and named, until it is discarded.

use kart::{Event, RunError, Runner, Task, TaskExt as _, Workspace};

use crate::common::{Log, memory};
use crate::{runner, saved, story};

/// A parser that is wrong; what comes after it shows that, so it has no output.
mod wrong {
    use crate::common::Log;

    #[kart::task(name = "books/Parsed", retries = 1, backoff = "1ms")]
    pub(super) async fn parsed(
        #[context] cx: &kart::Context,
        #[resource] log: &Log,
    ) -> anyhow::Result<Vec<u64>> {
        let rows = cx.step("parse", async {
            log.note("parse wrongly");
            anyhow::Ok(vec![1])
        });
        let rows = rows.await?;
        anyhow::ensure!(rows.len() == 2, "{} of 2 rows", rows.len());
        Ok(rows)
    }
}

/// The same with the parser repaired, and a loop after it.
mod repaired {
    use crate::common::Log;

    #[kart::task(name = "books/Parsed", retries = 1, backoff = "1ms")]
    pub(super) async fn parsed(
        #[context] cx: &kart::Context,
        #[resource] log: &Log,
    ) -> anyhow::Result<Vec<u64>> {
        let rows = cx.step("parse", async {
            log.note("parse");
            anyhow::Ok(vec![1, 2])
        });
        let rows = rows.await?;
        cx.restore::<u64>("nothing").await?;
        anyhow::ensure!(rows.len() == 2, "{} of 2 rows", rows.len());
        Ok(rows)
    }
}

/// A runner that notes what it is warned of.
fn warned(workspace: &Workspace, log: &Log) -> Runner {
    let notes = log.clone();
    runner(workspace, log).on_event(move |event| {
        if let Event::StaleState { task } = event {
            notes.note(format!("stale {}", task.name()));
        }
    })
}

/// What the wrong parser has saved.
async fn saved_wrongly() -> (Workspace, Log, Runner) {
    let (workspace, log) = (memory(), Log::default());
    let told = story(&warned(&workspace, &log), wrong::Parsed).await;
    assert!(told.contains("1 of 2 rows"), "{told}");
    assert_eq!(log.take(), ["parse wrongly"]);
    let runner = warned(&workspace, &log);
    (workspace, log, runner)
}

async fn rows<T: Task<Output = Vec<u64>>>(runner: &Runner, task: T) -> usize {
    let report = runner.run(task.clone()).await.unwrap();
    report.output(&task).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn state_that_other_code_saved_is_resumed_and_named_once() {
    let (_, log, runner) = saved_wrongly().await;
    let told = story(&runner, repaired::Parsed).await;
    assert!(told.contains("1 of 2 rows"), "{told}");
    assert_eq!(log.take(), ["stale books/Parsed"]);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_task_discards_what_it_has_saved_once_in_a_run() {
    for name in ["Parsed", "books/Parsed"] {
        let (workspace, log, runner) = saved_wrongly().await;
        let fresh = runner.fresh(name);
        assert!(
            story(&fresh, wrong::Parsed)
                .await
                .contains("after 2 attempts")
        );
        assert_eq!(log.take(), ["parse wrongly"]);
        assert_eq!(rows(&fresh, repaired::Parsed).await, 2);
        assert_eq!(log.take(), ["parse"]);
        assert_eq!(saved(&workspace).await, Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn others_keep_what_they_have_saved_and_a_name_that_no_task_has_is_an_error() {
    let (_, log, runner) = saved_wrongly().await;
    let error = runner.clone().fresh("Parse").run(repaired::Parsed).await;
    match error {
        Err(RunError::Settings(reason)) => assert!(
            reason.contains("no task named `Parse` to start afresh"),
            "{reason}"
        ),
        other => panic!("{other:?}"),
    }
    let other = runner.fresh("Threefold");
    other.run(repaired::Parsed).await.unwrap_err();
    assert_eq!(log.take(), ["stale books/Parsed"]);
}

#[tokio::test(start_paused = true)]
async fn a_rerun_and_a_removal_begin_with_nothing_that_was_saved() {
    let (_, log, runner) = saved_wrongly().await;
    assert_eq!(rows(&runner.rerun("Parsed"), repaired::Parsed).await, 2);
    assert_eq!(log.take(), ["parse"]);

    let (workspace, log, runner) = saved_wrongly().await;
    repaired::Parsed.remove(&workspace).await.unwrap();
    assert_eq!(rows(&runner, repaired::Parsed).await, 2);
    assert_eq!(log.take(), ["parse"]);
}
