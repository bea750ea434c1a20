//! Many tasks on a bucket behind a network: how many requests there are, how many at once, and what happens when
//! the bucket cannot keep up. The clock is paused: what a request takes is exact.

mod common;

use std::time::Duration;

use common::{Busy, LATENCY, unless_stuck};
use kart::{Artifact, RunError, Runner, TaskExt as _, task};
use tokio::time::Instant;

const LEAVES: u64 = 10_000;

#[task(path = "leaf/{key}.txt")]
async fn leaf(n: u64) -> kart::Result<String> {
    Ok(n.to_string())
}

/// Reads none of them.
#[task(path = "count/{key}.json")]
async fn count(
    leaves: u64,
    #[requires((0..leaves).map(|n| Leaf { n }))] parts: Vec<Artifact<String>>,
) -> kart::Result<usize> {
    Ok(parts.len())
}

fn requests_of<'r>(requests: &'r [String], operation: &'r str) -> impl Iterator<Item = &'r String> {
    requests
        .iter()
        .filter(move |request| request.starts_with(operation))
}

#[tokio::test(start_paused = true)]
async fn thousands_of_outputs_are_found_with_a_few_requests() {
    let bucket = Busy::new();
    let workspace = bucket.workspace();
    let root = Count { leaves: LEAVES };
    kart::build(root.clone(), &workspace).await.unwrap();
    root.remove(&workspace).await.unwrap();
    bucket.take_requests();

    let started = Instant::now();
    let counted = unless_stuck(kart::build(root, &workspace)).await.unwrap();
    let elapsed = started.elapsed();
    let requests = bucket.take_requests();
    assert_eq!(*counted, 10_000);
    assert!(
        requests.len() <= 40,
        "{} requests: {requests:?}",
        requests.len()
    );
    assert!(elapsed <= Duration::from_secs(1), "{elapsed:?}");
    assert_eq!(
        requests_of(&requests, "get leaf").count(),
        0,
        "none is read"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cold_run_takes_no_longer_than_its_requests() {
    let bucket = Busy::new();
    let workspace = bucket.workspace();
    let started = Instant::now();
    let root = Count { leaves: LEAVES };
    unless_stuck(kart::build(root, &workspace)).await.unwrap();
    let elapsed = started.elapsed();
    let requests = u32::try_from(bucket.take_requests().len()).unwrap();
    let floor = LATENCY * requests / 64;
    assert!(
        elapsed < floor.mul_f64(1.15),
        "{elapsed:?} against {floor:?}"
    );
    assert!(bucket.most() <= 64 + 4, "{} at once", bucket.most());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_asks_for_fewer_requests_gets_fewer() {
    let bucket = Busy::bearing(10);
    let workspace = bucket.workspace();
    let root = Count { leaves: 2000 };
    unless_stuck(kart::build(root, &workspace)).await.unwrap();
    let requests = bucket.take_requests().len();
    assert!(bucket.refused() > 0);
    assert!(
        bucket.refused() * 3 < requests,
        "{} of {requests} were refused",
        bucket.refused()
    );
    assert_eq!(
        workspace.requests().refused,
        u64::try_from(bucket.refused()).unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_takes_nothing_is_an_error_that_names_the_object() {
    let bucket = Busy::new();
    let workspace = bucket.workspace().retry_timeout(Duration::from_mins(1));
    kart::build(Count { leaves: 30 }, &workspace).await.unwrap();
    bucket.bear(0);
    let started = Instant::now();
    let result = unless_stuck(kart::build(Count { leaves: 40 }, &workspace)).await;
    let error = result.unwrap_err();
    assert!(
        matches!(error, RunError::Store(_) | RunError::Plan(_)),
        "{error:?}"
    );
    let story = format!("{error:#}");
    assert!(story.contains("503 Service Unavailable"), "{story}");
    assert!(story.contains("busy:"), "{story}");
    assert!(
        started.elapsed() < Duration::from_mins(2),
        "{:?}",
        started.elapsed()
    );
    bucket.bear(usize::MAX);
    kart::build(Count { leaves: 40 }, &workspace).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_under_way_than_was_said() {
    let bucket = Busy::new();
    let workspace = bucket.workspace().store_concurrency(5);
    let runner = Runner::new(&workspace).workers(100);
    unless_stuck(runner.run(Count { leaves: 300 }))
        .await
        .unwrap();
    // The claim, the run's liveness and its log go first.
    assert!(bucket.most() <= 5 + 3, "{} at once", bucket.most());
}
