//! Asking before something is deleted.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::{End, Session, WRONG_USE};

/// Asks whether to go on, unless `--yes` was given.
pub(crate) fn ask(session: &Session, question: &str) -> Result<(), End> {
    if session.parsed.flag("yes") {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(End::new(
            WRONG_USE,
            format!("error: {question} There is nobody to ask: say --yes"),
        ));
    }
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(End::new(WRONG_USE, "nothing was done"))
}
