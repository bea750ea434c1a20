//! What a run does: what it skips, in which order it goes, what it hands over, how it fails and
//! how it is stopped.

#[path = "../common/mod.rs"]
mod common;

mod asking;
mod asking_in_vain;
mod batches;
mod beside;
mod early;
mod failing;
mod handing;
mod interrupting;
mod ordering;
mod scheduling;
mod skipping;
mod stopping;
