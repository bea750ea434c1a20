//! The run log where answers are lost, processes pack it at the same time, and junk lies in it.

mod common;

use std::time::Duration;

use common::{Fault, Flaky, memory, unless_stuck};
use kart::{Coordination, RunId, Runner, Workspace, task};
use tokio::time::sleep;

#[task]
async fn nap(secs: u64) -> kart::Result<u64> {
    sleep(Duration::from_secs(secs)).await;
    Ok(secs)
}

#[task]
async fn naps(
    #[requires([Nap { secs: 2 }, Nap { secs: 7 }, Nap { secs: 14 }])] naps: Vec<u64>,
) -> kart::Result<u64> {
    Ok(naps.iter().sum())
}

#[task]
async fn quick(n: u64) -> kart::Result<u64> {
    Ok(n)
}

async fn many_runs(workspace: &Workspace) {
    for n in 0..66 {
        let runner = Runner::new(workspace).coordination(Coordination::None);
        runner.run(Quick { n }).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn no_line_is_lost_where_a_segment_whose_answer_was_lost_is_packed_meanwhile() {
    let bucket = Flaky::default();
    // The first segment is written after 5 s, and its answer is lost. After 10 s it is written with more.
    let impatient = bucket.workspace().retry_timeout(Duration::ZERO);
    let run = async {
        bucket.fail("put", "_kart/runs/", 1, Fault::LoseAnswer);
        Runner::new(&impatient)
            .workers(4)
            .run(Naps {})
            .await
            .unwrap();
    };
    // In between another process reads it to pack it, and deletes it afterwards.
    let workspace = bucket.workspace();
    let packing = async {
        sleep(Duration::from_secs(8)).await;
        bucket.fail(
            "delete",
            "_kart/runs/",
            1,
            Fault::Delay(Duration::from_secs(4)),
        );
        many_runs(&workspace).await;
    };
    unless_stuck(async { tokio::join!(run, packing) }).await;
    let packs = workspace.list("_kart/runs/packs").await.unwrap();
    assert!(!packs.is_empty(), "it was packed");
    for secs in [2, 7, 14] {
        let history = workspace.history(&Nap { secs }).await.unwrap();
        assert_eq!(history.len(), 1, "{secs}");
    }
    assert_eq!(workspace.history(&Naps {}).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_reads_only_the_newest_of_very_many_logs() {
    let workspace = memory();
    for _ in 0..3000 {
        let path = format!("_kart/runs/{}/000000.jsonl", RunId::now());
        workspace.create(&path, "junk\n".into()).await.unwrap();
    }
    for _ in 0..3 {
        let before = workspace.requests().read;
        Runner::new(&workspace)
            .rerun("Quick")
            .run(Quick { n: 1 })
            .await
            .unwrap();
        // As many again are packed at the end.
        let reads = workspace.requests().read - before;
        assert!(reads < 600, "{reads} reads");
    }
    let left = workspace.list("_kart/runs").await.unwrap();
    assert!(left.len() < 2500, "later runs pack them: {}", left.len());
    assert_eq!(workspace.history(&Quick { n: 1 }).await.unwrap().len(), 3);
}
