use kart::task;

#[task]
async fn number() -> anyhow::Result<u32> {
    Ok(1)
}

#[task]
async fn train(#[requires] data: String) -> anyhow::Result<u32> {
    Ok(data.len() as u32)
}

fn main() {
    let _ = Train { data: Number.into() };
}
