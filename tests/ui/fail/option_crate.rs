use kart::task;

#[task(crate = kart)]
async fn relative() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(crate = "kart")]
async fn text() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
