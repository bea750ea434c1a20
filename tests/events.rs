//! What is told of a run: events, the report, the error and its whole story.

mod common;

use std::sync::Arc;

use kart::{Context, Event, Outcome, RunError, Runner, TaskExt, task};

use common::{Log, memory};

#[derive(Debug, thiserror::Error)]
#[error("failed to read the table {table}")]
struct TableError {
    table: &'static str,
    source: std::io::Error,
}

#[task(priority = 3)]
async fn fine(n: u32) -> kart::Result<u32> {
    Ok(n)
}

#[task(priority = 2, retries = 2, backoff = "1s")]
async fn flaky(#[context] cx: &Context) -> anyhow::Result<u32> {
    anyhow::ensure!(cx.attempt() > 2, "no answer");
    Ok(1)
}

#[task(priority = 1, retries = 1, backoff = "1s")]
async fn broken(table: &str, #[param(secret)] password: &str) -> Result<u32, TableError> {
    let _ = (table, password);
    Err(TableError {
        table: "users",
        source: std::io::Error::other("the disk is on fire"),
    })
}

fn broken_task() -> Broken {
    Broken {
        table: "users".to_owned(),
        password: "hunter2".to_owned(),
    }
}

#[task]
async fn after_broken(#[requires(broken_task())] broken: u32) -> kart::Result<u32> {
    Ok(broken)
}

#[task]
async fn all(
    #[requires((Fine { n: 5 }, Flaky, AfterBroken))] all: (u32, u32, u32),
) -> kart::Result<u32> {
    Ok(all.0)
}

fn told(event: &Event<'_>) -> String {
    match event {
        Event::Planned {
            tasks,
            complete,
            missing,
            ..
        } => format!("planned {tasks}: {complete} complete, {missing} missing"),
        Event::Started { task, attempt, .. } => format!("started {} {attempt}", task.name()),
        Event::Retrying {
            task,
            attempt,
            error,
            ..
        } => {
            format!("retrying {} {attempt}: {error}", task.name())
        }
        Event::Finished {
            task,
            attempt,
            bytes,
            ..
        } => {
            format!("finished {} {attempt}: {bytes} bytes", task.name())
        }
        Event::OutputMismatch { task } => format!("differed {}", task.name()),
        Event::Failed {
            task,
            attempts,
            error,
            ..
        } => {
            format!("failed {} {attempts}: {}", task.name(), kart::chain(*error))
        }
        Event::Blocked { task, by } => format!("blocked {} by {}", task.name(), by.name()),
        other => format!("{other:?}"),
    }
}

/// The events about one task.
fn about(events: &[String], name: &str) -> Vec<String> {
    let second = |event: &&String| event.split([' ', ':']).nth(1) == Some(name);
    events.iter().filter(second).cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_run_in_order() {
    let (workspace, log) = (memory(), Log::default());
    let notes = log.clone();
    let runner = Runner::new(&workspace)
        .workers(1)
        .on_event(move |event| notes.note(told(event)));
    let error = runner.run(All).await.unwrap_err();
    assert!(matches!(error, RunError::Failed(_)), "{error:?}");
    let events = log.take();
    assert_eq!(
        events[..3],
        [
            "planned 5: 0 complete, 5 missing",
            "started Fine 1",
            "finished Fine 1: 1 bytes"
        ]
    );
    assert_eq!(
        about(&events, "Flaky"),
        [
            "started Flaky 1",
            "retrying Flaky 1: no answer",
            "started Flaky 2",
            "retrying Flaky 2: no answer",
            "started Flaky 3",
            "finished Flaky 3: 1 bytes",
        ]
    );
    assert_eq!(
        about(&events, "Broken"),
        [
            "started Broken 1",
            "retrying Broken 1: failed to read the table users",
            "started Broken 2",
            "failed Broken 2: failed to read the table users: the disk is on fire",
        ]
    );
    let failed = events
        .iter()
        .position(|event| event.starts_with("failed"))
        .unwrap();
    assert_eq!(
        events[failed + 1..failed + 3],
        ["blocked AfterBroken by Broken", "blocked All by Broken"]
    );
    assert_eq!(
        events.len(),
        1 + 2 + 6 + 4 + 2,
        "each is told once: {events:#?}"
    );

    runner.run(Fine { n: 5 }).await.unwrap();
    assert_eq!(log.take(), ["planned 1: 1 complete, 0 missing"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_changes_nothing() {
    let workspace = memory();
    let runner = Runner::new(&workspace).on_event(|event| panic!("at {event:?}"));
    let error = runner.run(All).await.unwrap_err();
    let counts = error.report().unwrap().counts();
    assert_eq!((counts.ran, counts.failed, counts.blocked), (2, 1, 2));
    assert!(Flaky.is_complete(&workspace).await.unwrap());
}

#[tokio::test]
async fn an_event_knows_the_tasks_name_key_path_and_parameters() {
    let (workspace, log) = (memory(), Log::default());
    let notes = log.clone();
    let runner = Runner::new(&workspace).on_event(move |event| {
        if let Event::Finished { task, .. } = event {
            notes.note(format!(
                "{} {} {} {}",
                task.name(),
                task.key(),
                task.path(),
                task.description()
            ));
        }
    });
    let task = Fine { n: 5 };
    runner.run(task.clone()).await.unwrap();
    let expected = format!("Fine {} {} Fine {{ n: 5 }}", task.key(), task.path());
    assert_eq!(log.take(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn the_report_knows_what_became_of_every_task() {
    let workspace = memory();
    kart::build(Fine { n: 5 }, &workspace).await.unwrap();
    let error = Runner::new(&workspace).run(All).await.unwrap_err();
    let report = error.report().unwrap();
    let counts = report.counts();
    assert_eq!(
        counts.to_string(),
        "1 complete before, 1 ran, 1 failed, 2 blocked"
    );
    assert!(matches!(
        report.outcome(&Fine { n: 5 }),
        Some(Outcome::Complete)
    ));
    assert!(
        report.outcome(&Fine { n: 6 }).is_none(),
        "the run knew nothing of it"
    );
    match report.outcome(&Flaky) {
        Some(Outcome::Ran(attempts)) => assert_eq!((attempts.attempts, attempts.bytes), (3, 1)),
        other => panic!("{other:?}"),
    }
    let failures: Vec<_> = report.failures().collect();
    let [(task, failure)] = failures.as_slice() else {
        panic!("{failures:?}");
    };
    assert_eq!(
        (task.task.name(), task.task.key()),
        ("Broken", broken_task().key())
    );
    assert_eq!(task.task.path(), broken_task().path());
    assert_eq!(failure.attempts, 2);
    assert!(
        failure.error.downcast_ref::<TableError>().is_some(),
        "the error as it was"
    );
    assert_eq!(report.tasks().count(), 5);
    assert_eq!(report.output(&Flaky).await.unwrap(), 1);
    let missing = report.output(&AfterBroken).await.unwrap_err();
    assert!(
        matches!(missing, kart::Error::Missing { .. }),
        "{missing:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_error_is_one_line_and_its_alternate_form_the_whole_story() {
    let workspace = memory();
    let error = Runner::new(&workspace).run(All).await.unwrap_err();
    let line = error.to_string();
    assert_eq!(
        line,
        "1 task failed (0 complete before, 2 ran, 1 failed, 2 blocked)"
    );
    let story = format!("{error:#}");
    let location = workspace.display_url(&broken_task().path());
    let key = broken_task().key().to_string();
    for part in [
        line.as_str(),
        "Broken { table: \"users\", password: *** }",
        &key,
        "after 2 attempts",
        &location,
        "failed to read the table users: the disk is on fire",
    ] {
        assert!(story.contains(part), "no {part} in\n{story}");
    }
}

#[tokio::test]
async fn a_story_of_many_failures_says_how_many_more_there_are() {
    #[task]
    async fn fails(n: u32) -> anyhow::Result<u32> {
        anyhow::bail!("number {n}")
    }
    #[task]
    async fn gather(
        #[requires((0..30).map(|n| Fails { n }))] all: Vec<u32>,
    ) -> kart::Result<usize> {
        Ok(all.len())
    }
    let error = Runner::new(&memory()).run(Gather).await.unwrap_err();
    let story = format!("{error:#}");
    assert!(story.starts_with("30 tasks failed"), "{story}");
    assert!(story.ends_with("and 10 more"), "{story}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_shown_nowhere() {
    #[task(path = "one/place.txt")]
    async fn takes_one(#[param(secret)] token: &str) -> anyhow::Result<String> {
        Ok(token.len().to_string())
    }
    #[task]
    async fn takes_both(
        #[requires(["hunter2", "hunter22"].map(|token| TakesOne { token: token.to_owned() }))]
        both: Vec<String>,
    ) -> kart::Result<usize> {
        Ok(both.len())
    }
    let (workspace, log) = (memory(), Log::default());
    let notes = log.clone();
    let runner = Runner::new(&workspace).on_event(move |event| {
        notes.note(format!("{event:?}"));
        if let Event::Failed { task, .. } | Event::Started { task, .. } = event {
            notes.note(format!("{task:?} {}", task.description()));
        }
    });
    let error = runner.run(All).await.unwrap_err();
    let report = error.report().unwrap();
    let plan = runner.plan(All).await.unwrap();
    let clash = runner.run(TakesBoth).await.unwrap_err();
    broken_task().load(&workspace).await.unwrap_err();
    let mut shown = log.take();
    shown.extend([
        format!("{:?}", broken_task()),
        format!("{:?}", kart::Dep::<u32>::from(broken_task())),
        format!("{error} {error:#} {error:?}"),
        format!("{report:?}"),
        format!("{:?}", report.tasks().collect::<Vec<_>>()),
        format!("{:?}", plan.tasks().collect::<Vec<_>>()),
        format!("{plan:?}"),
        format!("{clash} {clash:#} {clash:?}"),
        broken_task()
            .load(&workspace)
            .await
            .unwrap_err()
            .to_string(),
    ]);
    for text in &shown {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(shown.iter().any(|text| text.contains("***")));
    assert!(clash.to_string().contains("one/place.txt"), "{clash}");
    // It is part of the key all the same.
    let other = Broken {
        password: "other".to_owned(),
        ..broken_task()
    };
    assert_ne!(other.key(), broken_task().key());
}

#[tokio::test]
async fn the_last_error_keeps_its_type_for_whoever_looks() {
    #[task]
    async fn fails() -> anyhow::Result<u32> {
        Err(std::io::Error::from(std::io::ErrorKind::OutOfMemory).into())
    }
    let error = Runner::new(&memory()).run(Fails).await.unwrap_err();
    let report = error.report().unwrap();
    let (_, failure) = report.failures().next().unwrap();
    let shared = Arc::clone(&failure.error);
    assert!(kart::chain(shared.as_ref().as_ref()).contains("memory"));
}

#[tokio::test]
async fn a_main_that_returns_the_error_tells_the_whole_story() {
    #[task]
    async fn broken(day: u32) -> anyhow::Result<u32> {
        let cause = anyhow::anyhow!("the tape is torn");
        Err(cause.context(format!("failed to read day {day}")))
    }
    let error = kart::build(Broken { day: 7 }, &memory()).await.unwrap_err();
    for part in ["Broken { day: 7 }", "after 1 attempt", "the tape is torn"] {
        assert!(
            format!("{error:?}").contains(part),
            "no {part} in {error:?}"
        );
    }
    let error = anyhow::Error::from(error);
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    assert!(
        chain[1].contains("Broken { day: 7 } failed after 1 attempt"),
        "{chain:?}"
    );
    assert_eq!(chain[2..], ["failed to read day 7", "the tape is torn"]);
}

#[tokio::test]
async fn an_event_shows_its_task_and_not_the_graph() {
    #[task]
    async fn leaf(n: u32) -> kart::Result<u32> {
        Ok(n)
    }
    #[task]
    async fn sum(#[requires((0..9).map(|n| Leaf { n }))] leaves: Vec<u32>) -> kart::Result<u32> {
        Ok(leaves.iter().sum())
    }
    let log = Log::default();
    let seen = log.clone();
    let runner = Runner::new(&memory()).on_event(move |event| seen.note(format!("{event:?}")));
    runner.run(Sum).await.unwrap();
    let longest = log.all().iter().map(String::len).max().unwrap();
    assert!(longest < 200, "{longest}");
    assert!(log.all().iter().any(|line| line.contains("Leaf { n: 3 }")));
}
