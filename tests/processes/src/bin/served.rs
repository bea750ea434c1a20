//! Tasks that take as long as they are told to, behind HTTP.

use std::time::Duration;

use kart::{BoxError, Context, task};

/// Sleeps, and gives up when the run stops.
#[task]
async fn doze(n: u32, ms: u64, #[context] cx: &Context) -> Result<u32, BoxError> {
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(ms)) => Ok(n),
        () = cx.stopped() => Err(kart::interrupted().into()),
    }
}

/// Fails, and says what it was given.
#[task]
async fn spoilt(text: &str) -> anyhow::Result<u32> {
    anyhow::bail!("no good: {text}")
}

/// All of them.
#[task]
async fn dozes(
    #[param(default = 3)] count: u32,
    #[param(default = 1)] ms: u64,
    #[requires((0..count).map(|n| Doze { n, ms }))] dozes: Vec<u32>,
) -> anyhow::Result<usize> {
    Ok(dozes.len())
}

kart::main!(Dozes);
