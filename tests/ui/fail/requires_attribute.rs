use kart::task;

#[task]
async fn empty(#[requires()] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn several(#[requires(A, B)] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn equals(#[requires = A] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn broken(#[requires(1 +)] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
