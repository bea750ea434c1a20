use kart::task;

#[task(retries = "3")]
async fn wrong_kind() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(retries, version =)]
async fn no_value() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(retries = -1)]
async fn negative() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(version = 0)]
async fn version_zero() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(priority = 3_000_000_000)]
async fn priority_range() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(version = 2u8)]
async fn suffix() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
