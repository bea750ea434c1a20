//! Which run takes over from which, and when.

use std::time::Duration;

use kart::{Coordination, RunError, StopToken, TaskExt as _, Workspace, task};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::common::{Fault, Flaky, Log, memory};
use crate::{SECOND, Sum, Unit, all_objects, runner, started};

const TTL: Duration = Duration::from_secs(30);

/// A claim of a process on an unknown machine, and a first heartbeat of it.
async fn claim_from_afar(workspace: &Workspace, task: &impl kart::Task) {
    let body = format!(
        r#"{{"process":"{:032x}","nonce":"{:032x}","host":"afar","pid":7,"run":"r","since":{{"secs_since_epoch":1,"nanos_since_epoch":0}},"what":"it"}}"#,
        5, 6
    );
    let claim = format!("_kart/claims/{}/1", task.key());
    workspace
        .replace(&claim, body.clone().into())
        .await
        .unwrap();
    let worker = format!("_kart/workers/{:032x}", 5);
    workspace.replace(&worker, body.into()).await.unwrap();
}

/// Keeps the heartbeat from afar up, every third of the ttl.
fn heartbeat_from_afar(workspace: &Workspace) -> JoinHandle<()> {
    let workspace = workspace.clone();
    tokio::spawn(async move {
        for beat in 0_u32.. {
            tokio::time::sleep(TTL / 3).await;
            let worker = format!("_kart/workers/{:032x}", 5);
            let beat = beat.to_string();
            workspace.replace(&worker, beat.into()).await.unwrap();
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_root_is_taken_says_by_whom_within_a_third_of_the_ttl() {
    let (workspace, log) = (memory(), Log::default());
    let task = Unit { n: 1 };
    claim_from_afar(&workspace, &task).await;
    let heartbeat = heartbeat_from_afar(&workspace);

    let began = Instant::now();
    let error = runner(&workspace, &log).ttl(TTL).run(task).await;
    let error = error.unwrap_err();
    let waited = began.elapsed();
    assert!(waited <= TTL / 3 + TTL / 12, "{waited:?}");
    let RunError::AlreadyRunning(owner) = &error else {
        panic!("{error:#}");
    };
    assert_eq!((owner.pid, owner.what.as_str()), (7, "it"));
    let story = error.to_string();
    assert!(
        story.starts_with("already running: process 7 on host afar (run r) runs it since "),
        "{story}"
    );
    // Another root is free.
    runner(&workspace, &log).run(Unit { n: 99 }).await.unwrap();
    assert_eq!(log.all(), ["unit 99"]);
    heartbeat.abort();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_no_other_takes_over_after_one_ttl_of_silence() {
    let (workspace, log) = (memory(), Log::default());
    let task = Unit { n: 1 };
    claim_from_afar(&workspace, &task).await;
    let began = Instant::now();
    runner(&workspace, &log).ttl(TTL).run(task).await.unwrap();
    let waited = began.elapsed();
    assert!(waited >= TTL && waited < 2 * TTL, "{waited:?}");
    assert_eq!(all_objects(&workspace).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_holder_is_not_taken_over_before_one_ttl_and_the_next_run_knows_how_long_it_was_silent() {
    let (workspace, log) = (memory(), Log::default());
    let task = Unit { n: 1 };
    claim_from_afar(&workspace, &task).await;
    let run = runner(&workspace, &log).ttl(TTL);
    let busy = run
        .clone()
        .deadline(Duration::from_secs(TTL.as_secs() - 1))
        .run(task.clone())
        .await;
    assert!(matches!(busy, Err(RunError::AlreadyRunning(_))), "{busy:?}");
    assert!(log.all().is_empty());

    // The first look was at the start of the first run.
    tokio::time::sleep(SECOND).await;
    let began = Instant::now();
    run.run(task).await.unwrap();
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_stop_ends_the_looking_at_a_holder() {
    let (workspace, log) = (memory(), Log::default());
    let task = Unit { n: 1 };
    claim_from_afar(&workspace, &task).await;
    let stop = StopToken::new();
    let run = runner(&workspace, &log).ttl(TTL).stop(&stop);
    let began = Instant::now();
    let (busy, ()) = tokio::join!(run.run(task), async {
        tokio::time::sleep(2 * SECOND).await;
        stop.stop();
    });
    assert!(matches!(busy, Err(RunError::AlreadyRunning(_))), "{busy:?}");
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_with_a_heartbeat_is_never_taken_over_however_long_a_run_waits() {
    let (workspace, log) = (memory(), Log::default());
    let task = Unit { n: 1 };
    claim_from_afar(&workspace, &task).await;
    let heartbeat = heartbeat_from_afar(&workspace);
    let patient = runner(&workspace, &log).ttl(TTL).wait(900 * SECOND);
    let began = Instant::now();
    let busy = patient.run(task).await.unwrap_err();
    assert!(
        busy.to_string().contains("process 7 on host afar (run r)"),
        "{busy}"
    );
    let waited = began.elapsed();
    assert!(
        waited >= 900 * SECOND && waited < 930 * SECOND,
        "{waited:?}"
    );
    assert!(log.all().is_empty());
    heartbeat.abort();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_gets_its_turn_when_the_claim_is_released() {
    let (workspace, log) = (memory(), Log::default());
    let task = Unit { n: 1 };
    claim_from_afar(&workspace, &task).await;
    let heartbeat = heartbeat_from_afar(&workspace);
    let patient = runner(&workspace, &log).ttl(TTL).wait(900 * SECOND);
    let claim = format!("_kart/claims/{}/1", task.key());
    let (report, ()) = tokio::join!(patient.run(task), async {
        tokio::time::sleep(60 * SECOND).await;
        assert!(workspace.delete(&claim).await.unwrap());
    });
    assert_eq!(report.unwrap().counts().ran, 1);
    heartbeat.abort();
}

#[tokio::test(start_paused = true)]
async fn what_a_run_that_was_dropped_has_claimed_is_taken_over_at_once() {
    for coordination in [Coordination::Exclusive, Coordination::Shared] {
        let (workspace, log) = (memory(), Log::default());
        let (first, has_started) = started(runner(&workspace, &log).coordination(coordination));
        tokio::select! {
            _ = first.run(Sum) => panic!("it takes seconds"),
            () = has_started.notified() => {}
        }
        assert!(!all_objects(&workspace).await.is_empty());
        let began = Instant::now();
        let second = runner(&workspace, &log).coordination(coordination);
        second.run(Sum).await.unwrap();
        assert!(
            began.elapsed() < 12 * SECOND,
            "{coordination:?}: {:?}",
            began.elapsed()
        );
        let left = all_objects(&workspace).await;
        assert_eq!(left, Vec::<String>::new(), "{coordination:?}");
    }
}

#[task]
async fn broken() -> anyhow::Result<u64> {
    anyhow::bail!("out of paper")
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_answer_is_lost_leaves_the_claim_of_the_next_holder_alone() {
    let (bucket, log) = (Flaky::default(), Log::default());
    let workspace = bucket.workspace();
    bucket.fail("delete", "_kart/claims/", 1, Fault::LoseAnswer);
    let claim = format!("_kart/claims/{}/1", Broken.key());
    let next = async {
        let is_release = |request: &String| request.starts_with("delete _kart/claims/");
        while !bucket.take_requests().iter().any(is_release) {
            tokio::time::sleep(SECOND / 1000).await;
        }
        claim_from_afar(&workspace, &Broken).await;
    };
    let run = runner(&workspace, &log).ttl(TTL);
    let (result, ()) = tokio::join!(run.run(Broken), next);
    assert!(matches!(result, Err(RunError::Failed(_))), "{result:?}");
    assert!(workspace.exists(&claim).await.unwrap());
}
