use kart::task;

#[task]
async fn nobody() -> anyhow::Result<u8>;

#[task(external, path = "a.json")]
async fn somebody() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
