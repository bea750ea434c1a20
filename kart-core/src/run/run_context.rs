//! What all attempts of a run share.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::Span;

use super::coordination::Leases;
use super::executor::Executor;
use super::fresh::Fresh;
use super::mailbox::Mailbox;
use super::message::Message;
use super::output_cache::OutputCache;
use super::reruns::Reruns;
use super::settings::Settings;
use crate::model::{Resources, StopToken, TypeChanges, Verifier};
use crate::plan::Graph;
use crate::run_id::RunId;
use crate::workspace::{CommitGuard, Workspace};

#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) graph: Arc<Graph>,
    pub(crate) workspace: Workspace,
    pub(crate) resources: Arc<Resources>,
    pub(crate) outputs: Arc<OutputCache>,
    pub(crate) verifier: Arc<Verifier>,
    /// Shows bodies that the run is stopping.
    pub(crate) stop: StopToken,
    pub(crate) grace: Duration,
    /// Open while the run may commit: until its end, or until it loses the lease on its roots.
    pub(crate) guard: CommitGuard,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) leases: Leases,
    pub(crate) reruns: Reruns,
    pub(crate) type_changes: Arc<TypeChanges>,
    pub(crate) fresh: Fresh,
    /// The run, if it is one of its own.
    pub(crate) run_id: Option<RunId>,
    /// Makes the attempts, if not this process.
    pub(crate) executor: Option<Arc<dyn Executor>>,
    /// Whether this process has seen an output of a remote attempt in its own directory.
    pub(crate) shared_dir_verified: AtomicBool,
    /// The names of tasks whose last output was large.
    pub(crate) large: Mutex<HashSet<&'static str>>,
    /// The span in which the run was started.
    pub(crate) span: Span,
    subtasks: AtomicU64,
}

impl RunContext {
    pub(crate) fn new(
        settings: &Settings,
        graph: &Arc<Graph>,
        leases: &Leases,
        reruns: Reruns,
        run_id: Option<RunId>,
    ) -> Arc<Self> {
        Arc::new(RunContext {
            graph: Arc::clone(graph),
            workspace: settings.workspace.clone(),
            resources: Arc::new(settings.resources.clone()),
            outputs: Arc::new(OutputCache::new(settings.memory_budget)),
            verifier: Arc::new(Verifier::new(settings.verify)),
            stop: StopToken::new(),
            grace: settings.grace,
            guard: guard(leases),
            mailbox: Arc::default(),
            leases: leases.clone(),
            reruns,
            type_changes: Arc::new(TypeChanges::new(settings.on_type_change)),
            fresh: Fresh::new(&settings.fresh),
            run_id,
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

    /// Returns an id for a request for a subtask.
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

/// Ends the attempts when the run is over or dropped: they commit nothing any more, and bodies that wait for the run get
/// an answer.
#[derive(Debug)]
pub(crate) struct EndOnDrop(pub(crate) Arc<RunContext>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.guard.close();
        self.0.stop.stop();
        self.0.mailbox.close();
    }
}
