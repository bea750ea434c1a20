//! How tasks fail, and what that does to the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kart::{
    Context, Coordination, Event, Failure, Outcome, Report, RunError, Runner, Task, TaskExt,
    Workspace, task,
};

use crate::common::{Log, memory, unless_stuck};

#[task(priority = 9)]
async fn bad(#[resource] log: &Log) -> anyhow::Result<u32> {
    log.note("bad");
    anyhow::bail!("no luck")
}

#[task]
async fn on_bad(#[requires(Bad)] bad: u32) -> kart::Result<u32> {
    Ok(bad)
}

#[task]
async fn good(n: u32, #[resource] log: &Log) -> kart::Result<u32> {
    log.note(format!("good {n}"));
    Ok(n)
}

#[task]
async fn on_good(n: u32, #[requires(Good { n })] good: u32) -> kart::Result<u32> {
    Ok(good)
}

#[task]
async fn all(
    #[requires(OnBad)] bad: u32,
    #[requires((0..5).map(|n| OnGood { n }))] good: Vec<u32>,
) -> kart::Result<u32> {
    Ok(bad + good.iter().sum::<u32>())
}

async fn failed<T: Task>(runner: &Runner, root: T) -> Report {
    match unless_stuck(runner.run(root)).await {
        Err(RunError::Failed(report)) => *report,
        other => panic!("expected a failure, not {other:?}"),
    }
}

async fn failure<T: Task>(runner: &Runner, root: T) -> Failure {
    let report = failed(runner, root.clone()).await;
    match report.outcome(&root) {
        Some(Outcome::Failed(failure)) => failure.clone(),
        other => panic!("expected the root's failure, not {other:?}"),
    }
}

#[tokio::test]
async fn a_failure_blocks_what_depends_on_it_and_nothing_else() {
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace).workers(1).resource(log.clone());
    let report = failed(&runner, All).await;
    let counts = report.counts();
    assert_eq!(
        (counts.ran, counts.failed, counts.blocked, counts.left),
        (10, 1, 2, 0)
    );
    for outcome in [report.outcome(&OnBad), report.outcome(&All)] {
        assert!(
            matches!(outcome, Some(Outcome::Blocked { by }) if *by == Bad.key()),
            "{outcome:?}"
        );
    }
    assert_eq!(log.all().len(), 6);
    for task in (0..5).map(|n| OnGood { n }) {
        assert!(task.is_complete(&workspace).await.unwrap());
    }
    assert!(!Bad.is_complete(&workspace).await.unwrap());
}

#[tokio::test]
async fn with_fail_fast_nothing_starts_after_the_first_failure() {
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace)
        .workers(1)
        .fail_fast(true)
        .resource(log.clone());
    let report = failed(&runner, All).await;
    assert_eq!(log.all(), ["bad"]);
    let counts = report.counts();
    assert_eq!(
        (counts.ran, counts.failed, counts.blocked, counts.left),
        (0, 1, 2, 10)
    );
    assert!(matches!(
        report.outcome(&OnGood { n: 0 }),
        Some(Outcome::NotRun)
    ));
}

#[tokio::test(start_paused = true)]
async fn with_fail_fast_what_pauses_before_a_retry_has_failed_too() {
    #[task(retries = 1, backoff = "1h", priority = 10)]
    async fn pauses_first() -> anyhow::Result<u32> {
        anyhow::bail!("not yet")
    }
    #[task]
    async fn both(#[requires((PausesFirst, Bad))] both: (u32, u32)) -> kart::Result<u32> {
        Ok(both.0)
    }
    let runner = Runner::new(&memory())
        .workers(1)
        .fail_fast(true)
        .resource(Log::default());
    let started = tokio::time::Instant::now();
    let report = failed(&runner, Both).await;
    assert_eq!(report.counts().failed, 2);
    let Some(Outcome::Failed(failure)) = report.outcome(&PausesFirst) else {
        panic!("{:?}", report.outcome(&PausesFirst));
    };
    assert_eq!((failure.attempts, failure.chain().as_str()), (1, "not yet"));
    assert!(
        started.elapsed().is_zero(),
        "the paused clock did not move: no pause was waited for"
    );
}

#[tokio::test]
async fn a_run_after_a_failure_runs_only_what_is_missing() {
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace).resource(log.clone());
    failed(&runner, All).await;
    log.take();
    let report = failed(&runner, All).await;
    assert_eq!(log.all(), ["bad"]);
    assert_eq!(report.counts().complete, 5);
}

/// Fails before the attempt whose number it is given.
#[task(retries = 3, backoff = "10s")]
async fn flaky(
    succeeds_at: u32,
    #[context] cx: &Context,
    #[resource] log: &Log,
) -> anyhow::Result<u32> {
    log.note(format!("attempt {}", cx.attempt()));
    anyhow::ensure!(cx.attempt() >= succeeds_at, "not yet");
    Ok(cx.attempt())
}

fn pauses(runner: Runner) -> (Runner, Arc<Mutex<Vec<Duration>>>) {
    let pauses = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&pauses);
    let runner = runner.on_event(move |event| {
        if let Event::Retrying { pause, .. } = event {
            seen.lock().unwrap().push(*pause);
        }
    });
    (runner, pauses)
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_made_again_after_a_pause_within_the_doubled_backoff() {
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace).resource(log.clone());
    let mut longest = Duration::ZERO;
    for n in 0..20 {
        let (runner, pauses) = pauses(runner.clone().rerun_all());
        let started = tokio::time::Instant::now();
        let report = runner.run(Flaky { succeeds_at: 4 }).await.unwrap();
        let pauses = pauses.lock().unwrap().clone();
        assert_eq!(
            log.take(),
            ["attempt 1", "attempt 2", "attempt 3", "attempt 4"]
        );
        let Some(Outcome::Ran(attempts)) = report.outcome(&Flaky { succeeds_at: 4 }) else {
            panic!("it ran");
        };
        assert_eq!(attempts.attempts, 4);
        assert_eq!(pauses.len(), 3);
        for (pause, most) in pauses.iter().zip([10, 20, 40]) {
            assert!(*pause <= Duration::from_secs(most), "round {n}: {pauses:?}");
        }
        let rest: Duration = pauses.iter().sum();
        assert!(started.elapsed() >= rest, "{pauses:?}");
        longest = longest.max(pauses[2]);
    }
    // Without doubling none is longer; with it three of four are.
    assert!(longest > Duration::from_secs(10), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn after_the_last_retry_the_task_has_failed() {
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace).resource(log.clone());
    let failure = failure(&runner, Flaky { succeeds_at: 5 }).await;
    assert_eq!((failure.attempts, log.all().len()), (4, 4));
    assert_eq!(failure.chain(), "not yet");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_for_its_retry_holds_no_worker() {
    #[task]
    async fn both(
        #[requires((0..100).map(|n| Rests { n }))] rests: Vec<u32>,
        #[requires(Steady)] steady: u32,
    ) -> kart::Result<u32> {
        Ok(steady + rests.iter().sum::<u32>())
    }
    #[task(retries = 1, backoff = "1h", priority = 1)]
    async fn rests(n: u32, #[context] cx: &Context, #[resource] log: &Log) -> anyhow::Result<u32> {
        if cx.attempt() == 1 {
            anyhow::bail!("not yet");
        }
        log.note("again");
        Ok(n)
    }
    #[task]
    async fn steady(#[resource] log: &Log) -> kart::Result<u32> {
        log.note("steady");
        Ok(1)
    }
    let (workspace, log) = (memory(), Log::default());
    let runner = Runner::new(&workspace).workers(1).resource(log.clone());
    runner.run(Both).await.unwrap();
    // Of a hundred pauses of up to an hour, none is nothing at all.
    assert_eq!(log.all()[0], "steady");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_not_retried() {
    #[task(retries = 3)]
    async fn hopeless() -> Result<u32, kart::BoxError> {
        Err(kart::permanent("the table is empty").into())
    }
    let failure = failure(&Runner::new(&memory()), Hopeless).await;
    assert_eq!(failure.attempts, 1);
    assert_eq!(failure.chain(), "the table is empty");
}

/// Libraries wrap an error in types of their own on its way into a boxed one.
#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_known_through_anyhow_and_its_contexts() {
    #[task(retries = 3)]
    async fn plain() -> anyhow::Result<u32> {
        Err(kart::permanent("the table is empty").into())
    }
    #[task(retries = 3)]
    async fn explained() -> anyhow::Result<u32> {
        let error = anyhow::Error::from(kart::permanent("the table is empty"));
        Err(error.context("failed to read the day"))
    }
    let plain = failure(&Runner::new(&memory()), Plain).await;
    assert_eq!(
        (plain.attempts, plain.chain().as_str()),
        (1, "the table is empty")
    );
    let explained = failure(&Runner::new(&memory()), Explained).await;
    assert_eq!(explained.attempts, 1);
    assert_eq!(
        explained.chain(),
        "failed to read the day: the table is empty"
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_stopped_and_may_be_retried() {
    #[task(timeout = "45m", retries = 1, backoff = "1s")]
    async fn forever(#[resource] log: &Log) -> kart::Result<u32> {
        log.note("started");
        std::future::pending().await
    }
    let log = Log::default();
    let runner = Runner::new(&memory()).resource(log.clone());
    let failure = failure(&runner, Forever).await;
    assert_eq!((failure.attempts, log.all().len()), (2, 2));
    assert_eq!(failure.elapsed, Duration::from_mins(45));
    assert!(
        failure.chain().contains("timed out after 2700s"),
        "{}",
        failure.chain()
    );
}

#[tokio::test]
async fn a_panic_is_a_failure_with_the_panics_message() {
    #[task]
    async fn panics(n: u32) -> kart::Result<u32> {
        panic!("boom {n}")
    }
    #[task]
    fn panics_plainly() -> kart::Result<u32> {
        panic!("boom")
    }
    #[task]
    fn panics_oddly() -> kart::Result<u32> {
        std::panic::panic_any(7_u32)
    }
    let runner = Runner::new(&memory());
    assert_eq!(
        failure(&runner, Panics { n: 7 }).await.chain(),
        "panicked: boom 7"
    );
    assert_eq!(
        failure(&runner, PanicsPlainly).await.chain(),
        "panicked: boom"
    );
    assert!(
        failure(&runner, PanicsOddly)
            .await
            .chain()
            .starts_with("panicked")
    );
}

#[tokio::test]
async fn an_output_that_cannot_be_encoded_fails_at_once_and_writes_nothing() {
    #[task(retries = 2)]
    async fn odd_keys() -> kart::Result<BTreeMap<(u8, u8), u8>> {
        Ok(BTreeMap::from([((1, 2), 3)]))
    }
    let workspace = memory();
    let runner = Runner::new(&workspace)
        .coordination(Coordination::None)
        .run_log(false);
    let failure = failure(&runner, OddKeys).await;
    assert_eq!(failure.attempts, 1);
    assert!(
        failure.chain().starts_with("failed to encode the output: "),
        "{}",
        failure.chain()
    );
    assert_eq!(workspace.requests().write, 0);
}

async fn spoil(workspace: &Workspace, task: &impl Task) -> String {
    workspace
        .replace(&task.path(), "{not json".into())
        .await
        .unwrap();
    workspace.display_url(&task.path())
}

#[tokio::test]
async fn a_stored_output_that_cannot_be_decoded_is_named_and_left_alone() {
    #[task(retries = 2)]
    async fn takes_good(#[requires(Good { n: 3 })] good: u32) -> kart::Result<u32> {
        Ok(good)
    }
    let (workspace, log) = (memory(), Log::default());
    let location = spoil(&workspace, &Good { n: 3 }).await;
    let runner = Runner::new(&workspace).resource(log.clone());
    let failure = failure(&runner, TakesGood).await;
    assert_eq!(failure.attempts, 1, "the same bytes would be met again");
    let chain = failure.chain();
    for part in [
        &location,
        "Good { n: 3 }",
        "delete the object",
        "`version`",
        "line 1",
    ] {
        assert!(chain.contains(part), "no {part} in {chain}");
    }
    assert!(log.all().is_empty());
    let left = workspace
        .read(&Good { n: 3 }.path())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(left, "{not json");
}

#[tokio::test]
async fn a_root_that_cannot_be_decoded_is_an_error_of_build() {
    #[task]
    async fn number() -> kart::Result<u32> {
        Ok(7)
    }
    let workspace = memory();
    let location = spoil(&workspace, &Number).await;
    let error = kart::build(Number, &workspace).await.unwrap_err();
    assert!(matches!(error, RunError::Output(_)), "{error:?}");
    assert!(error.to_string().contains(&location), "{error}");
    assert!(format!("{error:#}").contains("line 1"), "{error:#}");
}
