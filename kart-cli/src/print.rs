//! What a person reads before and after a run: results and summaries on stdout, notes on stderr.

use std::io::Write as _;

use kart_core::Report;

use crate::progress::screen;

/// One line of results. A reader that went away, such as `head`, is no failure of the run.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

pub(crate) fn note(text: &str) {
    screen::print(text);
}

pub(crate) fn summary(report: &Report) {
    line(&format!(
        "{} in {:.1?}; outputs in {}",
        report.counts(),
        report.elapsed(),
        report.workspace().location(),
    ));
}
