//! Checks of what is made of many requests: files in parts, thousands of names.

use std::io::{Read as _, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kart::{
    Artifact, Context, Coordination, Error, File, Outcome, OutputState, Report, Runner,
    TaskExt as _, Workspace, task,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// More than goes into one request, and no whole number of parts.
const LARGE: u64 = (20 << 20) + 7;

fn byte(at: u64, salt: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9).wrapping_add(salt) >> 7).to_le_bytes()[0]
}

fn content(size: u64, salt: u64) -> Vec<u8> {
    (0..size).map(|at| byte(at, salt)).collect()
}

#[task(path = "files/{key}.bin")]
fn written(size: u64, #[context] cx: &Context) -> std::io::Result<File> {
    let file = cx.new_file()?;
    file.create()?.write_all(&content(size, 0))?;
    Ok(file)
}

#[task(path = "pieces/{key}.txt")]
async fn in_pieces(size: u64, #[context] cx: &Context) -> std::io::Result<File> {
    let mut writer = cx.writer().await?;
    for chunk in content(size, 1).chunks(100_000) {
        writer.write_all(chunk).await?;
    }
    writer.finish().await
}

/// Takes a file in every way there is.
#[task]
async fn taken(
    size: u64,
    #[requires(Written { size })] file: File,
    #[requires(Written { size })] same: &File,
    #[requires(InPieces { size })] handle: Artifact<File>,
) -> anyhow::Result<u64> {
    let mut bytes = Vec::new();
    file.open()?.read_to_end(&mut bytes)?;
    assert!(bytes == content(size, 0));
    assert_eq!(same.size()?, size);

    let expected = content(size, 1);
    assert_eq!(handle.size().await?, size);
    let mut streamed = Vec::new();
    handle.reader().await?.read_to_end(&mut streamed).await?;
    assert!(streamed == expected);
    assert_eq!(handle.range(3..9).await?, expected[3..9]);
    assert_eq!(
        handle.range(size - 2..size + 5).await?,
        expected[expected.len() - 2..]
    );
    assert_eq!(handle.range(size + 5..size + 9).await?, Bytes::new());
    let mut copied = Vec::new();
    handle.file().await?.open()?.read_to_end(&mut copied)?;
    assert!(copied == expected);
    assert_eq!(handle.load().await?.size()?, size);
    Ok(size)
}

pub(crate) async fn files_of_any_size(workspace: Workspace) {
    for size in [100, LARGE] {
        // Nothing is handed over in memory.
        let runner = Runner::new(&workspace).memory_budget(0);
        let report = runner.run(Taken { size }).await.unwrap();
        assert_eq!(report.output(&Taken { size }).await.unwrap(), size);
        let file = Written { size }.load(&workspace).await.unwrap();
        assert_eq!(file.size().unwrap(), size);
        let stored = workspace.read(&Written { size }.path()).await.unwrap();
        assert!(stored.unwrap() == content(size, 0));
    }
    let left = workspace.list("_kart/uploads").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// The workspace, and how many bodies have begun.
#[derive(Clone)]
struct Race {
    workspace: Workspace,
    begun: Arc<AtomicU64>,
}

/// The first body lets another run publish before it returns.
#[task(path = "raced/{key}.bin")]
async fn raced(
    same: bool,
    #[context] cx: &Context,
    #[resource] race: &Race,
) -> anyhow::Result<File> {
    let number = race.begun.fetch_add(1, Ordering::SeqCst);
    if number == 0 {
        Box::pin(race.run(same)).await?;
    }
    let mut writer = cx.writer().await?;
    let salt = if same { 0 } else { number };
    writer.write_all(&content(LARGE, salt)).await?;
    Ok(writer.finish().await?)
}

impl Race {
    fn run(&self, same: bool) -> Pin<Box<dyn Future<Output = anyhow::Result<Report>> + Send>> {
        let runner = Runner::new(&self.workspace)
            .coordination(Coordination::None)
            .run_log(false)
            .resource(self.clone());
        Box::pin(async move { Ok(runner.run(Raced { same }).await?) })
    }
}

pub(crate) async fn the_first_file_stays(workspace: Workspace) {
    for same in [true, false] {
        let race = Race {
            workspace: workspace.clone(),
            begun: Arc::default(),
        };
        let report = race.run(same).await.unwrap();
        let task = Raced { same };
        let differed = match report.outcome(&task) {
            Some(Outcome::Ran(attempts)) => attempts.differed,
            outcome => panic!("{outcome:?}"),
        };
        assert_eq!(differed, !same);
        let first = content(LARGE, u64::from(!same));
        let mut adopted = Vec::new();
        let file = report.output(&task).await.unwrap();
        file.open().unwrap().read_to_end(&mut adopted).unwrap();
        assert!(adopted == first);
        assert!(workspace.read(&task.path()).await.unwrap().unwrap() == first);
    }
    let left = workspace.list("_kart/uploads").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

pub(crate) async fn thousands_of_names(workspace: Workspace) {
    let path = |n: u64| format!("many/{:016x}.json", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut writes = JoinSet::new();
    for n in 0..2500 {
        let workspace = workspace.clone();
        writes.spawn(async move { workspace.create(&path(n), "1".into()).await });
    }
    for written in writes.join_all().await {
        written.unwrap();
    }
    let before = workspace.requests();
    for (from, to) in [(0, 2500), (1200, 3700), (2490, 2530), (9000, 9100)] {
        let found = workspace
            .exists_many((from..to).map(path).collect())
            .await
            .unwrap();
        let expected: Vec<bool> = (from..to).map(|n| n < 2500).collect();
        assert_eq!(found, expected, "{from}..{to}");
    }
    let after = workspace.requests();
    if after.list > before.list {
        let asked = after.list + after.exists - before.list - before.exists;
        assert!(asked < 100, "{asked}");
    }
}

pub(crate) async fn uploads_that_were_cut_off_are_given_up(workspace: Workspace) {
    let task = InPieces { size: LARGE };
    for millis in [1, 50, 100, 150, 200, 300] {
        let runner = Runner::new(&workspace).coordination(Coordination::None);
        // Dropped at whatever it is doing.
        let _ = timeout(Duration::from_millis(millis), runner.run(task.clone())).await;
        task.remove(&workspace).await.unwrap();
    }
    kart::build(task.clone(), &workspace).await.unwrap();
    let stored = workspace.read(&task.path()).await.unwrap().unwrap();
    assert!(stored == content(LARGE, 1));
    // A request that was dropped may arrive late.
    let given_up = async { while workspace.abort_stale_uploads().await.unwrap() > 0 {} };
    timeout(Duration::from_secs(10), given_up).await.unwrap();
}

#[task(path = "whole/{key}.txt", format = kart::format::Text)]
async fn keyed() -> kart::Result<String> {
    Ok("keyed".to_owned())
}

#[task(path = "latest.txt", format = kart::format::Text)]
async fn latest(day: u32) -> kart::Result<String> {
    Ok(format!("day {day}"))
}

#[task(path = "latest.bin", format = kart::format::Raw)]
fn latest_file(size: u64, #[context] cx: &Context) -> std::io::Result<File> {
    let file = cx.new_file()?;
    file.create()?.write_all(&content(size, 0))?;
    Ok(file)
}

async fn provenance<T: kart::Task>(task: &T, workspace: &Workspace) -> kart::Provenance {
    let state = task.stored(workspace).unwrap().state().await.unwrap();
    assert!(matches!(state, OutputState::Complete { .. }), "{state:?}");
    state.provenance().unwrap().clone()
}

/// What made an output is known of it, however it was written, and another task's output is never taken for it.
pub(crate) async fn outputs_say_who_made_them(workspace: Workspace) {
    let runner = Runner::new(&workspace).coordination(Coordination::None);
    runner.run(Keyed).await.unwrap();
    let made = provenance(&Keyed, &workspace).await;
    let hash = blake3::hash(b"keyed").to_hex().to_string();
    assert_eq!(
        (made.key, made.bytes, made.blake3()),
        (Keyed.key(), 5, Some(hash))
    );

    for day in [1, 2] {
        runner.run(Latest { day }).await.unwrap();
        assert_eq!(provenance(&Latest { day }, &workspace).await.bytes, 5);
    }
    let first = Latest { day: 1 };
    assert!(!first.is_complete(&workspace).await.unwrap());
    assert!(matches!(
        first.load(&workspace).await,
        Err(Error::OtherKey { .. })
    ));
    assert!(!first.remove(&workspace).await.unwrap());

    for size in [100, LARGE, 200] {
        let task = LatestFile { size };
        runner.run(task.clone()).await.unwrap();
        let made = provenance(&task, &workspace).await;
        let hash = blake3::hash(&content(size, 0)).to_hex().to_string();
        assert_eq!((made.bytes, made.blake3()), (size, Some(hash)));
    }
    let task = Written { size: LARGE };
    runner.run(task.clone()).await.unwrap();
    assert_eq!(provenance(&task, &workspace).await.bytes, LARGE);
}
