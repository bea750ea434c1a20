//! A task that takes longer than any run may, as a program.

use std::time::Duration;

use kart::{Context, task};
use processes::note_start;

/// So many epochs; each is saved.
#[task(path = "model.txt")]
async fn train(
    #[param(default = 60)] epochs: u32,
    #[param(default = 1000)] ms: u64,
    #[context] cx: &Context,
) -> anyhow::Result<String> {
    let mut epoch: u32 = cx.restore("epoch").await?.unwrap_or(0);
    note_start(&format!("from-{epoch}"));
    while epoch < epochs {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        epoch += 1;
        cx.save("epoch", &epoch).await?;
        if cx.is_stopping() && epoch < epochs {
            return Err(kart::interrupted().into());
        }
    }
    Ok(format!("{epoch} epochs\n"))
}

kart::main!(Train);
