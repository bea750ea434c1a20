use kart::task;

#[task(backoff = "2", timeout = 45)]
async fn no_unit() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(timeout = "a while")]
async fn no_duration() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(timeout = "0s")]
async fn zero() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
