//! The pipeline's rows in another release: a new version, other code.

use kart::task;

/// The rows of a day.
#[task(name = "etl/Rows", version = 2)]
async fn rows(day: &str, #[param(default = 3)] count: u32) -> kart::Result<Vec<u32>> {
    let _ = day;
    Ok((1..=count).collect())
}

kart::main!(Rows);
