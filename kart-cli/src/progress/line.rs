//! What is said about an event, on whatever it is shown.

use anstyle::{AnsiColor, Style};
use kart_core::{Event, StopReason, chain};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Said of the run as a whole.
    Note,
    /// One of many: said only as long as they are few.
    Done,
    /// Needs somebody's attention.
    Trouble,
}

/// A line of text; its head tells of what kind it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) weight: Weight,
    style: Style,
    head: &'static str,
    rest: String,
}

const PLAIN: Style = Style::new();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default();

impl Line {
    pub(super) fn note(text: String) -> Self {
        Line {
            weight: Weight::Note,
            style: PLAIN,
            head: "",
            rest: text,
        }
    }

    fn done(head: &'static str, rest: String) -> Self {
        Line {
            weight: Weight::Done,
            style: GOOD,
            head,
            rest,
        }
    }

    fn trouble(style: Style, head: &'static str, rest: String) -> Self {
        Line {
            weight: Weight::Trouble,
            style,
            head,
            rest,
        }
    }

    fn warning(rest: String) -> Self {
        Self::trouble(WARNING, "warning:", rest)
    }

    pub(super) fn text(&self, color: bool) -> String {
        let Line { head, rest, .. } = self;
        let gap = if head.is_empty() { "" } else { " " };
        if color && !head.is_empty() {
            let style = self.style;
            format!("{style}{head}{style:#}{gap}{rest}")
        } else {
            format!("{head}{gap}{rest}")
        }
    }
}

/// The line of an event, if it has one.
pub(super) fn line(event: &Event<'_>) -> Option<Line> {
    Some(match event {
        Event::Planning {
            tasks,
            looked_up,
            newest,
        } => Line::note(match newest {
            Some(newest) => format!("planning: {tasks} tasks so far, now {newest}"),
            None => format!("planning: {looked_up} of {tasks} tasks looked up"),
        }),
        Event::Planned {
            tasks,
            complete,
            missing,
            ..
        } => Line::note(match (missing, complete) {
            (0, _) => "all complete: nothing to run".to_owned(),
            (missing, 0) => format!("{missing} of {tasks} to run"),
            (missing, complete) => format!("{missing} of {tasks} to run, {complete} complete"),
        }),
        Event::Finished { task, elapsed, .. } => Line::done(
            "done    ",
            format!("{} in {elapsed:.1?}", task.description()),
        ),
        Event::CompletedByOther { task } => Line::done(
            "made    ",
            format!("{} by another process", task.description()),
        ),
        Event::RerunBegun { tasks } => Line::done(
            "rerun   ",
            format!("{tasks}: remembered until all of it is made"),
        ),
        other => return trouble(other),
    })
}

fn trouble(event: &Event<'_>) -> Option<Line> {
    Some(match event {
        Event::Retrying {
            task,
            attempt,
            pause,
            error,
            ..
        } => Line::trouble(
            WARNING,
            "retrying",
            format!(
                "{} in {pause:.1?} after attempt {attempt}: {}",
                task.description(),
                chain(*error),
            ),
        ),
        Event::Failed { task, error, .. } => Line::trouble(
            BAD,
            "failed  ",
            format!("{}: {}", task.description(), chain(*error)),
        ),
        Event::Stopping {
            reason,
            running,
            grace,
        } => {
            let reason = match reason {
                StopReason::Deadline => "the deadline has come",
                StopReason::Lost => "lost the claim: others may have taken over",
                _ => "told to end",
            };
            let grace = humantime::format_duration(*grace);
            let rest = format!("{reason}; {running} under way have {grace}");
            Line::trouble(WARNING, "stopping:", rest)
        }
        Event::RerunAbandoned { tasks, since, made } => Line::warning(format!(
            "dropped the rerun of {tasks} that began at {} ({made} made, which stay)",
            humantime::format_rfc3339_seconds(*since),
        )),
        Event::RerunResumed { tasks, since, made } => Line::warning(format!(
            "going on with the rerun of {tasks} that began at {} ({made} made so far); --abandon drops it",
            humantime::format_rfc3339_seconds(*since),
        )),
        Event::StaleCode { task } => Line::warning(format!(
            "{} was made by other code, and is kept: bump its `version`, or use --on-code-change rerun",
            task.description(),
        )),
        Event::StaleState { task } => Line::warning(format!(
            "{} resumes from what other code has saved: --fresh {} discards it",
            task.description(),
            task.name(),
        )),
        Event::TooLong {
            task,
            expected,
            deadline,
        } => Line::warning(format!(
            "{} may take {expected:.1?}, longer than the deadline of {}: split it, or use cx.step, cx.save or cx.map",
            task.description(),
            humantime::format_duration(*deadline),
        )),
        Event::LogFailed { error } => {
            Line::warning(format!("failed to write the run log: {error}"))
        }
        Event::Interrupted { task, .. } => Line::trouble(WARNING, "stopped ", task.description()),
        Event::OutputMismatch { task } => Line::warning(format!(
            "{} is not deterministic: other bytes were published first, and kept",
            task.description(),
        )),
        _ => return None,
    })
}
