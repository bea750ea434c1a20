use kart::task;

#[task(path = "{dya}.json")]
async fn misspelt(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "{zebra}.json")]
async fn unknown(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "{}.json")]
async fn empty(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "{day.json")]
async fn open(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "day}.json")]
async fn close(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "{rows}.json")]
async fn required(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "{pool}.json")]
async fn resource(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "{token}.json")]
async fn secret(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "{key}.json")]
async fn key(key: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task(path = "{verbose}.json")]
async fn insignificant(#[param(insignificant)] verbose: bool) -> anyhow::Result<u8> {
    Ok(u8::from(verbose))
}

fn main() {}
