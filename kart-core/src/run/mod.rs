//! Running a plan: scheduling, attempts, retries, hand-over in memory.

mod asking;
mod asks;
mod attempt;
mod checks;
mod code;
mod dependents;
mod desk;
mod drive;
mod elsewhere;
mod halt;
mod handover;
mod inbox;
mod inputs;
mod journal;
mod launch;
mod ledger;
mod line;
mod ownership;
mod publish;
mod runner;
mod schedule;
mod slots;
mod unavailable;

pub use code::OnCodeChange;
pub use ownership::Coordination;
pub use runner::{Runner, build};
