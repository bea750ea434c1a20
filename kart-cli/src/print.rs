//! What a person sees: a line for each task on stderr, results and summaries on stdout.

use std::io::Write as _;

use kart_core::{Event, StopReason, chain};

pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(crate) fn event(event: &Event<'_>, is_quiet: bool) {
    let is_news = matches!(
        event,
        Event::Planned { .. } | Event::Finished { .. } | Event::MadeElsewhere { .. }
    );
    if is_quiet && is_news {
        return;
    }
    match event {
        Event::Planned {
            tasks,
            complete,
            missing,
            ..
        } => note(&match (missing, complete) {
            (0, _) => "all complete: nothing to run".to_owned(),
            (missing, 0) => format!("{missing} of {tasks} to run"),
            (missing, complete) => format!("{missing} of {tasks} to run, {complete} complete"),
        }),
        Event::Finished { task, elapsed, .. } => {
            note(&format!("done     {} in {elapsed:.1?}", task.description()));
        }
        Event::Retrying {
            task,
            attempt,
            pause,
            error,
        } => note(&format!(
            "retrying {} in {pause:.1?} after attempt {attempt}: {}",
            task.description(),
            chain(*error),
        )),
        Event::Failed { task, error, .. } => {
            note(&format!(
                "failed   {}: {}",
                task.description(),
                chain(*error)
            ));
        }
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
            note(&format!(
                "stopping: {reason}; {running} under way have {}",
                humantime::format_duration(*grace)
            ));
        }
        Event::MadeByOtherCode { task } => note(&format!(
            "warning: {} was made by other code, and is kept: bump its `version`, or use --on-code-change rerun",
            task.description(),
        )),
        Event::HeldBack { task, expected, .. } => note(&format!(
            "held back {}: it may take {expected:.1?}, and would not end before the deadline",
            task.description(),
        )),
        Event::TooLong {
            task,
            expected,
            deadline,
        } => note(&format!(
            "warning: {} may take {expected:.1?}, longer than the deadline of {}: split it, or use cx.step, cx.save or cx.map",
            task.description(),
            humantime::format_duration(*deadline),
        )),
        Event::LogFailed { error } => {
            note(&format!("warning: failed to write the run log: {error}"));
        }
        Event::MadeElsewhere { task } => note(&format!(
            "made     {} by another process",
            task.description()
        )),
        Event::Interrupted { task } => note(&format!("stopped  {}", task.description())),
        Event::Differed { task } => note(&format!(
            "warning: {} is not deterministic: other bytes were published first, and kept",
            task.description(),
        )),
        _ => {}
    }
}
