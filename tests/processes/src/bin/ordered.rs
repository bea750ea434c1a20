//! Tasks for workers of an engine: they note in a file when they start and when they end, and some come to grief.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use kart::task;

/// One line of one write, so that processes which append at once do not mix theirs.
fn note(what: &str, unit: u32) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os("ORDERED_NOTES").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let pid = std::process::id();
    let line = format!("{what} {unit} {} {pid}\n", now.as_secs_f64());
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(line.as_bytes())?;
    Ok(())
}

/// One unit of work.
#[task(path = "naps/{unit}-{key}.json")]
async fn nap(wait_ms: u64, unit: u32) -> anyhow::Result<u32> {
    note("start", unit)?;
    if wait_ms > 0 {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
    note("end", unit)?;
    Ok(unit)
}

/// Their sum.
#[task(path = "total.json")]
async fn total(
    #[param(default = 20)] wait_ms: u64,
    #[param(default = 1000)] units: u32,
    #[requires((0..units).map(|unit| Nap { wait_ms, unit }))] naps: Vec<u32>,
) -> anyhow::Result<u64> {
    Ok(naps.into_iter().map(u64::from).sum())
}

/// What `Fails` notes.
const FAILS: u32 = 900;

/// What no machine can do without.
struct Tool(&'static str);

#[task]
async fn fails() -> anyhow::Result<u32> {
    note("start", FAILS)?;
    let read: Result<u32, _> = "seven".parse();
    read.context("failed to read the number")
}

#[task(retries = 1, backoff = "10ms")]
fn panics() -> anyhow::Result<u32> {
    panic!("the floor is lava")
}

#[task(timeout = "300ms")]
async fn hangs() -> anyhow::Result<u32> {
    std::future::pending().await
}

#[task(retries = 2, backoff = "10ms")]
async fn stumbles(#[context] cx: &kart::Context) -> anyhow::Result<u32> {
    anyhow::ensure!(cx.attempt() == 3, "not yet");
    Ok(3)
}

#[task]
async fn asks(#[resource] tool: &Tool, #[context] cx: &kart::Context) -> anyhow::Result<String> {
    let nap = cx
        .get(Nap {
            wait_ms: 1,
            unit: 7,
        })
        .await?;
    Ok(format!("{} {nap}", tool.0))
}

#[task(uses(gpu = 1))]
async fn draws(picture: u32) -> anyhow::Result<u32> {
    note("start", picture)?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    note("end", picture)?;
    Ok(picture)
}

/// All that can go wrong, and what goes well beside it.
#[task]
async fn troubled(
    #[requires(Fails)] fails: u32,
    #[requires(Panics)] panics: u32,
    #[requires(Hangs)] hangs: u32,
    #[requires(Stumbles)] stumbles: u32,
    #[requires(Asks)] asks: String,
    #[requires((0..4).map(|picture| Draws { picture }))] draws: Vec<u32>,
) -> anyhow::Result<String> {
    Ok(format!(
        "{fails} {panics} {hangs} {stumbles} {asks} {draws:?}"
    ))
}

/// A chain: each link requires the one below it.
#[task]
async fn link(
    length: u32,
    #[requires((length > 0).then(|| Link { length: length - 1 }))] below: Option<u32>,
) -> anyhow::Result<u32> {
    Ok(below.map_or(0, |below| below + 1))
}

kart::main!(Total, |runner| runner.resource(Tool("hammer")));
