use kart::task;

#[task(uses)]
async fn bare() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(uses())]
async fn empty() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(uses(gpu))]
async fn no_units() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(uses(gpu = 0))]
async fn zero() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(uses(gpu = 1, db = 2, gpu = 1))]
async fn twice() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
