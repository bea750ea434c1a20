//! SIGTERM and Ctrl-C: the first stops the run in good order, a second Ctrl-C ends it at once.

use kart_core::StopToken;

use crate::print;
use crate::progress::screen;

/// The exit status of a process that Ctrl-C ended, as shells count it.
const CTRL_C: i32 = 130;

/// Asks `stop` to stop when the process is told to end. Lasts as long as the runtime.
pub(crate) fn listen(stop: StopToken) {
    tokio::spawn(async move {
        told_to_end().await;
        stop.stop();
        if tokio::signal::ctrl_c().await.is_ok() {
            screen::hold(|| {
                print::note("ended at once");
                std::process::exit(CTRL_C)
            });
        }
    });
}

#[cfg(unix)]
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(not(unix))]
async fn told_to_end() {
    let _ = tokio::signal::ctrl_c().await;
}
