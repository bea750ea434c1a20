use kart::task;

#[task]
async fn arguments(#[context(cx)] _x: &u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn twice(#[context] _x: &u8, #[context] _y: &u8) -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
