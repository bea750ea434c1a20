use kart::task;

#[task]
async fn context(#[context] _cx: &u8) -> anyhow::Result<u32> {
    Ok(1)
}

fn main() {}
