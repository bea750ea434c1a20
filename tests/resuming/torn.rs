//! What a power cut leaves of saved state, and what a release before has written: it counts as absent.

use bytes::Bytes;
use kart::{Context, Runner, Workspace, task};

use crate::common::{Log, memory};
use crate::{SECOND, runner, saved};

/// A step, a state and a loop; and a failure unless the run is to go well.
#[task]
async fn threefold(#[context] cx: &Context, #[resource] log: &Log) -> anyhow::Result<Vec<u64>> {
    let step = cx.step("step", async {
        log.note("step");
        anyhow::Ok(7)
    });
    let mut all = vec![step.await?];
    let state = cx.restore("state").await?;
    if state.is_none() {
        log.note("state");
    }
    all.push(state.unwrap_or(8));
    cx.save("state", &8).await?;
    let items = cx.map(0..4_u64, |n| async move {
        tokio::time::sleep(SECOND).await;
        log.note(format!("item {n}"));
        std::io::Result::Ok(n)
    });
    all.extend(items.concurrency(1).save_interval(SECOND).await?);
    anyhow::ensure!(log.all().contains(&"well".to_owned()), "a flaw");
    Ok(all)
}

async fn flawed_run(workspace: &Workspace, log: &Log) -> Runner {
    let runner = runner(workspace, log);
    runner.run(Threefold).await.unwrap_err();
    log.take();
    runner
}

/// Has every saved object changed, and gives what runs again.
async fn runs_again(change: impl Fn(&Bytes) -> Bytes) -> Vec<String> {
    let (workspace, log) = (memory(), Log::default());
    let runner = flawed_run(&workspace, &log).await;
    let all = saved(&workspace).await;
    assert!(all.len() > 3, "{all:?}");
    for path in all {
        let object = workspace.read(&path).await.unwrap().unwrap();
        workspace.replace(&path, change(&object)).await.unwrap();
    }
    runner.run(Threefold).await.unwrap_err();
    let again = log.take();
    log.note("well");
    let report = runner.run(Threefold).await.unwrap();
    let output = report.output(&Threefold).await.unwrap();
    assert_eq!(output, [7, 8, 0, 1, 2, 3]);
    assert_eq!(log.take(), ["well"], "what was torn is not replaced");
    assert_eq!(saved(&workspace).await, Vec::<String>::new());
    again
}

const ALL: [&str; 6] = ["step", "state", "item 0", "item 1", "item 2", "item 3"];

#[tokio::test(start_paused = true)]
async fn what_is_empty_cut_or_zeroed_is_made_again_and_replaced() {
    assert_eq!(runs_again(Bytes::clone).await, Vec::<String>::new());
    assert_eq!(runs_again(|_| Bytes::new()).await, ALL);
    for cut in [1, 2, 20] {
        let cut_off = |object: &Bytes| object.slice(..object.len() - cut);
        assert_eq!(runs_again(cut_off).await, ALL, "{cut}");
    }
    let zeroed = |object: &Bytes| Bytes::from(vec![0; object.len()]);
    assert_eq!(runs_again(zeroed).await, ALL);
}

#[tokio::test(start_paused = true)]
async fn what_a_release_before_has_saved_is_made_again() {
    let bare = |object: &Bytes| {
        let header = object.iter().position(|byte| *byte == b'\n').unwrap();
        object.slice(header + 1..)
    };
    assert_eq!(runs_again(bare).await, ALL);
}

#[tokio::test(start_paused = true)]
async fn what_a_later_release_has_saved_is_named_and_kept() {
    let (workspace, log) = (memory(), Log::default());
    let runner = flawed_run(&workspace, &log).await;
    let path = saved(&workspace).await.pop().unwrap();
    let object = workspace.read(&path).await.unwrap().unwrap();
    let later = String::from_utf8(object.to_vec()).unwrap();
    let later = Bytes::from(later.replacen("v=1", "v=2", 1));
    workspace.replace(&path, later.clone()).await.unwrap();
    let error = format!("{:#}", runner.run(Threefold).await.unwrap_err());
    assert!(
        error.contains(&path) && error.contains("a later release"),
        "{error}"
    );
    assert_eq!(workspace.read(&path).await.unwrap(), Some(later));
}
