//! What an output costs by the form of its path, by what is verified of it, and by what it survives: N leaves of 100 bytes
//! and their sum, in a directory and on a RAM disk, in turn with the floor of [`fan_in`](super::fan_in).

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kart::{Durability, Runner, Verify, Workspace, task};

use super::Scale;
use super::fan_in::{self, Leaf, text};
use super::measure::{Figures, Measured, measure, median};

/// A hundred bytes at a path that does not hold the key.
#[task(path = "fixed/{n}.txt")]
async fn fixed_leaf(n: u64) -> kart::Result<String> {
    Ok(text(n))
}

/// The length of all leaves.
#[task(path = "sum.json")]
async fn fixed_sum(
    count: u64,
    #[requires((0..count).map(|n| FixedLeaf { n }))] leaves: Vec<String>,
) -> kart::Result<u64> {
    debug_assert_eq!(leaves.len() as u64, count);
    Ok(leaves.iter().map(|leaf| leaf.len() as u64).sum())
}

#[task(path = "sum.json")]
async fn keyed_sum(
    count: u64,
    #[requires((0..count).map(|n| Leaf { n }))] leaves: Vec<String>,
) -> kart::Result<u64> {
    debug_assert_eq!(leaves.len() as u64, count);
    Ok(leaves.iter().map(|leaf| leaf.len() as u64).sum())
}

pub(crate) fn child(case: &str, count: u64, dir: &Path) -> (Duration, f64) {
    if case == "floor" {
        return (fan_in::floor_write(count, dir), 0.0);
    }
    let verify = match case {
        "never" => Verify::Never,
        "always" => Verify::Always,
        _ => Verify::Known,
    };
    let durability = match case {
        "power" => Durability::Power,
        _ => Durability::Process,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let workspace = Workspace::open(dir).expect("a workspace");
    let workspace = workspace.durability(durability);
    let started = Instant::now();
    let report = runtime.block_on(async {
        let runner = Runner::new(&workspace).verify(verify);
        match case {
            "fixed" => runner.run(FixedSum { count }).await,
            _ => runner.run(KeyedSum { count }).await,
        }
    });
    let ran = report.expect("a complete run").counts().ran;
    (started.elapsed(), ran as f64)
}

fn take(case: &str, count: u64, dir: &Path) -> Measured {
    measure("outputs", case, count, dir)
}

/// The time of a case by that of another in the same round, and what a leaf takes in both.
struct Ratio {
    name: &'static str,
    /// The case, and what it is measured against.
    of: [&'static str; 2],
    /// Whether all leaves are there and the sum is missing.
    is_warm: bool,
}

const RATIOS: [Ratio; 6] = [
    Ratio {
        name: "keyed, by the floor",
        of: ["keyed", "floor"],
        is_warm: false,
    },
    Ratio {
        name: "without a key, by the floor",
        of: ["fixed", "floor"],
        is_warm: false,
    },
    Ratio {
        name: "without a key, by keyed",
        of: ["fixed", "keyed"],
        is_warm: false,
    },
    Ratio {
        name: "durability `power`, by `process`",
        of: ["power", "keyed"],
        is_warm: false,
    },
    Ratio {
        name: "sum missing, verified, by unverified",
        of: ["known", "never"],
        is_warm: true,
    },
    Ratio {
        name: "sum missing without a key, by keyed",
        of: ["fixed", "known"],
        is_warm: true,
    },
];

/// Takes the cases in turn, and returns the medians of the ratio, and of what a leaf takes in each.
fn rounds(ratio: &Ratio, count: u64, rounds: usize, below: &Path) -> (f64, [f64; 2]) {
    let mut times = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let dirs = [(); 2].map(|()| tempfile::tempdir_in(below).expect("a directory"));
        if ratio.is_warm {
            for (case, dir) in ratio.of.iter().zip(&dirs) {
                take(case, count, dir.path());
                fs::remove_file(dir.path().join("sum.json")).expect("the sum");
            }
        }
        let mut taken = [Measured::default(); 2];
        let first = round % 2;
        for at in [first, 1 - first] {
            taken[at] = take(ratio.of[at], count, dirs[at].path());
        }
        ratios.push(taken[0].elapsed.as_secs_f64() / taken[1].elapsed.as_secs_f64());
        for (times, taken) in times.iter_mut().zip(taken) {
            times.push(taken.micros(count));
        }
    }
    (median(ratios), times.map(median))
}

pub(crate) fn run(scale: &Scale, figures: &mut Figures) {
    let disk = std::env::temp_dir();
    let ram = Path::new("/dev/shm");
    let places = [("disk", disk.as_path()), ("RAM disk", ram)];
    println!("\n| leaves | at | | × | µs a leaf | against |");
    println!("| ---: | --- | --- | ---: | ---: | ---: |");
    for &count in scale.sizes.iter().filter(|count| **count <= 100_000) {
        for (place, below) in places.into_iter().filter(|(_, below)| below.is_dir()) {
            for ratio in &RATIOS {
                let is_power = ratio.of[0] == "power";
                if is_power && (count > 1_000 || place != "disk") {
                    continue;
                }
                let (value, [time, against]) = rounds(ratio, count, scale.rounds, below);
                let name = ratio.name;
                println!("| {count} | {place} | {name} | {value:.2} | {time:.1} | {against:.1} |");
                let case = format!("{place}: {name}");
                figures.add("outputs", case.as_str(), count, value, "ratio");
                figures.add("outputs", case, count, time, "us/leaf");
            }
        }
    }
}
