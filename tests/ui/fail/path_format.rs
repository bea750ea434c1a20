use kart::task;

#[task(path = "a.pickle")]
async fn unknown(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "a/{day}")]
async fn no_extension(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

#[task(path = "a.b/c")]
async fn dot_before(day: u32, #[requires] rows: &str, #[resource] pool: &u64, #[param(secret)] token: u8) -> anyhow::Result<u8> {
    let _ = (day, rows, pool, token);
    Ok(1)
}

fn main() {}
