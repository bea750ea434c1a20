//! A running program with everything that it has started: a process group, and the thread that waits for it.

use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use wait4::{ResUse, Wait4 as _};

use super::lines::Log;

/// How a program ended.
#[derive(Clone, Debug)]
pub(super) enum Exit {
    /// With status 0, and what it wrote to its standard output where that is kept.
    Success(Vec<u8>),
    /// Otherwise; how, in words.
    Failure(String),
}

/// A program with everything that it has started.
#[derive(Debug)]
pub(super) struct Group {
    /// `None` once all have ended: the id may be that of others then.
    leader: Mutex<Option<Leader>>,
    exit: watch::Sender<Option<Exit>>,
}

pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command.spawn()
}

impl Group {
    /// Waits for the program on a thread, and for its lines on others.
    pub(super) fn supervise(
        mut child: Child,
        log: &Log,
        keeps_stdout: bool,
        grace: Duration,
    ) -> io::Result<Arc<Self>> {
        let stderr = child.stderr.take().map(|pipe| log.follow(pipe, true));
        let stdout = child.stdout.take().map(|pipe| {
            if keeps_stdout {
                log.keep(pipe)
            } else {
                log.follow(pipe, false)
            }
        });
        let leader = Leader::of(&child);
        let group = Arc::new(Group {
            leader: Mutex::new(Some(leader.clone())),
            exit: watch::Sender::new(None),
        });
        let readers = [stderr, stdout];
        let (watched, log, started) = (Arc::clone(&group), log.clone(), Instant::now());
        let wait = move || {
            let usage = wait(child, &leader, || {
                let deadline = Instant::now() + grace;
                for reader in readers.iter().flatten() {
                    reader.wait_until(deadline);
                }
                watched.end();
            });
            // What left the group may hold the pipe for ever.
            let deadline = Instant::now() + LAST_LINES;
            for reader in readers.iter().flatten() {
                reader.wait_until(deadline);
            }
            watched.exit.send_replace(Some(match usage {
                Ok(usage) => {
                    log.ended(&usage, started.elapsed());
                    if usage.status.success() {
                        Exit::Success(log.kept())
                    } else {
                        Exit::Failure(usage.status.to_string())
                    }
                }
                Err(error) => Exit::Failure(format!("no status: {error}")),
            }));
        };
        let name = "kart-command".to_owned();
        thread::Builder::new()
            .name(name)
            .spawn(wait)
            .inspect_err(|_| group.kill())?;
        Ok(group)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.exit.borrow().is_some()
    }

    /// Waits for the end of the program and of what it has started.
    pub(super) async fn exited(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        // The sender lives as long as `self`.
        let exit = exit.wait_for(Option::is_some).await;
        let exit = exit.ok().and_then(|exit| exit.clone());
        exit.unwrap_or_else(|| Exit::Failure("no status".into()))
    }

    /// Ends all of it, by force when the grace is over, or when this is dropped.
    pub(super) async fn terminate(self: &Arc<Self>, grace: Duration) {
        let killing = super::Killing(vec![Arc::clone(self)]);
        self.signal(Leader::terminate);
        let _ = tokio::time::timeout(grace, self.exited()).await;
        drop(killing);
        // Not for ever: not even a killed program ends in the middle of what a disk does not answer.
        let _ = tokio::time::timeout(LAST_LINES, self.exited()).await;
    }

    /// Ends all of it by force.
    pub(super) fn kill(&self) {
        self.signal(Leader::kill);
    }

    fn signal(&self, send: impl FnOnce(&Leader)) {
        let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        leader.as_ref().inspect(|leader| send(leader));
    }

    /// Ends by force what the program has left behind; from now on nobody sends a signal.
    fn end(&self) {
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leader) = leader.take() {
            leader.kill();
        }
    }
}

/// How long the last lines are waited for once all have ended.
const LAST_LINES: Duration = Duration::from_secs(1);

#[cfg(unix)]
#[derive(Clone, Debug)]
struct Leader(Option<rustix::process::Pid>);

#[cfg(unix)]
impl Leader {
    fn of(child: &Child) -> Self {
        let pid = i32::try_from(child.id()).ok();
        Leader(pid.and_then(rustix::process::Pid::from_raw))
    }

    fn terminate(&self) {
        self.send(rustix::process::Signal::TERM);
    }

    fn kill(&self) {
        self.send(rustix::process::Signal::KILL);
    }

    fn send(&self, signal: rustix::process::Signal) {
        if let Some(pid) = self.0 {
            // None may be left.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }
}

/// Waits for the program; `before` runs while its process id, and so that of its group, is still its own.
#[cfg(unix)]
fn wait(child: Child, leader: &Leader, before: impl FnOnce()) -> io::Result<ResUse> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    if let Leader(Some(pid)) = *leader {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(pid), options).is_err_and(|error| error == rustix::io::Errno::INTR)
        {
        }
    }
    before();
    child.wait4()
}

/// Without process groups the program alone is ended, by who waits for it.
#[cfg(not(unix))]
#[derive(Clone, Debug)]
struct Leader(Arc<std::sync::atomic::AtomicBool>);

#[cfg(not(unix))]
impl Leader {
    fn of(_: &Child) -> Self {
        Leader(Arc::default())
    }

    fn terminate(&self) {
        self.kill();
    }

    fn kill(&self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(not(unix))]
fn wait(mut child: Child, leader: &Leader, before: impl FnOnce()) -> io::Result<ResUse> {
    let usage = loop {
        if leader.0.load(std::sync::atomic::Ordering::Relaxed) {
            let _ = child.kill();
        }
        if let Some(usage) = child.try_wait4()? {
            break usage;
        }
        thread::sleep(Duration::from_millis(20));
    };
    before();
    Ok(usage)
}
