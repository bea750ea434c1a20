//! Graphs of other shapes, in memory: what scheduling alone costs.

use std::path::Path;
use std::time::Duration;

use kart::{Artifact, Coordination, Runner, Workspace, task};

use super::Scale;
use super::measure::{Figures, measure, median, timed};

/// Each waits for the one before.
#[task]
async fn chain(
    n: u64,
    #[requires((n > 0).then(|| Chain { n: n - 1 }))] before: Option<Artifact<u64>>,
) -> kart::Result<u64> {
    Ok(n + u64::from(before.is_some()))
}

/// Each waits for both of the step before: as many ways as two to the power of steps.
#[task]
async fn ladder(
    n: u64,
    side: bool,
    #[requires((n > 0).then(|| [false, true].map(|side| Ladder { n: n - 1, side })).into_iter().flatten())]
    before: Vec<Artifact<u64>>,
) -> kart::Result<u64> {
    Ok(n + before.len() as u64 + u64::from(side))
}

#[task]
async fn ladder_top(
    steps: u64,
    #[requires([false, true].map(|side| Ladder { n: steps - 1, side }))] sides: Vec<Artifact<u64>>,
) -> kart::Result<u64> {
    Ok(steps + sides.len() as u64)
}

/// How many tasks a layer has, and how many of the layer before each waits for.
const WIDTH: u64 = 1000;
const REQUIRED: u64 = 4;

fn draw(layer: u64, at: u64, which: u64) -> u64 {
    let mut x = (layer << 40) ^ (at << 20) ^ which ^ 0x9e37_79b9_7f4a_7c15;
    for _ in 0..3 {
        x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    x % WIDTH
}

#[task]
async fn layered(
    layer: u64,
    at: u64,
    #[requires(
        (0..if layer > 0 { REQUIRED } else { 0 })
            .map(|which| Layered { layer: layer - 1, at: draw(layer, at, which) })
    )]
    before: Vec<Artifact<u64>>,
) -> kart::Result<u64> {
    Ok(layer + at + before.len() as u64)
}

#[task]
async fn layered_top(
    layers: u64,
    #[requires((0..WIDTH).map(|at| Layered { layer: layers - 1, at }))] last: Vec<Artifact<u64>>,
) -> kart::Result<u64> {
    Ok(layers + last.len() as u64)
}

pub(crate) fn child(case: &str, count: u64, _: &Path) -> (Duration, f64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let workspace = Workspace::open("memory://").expect("a workspace");
    let runner = Runner::new(&workspace)
        .run_log(false)
        .coordination(Coordination::None);
    let mut tasks = 0;
    let elapsed = timed(|| {
        runtime.block_on(async {
            let report = match case {
                "chain" => runner.run(Chain { n: count - 1 }).await,
                "ladder" => runner.run(LadderTop { steps: count / 2 }).await,
                "layered" => {
                    let layers = (count / WIDTH).max(1);
                    runner.run(LayeredTop { layers }).await
                }
                _ => panic!("no case `{case}`"),
            };
            tasks = report.expect("a complete run").counts().ran;
        });
    });
    (elapsed, tasks as f64)
}

pub(crate) fn run(scale: &Scale, figures: &mut Figures) {
    let count = if scale.is_quick { 2_000 } else { 100_000 };
    println!("\n| graph of {count} tasks, in memory | µs a task | bytes a task |");
    println!("| --- | ---: | ---: |");
    for case in ["chain", "ladder", "layered"] {
        let rounds = (0..scale.rounds).map(|_| measure("shapes", case, count, Path::new(".")));
        let rounds: Vec<_> = rounds.collect();
        let tasks = rounds[0].count();
        let micros = median(rounds.iter().map(|round| round.micros(tasks)).collect());
        let bytes = median(rounds.iter().map(|round| round.bytes(tasks)).collect());
        println!("| {case} | {micros:.1} | {bytes:.0} |");
        figures.add("shapes", case, count, micros, "us/task");
        figures.add("shapes", case, count, bytes, "B/task");
    }
}
