//! `run`: what is missing is run, and the summary says what came of it.

use kart_core::{RunError, Runner, Stop, Task, Workspace};

use crate::args::Settings;
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

pub(crate) async fn run<T: Task>(root: T, runner: Runner) -> Result<(), End> {
    let stop = Stop::new();
    signals::listen(stop.clone());
    let runner = runner.stop(&stop).on_event(print::event);
    match runner.run(root).await {
        Ok(report) => {
            print::summary(&report);
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
