//! Runs that meet in one workspace: which one runs what, which one waits, and which one takes over.

#[path = "../common/mod.rs"]
mod common;

mod circles;
mod commits;
mod costs;
mod joining;
mod loss;
mod takeover;

use std::sync::Arc;
use std::time::Duration;

use common::Log;
use kart::{Event, Runner, Workspace, task};
use tokio::sync::Notify;

const SECOND: Duration = Duration::from_secs(1);

#[task]
async fn unit(n: u64, #[resource] log: &Log) -> kart::Result<u64> {
    log.note(format!("unit {n}"));
    tokio::time::sleep(SECOND).await;
    Ok(n)
}

#[task]
async fn sum(#[requires((0..40).map(|n| Unit { n }))] units: Vec<u64>) -> kart::Result<u64> {
    Ok(units.iter().sum())
}

fn runner(workspace: &Workspace, log: &Log) -> Runner {
    Runner::new(workspace)
        .run_log(false)
        .workers(4)
        .resource(log.clone())
}

/// A runner, and what is notified when its first task has started.
fn started(runner: Runner) -> (Runner, Arc<Notify>) {
    let started = Arc::new(Notify::new());
    let notify = Arc::clone(&started);
    let runner = runner.on_event(move |event| {
        if matches!(event, Event::Started { .. }) {
            notify.notify_one();
        }
    });
    (runner, started)
}

async fn all_objects(workspace: &Workspace) -> Vec<String> {
    workspace.list("_kart").await.unwrap()
}
