//! What a checkpoint costs: N leaves of 100 bytes and their sum, on local disk.
//!
//! `cargo bench --bench fan_in` prints the table of the README; `-- 1000 100000` names other sizes.
//! Every figure is taken in a process of its own, in turn with the floor: a plain loop over the
//! same files with `std::fs`. The median of the runs and of their ratios is shown.

#![expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use kart::{Artifact, Runner, Workspace, task};

/// A hundred bytes.
#[task(path = "leaf/{key}.txt")]
async fn leaf(n: u64) -> kart::Result<String> {
    Ok(text(n))
}

/// The length of all leaves.
#[task]
async fn sum(
    count: u64,
    #[requires((0..count).map(|n| Leaf { n }))] leaves: Vec<String>,
) -> kart::Result<u64> {
    debug_assert_eq!(leaves.len() as u64, count);
    Ok(leaves.iter().map(|leaf| leaf.len() as u64).sum())
}

/// The same without loading any.
#[task]
async fn count(
    count: u64,
    #[requires((0..count).map(|n| Leaf { n }))] leaves: Vec<Artifact<String>>,
) -> kart::Result<u64> {
    debug_assert_eq!(leaves.len() as u64, count);
    Ok(leaves.len() as u64)
}

fn text(n: u64) -> String {
    format!("{n:0100}")
}

/// How often each figure is taken.
const ROUNDS: usize = 5;
const SIZES: [u64; 3] = [1_000, 10_000, 100_000];

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [mode, count, dir] = args.as_slice()
        && let Some(mode) = Mode::named(mode)
    {
        child(mode, count.parse().expect("a count"), Path::new(dir));
        return;
    }
    let sizes: Vec<u64> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    table(if sizes.is_empty() { &SIZES } else { &sizes });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    FloorWrite,
    Cold,
    Memory,
    FloorRead,
    Warm,
    Handles,
    Complete,
}

impl Mode {
    const ALL: [(Mode, &'static str); 7] = [
        (Mode::FloorWrite, "floor-write"),
        (Mode::Cold, "cold"),
        (Mode::Memory, "memory"),
        (Mode::FloorRead, "floor-read"),
        (Mode::Warm, "warm"),
        (Mode::Handles, "handles"),
        (Mode::Complete, "complete"),
    ];

    fn named(name: &str) -> Option<Mode> {
        let named = Self::ALL.iter().find(|(_, other)| *other == name);
        named.map(|(mode, _)| *mode)
    }

    fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(mode, _)| *mode == self);
        named.map_or("", |(_, name)| name)
    }
}

/// One figure, in this process: prints the nanoseconds, the peak memory in KiB, and the requests.
fn child(mode: Mode, count: u64, dir: &Path) {
    let before = peak_kib();
    let (elapsed, requests) = match mode {
        Mode::FloorWrite => (floor_write(count, dir), 0),
        Mode::FloorRead => (floor_read(count, dir), 0),
        Mode::Memory => kart(mode, count, Path::new("memory://")),
        Mode::Cold | Mode::Warm | Mode::Complete | Mode::Handles => kart(mode, count, dir),
    };
    println!("{} {} {requests}", elapsed.as_nanos(), peak_kib() - before);
}

fn kart(mode: Mode, count: u64, dir: &Path) -> (Duration, u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let workspace = Workspace::open(dir).expect("a workspace");
    let started = Instant::now();
    runtime.block_on(async {
        let runner = Runner::new(&workspace);
        let report = if mode == Mode::Handles {
            runner.run(Count { count }).await
        } else {
            runner.run(Sum { count }).await
        };
        let counts = report.expect("a complete run").counts();
        let expected = match mode {
            Mode::Cold | Mode::Memory => usize::try_from(count).expect("a count") + 1,
            Mode::Complete => 0,
            _ => 1,
        };
        assert_eq!(counts.ran, expected, "{}", mode.name());
    });
    (started.elapsed(), workspace.requests().exists)
}

fn floor_write(count: u64, dir: &Path) -> Duration {
    let started = Instant::now();
    let leaves = dir.join("leaf");
    fs::create_dir_all(&leaves).expect("a directory");
    for n in 0..count {
        let path = leaves.join(format!("{n:032x}.txt"));
        let temporary = leaves.join(format!("{n:032x}.tmp"));
        fs::write(&temporary, text(n)).expect("a file");
        fs::rename(&temporary, &path).expect("a rename");
    }
    started.elapsed()
}

fn floor_read(count: u64, dir: &Path) -> Duration {
    let paths: Vec<_> = fs::read_dir(dir.join("leaf"))
        .expect("the leaves")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(paths.len() as u64, count);
    let started = Instant::now();
    for path in &paths {
        fs::metadata(path).expect("a file");
        std::hint::black_box(fs::read(path).expect("its text"));
    }
    started.elapsed()
}

/// The most memory this process has had, in KiB; 0 where the system does not say.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

struct Figure {
    nanos: f64,
    kib: f64,
    requests: f64,
}

fn measure(mode: Mode, count: u64, dir: &Path) -> Figure {
    let output = Command::new(env::current_exe().expect("this program"))
        .args([mode.name(), &count.to_string()])
        .arg(dir)
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [nanos, kib, requests] = figures.as_slice() else {
        panic!(
            "{} failed: {text}{}",
            mode.name(),
            String::from_utf8_lossy(&output.stderr)
        );
    };
    Figure {
        nanos: *nanos,
        kib: *kib,
        requests: *requests,
    }
}

fn remove_result(dir: &Path) {
    for name in ["Sum", "Count"] {
        let _ = fs::remove_dir_all(dir.join(name));
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The measurements of one size, a column of rounds each.
#[derive(Default)]
struct Rounds {
    cold: Vec<f64>,
    cold_ratio: Vec<f64>,
    floor: Vec<f64>,
    memory: Vec<f64>,
    cold_kib: Vec<f64>,
    warm: Vec<f64>,
    warm_ratio: Vec<f64>,
    handles: Vec<f64>,
    complete: Vec<f64>,
    complete_requests: f64,
}

fn rounds(count: u64) -> Rounds {
    let mut rounds = Rounds::default();
    let leaves = count as f64;
    // Deleting many files slows a disk down for a while, so that it is left to the end.
    let mut dirs = Vec::new();
    for round in 0..ROUNDS {
        let floor_dir = tempfile::tempdir().expect("a directory");
        let kart_dir = tempfile::tempdir().expect("a directory");
        let cold_first = round % 2 == 1;
        let early = cold_first.then(|| measure(Mode::Cold, count, kart_dir.path()));
        let floor = measure(Mode::FloorWrite, count, floor_dir.path());
        let cold = early.unwrap_or_else(|| measure(Mode::Cold, count, kart_dir.path()));
        rounds.cold.push(cold.nanos / leaves / 1e3);
        rounds.cold_ratio.push(cold.nanos / floor.nanos);
        rounds.cold_kib.push(cold.kib / leaves);
        rounds.floor.push(floor.nanos / leaves / 1e3);
        let memory = measure(Mode::Memory, count, kart_dir.path());
        rounds.memory.push(memory.nanos / leaves / 1e3);
        let complete = measure(Mode::Complete, count, kart_dir.path());
        rounds.complete.push(complete.nanos / 1e6);
        rounds.complete_requests = complete.requests;
        remove_result(kart_dir.path());
        let floor = measure(Mode::FloorRead, count, kart_dir.path());
        let warm = measure(Mode::Warm, count, kart_dir.path());
        rounds.warm.push(warm.nanos / leaves / 1e3);
        rounds.warm_ratio.push(warm.nanos / floor.nanos);
        let handles = measure(Mode::Handles, count, kart_dir.path());
        rounds.handles.push(handles.nanos / leaves / 1e3);
        dirs.push((floor_dir, kart_dir));
    }
    rounds
}

fn table(sizes: &[u64]) {
    let mut table = String::from(
        "| leaves | cold, µs a leaf | × floor | peak KiB a task | in memory, µs a leaf | sum missing, µs a leaf | × stat + read | as handles, µs a leaf | complete, ms in all | existence requests |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut growth = Vec::new();
    for &count in sizes {
        let rounds = rounds(count);
        let cold = median(rounds.cold);
        let memory = median(rounds.memory);
        let warm = median(rounds.warm);
        let _ = writeln!(
            table,
            "| {count} | {cold:.1} | {:.2} | {:.2} | {memory:.1} | {warm:.1} | {:.2} | {:.1} | {:.1} | {} |",
            median(rounds.cold_ratio),
            median(rounds.cold_kib),
            median(rounds.warm_ratio),
            median(rounds.handles),
            median(rounds.complete),
            rounds.complete_requests,
        );
        growth.push([cold, median(rounds.floor), memory, warm]);
        eprintln!("{count} leaves measured");
    }
    print!("{table}");
    if let [first, .., last] = growth.as_slice() {
        let [cold, floor, memory, warm] = std::array::from_fn(|at| last[at] / first[at]);
        println!(
            "\nA leaf at the largest size costs, against the smallest: cold × {cold:.2} (the floor × {floor:.2}), in memory × {memory:.2}, sum missing × {warm:.2}."
        );
    }
}
