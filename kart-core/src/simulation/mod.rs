//! The whole runtime under faults: the real event loop, leases and publishing of up to four processes in one thread, over a
//! virtual clock and a store that delays, reorders, loses, truncates, refuses and hides. Processes are killed, paused,
//! dropped and stopped at any of their requests or at any moment; bodies are of every kind. A seed is a whole history, and
//! each ends with a clean run.
//!
//! Everything runs on tokio's current-thread runtime with a paused clock, which takes its tasks in the order in which they
//! became ready; that order is shuffled by seeded delays and yields. What tokio itself leaves to chance (who of those that wait
//! on a `watch` goes first) is seeded in a build with `--cfg tokio_unstable`, which `tests/simulation` makes. Random numbers come
//! from `fastrand`, which is seeded; plain bodies are coroutines.
//!
//! `tests/simulation HISTORIES` runs any number and prints the tally; `tests/simulation --seed SEED` shows one step by step.

mod bodies;
mod faults;
mod front;
mod graph;
mod history;
mod identity;
mod life;
mod notes;
mod objects;
mod order;
mod outcomes;
mod plain;
mod process;
mod promises;
mod requests;
mod roll;
mod world;

pub(crate) use identity::{has_exited, identity};
pub(crate) use plain::{block_on, is_active, run as run_plain};

use std::env;

use faults::{Kind, Kinds};
use history::{History, Tally};
use promises::Promise;
use world::Settings;

/// The crate as `#[task]` knows it.
pub(crate) mod facade {
    pub(crate) use crate::private as __private;
    pub(crate) use crate::{AnyTask, BoxError};
    pub(super) use crate::{Context, Dep, Error, interrupted};
    pub(crate) use kart_macros::task;
}

/// What the runtime is known not to bear yet: the consumers of a path that tasks of several days write in turns read what
/// lies there, whose day it may not be. Only provenance can tell.
const NOT_YET: &[Kind] = &[Kind::Days];

const PROCESSES: usize = 4;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn settings(seed: u64) -> Settings {
    let mut allowed = NOT_YET
        .iter()
        .fold(Kinds::all(), |kinds, kind| kinds.without(*kind));
    if let Ok(only) = env::var("KART_SIMULATION_ONLY") {
        let is_named = |kind: &Kind| only.split(',').any(|name| name == kind.to_string());
        allowed = Kind::ALL
            .iter()
            .filter(|kind| is_named(kind))
            .fold(Kinds::NONE, |kinds, kind| kinds.with(*kind));
    }
    if let Ok(without) = env::var("KART_SIMULATION_WITHOUT") {
        for kind in Kind::ALL {
            if without.split(',').any(|name| name == kind.to_string()) {
                allowed = allowed.without(*kind);
            }
        }
    }
    let mut leaves_out = Vec::new();
    if let Ok(unkept) = env::var("KART_SIMULATION_UNKEPT") {
        let is_named =
            |promise: &&Promise| unkept.split(',').any(|name| name == format!("{promise:?}"));
        leaves_out.extend(Promise::ALL.iter().filter(is_named));
    }
    Settings {
        seed,
        allowed,
        processes: PROCESSES,
        leaves_out,
        is_told: false,
    }
}

#[test]
fn every_history_keeps_the_promises() {
    let first = number("KART_SIMULATION_FIRST").unwrap_or(0);
    let count = number("KART_SIMULATION_HISTORIES").unwrap_or(20);
    let most = number("KART_SIMULATION_BROKEN").unwrap_or(1);
    let mut tally = Tally::default();
    let mut broken = Vec::new();
    for seed in first..first + count {
        let settings = settings(seed);
        let history = history::run(&settings);
        tally += &history.tally;
        if let Some(how) = history.broken {
            let least = history::shrink(&settings, &how);
            println!("seed {seed}: {how}; with {:?}", least.kinds);
            broken.push((seed, how, least));
        }
        if broken.len() as u64 >= most {
            break;
        }
    }
    println!("{tally}");
    let shortest = broken.iter().min_by_key(|(_, _, least)| least.story.len());
    if let Some((seed, how, least)) = shortest {
        println!("{}", least.story);
        panic!(
            "seed {seed}: {how}; the same with {:?} is told above",
            least.kinds
        );
    }
}

#[test]
#[cfg_attr(not(tokio_unstable), ignore = "needs tokio's seed: `tests/simulation`")]
fn a_history_of_the_runtime_is_the_same_each_time() {
    for seed in 0..number("KART_SIMULATION_HISTORIES").unwrap_or(40) {
        let told = Settings {
            is_told: true,
            ..settings(seed)
        };
        let History { tally, story, .. } = history::run(&told);
        let again = history::run(&told);
        for (line, other) in story.lines().zip(again.story.lines()) {
            assert_eq!(line, other, "seed {seed}");
        }
        assert_eq!(tally, again.tally, "seed {seed}");
    }
}

#[test]
fn one_history_of_the_runtime_can_be_looked_at() {
    if let Some(seed) = number("KART_SIMULATION_SEED") {
        let told = Settings {
            is_told: true,
            ..settings(seed)
        };
        let history = history::run(&told);
        println!("{}", history.story);
        println!("{}\n{:?}", history.tally, history.broken);
    }
}
