//! The protocol under faults: processes are paused and killed at any step; requests are lost before or after
//! they took effect, are sent twice, overtake each other, or arrive long after their sender has given up;
//! clocks are minutes apart and run at different speeds; tasks fail for good. Time is virtual, and a seed is
//! a whole history.
//!
//! `tests/simulation SEEDS` runs any number of them and prints the tally; `KART_SIMULATION_SEED=N` shows one
//! step by step.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "the figures are small"
)]

mod contend;
mod process;
mod slot;
mod store;
mod world;

use std::env;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use world::World;

const TTL: Duration = Duration::from_millis(1_200);

/// How the protocol is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    None,
    /// A generation that exists is taken for one's own.
    NoGenerationCheck,
    /// A process is called dead by comparing its clock with one's own.
    WallClocks,
    /// Commits overwrite outputs.
    CommitOverwrites,
    /// A heartbeat that came too late restores the leases.
    RenewalReacquires,
    /// A claim whose answer was lost is taken for another's.
    NoNonce,
    /// A task that failed for good is tried again while its claim is held.
    FailedIsFree,
}

/// What happened in some histories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    seeds: u64,
    steps: u64,
    requests: u64,
    tasks: u64,
    runs: u64,
    most_runs: u64,
    pauses: u64,
    kills: u64,
    losses: u64,
    lost_requests: u64,
    lost_answers: u64,
    sent_twice: u64,
    late: u64,
    failures: u64,
    overlaps: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.requests += other.requests;
        self.tasks += other.tasks;
        self.runs += other.runs;
        self.most_runs = self.most_runs.max(other.most_runs);
        self.pauses += other.pauses;
        self.kills += other.kills;
        self.losses += other.losses;
        self.lost_requests += other.lost_requests;
        self.lost_answers += other.lost_answers;
        self.sent_twice += other.sent_twice;
        self.late += other.late;
        self.failures += other.failures;
        self.overlaps += other.overlaps;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} steps, {} requests; faults: {} pauses, {} kills, {} requests lost, {} answers lost, {} sent twice, {} late; \
             {} tasks ({} fail) in {} runs, at most {} of one, {} side by side; {} times a process lost its leases",
            self.seeds,
            self.steps,
            self.requests,
            self.pauses,
            self.kills,
            self.lost_requests,
            self.lost_answers,
            self.sent_twice,
            self.late,
            self.tasks,
            self.failures,
            self.runs,
            self.most_runs,
            self.overlaps,
            self.losses,
        )
    }
}

/// Random numbers of a seed; not those of the library, whose sequence is no promise (`SplitMix64`:
/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Debug)]
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        Rng(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Runs the histories of these seeds; returns the first seed that breaks a promise, and which.
fn histories(first: u64, count: u64, sabotage: Sabotage) -> Result<Tally, (u64, String)> {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let part = |thread: u64| {
        let mut tally = Tally::default();
        for seed in (first + thread..first + count).step_by(threads as usize) {
            let history = World::new(seed, sabotage, false).run();
            tally += history.map_err(|broken| (seed, broken))?;
        }
        Ok(tally)
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || part(thread)))
            .collect();
        let mut tally = Tally::default();
        for part in parts {
            tally += part.join().expect("a history does not panic")?;
        }
        Ok(tally)
    })
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn the_protocol_keeps_its_promises_under_faults() {
    let first = number("KART_SIMULATION_FIRST").unwrap_or(0);
    let count = number("KART_SIMULATION_SEEDS").unwrap_or(5_000);
    match histories(first, count, Sabotage::None) {
        Ok(tally) => {
            println!("{tally}; no promise broken");
            assert!(
                tally.losses > 0 && tally.failures > 0 && tally.runs > tally.tasks,
                "nothing happened: {tally}"
            );
        }
        Err((seed, broken)) => panic!("seed {seed}: {broken}"),
    }
}

#[test]
fn a_history_is_the_same_each_time() {
    for seed in 0..50 {
        let once = World::new(seed, Sabotage::None, false).run();
        assert_eq!(once, World::new(seed, Sabotage::None, false).run());
    }
}

#[test]
fn each_way_to_break_the_protocol_breaks_a_promise() {
    for (sabotage, promise) in [
        (Sabotage::NoGenerationCheck, "at once"),
        (Sabotage::WallClocks, "at once"),
        (Sabotage::CommitOverwrites, "changed after it was committed"),
        (Sabotage::RenewalReacquires, "although it has lost"),
        (Sabotage::NoNonce, "did not come to its end"),
        (Sabotage::FailedIsFree, "failed for good"),
    ] {
        let (seed, broken) = histories(0, 20_000, sabotage).expect_err("a broken promise");
        println!("{sabotage:?}: seed {seed}: {broken}");
        assert!(broken.contains(promise), "{sabotage:?}: {broken}");
    }
}

#[test]
fn one_history_can_be_looked_at() {
    if let Some(seed) = number("KART_SIMULATION_SEED") {
        println!("{:?}", World::new(seed, Sabotage::None, true).run());
    }
}
