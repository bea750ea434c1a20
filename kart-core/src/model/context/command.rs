//! `cx.command`: bodies that are other programs.

mod group;
mod lines;

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;

use self::group::{Exit, Group};
use super::Context;
use super::scope::ScopeState;
use crate::error::{Error, interrupted};

/// A program that a body runs, made by [`Context::command`].
///
/// It runs in a process group of its own, with everything that it starts. When the run stops or the attempt times out
/// they get SIGTERM, and when the grace is over or the attempt is dropped, SIGKILL. What the program writes to its
/// standard error, and to its standard output unless [`stdout`](Self::stdout) or [`output`](Self::output) takes it,
/// goes to the task's log, line by line, with `***` for secret parameters.
///
/// Its arguments can be seen by everybody on the machine: give it secrets by [`env`](Self::env).
#[must_use = "a command does nothing unless it is run"]
pub struct Command {
    program: String,
    inner: std::process::Command,
    has_stdout: bool,
    scope: Arc<ScopeState>,
}

impl Context {
    /// Returns a command that runs a program and ends with this attempt; see [`Command`]. A plain `fn` runs it by
    /// [`block_on`](Self::block_on).
    ///
    /// # Examples
    ///
    /// ```
    /// use kart::{Context, task};
    ///
    /// #[task]
    /// async fn version(program: &str, #[context] cx: &Context) -> kart::Result<String> {
    ///     let output = cx.command(program).arg("--version").output().await?;
    ///     Ok(String::from_utf8_lossy(&output).into_owned())
    /// }
    ///
    /// /// The same in a plain function, with a file as the output.
    /// #[task(path = "{name}.tar", format = kart::format::Raw)]
    /// fn archive(name: &str, #[context] cx: &Context) -> anyhow::Result<kart::File> {
    ///     let file = cx.new_file()?;
    ///     let tar = cx.command("tar").arg("-cf").arg(file.path()).arg(name);
    ///     cx.block_on(tar.run())?;
    ///     Ok(file)
    /// }
    /// ```
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut inner = std::process::Command::new(program.as_ref());
        inner.stdin(Stdio::null());
        Command {
            program: program.as_ref().to_string_lossy().into_owned(),
            inner,
            has_stdout: false,
            scope: Arc::clone(&self.scope),
        }
    }
}

impl Command {
    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.inner.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Sets the directory that the program starts in.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.inner.current_dir(directory);
        self
    }

    /// Sets the standard input, such as a file; empty by default.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.inner.stdin(stdin);
        self
    }

    /// Sets the standard output, such as a file; the task's log by default.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.inner.stdout(stdout);
        self.has_stdout = true;
        self
    }

    /// Runs the program to its end.
    ///
    /// What it leaves running is waited for as long as it holds the program's standard error or output, for the grace
    /// at most, and killed then.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] if the program could not be started, or ended otherwise than with status 0; it shows the last
    /// lines of its standard error. [`Error::Interrupted`] if the run stopped or the attempt was over meanwhile: a
    /// program that was told to end is never taken for one that succeeded.
    pub async fn run(mut self) -> Result<(), Error> {
        if !self.has_stdout {
            self.inner.stdout(Stdio::piped());
        }
        self.finish(false).await.map(drop)
    }

    /// Runs the program to its end and returns its standard output; see [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    pub async fn output(mut self) -> Result<Vec<u8>, Error> {
        self.inner.stdout(Stdio::piped());
        self.finish(true).await
    }

    async fn finish(mut self, keeps_stdout: bool) -> Result<Vec<u8>, Error> {
        let scope = &self.scope;
        if scope.stop.is_stopping() {
            return Err(interrupted().into());
        }
        let failed = |outcome: String, source: crate::error::BoxError| Error::Command {
            program: self.program.clone(),
            outcome,
            source,
        };
        self.inner.stderr(Stdio::piped());
        let child = group::spawn(&mut self.inner);
        let child = child.map_err(|error| failed("could not be started".into(), error.into()))?;
        let log = lines::Log::new(&self.program, &scope.redactor);
        let group = Group::supervise(child, &log, keeps_stdout, scope.grace)
            .map_err(|error| failed("could not be watched".into(), error.into()))?;
        scope.commands.insert(&group);
        let running = Running { group, scope };
        let exit = tokio::select! {
            biased;
            () = scope.stop.stopped() => {
                running.group.terminate(scope.grace).await;
                return Err(interrupted().into());
            }
            exit = running.group.exited() => exit,
        };
        match exit {
            Exit::Success(stdout) => Ok(stdout),
            Exit::Failure(status) => {
                let source = log.last_lines().into();
                Err(failed(format!("ended with {status}"), source))
            }
        }
    }
}

/// Shows no arguments: they may be secret.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// A command that is waited for; dropped, it has the grace to end.
struct Running<'a> {
    group: Arc<Group>,
    scope: &'a ScopeState,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.group.is_gone() {
            return;
        }
        let (group, grace) = (Arc::clone(&self.group), self.scope.grace);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { group.terminate(grace).await })),
            Err(_) => group.kill(),
        }
    }
}

/// The commands of an attempt that are running.
#[derive(Debug, Default)]
pub(super) struct Commands(Mutex<Vec<Arc<Group>>>);

impl Commands {
    fn insert(&self, group: &Arc<Group>) {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|group| !group.is_gone());
        groups.push(Arc::clone(group));
    }

    fn take(&self) -> Vec<Arc<Group>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends all, by force when the grace is over.
    pub(super) async fn terminate(&self, grace: Duration) {
        let groups = Killing(self.take());
        join_all(groups.0.iter().map(|group| group.terminate(grace))).await;
    }

    /// Ends all by force.
    pub(super) fn kill(&self) {
        drop(Killing(self.take()));
    }
}

/// Groups that are killed when this is dropped.
struct Killing(Vec<Arc<Group>>);

impl Drop for Killing {
    fn drop(&mut self) {
        for group in &self.0 {
            group.kill();
        }
    }
}
