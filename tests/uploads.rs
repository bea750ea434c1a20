//! Large files on their way to a bucket, and what other processes do to them: nothing.

mod common;

use std::time::Duration;

use common::{Fault, Flaky, unless_stuck};
use kart::{Context, Coordination, File, RunError, Runner, Workspace, task};
use tokio::io::AsyncWriteExt as _;

const LEFT: &str = "_kart/uploads/big.bin/left-by-a-killed-process";

#[task(path = "big.bin")]
async fn big(#[context] cx: &Context) -> anyhow::Result<File> {
    let mut writer = cx.writer().await?;
    writer.write_all(&vec![7; 5 << 20]).await?;
    Ok(writer.finish().await?)
}

async fn run(workspace: &Workspace) -> Result<(), RunError> {
    let runner = Runner::new(workspace)
        .coordination(Coordination::None)
        .run_log(false);
    unless_stuck(runner.run(Big {})).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn two_processes_that_upload_one_file_leave_each_others_upload_alone() {
    let bucket = Flaky::default();
    let (one, other) = (bucket.workspace(), bucket.workspace());
    bucket.fail("copy", "big.bin", 1, Fault::Delay(Duration::from_secs(10)));
    let later = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        run(&other).await
    };
    let (first, second) = tokio::join!(run(&one), later);
    first.unwrap();
    second.unwrap();
    let left = one.list("_kart/uploads").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn an_upload_that_nobody_moves_forward_goes_with_a_later_one_once_it_is_old() {
    let bucket = Flaky::default();
    let workspace = bucket.workspace();
    workspace.create(LEFT, "parts".into()).await.unwrap();
    run(&workspace).await.unwrap();
    assert_eq!(
        workspace.list("_kart/uploads").await.unwrap(),
        [LEFT],
        "it may be under way"
    );
    workspace.delete("big.bin").await.unwrap();
    bucket.age(LEFT);
    run(&workspace).await.unwrap();
    assert!(workspace.list("_kart/uploads").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_published_file_stands_although_its_upload_cannot_be_deleted() {
    let bucket = Flaky::default();
    let workspace = bucket.workspace();
    bucket.fail(
        "delete",
        "_kart/uploads",
        usize::MAX,
        Fault::Refuse("403 Forbidden"),
    );
    run(&workspace).await.unwrap();
    bucket.recover();
    assert_eq!(workspace.list("_kart/uploads").await.unwrap().len(), 1);
    assert_eq!(workspace.abort_stale_uploads().await.unwrap(), 1);
    assert!(workspace.list("_kart/uploads").await.unwrap().is_empty());
}
