//! A task longer than any time limit, in two forms: one body whose loop goes on where it was cut off, and a
//! thousand tasks with a gathering.
//!
//! Start it, stop it with Ctrl-C or `kill -9`, and start it again.

use std::time::Duration;

use kart::{Artifact, Context, task};

/// Asks a slow service about every city, once: finished ones are saved every second here (every 30 unless said
/// otherwise), and none is asked about again.
#[task(path = "population.json")]
async fn population(cities: u32, pause_ms: u64, #[context] cx: &Context) -> anyhow::Result<u64> {
    let token = cx
        .step("log in", async {
            anyhow::Ok("a token that took long to get".len())
        })
        .await?;
    let counts = cx
        .map(0..cities, |city| async move {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            anyhow::Ok(u64::from(city) * token as u64)
        })
        .concurrency(20)
        .save_interval(Duration::from_secs(1))
        .await?;
    Ok(counts.into_iter().sum())
}

const ROWS_A_PART: u64 = 1_000;

/// The words of some rows.
#[task]
fn part(first: u64) -> anyhow::Result<Vec<u64>> {
    Ok((first..first + ROWS_A_PART).map(|row| row % 7).collect())
}

/// A million rows are a thousand tasks, which run side by side and are cut off without harm. The handles load
/// one part at a time, so that the gathering stays small however many there are.
#[task(path = "rows.json")]
async fn rows(
    count: u64,
    #[requires((0..count / ROWS_A_PART).map(|part| Part { first: part * ROWS_A_PART }))] parts: Vec<
        Artifact<Vec<u64>>,
    >,
    #[context] cx: &Context,
) -> anyhow::Result<u64> {
    let mut sum = 0;
    for (done, part) in parts.iter().enumerate() {
        sum += part.load().await?.iter().sum::<u64>();
        cx.progress(done as u64 + 1, parts.len() as u64);
    }
    Ok(sum)
}

/// Both.
#[task(path = "long_loop.txt")]
async fn long_loop(
    #[param(default = 200)] cities: u32,
    #[param(default = 5)] pause_ms: u64,
    #[param(default = 100_000)] row_count: u64,
    #[requires(Population { cities, pause_ms })] population: u64,
    #[requires(Rows { count: row_count })] rows: u64,
) -> anyhow::Result<String> {
    Ok(format!("{population} people, {rows} in all rows\n"))
}

kart::main!(LongLoop);
