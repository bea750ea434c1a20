//! Batches for processes that are really killed, and what watches over them.

pub mod dag;
pub mod storm;

use std::fs::OpenOptions;
use std::io::Write as _;

/// Where bodies note that they start.
pub const STARTS: &str = "KART_TEST_STARTS";

/// Notes that the body of a task starts: one line, written at once, so that a kill leaves it or not.
pub fn note_start(what: &str) {
    let Some(path) = std::env::var_os(STARTS) else {
        return;
    };
    let line = format!("{what} {}\n", std::process::id());
    let file = OpenOptions::new().append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        eprintln!("failed to note a start: {error}");
    }
}
