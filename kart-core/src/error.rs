//! What went wrong, where, and what to do. Below every other room: it names no type of theirs.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Any error a task body may return.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// A result whose error is kart's own [`Error`] by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a single operation on a task or a workspace can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter has no canonical form, such as a NaN.
    #[error("task {task} has no key: parameter `{param}`: {reason}")]
    Key {
        /// The task's stable name.
        task: String,
        /// The parameter's name.
        param: String,
        /// Why it has no canonical form.
        reason: String,
    },
    /// A task requires itself, directly or through others.
    #[error("tasks require each other in a cycle: {}", .tasks.join(" -> "))]
    Cycle {
        /// The cycle in order, each task with its parameters; the first is named again at the end.
        tasks: Vec<String>,
    },
    /// A requirement of a task is invalid.
    #[error("what {task} requires makes no sense: {reason}")]
    Requirement {
        /// The task with its parameters.
        task: String,
        /// What is wrong.
        reason: String,
    },
    /// The graph has more tasks than a run may have, for instance because requirements never end; see
    /// [`Runner::max_tasks`](crate::Runner::max_tasks).
    #[error(
        "more than {max_tasks} tasks are required, the newest {newest}\nhint: check that its requirements come to an end, or raise `max_tasks`"
    )]
    TooManyTasks {
        /// How many there may be.
        max_tasks: usize,
        /// The newest task with its parameters.
        newest: String,
    },
    /// Two different tasks of one plan would write the same object.
    #[error(
        "two tasks have the one path `{path}`: {first} and {second}; put a parameter or `{{key}}` into the `path` of one"
    )]
    PathClash {
        /// The path, relative to the workspace.
        path: String,
        /// One of the tasks, with its parameters.
        first: String,
        /// The other task, with its parameters.
        second: String,
    },
    /// An operation on the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output does not exist in the workspace.
    #[error("{task} has no output at `{location}`: run it first")]
    Missing {
        /// The task with its parameters.
        task: String,
        /// Where the output would be.
        location: String,
    },
    /// Another task has made the object at the path of the output.
    #[error(
        "`{location}` is not the output of {task}: {made_by} made it\nhint: put every parameter or `{{key}}` into the task's `path`, so that each output has a place of its own"
    )]
    OtherKey {
        /// The task with its parameters.
        task: String,
        /// Where the object is.
        location: String,
        /// The task that made it, with its key.
        made_by: String,
    },
    /// The stored object is shorter than what was written, as a power cut leaves it.
    #[error(
        "`{location}`, the output of {task}, was cut off: it has {found} bytes of {recorded}\nhint: run the task again"
    )]
    Torn {
        /// The task with its parameters.
        task: String,
        /// Where the object is.
        location: String,
        /// How many bytes were written.
        recorded: u64,
        /// How many bytes are there.
        found: u64,
    },
    /// The stored object is not what was written.
    #[error(
        "`{location}`, the output of {task}, was changed: {recorded} was recorded, and {found} is there\nhint: put the object back, delete it to have it made again, or take it as it is with `accept`"
    )]
    Mismatch {
        /// The task with its parameters.
        task: String,
        /// Where the object is.
        location: String,
        /// The size or the hash of what was written.
        recorded: String,
        /// That of what is there.
        found: String,
    },
    /// No hash was recorded of the stored object, and [`Verify::Always`](crate::Verify::Always) wants one.
    #[error(
        "`{location}`, the output of {task}, cannot be verified: no hash of it is recorded\nhint: take it as it is with `accept`, delete it to have it made again, or read it with `--verify known`"
    )]
    Unverified {
        /// The task with its parameters.
        task: String,
        /// Where the object is.
        location: String,
    },
    /// The stored object is not what its format promises.
    #[error(
        "failed to decode `{location}`, the output of {task}: delete the object to have it made again, or bump the task's `version` if its type has changed"
    )]
    Decode {
        /// The task with its parameters.
        task: String,
        /// Where the object is.
        location: String,
        /// What the format said.
        #[source]
        source: BoxError,
    },
    /// The output has a stored field that its type does not have; see [`OnTypeChange`](crate::OnTypeChange).
    #[error(
        "`{location}`, the output of {task}, has the field `{field}`, which its type does not have\nhint: if the field has a new name, add `#[serde(alias = \"…\")]` with the old one; to make the output again, give the task a new `version` or use `--on-type-change rerun`; to ignore the field, use `--on-type-change warn`"
    )]
    TypeChanged {
        /// The task with its parameters.
        task: String,
        /// Where the object is.
        location: String,
        /// The path of the field, such as `customer.address`.
        field: String,
    },
    /// A subtask failed; see [`Context::get`](crate::Context::get).
    #[error("{task} was asked for, and did not complete")]
    Required {
        /// The task with its parameters.
        task: String,
        /// The error of the subtask, or of the task that blocks it.
        source: BoxError,
    },
    /// An item of a loop failed; see [`Context::map`](crate::Context::map).
    #[error("item {index} of the loop, {item}, failed")]
    Item {
        /// Its index, from 0.
        index: usize,
        /// The item as JSON, shortened.
        item: String,
        /// What it failed with.
        source: BoxError,
    },
    /// A step, a state or a loop of a body could not be saved or restored.
    #[error(
        "failed to {operation} `{location}`, which the task keeps for its own resumption: {hint}"
    )]
    Saved {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The object, as a person would name it.
        location: String,
        /// What to do about it.
        hint: &'static str,
        /// What went wrong.
        source: BoxError,
    },
    /// A program that a body ran failed; see [`Context::command`](crate::Context::command).
    #[error("`{program}` {outcome}")]
    Command {
        /// The program, as it was named.
        program: String,
        /// What became of it, such as `ended with exit status: 1`.
        outcome: String,
        /// The last lines of its standard error, or why it could not be started.
        source: BoxError,
    },
    /// The run is stopping; see [`interrupted`].
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The wire form of a task could not be read.
    #[error("{0}")]
    Wire(String),
}

/// An operation on a store that failed. In a bucket kart repeats transient failures first, for
/// [`retry_timeout`](crate::Workspace::retry_timeout).
#[derive(Debug)]
pub struct StoreError {
    /// What was tried, as a verb: `read`, `write`, `delete`, `list`, `look up`, `open`.
    pub operation: &'static str,
    /// The object or the workspace, as a person would name it.
    pub location: String,
    /// What to do about it, when that is known.
    pub hint: Option<String>,
    /// What the store said.
    pub source: BoxError,
    pub(crate) transient: bool,
}

impl StoreError {
    /// Returns `true` when the store failed or could not be reached, so that the same operation may succeed later;
    /// `false` when it refused.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.transient
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {} `{}`", self.operation, self.location)?;
        match &self.hint {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_ref())
    }
}

/// Formats an error with all its causes on one line, `outer: inner: innermost`, without causes that only repeat the one
/// before.
#[must_use]
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// An error that a retry cannot help; see [`permanent`].
#[derive(Debug)]
pub struct Permanent(PermanentCause);

/// The same once more, as the source of the first: libraries such as `anyhow` wrap an error in a
/// type of their own when it becomes a [`BoxError`], but pass its sources on as they are.
#[derive(Debug)]
struct PermanentCause(BoxError);

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Permanent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

impl fmt::Display for PermanentCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for PermanentCause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// Whether an error is, or was caused by, one that [`permanent`] made.
pub(crate) fn is_permanent(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<Permanent>() || cause.is::<PermanentCause>())
}

/// Wraps an error that a retry cannot help: the task fails at once, whatever its `retries`.
///
/// # Examples
///
/// ```
/// fn check(rows: usize) -> Result<(), kart::BoxError> {
///     if rows == 0 {
///         return Err(kart::permanent("the table is empty").into());
///     }
///     Ok(())
/// }
/// assert_eq!(check(0).unwrap_err().to_string(), "the table is empty");
/// ```
pub fn permanent(error: impl Into<BoxError>) -> Permanent {
    Permanent(PermanentCause(error.into()))
}

/// The error of a body that ends early because the run is stopping; see [`interrupted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted: the run is stopping")]
pub struct Interrupted {
    #[source]
    cause: InterruptedCause,
}

/// As with [`PermanentCause`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted: the run is stopping")]
struct InterruptedCause;

/// Returns the error for a body that ends early because the run is stopping, or because a subtask was interrupted. Its task
/// has not failed, and runs again in the next run.
///
/// A body that returns it although nothing stops has failed.
#[must_use]
pub fn interrupted() -> Interrupted {
    Interrupted {
        cause: InterruptedCause,
    }
}

/// Whether an error is, or was caused by, one that [`interrupted`] made.
pub(crate) fn is_interrupted(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(is_interrupted_itself)
}

/// Whether an error is one that [`interrupted`] made.
pub(crate) fn is_interrupted_itself(error: &(dyn StdError + 'static)) -> bool {
    error.is::<Interrupted>() || error.is::<InterruptedCause>()
}

/// An error and its causes, from the outermost.
pub(crate) fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Runs a user's code; gives its panic as `panicked: …`.
pub(crate) fn catch_panic<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| panic_text(payload.as_ref()))
}

/// Returns what a panic says, as `panicked: …`.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}
