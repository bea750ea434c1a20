//! What a checkpoint costs: N leaves of 100 bytes and their sum, on local disk, in turn with the floor: a plain
//! loop over the same files with `std::fs`. The median of the runs and of their ratios is shown.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kart::{Artifact, Coordination, Runner, Workspace, task};

use super::Scale;
use super::measure::{Figures, measure, median};

/// A hundred bytes.
#[task(path = "leaf/{key}.txt")]
pub(crate) async fn leaf(n: u64) -> kart::Result<String> {
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
pub(crate) async fn count(
    count: u64,
    #[requires((0..count).map(|n| Leaf { n }))] leaves: Vec<Artifact<String>>,
) -> kart::Result<u64> {
    debug_assert_eq!(leaves.len() as u64, count);
    Ok(leaves.len() as u64)
}

pub(crate) fn text(n: u64) -> String {
    format!("{n:0100}")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    FloorWrite,
    Cold,
    Memory,
    /// In memory, without claims and log.
    Scheduling,
    FloorRead,
    Warm,
    Handles,
    Complete,
}

impl Mode {
    const ALL: [(Mode, &'static str); 8] = [
        (Mode::FloorWrite, "floor-write"),
        (Mode::Cold, "cold"),
        (Mode::Memory, "memory"),
        (Mode::Scheduling, "scheduling"),
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

pub(crate) fn child(case: &str, count: u64, dir: &Path) -> (Duration, f64) {
    match Mode::named(case) {
        Some(Mode::FloorWrite) => (floor_write(count, dir), 0.0),
        Some(Mode::FloorRead) => (floor_read(count, dir), 0.0),
        Some(mode @ (Mode::Memory | Mode::Scheduling)) => kart(mode, count, Path::new("memory://")),
        Some(mode) => kart(mode, count, dir),
        None => panic!("no case `{case}`"),
    }
}

fn kart(mode: Mode, count: u64, dir: &Path) -> (Duration, f64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let workspace = Workspace::open(dir).expect("a workspace");
    let started = Instant::now();
    runtime.block_on(async {
        let mut runner = Runner::new(&workspace);
        if mode == Mode::Scheduling {
            runner = runner.run_log(false).coordination(Coordination::None);
        }
        let report = if mode == Mode::Handles {
            runner.run(Count { count }).await
        } else {
            runner.run(Sum { count }).await
        };
        let counts = report.expect("a complete run").counts();
        let expected = match mode {
            Mode::Cold | Mode::Memory | Mode::Scheduling => {
                usize::try_from(count).expect("a count") + 1
            }
            Mode::Complete => 0,
            _ => 1,
        };
        assert_eq!(counts.ran, expected, "{}", mode.name());
    });
    (started.elapsed(), workspace.requests().exists as f64)
}

pub(crate) fn floor_write(count: u64, dir: &Path) -> Duration {
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

fn remove_result(dir: &Path) {
    for name in ["fan_in/Sum", "fan_in/Count"] {
        let _ = fs::remove_dir_all(dir.join(name));
    }
}

/// The measurements of one size, a column of rounds each.
#[derive(Default)]
struct Rounds {
    cold: Vec<f64>,
    cold_ratio: Vec<f64>,
    cold_bytes: Vec<f64>,
    cold_cpu: Vec<f64>,
    memory: Vec<f64>,
    scheduling: Vec<f64>,
    scheduling_bytes: Vec<f64>,
    warm: Vec<f64>,
    warm_ratio: Vec<f64>,
    handles: Vec<f64>,
    complete: Vec<f64>,
    complete_requests: f64,
}

/// From this size on nothing is made cold on the disk but by the floor.
const HUGE: u64 = 1_000_000;

fn rounds(count: u64, rounds: usize) -> Rounds {
    let mut taken = Rounds::default();
    let take = |mode: Mode, dir: &Path| measure("fan-in", mode.name(), count, dir);
    // Deleting many files slows a disk down for a while, so that it is left to the end.
    let mut dirs = Vec::new();
    for round in 0..if count >= HUGE { 1 } else { rounds } {
        let floor_dir = tempfile::tempdir().expect("a directory");
        let kart_dir = tempfile::tempdir().expect("a directory");
        let (floor_path, kart_path) = (floor_dir.path(), kart_dir.path());
        let cold_first = round % 2 == 1;
        let early = cold_first.then(|| take(Mode::Cold, kart_path));
        let floor = take(Mode::FloorWrite, floor_path);
        let cold = early.unwrap_or_else(|| take(Mode::Cold, kart_path));
        taken.cold.push(cold.micros(count));
        taken
            .cold_ratio
            .push(cold.elapsed.as_secs_f64() / floor.elapsed.as_secs_f64());
        taken.cold_bytes.push(cold.bytes(count));
        // What the files themselves cost a processor is the floor's.
        let cpu = cold.cpu.saturating_sub(floor.cpu);
        taken.cold_cpu.push(cpu.as_secs_f64() * 1e6 / count as f64);
        taken
            .memory
            .push(take(Mode::Memory, kart_path).micros(count));
        let scheduling = take(Mode::Scheduling, kart_path);
        taken.scheduling.push(scheduling.micros(count));
        taken.scheduling_bytes.push(scheduling.bytes(count));
        let complete = take(Mode::Complete, kart_path);
        taken.complete.push(complete.elapsed.as_secs_f64() * 1e3);
        taken.complete_requests = complete.counted;
        remove_result(kart_path);
        let floor = take(Mode::FloorRead, kart_path);
        let warm = take(Mode::Warm, kart_path);
        taken.warm.push(warm.micros(count));
        taken
            .warm_ratio
            .push(warm.elapsed.as_secs_f64() / floor.elapsed.as_secs_f64());
        taken
            .handles
            .push(take(Mode::Handles, kart_path).micros(count));
        dirs.push((floor_dir, kart_dir));
    }
    taken
}

pub(crate) fn run(scale: &Scale, figures: &mut Figures) {
    println!(
        "| leaves | cold, µs a leaf | × floor | of a processor beyond the floor, µs | bytes a task | in memory, µs | scheduling alone, µs | bytes a task | sum missing, µs | × stat + read | none read, µs | complete, ms in all | existence requests |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for &count in &scale.sizes {
        let taken = rounds(count, scale.rounds);
        let columns = [
            ("cold", taken.cold, "us/leaf", 1),
            ("cold × floor", taken.cold_ratio, "ratio", 2),
            ("cold beyond the floor", taken.cold_cpu, "cpu us/leaf", 1),
            ("cold", taken.cold_bytes, "B/leaf", 0),
            ("memory", taken.memory, "us/leaf", 1),
            ("scheduling", taken.scheduling, "us/leaf", 1),
            ("scheduling", taken.scheduling_bytes, "B/leaf", 0),
            ("warm", taken.warm, "us/leaf", 1),
            ("warm × floor", taken.warm_ratio, "ratio", 2),
            ("none read", taken.handles, "us/leaf", 1),
            ("complete", taken.complete, "ms", 1),
        ];
        let mut row = format!("| {count} |");
        for (case, rounds, unit, digits) in columns {
            let value = median(rounds);
            let _ = write!(row, " {value:.digits$} |");
            figures.add("fan-in", case, count, value, unit);
        }
        println!("{row} {} |", taken.complete_requests);
    }
}
