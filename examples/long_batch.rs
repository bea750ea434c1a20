//! Twenty-seven slow units of work and their gathering: the batch that is cut off.
//!
//! Run it, stop it half-way however you like, and run it again: only what is missing runs.
//!
//! ```text
//! cargo run --example long_batch
//! cargo run --example long_batch -- plan
//! cargo run --example long_batch -- --wait-ms 1000 --workers 8
//! ```

use std::time::Duration;

use kart::task;

/// One slow unit of work.
#[task(path = "{output_name}.txt")]
async fn run_task_with_wait(wait_ms: u64, output_name: &str) -> anyhow::Result<String> {
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    Ok(format!("{output_name} is done"))
}

/// Joins the outputs of the 27 units.
#[task(path = "all_results.txt")]
async fn agg(
    /// How long each unit takes, in milliseconds.
    #[param(default = 100)]
    wait_ms: u64,
    #[requires((0..27).map(|i| RunTaskWithWait { wait_ms, output_name: i.to_string() }))]
    results: Vec<String>,
) -> anyhow::Result<String> {
    Ok(results.join("\n") + "\n")
}

kart::main!(Agg);
