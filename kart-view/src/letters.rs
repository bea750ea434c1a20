//! Outcomes as letters: a run of 50,000 tasks tells of them as 50,000 letters.

use kart_core::{Outcome, Status};

/// The letters, and the words for them. A task that runs is `p`.
pub const OUTCOMES: [(char, &str); 8] = [
    ('c', "complete"),
    ('r', "ran"),
    ('e', "elsewhere"),
    ('f', "failed"),
    ('b', "blocked"),
    ('i', "interrupted"),
    ('l', "left"),
    ('u', "unneeded"),
];

/// The letter of an outcome.
#[must_use]
pub fn letter(outcome: &Outcome) -> char {
    match outcome {
        Outcome::Complete => 'c',
        Outcome::Ran(_) => 'r',
        Outcome::CompletedByOther => 'e',
        Outcome::Failed(_) => 'f',
        Outcome::Blocked { .. } => 'b',
        Outcome::Interrupted(_) => 'i',
        Outcome::NotRun => 'l',
        _ => 'u',
    }
}

/// The letter of a task that nothing has been done about.
#[must_use]
pub fn need(need: Status) -> char {
    match need {
        Status::Complete => 'c',
        Status::NotNeeded => 'u',
        _ => 'l',
    }
}
