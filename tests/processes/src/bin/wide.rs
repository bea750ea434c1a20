//! Very many tasks below one. `wide bare N` says how many milliseconds the library itself takes to plan them.

use std::time::Instant;

use kart::{Artifact, Runner, Workspace, task};

/// One of many.
#[task]
async fn leaf(n: u64) -> kart::Result<u64> {
    Ok(n)
}

/// Gathers them.
#[task]
async fn wide(
    /// How many leaves there are.
    #[param(default = 1000)]
    leaves: u64,
    #[requires((0..leaves).map(|n| Leaf { n }))] all: Vec<Artifact<u64>>,
) -> kart::Result<u64> {
    debug_assert_eq!(all.len() as u64, leaves);
    Ok(leaves)
}

mod program {
    use super::Wide;

    kart::main!(Wide);

    pub(super) fn run() -> std::process::ExitCode {
        main()
    }
}

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, bare, leaves] = args.as_slice() else {
        return program::run();
    };
    if bare != "bare" {
        return program::run();
    }
    let location = std::env::var("KART_WORKSPACE").expect("a workspace");
    let workspace = Workspace::open(location).expect("a workspace");
    let root = Wide {
        leaves: leaves.parse().expect("a number"),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let started = Instant::now();
    let plan = runtime
        .block_on(Runner::new(&workspace).plan(root))
        .expect("a plan");
    let elapsed = started.elapsed();
    assert!(!plan.is_empty());
    println!("{}", elapsed.as_secs_f64() * 1e3);
    std::process::ExitCode::SUCCESS
}
