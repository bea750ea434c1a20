//! `run`: what is missing is run, and the summary says what came of it.

use std::sync::Arc;

use kart_core::{RunError, Runner, Stop, Task, TaskExt as _, Workspace};
use tracing::Instrument as _;

use crate::args::Settings;
use crate::logging::{LogSettings, Logged};
use crate::progress::Progress;
use crate::telemetry::Telemetry;
use crate::{End, FAILED, INTERRUPTED, WRONG_USE};
use crate::{print, signals};

pub(crate) fn runner(workspace: &Workspace, settings: &Settings) -> Runner {
    let mut runner = Runner::new(workspace)
        .coordination(settings.coordination)
        .on_code_change(settings.on_code_change);
    if let Some(workers) = settings.workers {
        runner = runner.workers(workers);
    }
    if let Some(deadline) = settings.deadline {
        runner = runner.deadline(deadline);
    }
    if let Some(grace) = settings.grace {
        runner = runner.grace(grace);
    }
    if let Some(ttl) = settings.ttl {
        runner = runner.ttl(ttl);
    }
    if let Some(wait) = settings.wait {
        runner = runner.wait(wait);
    }
    for (name, units) in &settings.limits {
        runner = runner.limit(name, *units);
    }
    for name in &settings.rerun {
        runner = runner.rerun(name);
    }
    runner
}

/// What no further run could mend is wrong use: an unknown name to run again, a parameter without a
/// key, two tasks on one path, a missing resource.
pub(crate) fn end(error: &RunError) -> End {
    let status = match error {
        RunError::Settings(_) | RunError::Plan(_) | RunError::Resources(_) => WRONG_USE,
        RunError::Interrupted(_) | RunError::Busy(_) => INTERRUPTED,
        _ => FAILED,
    };
    let hint = match error {
        RunError::Busy(_) => {
            "\nrun again later, wait for it with --wait 10m, or start all of them with --shared"
        }
        RunError::Resources(_) => "\n`kart::main!(Root, |runner| runner.resource(..))` gives them",
        _ => "",
    };
    End::new(status, format!("error: {error:#}{hint}"))
}

/// How what happens can be seen.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) log: LogSettings,
    pub(crate) logged: Logged,
    pub(crate) telemetry: Arc<Telemetry>,
}

pub(crate) async fn run<T: Task>(root: T, runner: Runner, watched: Watched) -> Result<(), End> {
    let Watched {
        log,
        logged,
        telemetry,
    } = watched;
    let stop = Stop::new();
    signals::listen(stop.clone());
    let progress = Arc::new(Progress::new(log.look(), log.is_colored(), logged.events));
    let shown = Arc::clone(&progress);
    let runner = runner.stop(&stop).on_event(move |event| {
        shown.event(event);
        telemetry.event(event);
    });
    // All attempts of a run are one trace.
    let span = tracing::info_span!(target: "kart::run", "run", root = T::spec().name);
    let result = runner.run(root).instrument(span).await;
    progress.finish();
    match result {
        Ok(report) => {
            if !log.quiet {
                print::summary(&report);
            }
            Ok(())
        }
        Err(error) => {
            if let Some(report) = error.report() {
                print::summary(report);
            }
            Err(end(&error))
        }
    }
}
