//! Attempts that resume where others stopped: steps, saved states, long loops, progress.

#[path = "../common/mod.rs"]
mod common;

mod loops;
mod makings;
mod over;
mod stale;
mod steps;
mod torn;

use std::time::Duration;

use common::Log;
use kart::{Runner, Workspace};

const SECOND: Duration = Duration::from_secs(1);

fn runner(workspace: &Workspace, log: &Log) -> Runner {
    Runner::new(workspace).resource(log.clone())
}

/// What tasks have saved for their own resumption.
async fn saved(workspace: &Workspace) -> Vec<String> {
    workspace.list("_kart/steps").await.unwrap()
}

/// The whole story of a run that failed.
async fn story(runner: &Runner, task: impl kart::Task) -> String {
    format!("{:#}", runner.run(task).await.unwrap_err())
}
