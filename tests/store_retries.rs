//! What a moment's fault of a bucket does to requests: nothing, whatever part of an answer is lost. The clock is paused.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Fault, Flaky, Hooked, unless_stuck};
use futures_util::FutureExt as _;
use kart::{CreateOutcome, File, Runner, TaskExt as _, task};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

const UNAVAILABLE: Fault =
    Fault::Refuse("Server returned non-2xx status code: 503 Service Unavailable: ");
const EXPIRED: Fault = Fault::Refuse(
    "Server returned non-2xx status code: 400 Bad Request: <Code>ExpiredToken</Code>",
);
const FORBIDDEN: Fault = Fault::Refuse("Server returned non-2xx status code: 403 Forbidden: ");
/// More than fits into one chunk of a body.
const LARGE: usize = 9 << 20;

fn content() -> Bytes {
    (0..LARGE)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_off_is_asked_for_again() {
    let bucket = Flaky::default();
    let workspace = bucket.workspace();
    workspace.create("a", "whole".into()).await.unwrap();
    bucket.fail("get", "a", 5, Fault::CutOff);
    let read = workspace.read("a").await.unwrap();
    assert_eq!(read.unwrap(), "whole");
    bucket.fail("get", "a", 5, Fault::CutOff);
    let range = workspace.read_range("a", 1..3).await.unwrap();
    assert_eq!(range.unwrap(), "ho");
}

#[tokio::test(start_paused = true)]
async fn a_reader_resumes_where_the_body_was_cut_off() {
    let bucket = Flaky::default();
    let workspace = bucket.workspace();
    workspace.create("a", content()).await.unwrap();
    bucket.fail("get", "a", 4, Fault::CutOff);
    let mut reader = workspace.reader("a").await.unwrap().unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).await.unwrap();
    assert!(read == content());
    assert_eq!(bucket.take_requests().len(), 1 + 5, "one write, five reads");
}

#[tokio::test(start_paused = true)]
async fn a_reader_never_joins_two_versions_of_an_object() {
    let bucket = Flaky::default();
    let workspace = bucket.workspace();
    workspace.create("a", content()).await.unwrap();
    bucket.fail("get", "a", 1, Fault::CutOff);
    let mut reader = workspace.reader("a").await.unwrap().unwrap();
    let other: Bytes = content().iter().rev().copied().collect();
    workspace.replace("a", other).await.unwrap();
    let read = reader.read_to_end(&mut Vec::new()).await;
    let story = read.unwrap_err().to_string();
    assert!(story.contains("precondition"), "{story}");
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_is_cut_off_is_asked_for_again() {
    let bucket = Flaky::default();
    let workspace = bucket.workspace();
    for path in ["a/1", "a/2", "a/3"] {
        workspace.create(path, "x".into()).await.unwrap();
    }
    bucket.fail("list", "a", 3, Fault::CutOff);
    assert_eq!(workspace.list("a").await.unwrap(), ["a/1", "a/2", "a/3"]);
}

#[tokio::test(start_paused = true)]
async fn writes_and_deletions_are_repeated_whatever_was_lost() {
    let bucket = Flaky::default();
    let workspace = bucket.workspace();
    for fault in [Fault::LoseAnswer, UNAVAILABLE, EXPIRED] {
        for operation in ["put", "delete", "copy"] {
            bucket.fail(operation, "", 3, fault);
        }
        workspace.replace("a", "x".into()).await.unwrap();
        workspace.rename("a", "b").await.unwrap();
        workspace.delete("b").await.unwrap();
        assert!(!workspace.exists("b").await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_was_lost_finds_its_own_bytes() {
    let bucket = Flaky::default();
    let workspace = bucket.workspace();
    bucket.fail("put", "a", 1, Fault::LoseAnswer);
    let created = workspace.create("a", "mine".into()).await.unwrap();
    assert_eq!(created, CreateOutcome::Exists("mine".into()));
}

/// The object is deleted between the conflict and the look at it.
#[tokio::test]
async fn a_create_that_finds_nothing_after_a_conflict_is_tried_again() {
    let inner = Arc::new(InMemory::new());
    let store = Arc::clone(&inner);
    let workspace = Hooked::workspace(&inner, move |operation, path| {
        if operation != "get" {
            return std::future::ready(()).boxed();
        }
        let store = Arc::clone(&store);
        async move { store.delete(&Path::from(path)).await.unwrap() }.boxed()
    });
    workspace.create("a", "another's".into()).await.unwrap();
    let created = workspace.create("a", "mine".into()).await.unwrap();
    assert_eq!(created, CreateOutcome::Written);
}

#[tokio::test(start_paused = true)]
async fn requests_are_repeated_for_the_time_that_was_set_and_no_longer() {
    let bucket = Flaky::default();
    for set in [None, Some(Duration::from_secs(20)), Some(Duration::ZERO)] {
        let mut workspace = bucket.workspace();
        if let Some(timeout) = set {
            workspace = workspace.retry_timeout(timeout);
        }
        let timeout = set.unwrap_or(Duration::from_mins(3));
        bucket.fail("get", "a", usize::MAX, UNAVAILABLE);
        let started = Instant::now();
        let error = workspace.read("a").await.unwrap_err();
        assert!(error.is_transient());
        let least = timeout.saturating_sub(Duration::from_secs(10));
        assert!(
            (least..=timeout).contains(&started.elapsed()),
            "{:?}",
            started.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_repeated() {
    let bucket = Flaky::default();
    let workspace = bucket.workspace();
    bucket.fail("put", "a", usize::MAX, FORBIDDEN);
    let error = workspace.replace("a", "x".into()).await.unwrap_err();
    assert!(!error.is_transient());
    assert!(
        !workspace
            .create("../a", "x".into())
            .await
            .unwrap_err()
            .is_transient()
    );
    assert_eq!(workspace.read("missing").await.unwrap(), None);
    assert_eq!(bucket.take_requests(), ["put a", "get missing"]);
}

#[task(path = "word/{key}.txt")]
async fn word(n: u32) -> kart::Result<String> {
    Ok(n.to_string())
}

#[task(path = "words.txt")]
async fn words(#[requires((0..8).map(|n| Word { n }))] words: Vec<String>) -> kart::Result<String> {
    Ok(words.concat())
}

#[tokio::test(start_paused = true)]
async fn a_run_lives_through_a_moment_in_which_the_store_fails() {
    let bucket = Flaky::default();
    let workspace = bucket.workspace();
    for operation in ["put", "get", "list"] {
        bucket.fail(operation, "", usize::MAX, UNAVAILABLE);
    }
    let run = async {
        // Without reading back from memory.
        let runner = Runner::new(&workspace).memory_budget(0);
        runner.run(Words {}).await
    };
    let moment = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        bucket.recover();
        bucket.fail("get", "word", 5, Fault::CutOff);
        bucket.fail("put", "word", 5, EXPIRED);
    };
    let (report, ()) = unless_stuck(async { tokio::join!(run, moment) }).await;
    assert_eq!(report.unwrap().counts().ran, 9);
    assert_eq!(Words {}.load(&workspace).await.unwrap(), "01234567");
}

#[task(path = "big.bin")]
async fn big(#[context] cx: &kart::Context) -> anyhow::Result<File> {
    let mut writer = cx.writer().await?;
    writer.write_all(&content()).await?;
    Ok(writer.finish().await?)
}

#[tokio::test(start_paused = true)]
async fn a_file_is_stored_whatever_was_lost_on_the_way() {
    for fault in [Fault::LoseAnswer, EXPIRED] {
        let bucket = Flaky::default();
        let workspace = bucket.workspace();
        for operation in ["put", "copy"] {
            bucket.fail(operation, "_kart/uploads", 2, fault);
            bucket.fail(operation, "big.bin", 2, fault);
        }
        let report = unless_stuck(Runner::new(&workspace).run(Big {}))
            .await
            .unwrap();
        assert_eq!(report.counts().ran, 1);
        assert!(workspace.read("big.bin").await.unwrap().unwrap() == content());
        assert!(workspace.list("_kart/uploads").await.unwrap().is_empty());
    }
}
