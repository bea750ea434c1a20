use kart::task;

#[task(name = "etl//Clean")]
async fn empty_word() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(name = "etl/clean up")]
async fn space() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(name = "../Clean")]
async fn climbs() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(name = "_kart/Clean")]
async fn reserved() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
