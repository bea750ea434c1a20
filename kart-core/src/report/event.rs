//! Events: what happens in a run, as it happens.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::outcome::Interruption;
use crate::lease::Owner;
use crate::plan::{Plan, TaskInfo};
use crate::workspace::{OutputState, Provenance};

/// Why a run stops before all is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Its deadline has passed.
    Deadline,
    /// Its [`StopToken`](crate::StopToken) was stopped.
    Asked,
    /// Its heartbeat was late, so others may have taken over: running tasks are dropped without a grace period.
    Lost,
}

/// How long tasks take one after the other, according to the run log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The sum for those that the log knows.
    pub work: Duration,
    /// The number of tasks that the log does not know.
    pub unknown: usize,
}

/// The number of tasks of one name in the graph of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskCounts {
    /// Their stable name.
    pub name: &'static str,
    /// How many there are.
    pub tasks: usize,
    /// How many of them have their output already.
    pub complete: usize,
    /// How many of them will run if all goes well.
    pub missing: usize,
}

impl fmt::Debug for TaskCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.name, self.complete, self.tasks)
    }
}

impl TaskCounts {
    pub(crate) fn new(name: &'static str) -> Self {
        TaskCounts {
            name,
            tasks: 0,
            complete: 0,
            missing: 0,
        }
    }
}

/// Something that happened in a run; [`Runner::on_event`](crate::Runner::on_event) gets every event.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Planning takes longer than a second. Emitted after a second, and then less and less often.
    Planning {
        /// How many tasks the graph has so far.
        tasks: usize,
        /// How many of them were looked up in the workspace.
        looked_up: usize,
        /// The newest task, while the graph still grows.
        newest: Option<&'a str>,
    },
    /// The survey has ended, and tasks start. If surveying was slow, some tasks have already started; their events follow.
    Planned {
        /// How many tasks the graph has.
        tasks: usize,
        /// How many of them have their output already.
        complete: usize,
        /// How many of them will run if all goes well.
        missing: usize,
        /// How long those take one after the other, according to the run log.
        expected: Estimate,
        /// The same for each task name, in the order of the graph.
        families: &'a [TaskCounts],
        /// The plan, a snapshot of the start of the run; its graph grows by subtasks. You can clone and keep it.
        plan: &'a Plan,
    },
    /// A rerun begins. The workspace remembers it from now on, until all of it is made.
    RerunBegun {
        /// Which tasks run again, with all that depends on them; for people.
        tasks: &'a str,
    },
    /// An unfinished rerun is dropped, as [`Runner::abandon_reruns`](crate::Runner::abandon_reruns) asks.
    RerunAbandoned {
        /// Which tasks it was for; for people.
        tasks: &'a str,
        /// When it began.
        since: SystemTime,
        /// How many outputs were made for it. They stay.
        made: usize,
    },
    /// An earlier run of these roots began a rerun and did not finish it: this run goes on with it.
    RerunResumed {
        /// Which tasks run again, with all that depends on them; for people.
        tasks: &'a str,
        /// When the rerun began.
        since: SystemTime,
        /// How many outputs were made for it so far.
        made: usize,
    },
    /// An attempt starts.
    Started {
        /// The task.
        task: TaskInfo<'a>,
        /// Which attempt it is, from 1.
        attempt: u32,
        /// How long it may take, by the run log.
        expected: Option<Duration>,
    },
    /// A body reports its progress.
    Progress {
        /// The task.
        task: TaskInfo<'a>,
        /// How many pieces are done, in units of its own.
        done: u64,
        /// How many pieces there are; 0 if unknown.
        total: u64,
        /// What it is doing.
        message: Option<&'a str>,
    },
    /// A body asked for a task, and waits for its output.
    SubtaskRequested {
        /// The subtask.
        task: TaskInfo<'a>,
        /// The task whose body asked.
        by: TaskInfo<'a>,
    },
    /// An attempt failed, and another one follows.
    Retrying {
        /// The task.
        task: TaskInfo<'a>,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// How long that attempt took.
        elapsed: Duration,
        /// The pause before the next.
        pause: Duration,
        /// What went wrong.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// A task's output is published.
    Finished {
        /// The task.
        task: TaskInfo<'a>,
        /// Which attempt succeeded, from 1.
        attempt: u32,
        /// How long that attempt took.
        elapsed: Duration,
        /// How many bytes the output has.
        bytes: u64,
    },
    /// Another process published a different output first, which was kept.
    OutputMismatch {
        /// The task.
        task: TaskInfo<'a>,
    },
    /// What lies at the path of an output is not simply it: it is [torn](OutputState::Torn), and the task runs again; it
    /// was [changed](OutputState::Changed), and reading it fails; or [nothing is recorded](OutputState::Unrecorded) of it,
    /// and it is kept as what somebody else has put there.
    UnexpectedOutput {
        /// The task.
        task: TaskInfo<'a>,
        /// What lies there.
        state: &'a OutputState,
    },
    /// A task's output has taken the place of that of a task with another key.
    OutputReplaced {
        /// The task.
        task: TaskInfo<'a>,
        /// The output that was there.
        replaced: &'a Provenance,
    },
    /// Another process holds a task that is ready: this run waits for its output.
    ClaimedByOther {
        /// The task.
        task: TaskInfo<'a>,
        /// The process that holds it.
        owner: &'a Owner,
    },
    /// Another process has made a task's output during this run.
    CompletedByOther {
        /// The task.
        task: TaskInfo<'a>,
    },
    /// A complete output was made by other code than today's, and is kept: bump the task's `version`, or run
    /// with [`OnCodeChange::Rerun`](crate::OnCodeChange::Rerun).
    StaleCode {
        /// The task.
        task: TaskInfo<'a>,
    },
    /// A task resumes from what other code has saved, with [`Context::step`](crate::Context::step),
    /// [`save`](crate::Context::save) or [`map`](crate::Context::map); [`Runner::fresh`](crate::Runner::fresh) discards it.
    /// Emitted once for each task.
    StaleState {
        /// The task.
        task: TaskInfo<'a>,
    },
    /// A task is not started, because its past durations exceed the time left until the deadline.
    Deferred {
        /// The task.
        task: TaskInfo<'a>,
        /// How long it may take, by the run log.
        expected: Duration,
        /// The time left until the deadline.
        left: Duration,
    },
    /// A task takes longer than any run may: split it, or let it resume where it was cut off, with
    /// [`Context::step`](crate::Context::step), [`save`](crate::Context::save) or [`map`](crate::Context::map). Emitted once
    /// for each task name.
    TooLong {
        /// The task.
        task: TaskInfo<'a>,
        /// How long it may take, by the run log.
        expected: Duration,
        /// How long a run has.
        deadline: Duration,
    },
    /// The run log could not be written. The run is not affected.
    LogFailed {
        /// What went wrong.
        error: &'a str,
    },
    /// The run stops: nothing starts any more.
    Stopping {
        /// Why.
        reason: StopReason,
        /// The number of attempts in progress.
        running: usize,
        /// How long they have to finish.
        grace: Duration,
    },
    /// A task has no output, and its body is not at fault: the run stopped, or the store failed.
    Interrupted {
        /// The task.
        task: TaskInfo<'a>,
        /// Which attempt was interrupted, from 1.
        attempt: u32,
        /// How long that attempt took; zero where it did not end by itself.
        elapsed: Duration,
        /// Why.
        reason: &'a Interruption,
    },
    /// A task failed for good.
    Failed {
        /// The task.
        task: TaskInfo<'a>,
        /// How many attempts were made.
        attempts: u32,
        /// How long the last one took.
        elapsed: Duration,
        /// What went wrong in the last.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// A task cannot run, because one that it requires failed.
    Blocked {
        /// The task.
        task: TaskInfo<'a>,
        /// The task that failed.
        by: TaskInfo<'a>,
    },
}

impl Event<'_> {
    /// Returns what a person should be told of the event, where it is about a task and needs attention.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let text = match self {
            Event::OutputMismatch { task } => format!(
                "{} is not deterministic: other bytes were published first, and kept",
                task.description(),
            ),
            Event::StaleCode { task } => format!(
                "{} was made by other code, and is kept: bump its `version`, or use --on-code-change rerun",
                task.description(),
            ),
            Event::StaleState { task } => format!(
                "{} resumes from what other code has saved: --fresh {} discards it",
                task.description(),
                task.name(),
            ),
            Event::TooLong {
                task,
                expected,
                deadline,
            } => format!(
                "{} may take {expected:.1?}, longer than the deadline of {}: split it, or use cx.step, cx.save or cx.map",
                task.description(),
                humantime::format_duration(*deadline),
            ),
            Event::UnexpectedOutput { task, state } => {
                let consequence = match state {
                    OutputState::Torn { .. } => "it is made again",
                    OutputState::Changed { .. } => {
                        "reading it fails: put it back, delete it to have it made again, or take it as it is with `accept`"
                    }
                    _ => {
                        "somebody else has put it there, for whatever parameters, and it is kept: delete it to have it made here"
                    }
                };
                let (task, path) = (task.description(), task.path());
                format!("`{path}`, the output of {task}, is {state}; {consequence}")
            }
            Event::OutputReplaced { task, replaced } => format!(
                "{} has replaced the output of {} [{}] at `{}`: put every parameter or `{{key}}` into its `path` to keep both",
                task.description(),
                replaced.task,
                replaced.key,
                task.path(),
            ),
            _ => return None,
        };
        Some(text)
    }
}
