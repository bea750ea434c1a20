//! The batch of `examples/long_batch.rs`, which notes in a file when a unit starts and when it ends.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use kart::task;

/// One line of one write, so that processes which append at once do not mix theirs.
fn note(what: &str, unit: u32) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os("QUEUED_NOTES") else {
        return Ok(());
    };
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{what} {unit}\n").as_bytes())?;
    Ok(())
}

/// One slow unit of work.
#[task(path = "{unit}.txt")]
async fn waits(wait_ms: u64, unit: u32) -> anyhow::Result<String> {
    note("start", unit)?;
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    note("end", unit)?;
    Ok(format!("{unit} is done"))
}

/// Gathers what the units said.
#[task(path = "all_results.txt")]
async fn gathered(
    #[param(default = 100)] wait_ms: u64,
    #[param(default = 27)] units: u32,
    #[requires((0..units).map(|unit| Waits { wait_ms, unit }))] results: Vec<String>,
) -> anyhow::Result<String> {
    Ok(results.join("\n") + "\n")
}

kart::main!(Gathered);
