//! The first example.
#![deny(warnings, missing_docs)]
#![forbid(unsafe_code)]

use std::time::Duration;

use kart::task;

/// One slow unit of work.
#[task(path = "{output_name}.txt")]
pub async fn run_task_with_wait(wait_ms: u64, output_name: &str) -> anyhow::Result<String> {
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    Ok(format!("{output_name} is done"))
}

/// Joins the outputs of the 27 units.
#[task(path = "all_results.txt")]
pub async fn agg(
    #[param(default = 100)] wait_ms: u64,
    #[requires((0..27).map(|i| RunTaskWithWait { wait_ms, output_name: i.to_string() }))]
    results: Vec<String>,
) -> anyhow::Result<String> {
    Ok(format!("{results:?}"))
}

fn main() {
    assert_eq!(Agg::new().wait_ms, 100);
    assert_eq!(
        Agg {
            wait_ms: 5,
            ..Agg::new()
        }
        .wait_ms,
        5
    );
    assert_eq!(Agg::default().wait_ms, 100);
    drop(agg(1, Vec::new()));
}
