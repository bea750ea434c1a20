use kart::task;

#[task]
async fn tuple((a, b): (u8, u8)) -> anyhow::Result<u8> {
    Ok(a + b)
}

#[task]
async fn nameless(_: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn by_ref(ref x: u8) -> anyhow::Result<u8> {
    Ok(*x)
}

fn main() {}
