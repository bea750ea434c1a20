use kart::task;

#[task]
async fn option() -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn vec() -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn _1() -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn self_() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
