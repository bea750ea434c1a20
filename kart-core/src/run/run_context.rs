//! What every attempt of a run works with.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::Span;

use super::coordination::Leases;
use super::mailbox::Mailbox;
use super::message::Message;
use super::output_cache::OutputCache;
use super::remote::executor::Executor;
use super::settings::Settings;
use crate::model::{Resources, StopToken};
use crate::plan::Graph;
use crate::workspace::{CommitGuard, Workspace};

#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) graph: Arc<Graph>,
    pub(crate) workspace: Workspace,
    pub(crate) resources: Arc<Resources>,
    pub(crate) outputs: Arc<OutputCache>,
    /// Tells bodies that the run is stopping.
    pub(crate) stop: StopToken,
    pub(crate) grace: Duration,
    /// Open as long as the run may commit anything: until its end, or until it has lost what it holds as a whole.
    pub(crate) guard: CommitGuard,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) leases: Leases,
    /// Where attempts are made, if not here.
    pub(crate) executor: Option<Arc<dyn Executor>>,
    /// Whether an output of a remote attempt has been seen in the directory of this process.
    pub(crate) shared_dir_verified: AtomicBool,
    /// The kinds of tasks whose last output was large.
    pub(crate) large: Mutex<HashSet<&'static str>>,
    /// The span in which the run was started.
    pub(crate) span: Span,
    subtasks: AtomicU64,
}

impl RunContext {
    pub(crate) fn new(settings: &Settings, graph: &Arc<Graph>, leases: &Leases) -> Arc<Self> {
        Arc::new(RunContext {
            graph: Arc::clone(graph),
            workspace: settings.workspace.clone(),
            resources: Arc::new(settings.resources.clone()),
            outputs: Arc::new(OutputCache::new(settings.memory_budget)),
            stop: StopToken::new(),
            grace: settings.grace,
            guard: guard(leases),
            mailbox: Arc::default(),
            leases: leases.clone(),
            executor: settings.executor.clone(),
            shared_dir_verified: AtomicBool::new(false),
            large: Mutex::default(),
            span: Span::current(),
            subtasks: AtomicU64::new(0),
        })
    }

    pub(crate) fn send(&self, message: Message) {
        self.mailbox.send(message);
    }

    /// Returns a number for a request for a subtask.
    pub(crate) fn next_subtask(&self) -> u64 {
        self.subtasks.fetch_add(1, Ordering::Relaxed)
    }
}

fn guard(leases: &Leases) -> CommitGuard {
    match leases.root() {
        Some(root) => CommitGuard::with_check(Arc::new(move || root.is_held())),
        None => CommitGuard::open(),
    }
}

/// Ends what attempts may still do when the run is over, also when it is dropped: nothing is committed, and bodies that
/// wait for the run get their answer.
#[derive(Debug)]
pub(crate) struct EndOnDrop(pub(crate) Arc<RunContext>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.guard.close();
        self.0.stop.stop();
        self.0.mailbox.close();
    }
}
