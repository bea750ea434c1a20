use kart::task;

#[task(path = "", format = kart::format::Json)]
async fn empty(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "a//b.json")]
async fn empty_segment(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "a/./b.json")]
async fn dot(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "../b.json")]
async fn dots(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "/b.json")]
async fn absolute(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "b/", format = kart::format::Json)]
async fn directory(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "a:b.json")]
async fn character(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "_kart/b.json")]
async fn reserved(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

fn main() {}
