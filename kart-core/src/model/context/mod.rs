//! The context of an attempt: what a body can ask and do.

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
pub(crate) use step_store::{SaveScope, StepStore};
pub use writer::Writer;

use self::scope::ScopeState;
use super::task::{DynTask, Erased, Task};
use crate::error::Error;
use crate::format::File;
use crate::key::Key;

/// What a run does for the body of one attempt.
pub(crate) trait RunApi: Debug + Send + Sync {
    /// Returns the output of a task, which the run makes if it is missing.
    fn get(&self, task: Arc<dyn DynTask>) -> OutputFuture<'_>;

    /// Reports progress.
    fn progress(&self, done: u64, total: u64);

    /// Reports what the body is doing.
    fn message(&self, message: String);

    /// Reports that the body resumes from what other code has saved.
    fn resumes_stale_state(&self);
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
    /// When the run is stopping, nothing starts any more, and running bodies have the rest of the grace period to save
    /// their state and return `Err(kart::interrupted().into())`. An attempt is over at its task's `timeout`: a plain `fn`
    /// cannot be stopped from outside, so it should check this between the pieces of its work, and return. Its result is
    /// dropped, and its saves are refused.
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

    /// Copies a file to one that may be changed, and returned as an output. A required [`File`] is read-only.
    ///
    /// The copy is made on the thread that calls; where the file system shares blocks between files, it copies none.
    ///
    /// # Errors
    ///
    /// The file could not be read, or the copy not be written.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write as _;
    ///
    /// use kart::{Context, File, task};
    ///
    /// #[task(path = "log.txt")]
    /// fn log() -> std::io::Result<File> {
    ///     let file = File::at("log.txt");
    ///     # Ok(file)
    /// }
    ///
    /// #[task(path = "signed.txt")]
    /// fn signed(#[requires(Log)] log: &File, #[context] cx: &Context) -> std::io::Result<File> {
    ///     let copy = cx.copy(log)?;
    ///     let mut text = std::fs::OpenOptions::new().append(true).open(copy.path())?;
    ///     writeln!(text, "signed")?;
    ///     Ok(copy)
    /// }
    /// ```
    pub fn copy(&self, file: &File) -> io::Result<File> {
        let copy = self.new_file()?;
        io::copy(&mut file.open()?, &mut copy.create()?)?;
        Ok(copy)
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

    /// Reports the progress of the body: `done` of `total` pieces. It appears as
    /// [`Event::Progress`](crate::Event::Progress), a few times a second at most and the last one in any case, so you can
    /// call it as often as you like.
    pub fn progress(&self, done: u64, total: u64) {
        self.run.progress(done, total);
    }

    /// Reports what the body is doing, in words; see [`progress`](Self::progress). Secret parameters are shown as `***`.
    pub fn message(&self, message: impl Into<String>) {
        let message = message.into();
        self.run.message(self.scope.redactor.redact(message));
    }

    /// Returns the output of another task, running it first if needed, at most once in a run however many tasks ask. Use it
    /// for tasks that a body learns of only while it runs.
    ///
    /// While the body waits it holds no worker and no limits, and its `timeout` stands still. It may wait for several
    /// subtasks at once, with `tokio::try_join!` or `futures_util::future::try_join_all`.
    ///
    /// Subtasks are no part of this task's key: they have to follow from its parameters and requirements.
    ///
    /// # Errors
    ///
    /// [`Error::Required`] if the subtask failed, also because the runner lacks a resource or limit that it needs; a body
    /// that returns this error is blocked, and not retried. [`Error::Cycle`] if the subtask waits for this task,
    /// [`Error::Interrupted`] if the subtask was interrupted or the run stops first, and errors of a plan, such as
    /// [`Error::Key`].
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
