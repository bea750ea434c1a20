//! SIGTERM, SIGHUP and Ctrl-C: the first stops the run gracefully, a second Ctrl-C ends the process at once.

use std::time::{Duration, Instant};

use kart_core::StopToken;

use crate::print;
use crate::progress::screen;

/// The exit status of a process that Ctrl-C ended, as shells count it.
const CTRL_C: i32 = 130;

/// Signals within that time of the first are the same one: `timeout -s INT` sends it to a process and to its group.
const ONE_SIGNAL: Duration = Duration::from_millis(200);

/// Stops `stop` when the process is told to end. Lasts as long as the runtime.
pub(crate) fn listen(stop: StopToken) {
    let mut signals = Signals::new();
    tokio::spawn(async move {
        signals.any().await;
        stop.stop();
        let first = Instant::now();
        loop {
            signals.ctrl_c().await;
            if first.elapsed() >= ONE_SIGNAL {
                screen::hold(|| {
                    print::note("ended at once");
                    std::process::exit(CTRL_C)
                });
            }
        }
    });
}

/// The signals that end a process.
#[cfg(unix)]
struct Signals {
    terminate: Option<tokio::signal::unix::Signal>,
    hang_up: Option<tokio::signal::unix::Signal>,
    interrupt: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let hang_up = || signal(SignalKind::hangup()).ok();
        Signals {
            terminate: signal(SignalKind::terminate()).ok(),
            hang_up: if ignores_hang_up() { None } else { hang_up() },
            interrupt: signal(SignalKind::interrupt()).ok(),
        }
    }

    async fn any(&mut self) {
        tokio::select! {
            () = next(&mut self.terminate) => {}
            () = next(&mut self.hang_up) => {}
            () = next(&mut self.interrupt) => {}
        }
    }

    async fn ctrl_c(&mut self) {
        next(&mut self.interrupt).await;
    }
}

/// Waits for the next signal; for ever where none can come.
#[cfg(unix)]
async fn next(signal: &mut Option<tokio::signal::unix::Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Returns `true` below `nohup`, which ignores SIGHUP for the programs that it starts. Known on Linux alone.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is signal 1, the lowest bit.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Self {
        Signals
    }

    async fn any(&mut self) {
        self.ctrl_c().await;
    }

    async fn ctrl_c(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
