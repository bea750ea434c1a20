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

/// Saves in one way, and then fails: the first code.
mod before {
    use crate::SECOND;

    #[kart::task(name = "books/Ways")]
    pub(super) async fn ways(way: &str, #[context] cx: &kart::Context) -> anyhow::Result<u64> {
        match way {
            "step" => cx.step("one", async { anyhow::Ok(1) }).await?,
            "save" => {
                cx.save("one", &1).await?;
                1
            }
            _ => {
                let items = cx.map(0..2_u64, |n| async move {
                    tokio::time::sleep(SECOND).await;
                    anyhow::Ok(n)
                });
                items.concurrency(1).save_interval(SECOND).await?[0]
            }
        };
        anyhow::bail!("a flaw")
    }
}

/// The same without the failure.
mod after {
    #[kart::task(name = "books/Ways")]
    pub(super) async fn ways(way: &str, #[context] cx: &kart::Context) -> anyhow::Result<u64> {
        Ok(match way {
            "step" => cx.step("one", async { anyhow::Ok(2) }).await?,
            "save" => cx.restore("one").await?.unwrap_or(2),
            _ => {
                let items = cx.map(0..2_u64, |n| async move { anyhow::Ok(n + 1) });
                items.await?[0] + 1
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_warning_names_the_task_and_the_option_that_discards_what_it_has_saved_in_any_way() {
    for way in ["step", "save", "map"] {
        let (workspace, log) = (memory(), Log::default());
        let (notes, way) = (log.clone(), way.to_owned());
        let runner = Runner::new(&workspace).on_event(move |event| {
            notes.note(event.warning().unwrap_or_default());
        });
        let flawed = before::Ways { way: way.clone() };
        runner.run(flawed).await.unwrap_err();
        assert!(!saved(&workspace).await.is_empty(), "{way}");
        log.take();
        let report = runner.run(after::Ways { way: way.clone() }).await.unwrap();
        let output = report.output(&after::Ways { way: way.clone() }).await;
        assert_eq!(output.unwrap(), 1, "{way}");
        let mut told = log.take();
        told.retain(|told| told.contains("--fresh books/Ways"));
        assert_eq!(told.len(), 1, "{way}: {told:?}");
    }
}
