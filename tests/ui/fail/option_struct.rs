use kart::task;

#[task(struct = clean_table)]
async fn clean() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(struct = Vec)]
async fn prelude() -> anyhow::Result<u8> {
    Ok(1)
}

#[task(struct = "Clean")]
async fn text() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
