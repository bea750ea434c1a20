//! A run that ends with its first failure.

use kart::{RunError, Runner, task};

use crate::common::{memory, unless_stuck};

const PAUSING: u64 = 5000;

/// Fails at once, and would be tried again.
#[task(retries = 1, backoff = "1h", priority = 10)]
async fn pauses(n: u64) -> anyhow::Result<u64> {
    anyhow::bail!("not yet: {n}")
}

#[task]
async fn breaks() -> anyhow::Result<u64> {
    anyhow::bail!("no luck")
}

#[task]
async fn many(
    #[requires((0..PAUSING).map(|n| Pauses { n }))] pausing: Vec<u64>,
    #[requires(Breaks)] last: u64,
) -> kart::Result<u64> {
    Ok(pausing.iter().sum::<u64>() + last)
}

#[tokio::test(start_paused = true)]
async fn any_number_of_tasks_may_pause_before_a_retry_when_the_first_failure_comes() {
    let runner = Runner::new(&memory()).workers(1).fail_fast(true);
    let Err(RunError::Failed(report)) = unless_stuck(runner.run(Many)).await else {
        panic!("it did not fail");
    };
    let counts = report.counts();
    assert_eq!((counts.failed, counts.blocked), (5001, 1));
}
