//! `run`: what is missing is run, and the summary says what came of it.

use kart_core::{RunError, Runner, Task, Workspace};

use crate::Stop;
use crate::args::Settings;
use crate::print;

pub(crate) fn runner(workspace: &Workspace, settings: &Settings) -> Runner {
    let mut runner = Runner::new(workspace);
    if let Some(workers) = settings.workers {
        runner = runner.workers(workers);
    }
    for (name, units) in &settings.limits {
        runner = runner.limit(name, *units);
    }
    for name in &settings.rerun {
        runner = runner.rerun(name);
    }
    runner
}

/// Settings that do not fit the tasks, such as an unknown name to run again, are wrong use.
pub(crate) fn stop(error: &RunError) -> Stop {
    let message = format!("error: {error:#}");
    match error {
        RunError::Settings(_) => Stop::wrong_use(message),
        _ => Stop::failed(message),
    }
}

pub(crate) async fn run<T: Task>(
    root: T,
    workspace: &Workspace,
    settings: &Settings,
) -> Result<(), Stop> {
    let runner = runner(workspace, settings).on_event(print::event);
    match runner.run(root).await {
        Ok(report) => {
            print::summary(&report);
            Ok(())
        }
        Err(error) => {
            if let Some(report) = error.report() {
                print::summary(report);
            }
            Err(stop(&error))
        }
    }
}
