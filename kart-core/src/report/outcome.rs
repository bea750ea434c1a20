//! Outcomes: what became of each task.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::summary::Counts;
use crate::error::{BoxError, Error, chain, is_permanent};
use crate::key::Key;
use crate::model::{NodeId, Stored, Task};
use crate::plan::{Graph, TaskExt, TaskInfo};
use crate::workspace::Workspace;

/// What became of one task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing that ran needed it, so its output was not checked.
    NotNeeded,
    /// Its output existed before.
    Complete,
    /// It ran, and its output exists now.
    Ran(Completion),
    /// Another process made its output during this run.
    CompletedByOther,
    /// Its last attempt failed.
    Failed(Failure),
    /// It has no output, because a requirement or a subtask failed.
    Blocked {
        /// The key of the failed task.
        by: Key,
    },
    /// It has no output, and its body is not at fault: run again.
    Interrupted(Interruption),
    /// It did not run, because the run ended first.
    NotRun,
}

/// Why a task was interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interruption {
    /// The run stopped while it was running.
    Stopped,
    /// An attempt failed with this error, and the run stopped before the next one.
    BeforeRetry(String),
    /// The store or the network failed with this error, after repeated requests.
    Unavailable(String),
    /// A subtask was interrupted, or did not run.
    Subtask,
}

impl Interruption {
    /// Returns the error behind it, if there is one.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Interruption::BeforeRetry(error) | Interruption::Unavailable(error) => Some(error),
            Interruption::Stopped | Interruption::Subtask => None,
        }
    }
}

/// How a task that ran came to its output.
#[derive(Clone, Debug)]
pub struct Completion {
    /// How many attempts it took.
    pub attempts: u32,
    /// How long the last attempt took, from loading its requirements to publishing its output.
    pub elapsed: Duration,
    /// How many bytes the output has.
    pub bytes: u64,
    /// Whether another process published a different output first, which was kept: the task is not deterministic.
    pub differed: bool,
}

/// Why a task failed. As an error, its source is the error of the last attempt.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The task with its parameters.
    pub description: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// How long the last attempt took.
    pub elapsed: Duration,
    /// The error of the last attempt.
    pub error: Arc<BoxError>,
}

impl Failure {
    /// Returns the error with all its causes, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self.error.as_ref().as_ref())
    }

    /// Returns whether the error is [`permanent`](crate::permanent), so a retry cannot help.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        is_permanent(self.error.as_ref().as_ref())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.attempts == 1 { "" } else { "s" };
        write!(
            f,
            "{} failed after {} attempt{plural}",
            self.description, self.attempts
        )
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error.as_ref().as_ref())
    }
}

/// One task of a [`Report`].
#[derive(Clone, Copy, Debug)]
pub struct TaskReport<'a> {
    /// The task.
    pub task: TaskInfo<'a>,
    /// What became of it.
    pub outcome: &'a Outcome,
}

/// A root that ran.
#[derive(Debug)]
pub(crate) struct Root {
    /// What was stored, if it was made in this process.
    pub(crate) stored: Option<Stored>,
    pub(crate) hash: Option<blake3::Hash>,
}

/// What became of every task of a run.
pub struct Report {
    pub(crate) graph: Arc<Graph>,
    outcomes: Vec<Outcome>,
    workspace: Workspace,
    elapsed: Duration,
    roots: HashMap<NodeId, Option<Root>>,
    deferred: Vec<NodeId>,
    other_code: Vec<NodeId>,
    replaced: Vec<NodeId>,
}

impl Report {
    pub(crate) fn new(
        graph: Arc<Graph>,
        outcomes: Vec<Outcome>,
        workspace: Workspace,
        elapsed: Duration,
        roots: HashMap<NodeId, Option<Root>>,
    ) -> Self {
        Report {
            graph,
            outcomes,
            workspace,
            elapsed,
            roots,
            deferred: Vec::new(),
            other_code: Vec::new(),
            replaced: Vec::new(),
        }
    }

    /// Returns the interrupted tasks, each with the reason.
    pub fn interruptions(&self) -> impl Iterator<Item = (TaskReport<'_>, &Interruption)> {
        self.graph
            .ids()
            .filter_map(|id| match &self.outcomes[id.index()] {
                Outcome::Interrupted(interruption) => Some((self.task(id), interruption)),
                _ => None,
            })
    }

    pub(crate) fn with(
        mut self,
        deferred: Vec<NodeId>,
        other_code: Vec<NodeId>,
        replaced: Vec<NodeId>,
    ) -> Self {
        self.deferred = deferred;
        self.other_code = other_code;
        self.replaced = replaced;
        self
    }

    /// Returns the tasks that were ready and not started, because their past durations exceeded the time left until the
    /// deadline.
    pub fn deferred(&self) -> impl Iterator<Item = TaskReport<'_>> {
        self.deferred.iter().map(|id| self.task(*id))
    }

    /// Returns the complete tasks whose outputs other code made than today's, according to the run log.
    pub fn stale_code(&self) -> impl Iterator<Item = TaskReport<'_>> {
        self.other_code.iter().map(|id| self.task(*id))
    }

    /// Returns the tasks whose outputs have taken the place of those of tasks with other keys.
    pub fn replaced(&self) -> impl Iterator<Item = TaskReport<'_>> {
        self.replaced.iter().map(|id| self.task(*id))
    }

    /// Counts the tasks by outcome.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(&self.outcomes)
    }

    /// Returns how long the run took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Returns the workspace of the run.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Returns every task of the run's graph, each once.
    pub fn tasks(&self) -> impl Iterator<Item = TaskReport<'_>> {
        self.graph.ids().map(|id| self.task(id))
    }

    /// Returns the roots.
    pub fn roots(&self) -> impl Iterator<Item = TaskReport<'_>> {
        self.graph.roots.iter().map(|id| self.task(*id))
    }

    /// Returns the failed tasks.
    pub fn failures(&self) -> impl Iterator<Item = (TaskReport<'_>, &Failure)> {
        self.graph
            .ids()
            .filter_map(|id| match &self.outcomes[id.index()] {
                Outcome::Failed(failure) => Some((self.task(id), failure)),
                _ => None,
            })
    }

    /// Returns what became of `task`, or `None` if it is not in the graph.
    ///
    /// # Panics
    ///
    /// If the task has no key; see [`TaskExt::try_key`].
    pub fn outcome<T: Task>(&self, task: &T) -> Option<&Outcome> {
        let id = self.graph.find(task.key())?;
        Some(&self.outcomes[id.index()])
    }

    /// Reads the output of `task` from the workspace.
    ///
    /// # Errors
    ///
    /// Those of [`TaskExt::load`].
    pub async fn output<T: Task>(&self, task: &T) -> Result<T::Output, Error> {
        task.load(&self.workspace).await
    }

    /// Takes what was stored of the root, if it was made in this process.
    pub(crate) fn take_root(&mut self) -> Option<Stored> {
        let first = self.graph.roots.first()?;
        self.roots.get_mut(first)?.take()?.stored
    }

    /// Returns the hash of the output of a root that ran, unless it is a file.
    pub(crate) fn hash(&self, root: NodeId) -> Option<blake3::Hash> {
        self.roots.get(&root)?.as_ref()?.hash
    }

    pub(crate) fn task(&self, id: NodeId) -> TaskReport<'_> {
        TaskReport {
            task: TaskInfo::new(&self.graph, id),
            outcome: &self.outcomes[id.index()],
        }
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("counts", &self.counts())
            .field("elapsed", &self.elapsed)
            .field("workspace", &self.workspace.location())
            .finish_non_exhaustive()
    }
}
