//! Running a plan: scheduling, attempts, retries, hand-over in memory; attempts that are made elsewhere.

mod asking;
mod asks;
mod attempt;
mod beside;
mod cause;
mod checks;
mod code;
mod dependents;
mod desk;
mod drive;
mod elsewhere;
mod executor;
mod halt;
mod handover;
mod inbox;
mod inputs;
mod journal;
mod launch;
mod ledger;
mod line;
mod news;
mod ordering;
mod outlook;
mod ownership;
mod publish;
mod runner;
mod schedule;
mod slots;
mod unavailable;
mod worker;

pub use beside::Beside;
pub use code::OnCodeChange;
pub use executor::{Answer, Answering, Executor, Order};
pub use ownership::Coordination;
pub use runner::{Runner, build};
pub use worker::Worker;
