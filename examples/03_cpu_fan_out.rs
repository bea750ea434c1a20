//! Work for all processors: plain functions, a limit, priorities, and a gathering that holds
//! handles instead of values.
//!
//! ```text
//! cargo run --release --example 03_cpu_fan_out
//! ```

use kart::{Artifact, Event, Runner, Workspace, task};

/// How many numbers a block has.
const BLOCK: u64 = 20_000;

/// The primes of one block. A plain `fn` is work for a processor: it runs on a thread of its own,
/// and never keeps the runtime from its requests.
#[task]
fn primes(block: u64) -> kart::Result<Vec<u64>> {
    Ok((block * BLOCK..(block + 1) * BLOCK)
        .filter(|n| is_prime(*n))
        .collect())
}

fn is_prime(n: u64) -> bool {
    n > 1 && (2..=n.isqrt()).all(|divisor| !n.is_multiple_of(divisor))
}

/// The widest gap in a block. Of what is ready the higher `priority` goes first, and it pulls up
/// what it requires. Two at most run at once: they share the limit `memory`, of which the runner
/// has two units.
#[task(priority = 1, uses(memory = 1))]
fn widest_gap(
    block: u64,
    #[requires(Primes { block })] primes: &[u64],
) -> kart::Result<(u64, u64)> {
    let gaps = primes.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
    Ok(gaps.max().unwrap_or_default())
}

/// Gathers all blocks. As `Vec<Artifact<_>>` they stay in the store, and are loaded one by one.
#[task]
async fn count(
    blocks: u64,
    #[requires((0..blocks).map(|block| Primes { block }))] primes: Vec<Artifact<Vec<u64>>>,
    #[requires((0..blocks).map(|block| WidestGap { block }))] gaps: Vec<(u64, u64)>,
) -> kart::Result<String> {
    let mut count = 0;
    for block in &primes {
        count += block.load().await?.len();
    }
    let (gap, at) = gaps.into_iter().max().unwrap_or_default();
    let below = blocks * BLOCK;
    Ok(format!(
        "{count} primes below {below}; within a block the widest gap is {gap}, after {at}"
    ))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let workspace = Workspace::open("./kart-workspace/primes")?;
    let root = Count { blocks: 16 };
    let report = Runner::new(&workspace)
        .limit("memory", 2)
        .on_event(|event| {
            if let Event::Planned { missing, .. } = event {
                println!("{missing} tasks to run");
            }
        })
        .run(root.clone())
        .await?;
    println!("{}", report.counts());
    println!("{}", report.output(&root).await?);
    Ok(())
}
