//! Running a plan: scheduling, attempts, retries, hand-over in memory.

mod attempt;
mod drive;
mod halt;
mod handover;
mod publish;
mod runner;
mod schedule;
mod steps;

pub use runner::{Runner, build};
