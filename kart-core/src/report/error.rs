//! Why a run did not complete.

use std::fmt;

use super::outcome::Report;
use crate::error::{BoxError, Error, StoreError, chain};
use crate::lease::Owner;

/// Why a run did not complete. `{}` is one line. `{:#}` and `{:?}` show every failed task with its parameters and all causes;
/// a `main` that returns the error prints the latter. The source of a failed run is the first failed task.
#[non_exhaustive]
pub enum RunError {
    /// Tasks failed. Everything that does not depend on them ran.
    Failed(Box<Report>),
    /// The run ended before all was complete, because of its deadline, its [`StopToken`](crate::StopToken), a lost lease or
    /// a store that failed: run it again.
    Interrupted(Box<Report>),
    /// This process holds the root. Run again later, [wait](crate::Runner::wait) for it, or share the work with
    /// [`Coordination::Shared`](crate::Coordination::Shared).
    AlreadyRunning(Box<Owner>),
    /// The graph could not be made; nothing ran.
    Plan(Error),
    /// The workspace failed before or during the survey.
    Store(StoreError),
    /// The runner lacks resources that tasks need; nothing ran.
    Resources(Vec<MissingResource>),
    /// The runner's settings do not fit the tasks; nothing ran.
    Settings(String),
    /// The tokio runtime ended an attempt, as it does when it shuts down; run again.
    Runtime(BoxError),
    /// The run completed, but its result could not be loaded.
    Output(Error),
}

/// A resource that a task needs and the runner lacks.
#[derive(Clone, Debug)]
pub struct MissingResource {
    /// The task's stable name.
    pub task: &'static str,
    /// The parameter's name.
    pub parameter: &'static str,
    /// The full name of the type.
    pub type_name: &'static str,
}

impl RunError {
    /// Returns the report, if there is one.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match self {
            RunError::Failed(report) | RunError::Interrupted(report) => Some(report),
            _ => None,
        }
    }
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => RunError::Store(error),
            error => RunError::Plan(error),
        }
    }
}

/// How many failed tasks `{:#}` shows.
const SHOWN_FAILURES: usize = 20;

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Failed(report) => failed(report, f),
            RunError::Interrupted(report) => interrupted(report, f),
            RunError::AlreadyRunning(owner) => write!(f, "already running: {owner}"),
            RunError::Plan(error) | RunError::Output(error) => with_chain(error, f),
            RunError::Store(error) => with_chain(error, f),
            RunError::Settings(reason) => f.write_str(reason),
            RunError::Runtime(error) => write!(f, "the runtime stopped an attempt: {error}"),
            RunError::Resources(missing) => {
                f.write_str("the runner lacks what tasks ask for")?;
                for lack in missing {
                    write!(
                        f,
                        "{}{} takes `{}: &{}`: add `.resource(..)` with a value of that type",
                        if f.alternate() { "\n  " } else { "; " },
                        lack.task,
                        lack.parameter,
                        lack.type_name,
                    )?;
                }
                Ok(())
            }
        }
    }
}

fn with_chain(
    error: &(dyn std::error::Error + 'static),
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if f.alternate() {
        f.write_str(&chain(error))
    } else {
        fmt::Display::fmt(error, f)
    }
}

fn failed(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let counts = report.counts();
    let plural = if counts.failed == 1 { "" } else { "s" };
    write!(f, "{} task{plural} failed ({counts})", counts.failed)?;
    if !f.alternate() {
        return Ok(());
    }
    failures(report, f)
}

fn interrupted(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let counts = report.counts();
    write!(f, "the run was interrupted ({counts}): run it again")?;
    if !f.alternate() {
        return Ok(());
    }
    let deferred = report.deferred().count();
    for task in report.deferred().take(SHOWN_FAILURES) {
        write!(
            f,
            "\n  {} was deferred: it would not have ended before the deadline",
            task.task.description()
        )?;
    }
    if deferred > SHOWN_FAILURES {
        write!(f, "\n  … and {} more", deferred - SHOWN_FAILURES)?;
    }
    for (task, error) in report
        .interruptions()
        .filter_map(|(task, reason)| Some((task, reason.error()?)))
        .take(SHOWN_FAILURES)
    {
        let task = task.task.description();
        write!(f, "\n  {task} was interrupted: {error}")?;
    }
    failures(report, f)
}

/// Writes every failed task with its parameters and all causes.
fn failures(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (task, failure) in report.failures().take(SHOWN_FAILURES) {
        let plural = if failure.attempts == 1 { "" } else { "s" };
        write!(
            f,
            "\n  {} [{}]\n    after {} attempt{plural}, for {}\n    {}",
            failure.description,
            task.task.key(),
            failure.attempts,
            report.workspace().display_url(&task.task.path()),
            failure.chain().replace('\n', "\n    "),
        )?;
    }
    let failed = report.counts().failed;
    if failed > SHOWN_FAILURES {
        write!(f, "\n  … and {} more", failed - SHOWN_FAILURES)?;
    }
    Ok(())
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RunError::Plan(error) | RunError::Output(error) => error.source(),
            RunError::Store(error) => error.source(),
            RunError::Runtime(error) => error.source(),
            RunError::Failed(report) | RunError::Interrupted(report) => {
                let (_, failure) = report.failures().next()?;
                Some(failure)
            }
            RunError::AlreadyRunning(_) | RunError::Resources(_) | RunError::Settings(_) => None,
        }
    }
}
