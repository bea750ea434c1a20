//! Many tasks that only sleep, as a program.

use std::time::Duration;

use kart::task;
use processes::note_start;

/// Sleeps.
#[task]
async fn nap(n: u32, ms: u64) -> anyhow::Result<u32> {
    note_start(&n.to_string());
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(n)
}

/// All naps.
#[task]
async fn naps(
    #[param(default = 100)] count: u32,
    #[param(default = 50)] ms: u64,
    #[requires((0..count).map(|n| Nap { n, ms }))] naps: Vec<u32>,
) -> anyhow::Result<usize> {
    Ok(naps.len())
}

kart::main!(Naps);
