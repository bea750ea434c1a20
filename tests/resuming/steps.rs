//! Steps, saved states and progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kart::{Context, Event, RunError, Runner, Workspace, task};

use crate::common::{Log, memory};
use crate::{SECOND, runner, saved, story};

/// Two steps, and a failure after them as often as there are flaws.
#[task(retries = 1, backoff = "1ms")]
async fn stepwise(
    n: u64,
    #[context] cx: &Context,
    #[resource] log: &Log,
    #[resource] flaws: &Arc<AtomicUsize>,
) -> anyhow::Result<u64> {
    let first = cx
        .step("the first/one", async {
            log.note("first");
            anyhow::Ok(n + 1)
        })
        .await?;
    let second = cx
        .step("second", async {
            log.note("second");
            anyhow::Ok(first * 2)
        })
        .await?;
    let flaw = flaws.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    anyhow::ensure!(flaw.is_err(), "a flaw");
    Ok(second)
}

#[tokio::test(start_paused = true)]
async fn a_step_runs_once_across_attempts_and_runs_and_is_deleted_with_the_output_there() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::default();
    let open = || Workspace::open(directory.path()).unwrap();
    let flaws = Arc::new(AtomicUsize::new(3));
    let first = runner(&open(), &log).resource(Arc::clone(&flaws));
    assert!(story(&first, Stepwise { n: 1 }).await.contains("a flaw"));
    assert_eq!(log.take(), ["first", "second"]);
    assert_eq!(saved(&open()).await.len(), 2);

    let second = runner(&open(), &log).resource(flaws);
    let report = second.run(Stepwise { n: 1 }).await.unwrap();
    assert_eq!(report.output(&Stepwise { n: 1 }).await.unwrap(), 4);
    assert_eq!(log.take(), Vec::<String>::new());
    assert_eq!(saved(&open()).await, Vec::<String>::new());
}

mod bumped {
    use super::*;

    #[task(name = "Stepwise", version = 2)]
    pub(super) async fn stepwise_two(
        n: u64,
        #[context] cx: &Context,
        #[resource] log: &Log,
    ) -> anyhow::Result<u64> {
        cx.step("second", async {
            log.note("second of version 2");
            anyhow::Ok(n)
        })
        .await
    }
}

#[tokio::test(start_paused = true)]
async fn a_bumped_version_starts_afresh() {
    let (workspace, log) = (memory(), Log::default());
    let flawed = runner(&workspace, &log).resource(Arc::new(AtomicUsize::new(9)));
    flawed.run(Stepwise { n: 1 }).await.unwrap_err();
    log.take();
    let bumped = bumped::StepwiseTwo { n: 1 };
    runner(&workspace, &log).run(bumped).await.unwrap();
    assert_eq!(log.take(), ["second of version 2"]);
}

#[task]
async fn odd_steps(what: &str, #[context] cx: &Context) -> anyhow::Result<f64> {
    match what {
        "nan" => cx.step("odd", async { anyhow::Ok(f64::NAN) }).await,
        "twice" => {
            let one = cx.step("odd", async {
                tokio::task::yield_now().await;
                anyhow::Ok(1.0)
            });
            let two = cx.step("odd", async { anyhow::Ok(2.0) });
            Ok(tokio::try_join!(one, two)?.0)
        }
        "again" => {
            let one = cx.step("odd", async { anyhow::Ok(1.0) }).await?;
            Ok(one + cx.step("odd", async { anyhow::Ok(2.0) }).await?)
        }
        _ => {
            cx.step("odd", async { anyhow::bail!("it went wrong") })
                .await
        }
    }
}

#[tokio::test]
async fn a_step_that_goes_wrong_says_how() {
    for (what, parts) in [
        (
            "nan",
            &["failed to encode `memory://", "/odd.step`", "JSON"][..],
        ),
        (
            "twice",
            &["failed to begin `", "another of that name is under way"][..],
        ),
        ("fails", &["it went wrong"][..]),
    ] {
        let story = story(
            &runner(&memory(), &Log::default()),
            OddSteps {
                what: what.to_owned(),
            },
        )
        .await;
        for part in parts {
            assert!(story.contains(part), "no {part} in {story}");
        }
    }
    let again = OddSteps {
        what: "again".to_owned(),
    };
    assert!((*kart::build(again, &memory()).await.unwrap() - 2.0).abs() < f64::EPSILON);
}

/// Sixty epochs of a second.
#[task]
async fn train(#[context] cx: &Context, #[resource] log: &Log) -> anyhow::Result<u32> {
    let mut epoch = cx.restore("epoch").await?.unwrap_or(0);
    log.note(format!("from {epoch}"));
    while epoch < 60 {
        tokio::time::sleep(SECOND).await;
        epoch += 1;
        cx.save("epoch", &epoch).await?;
        if cx.is_stopping() {
            return Err(kart::interrupted().into());
        }
    }
    Ok(epoch)
}

#[tokio::test(start_paused = true)]
async fn a_task_longer_than_the_deadline_finishes_over_several_runs() {
    let (workspace, log) = (memory(), Log::default());
    let short = runner(&workspace, &log).deadline(Duration::from_millis(9_500));
    for _ in 0..6 {
        let error = short.run(Train).await.unwrap_err();
        assert!(matches!(error, RunError::Interrupted(_)), "{error:#}");
    }
    let report = short.run(Train).await.unwrap();
    assert_eq!(report.output(&Train).await.unwrap(), 60);
    assert_eq!(
        log.take(),
        [
            "from 0", "from 10", "from 20", "from 30", "from 40", "from 50", "from 60"
        ]
    );
    assert_eq!(saved(&workspace).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_named_with_what_to_do() {
    let workspace = memory();
    let path = format!(
        "_kart/steps/{}/first/epoch.state",
        kart::TaskExt::key(&Train)
    );
    let text = "\"many\"";
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let object = format!("v=1 blake3={hash} code=c0de path=train.json\n{text}");
    workspace.replace(&path, object.into()).await.unwrap();
    let story = story(&runner(&workspace, &Log::default()), Train).await;
    for part in [
        path.as_str(),
        "delete the object",
        "bump the task's `version`",
        "expected u32",
    ] {
        assert!(story.contains(part), "no {part} in {story}");
    }
}

/// A plain function.
#[task]
fn counts(#[context] cx: &Context) -> kart::Result<u32> {
    let before = cx.block_on(cx.restore::<u32>("count"))?.unwrap_or(0);
    cx.block_on(cx.save("count", &(before + 1)))?;
    for done in 0..1_000_000 {
        cx.progress(done + 1, 1_000_000);
    }
    if before == 0 {
        return Err(kart::interrupted().into());
    }
    Ok(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_function_saves_too_and_its_progress_is_told_in_moderation_and_to_the_end() {
    let workspace = memory();
    let told = Log::default();
    let notes = told.clone();
    let runner = Runner::new(&workspace).on_event(move |event| match event {
        Event::Progress { done, total, .. } => notes.note(format!("{done} of {total}")),
        Event::Finished { .. } => notes.note("finished"),
        _ => {}
    });
    runner.run(Counts).await.unwrap_err();
    assert_eq!(told.take().last().unwrap(), "1000000 of 1000000");
    runner.run(Counts).await.unwrap();
    let told = told.take();
    assert!(told.ends_with(&["1000000 of 1000000".to_owned(), "finished".to_owned()]));
    assert!(told.len() < 10_000, "{}", told.len());
}
