use kart::task;

#[task(retires = 3)]
async fn misspelt() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(zebra)]
async fn unknown() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(retries = 1, version = 2, retries = 2)]
async fn twice() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(5)]
async fn no_option() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(retries = 1 version = 2)]
async fn no_comma() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(external = true)]
async fn flag() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
