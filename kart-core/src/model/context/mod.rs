//! What a body can ask about its own attempt.

mod chunks;
mod command;
mod map;
mod scope;
mod step_store;
mod writer;

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

pub use command::Command;
pub use map::Map;
pub(crate) use scope::AttemptScope;
pub(crate) use step_store::StepStore;
pub use writer::Writer;

use self::scope::ScopeState;
use super::task::{DynTask, Erased, Task};
use crate::error::Error;
use crate::format::File;
use crate::key::Key;

/// What a run does for the body of one attempt.
pub(crate) trait RunApi: Debug + Send + Sync {
    /// The output of a task that the run makes if it is not there.
    fn get(&self, task: Arc<dyn DynTask>) -> OutputFuture<'_>;

    /// How far the body is.
    fn progress(&self, done: u64, total: u64);

    /// What the body is at.
    fn message(&self, message: String);
}

/// An output on its way.
pub(crate) type OutputFuture<'a> = Pin<Box<dyn Future<Output = Result<Erased, Error>> + Send + 'a>>;

/// This attempt of this task: take it as `#[context] cx: &Context`.
#[derive(Clone, Debug)]
pub struct Context {
    task: &'static str,
    key: Key,
    path: Arc<str>,
    attempt: u32,
    scope: Arc<ScopeState>,
    steps: Arc<StepStore>,
    run: Arc<dyn RunApi>,
}

impl Context {
    pub(crate) fn new(
        task: &'static str,
        key: Key,
        path: Arc<str>,
        attempt: u32,
        scope: &AttemptScope,
        steps: Arc<StepStore>,
        run: Arc<dyn RunApi>,
    ) -> Self {
        Context {
            task,
            key,
            path,
            attempt,
            scope: scope.state(),
            steps,
            run,
        }
    }

    /// The task's stable name.
    pub fn task(&self) -> &'static str {
        self.task
    }

    /// The task's key.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Where the output will be, relative to the workspace.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Which attempt this is in this run, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns `true` once the run is stopping or the attempt is over.
    ///
    /// When the run is stopping, nothing new starts, and what runs has the rest of the grace to save what it has and
    /// return `Err(kart::interrupted().into())`. An attempt is over at its task's `timeout`: a plain `fn`, which no
    /// one can stop from outside, asks between the pieces of its work, and returns. Its result is not kept, and
    /// nothing that it saves.
    pub fn is_stopping(&self) -> bool {
        self.scope.stop.is_stopping()
    }

    /// Waits until the run is stopping or the attempt is over; see [`is_stopping`](Self::is_stopping).
    pub async fn stopped(&self) {
        self.scope.stop.stopped().await;
    }

    /// An empty file to be written and returned as an output; see [`File`]. It lies on the disk of a workspace
    /// that is a directory, and is deleted unless it is returned.
    ///
    /// # Errors
    ///
    /// It could not be made.
    pub fn new_file(&self) -> io::Result<File> {
        self.steps.workspace.new_file()
    }

    /// A new [`File`] to be written as an [`AsyncWrite`](tokio::io::AsyncWrite), in bounded memory.
    ///
    /// # Errors
    ///
    /// It could not be made.
    ///
    /// # Examples
    ///
    /// ```
    /// use kart::{Context, File, task};
    /// use tokio::io::AsyncWriteExt as _;
    ///
    /// #[task(path = "{key}.txt")]
    /// async fn lines(#[context] cx: &Context) -> std::io::Result<File> {
    ///     let mut writer = cx.writer().await?;
    ///     for n in 0..1000 {
    ///         writer.write_all(format!("line {n}\n").as_bytes()).await?;
    ///     }
    ///     writer.finish().await
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kart::RunError> {
    /// let workspace = kart::Workspace::open("memory://")?;
    /// let lines = kart::build(Lines, &workspace).await?;
    /// assert!(lines.size().is_ok_and(|size| size > 8000));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn writer(&self) -> io::Result<Writer> {
        Writer::new(self.new_file()?).await
    }

    fn steps(&self) -> &StepStore {
        &self.steps
    }

    /// Says how far the body is: `done` of `total` pieces of whatever it counts. Watchers of the run see it
    /// as [`Event::Progress`](crate::Event::Progress), a few times a second at most, and the last in any
    /// case; so it may be said as often as one likes.
    pub fn progress(&self, done: u64, total: u64) {
        self.run.progress(done, total);
    }

    /// Says what the body is at, in words; see [`progress`](Self::progress). Secret parameters are shown as `***`.
    pub fn message(&self, message: impl Into<String>) {
        let message = message.into();
        self.run.message(self.scope.redactor.redact(message));
    }

    /// The output of another task, which the run makes if it is not there: for what a body learns
    /// only while it runs. Like any other task it runs once in a run, however many require it.
    ///
    /// While the body waits it holds no worker and no units of limits, and the time does not count
    /// towards its `timeout`. It may wait for several tasks at once, with `tokio::try_join!` or
    /// `futures_util::future::try_join_all`.
    ///
    /// What is asked for is no part of this task's key: it has to follow from the parameters and
    /// from what the task requires.
    ///
    /// # Errors
    ///
    /// [`Error::Required`] if the task did not complete; a body that fails with it counts as
    /// blocked, and is not retried. [`Error::Cycle`] if the task waits for this one,
    /// [`Error::Interrupted`] if the run stops first, and those of a plan, such as [`Error::Key`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kart::{Context, task};
    ///
    /// #[task]
    /// async fn page(number: u32) -> kart::Result<Vec<u32>> {
    ///     Ok(if number < 4 { vec![number + 2, number + 1] } else { vec![] })
    /// }
    ///
    /// /// How many pages can be reached.
    /// #[task]
    /// async fn crawl(start: u32, #[context] cx: &Context) -> kart::Result<usize> {
    ///     let mut seen = std::collections::BTreeSet::from([start]);
    ///     let mut open = vec![start];
    ///     while let Some(number) = open.pop() {
    ///         let links = cx.get(Page { number }).await?;
    ///         open.extend(links.iter().filter(|link| seen.insert(**link)));
    ///     }
    ///     Ok(seen.len())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kart::RunError> {
    /// let workspace = kart::Workspace::open("memory://")?;
    /// assert_eq!(*kart::build(Crawl { start: 1 }, &workspace).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get<T: Task>(&self, task: T) -> Result<Arc<T::Output>, Error> {
        let output = self.run.get(Arc::new(task)).await?;
        output.downcast().map_err(|_| {
            Error::Wire("the output has another type than its task: a bug in kart".to_owned())
        })
    }
}
