//! What happens in a run, as it happens.

use std::fmt;
use std::time::Duration;

use super::outcome::Interruption;
use crate::lease::Owner;
use crate::plan::{Plan, TaskInfo};

/// Why a run stops before all is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Its deadline has come.
    Deadline,
    /// It was asked to, through [`StopToken`](crate::StopToken).
    Asked,
    /// It could not say in time that it is there, and others may have taken over: what runs is dropped
    /// without a grace.
    Lost,
}

/// How long tasks take one after the other, by the run log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Those that the log knows, all together.
    pub work: Duration,
    /// How many the log does not know.
    pub unknown: usize,
}

/// The tasks of one name in a run's graph.
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

/// Something that happened in a run; [`Runner::on_event`](crate::Runner::on_event) sees them all.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// What is missing is known, and tasks start. Where it took long to find out, some have started meanwhile; it is told
    /// after this.
    Planned {
        /// How many tasks the graph has.
        tasks: usize,
        /// How many of them have their output already.
        complete: usize,
        /// How many of them will run if all goes well.
        missing: usize,
        /// How long those take one after the other, as far as the run log tells.
        expected: Estimate,
        /// The same by the tasks' names, in the order in which the graph first has one.
        families: &'a [TaskCounts],
        /// The graph itself; what bodies ask for later is added to it. It can be cloned, and read as long as it is kept.
        plan: &'a Plan,
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
    /// A body says how far it is.
    Progress {
        /// The task.
        task: TaskInfo<'a>,
        /// How many pieces are done, of whatever it counts.
        done: u64,
        /// How many there are; 0 while that is not known.
        total: u64,
        /// What it is at.
        message: Option<&'a str>,
    },
    /// A body asked for a task, and waits for its output.
    SubtaskRequested {
        /// The task that was asked for.
        task: TaskInfo<'a>,
        /// The task whose body asked.
        by: TaskInfo<'a>,
    },
    /// An attempt failed, and another will be made.
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
    /// Another process had published an output of other bytes first, which was kept.
    OutputMismatch {
        /// The task.
        task: TaskInfo<'a>,
    },
    /// Another process has a task that is ready: this one waits for its output.
    ClaimedByOther {
        /// The task.
        task: TaskInfo<'a>,
        /// Who has it.
        owner: &'a Owner,
    },
    /// Another process has made a task's output meanwhile.
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
    /// A task is not started, because it is not expected to end before the deadline.
    Deferred {
        /// The task.
        task: TaskInfo<'a>,
        /// How long it may take, by the run log.
        expected: Duration,
        /// How long there is until the deadline.
        left: Duration,
    },
    /// A task takes longer than any run may: split it, or let it go on where it was cut off, by
    /// [`Context::step`](crate::Context::step), [`save`](crate::Context::save) or
    /// [`map`](crate::Context::map). Said once for each kind of task.
    TooLong {
        /// The task.
        task: TaskInfo<'a>,
        /// How long it may take, by the run log.
        expected: Duration,
        /// How long a run has.
        deadline: Duration,
    },
    /// The run log could not be written; nothing else is amiss.
    LogFailed {
        /// What went wrong.
        error: &'a str,
    },
    /// The run stops in good order: nothing new starts.
    Stopping {
        /// Why.
        reason: StopReason,
        /// How many attempts are under way.
        running: usize,
        /// How long they have.
        grace: Duration,
    },
    /// A task has no output, through no fault of its body: the run stopped, or the store did not answer.
    Interrupted {
        /// The task.
        task: TaskInfo<'a>,
        /// Which attempt was cut off, from 1.
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
