//! Events for `tracing`: what a subscriber of the user's sees of a run.

use super::event::Event;
use crate::error::chain;
use crate::plan::TaskInfo;

/// What is said about a task; `elapsed` and the like are seconds, so that they can be summed up.
macro_rules! tell {
    ($level:ident, $task:expr, $message:literal $(, $field:ident = $value:expr)*) => {{
        let task: &TaskInfo<'_> = $task;
        tracing::$level!(
            target: "kart::event",
            task = task.name(),
            key = %task.key(),
            $($field = $value,)*
            description = task.description(),
            $message
        )
    }};
}

impl Event<'_> {
    /// Writes the event to the `tracing` subscriber. Without one this costs nothing: no field is looked at.
    pub(crate) fn trace(&self) {
        match self {
            Event::Planning {
                tasks,
                looked_up,
                newest,
            } => tracing::info!(target: "kart::event", tasks, looked_up, newest, "planning"),
            Event::Planned {
                tasks,
                complete,
                missing,
                ..
            } => tracing::info!(target: "kart::event", tasks, complete, missing, "planned"),
            Event::Started { task, attempt, .. } => {
                tell!(debug, task, "started", attempt = attempt);
            }
            Event::Progress {
                task,
                done,
                total,
                message,
            } => {
                // `message` is the event's own text.
                tell!(
                    debug,
                    task,
                    "progress",
                    done = done,
                    total = total,
                    at = message
                );
            }
            Event::SubtaskRequested { task, by } => {
                tell!(
                    debug,
                    task,
                    "asked for",
                    by = tracing::field::display(by.key())
                );
            }
            Event::Finished {
                task,
                attempt,
                elapsed,
                bytes,
            } => {
                let elapsed = elapsed.as_secs_f64();
                tell!(
                    info,
                    task,
                    "finished",
                    attempt = attempt,
                    elapsed = elapsed,
                    bytes = bytes
                );
            }
            Event::ClaimedByOther { task, owner } => {
                tell!(
                    debug,
                    task,
                    "elsewhere",
                    owner = tracing::field::display(owner)
                );
            }
            Event::CompletedByOther { task } => tell!(info, task, "completed by another process"),
            Event::Interrupted {
                task,
                attempt,
                elapsed,
                reason,
            } => {
                let elapsed = elapsed.as_secs_f64();
                tell!(
                    warn,
                    task,
                    "interrupted",
                    attempt = attempt,
                    elapsed = elapsed,
                    error = reason.error()
                );
            }
            other => other.trace_trouble(),
        }
    }

    /// What may need somebody's attention.
    fn trace_trouble(&self) {
        match self {
            Event::Retrying {
                task,
                attempt,
                elapsed,
                pause,
                error,
            } => tell!(
                warn,
                task,
                "retrying",
                attempt = attempt,
                elapsed = elapsed.as_secs_f64(),
                pause = pause.as_secs_f64(),
                error = chain(*error)
            ),
            Event::Failed {
                task,
                attempts,
                elapsed,
                error,
            } => tell!(
                error,
                task,
                "failed",
                attempt = attempts,
                elapsed = elapsed.as_secs_f64(),
                error = chain(*error)
            ),
            Event::OutputMismatch { task } => tell!(
                warn,
                task,
                "another process published other bytes first: the task is not deterministic"
            ),
            Event::RerunBegun { tasks } => {
                tracing::info!(target: "kart::event", tasks, "rerun begun");
            }
            Event::RerunAbandoned { tasks, made, .. } => {
                tracing::info!(target: "kart::event", tasks, made, "dropped a rerun");
            }
            Event::RerunResumed { tasks, made, .. } => {
                tracing::info!(target: "kart::event", tasks, made, "going on with a rerun");
            }
            Event::StaleCode { task } => {
                tell!(warn, task, "made by other code than today's");
            }
            Event::StaleState { task } => {
                tell!(warn, task, "resumes from what other code has saved");
            }
            Event::Deferred {
                task,
                expected,
                left,
            } => tell!(
                debug,
                task,
                "deferred: it would not end before the deadline",
                expected = expected.as_secs_f64(),
                left = left.as_secs_f64()
            ),
            Event::TooLong {
                task,
                expected,
                deadline,
            } => tell!(
                warn,
                task,
                "takes longer than any run may: split it, or use cx.step, cx.save or cx.map",
                expected = expected.as_secs_f64(),
                deadline = deadline.as_secs_f64()
            ),
            Event::Blocked { task, by } => {
                tell!(
                    warn,
                    task,
                    "blocked",
                    by = tracing::field::display(by.key())
                );
            }
            Event::LogFailed { error } => {
                tracing::warn!(target: "kart::event", error, "failed to write the run log");
            }
            Event::Stopping {
                reason,
                running,
                grace,
            } => tracing::warn!(
                target: "kart::event",
                ?reason,
                running,
                grace = grace.as_secs_f64(),
                "stopping"
            ),
            _ => self.trace_outputs(),
        }
    }

    /// The same for outputs that are not what they are taken for.
    fn trace_outputs(&self) {
        match self {
            Event::UnexpectedOutput { task, state } => tell!(
                warn,
                task,
                "the output is not what was written",
                state = tracing::field::display(state)
            ),
            Event::OutputReplaced { task, replaced } => tell!(
                warn,
                task,
                "the output of another task was replaced",
                replaced = tracing::field::display(replaced.key)
            ),
            _ => {}
        }
    }
}
