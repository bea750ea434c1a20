use kart::task;

#[task]
async fn arguments(#[resource(pool)] _x: &u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn text(#[resource] _x: &str) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn slice(#[resource] _x: &[u8]) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn dynamic(#[resource] _x: &dyn Send) -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
