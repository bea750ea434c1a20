//! Many tasks of all kinds, to see how a run looks: some fail, one
//! panics, one is tried again, some say how far they are.

use std::time::Duration;

use kart::{Context, task};
use processes::note_start;

/// Takes as long as its number has it.
#[task]
async fn piece(n: u32, ms: u64, #[context] cx: &Context) -> anyhow::Result<u32> {
    note_start(&n.to_string());
    let steps = 10;
    for step in 0..steps {
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms + u64::from(n % 10) * ms) / steps).await;
        }
        if n.is_multiple_of(3) {
            cx.progress(u64::from(step), u64::from(steps));
            cx.message(format!("pièce nº {step} — 一つ目の長い説明文"));
        }
    }
    Ok(n)
}

/// Fails; the first panics.
#[task]
async fn breaks(n: u32) -> anyhow::Result<u32> {
    tracing::warn!(n, "about to break");
    assert!(n > 0, "{n} is too small");
    Err(anyhow::anyhow!("no such file").context(format!("failed to read the input of {n}")))
}

/// Succeeds when it is tried again.
#[task(retries = 1, backoff = "300ms")]
async fn stumbles(#[context] cx: &Context) -> anyhow::Result<u32> {
    anyhow::ensure!(cx.attempt() > 1, "the first attempt always fails");
    Ok(0)
}

/// A plain function that prints past the bars, as one that is being debugged does.
#[task]
fn plain() -> anyhow::Result<u32> {
    eprintln!("printed by a body");
    tracing::warn!("from a plain function");
    Ok(0)
}

/// All of them.
#[task]
async fn many(
    #[param(default = 200)] tasks: u32,
    #[param(default = 20)] ms: u64,
    #[param(default = 0)] broken: u32,
    #[requires((0..tasks).map(|n| Piece { n, ms }))] pieces: Vec<u32>,
    #[requires((0..broken).map(|n| Breaks { n }))] breaks: Vec<u32>,
    #[requires(Stumbles)] stumbles: u32,
    #[requires(Plain)] plain: u32,
) -> anyhow::Result<usize> {
    Ok(pieces.len() + breaks.len() + (stumbles + plain) as usize)
}

kart::main!(Many);
