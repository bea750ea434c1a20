//! What starts while the survey is still asking: where that takes long, tasks that surely run and wait for nothing.
//!
//! A survey goes level by level, so that a deep graph in a bucket takes a request's time for each level. Whatever is
//! found missing on the way and requires nothing that is missing can run meanwhile. The run begins with the end of the
//! survey all the same: its schedule takes over what has begun, and its events tell of it after the plan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};

use crate::log::Known;
use crate::model::{NodeId, TaskSpec};
use crate::plan::{Graph, Status, Watch};
use crate::run::attempt::{AttemptEnd, AttemptJob, AttemptResult, RunContext, attempt};
use crate::run::coordination::Leases;
use crate::run::runner::Runner;
use crate::run::shutdown;

/// Most surveys end sooner, and the whole schedule knows better what is to go first.
const EARLY_START_DELAY: Duration = Duration::from_millis(200);

/// The attempts that began before the run did.
#[derive(Debug, Default)]
pub(crate) struct EarlyAttempts {
    pub(crate) works: Vec<(AttemptJob, Instant)>,
    pub(crate) ended: Vec<AttemptResult>,
    /// Those that are under way.
    pub(crate) lanes: JoinSet<AttemptResult>,
    /// How large the outputs of those that ended are.
    bytes: u64,
}

/// What can start before the run does, as far as the survey has come.
pub(crate) struct EarlyStarter<'a> {
    runner: &'a Runner,
    graph: &'a Graph,
    known: &'a Known,
    run_context: Arc<RunContext>,
    deadline: Option<Instant>,
    began: Instant,
    found: Mutex<ForeignStatus>,
    bell: Notify,
}

/// What the survey has found so far.
#[derive(Debug, Default)]
struct ForeignStatus {
    levels: u32,
    /// What of the last level requires something.
    open: Vec<NodeId>,
    ready: BinaryHeap<Ready>,
}

/// What goes first goes by its priority, and by how far down it was found, as in any schedule; then by chance, where
/// others look for work at the same places.
type Ready = (i32, u32, u32, Reverse<NodeId>);

impl<'a> EarlyStarter<'a> {
    pub(crate) fn new(
        runner: &'a Runner,
        graph: &'a Graph,
        known: &'a Known,
        run_context: &Arc<RunContext>,
        started: Instant,
    ) -> Self {
        EarlyStarter {
            runner,
            graph,
            known,
            run_context: Arc::clone(run_context),
            deadline: shutdown::deadline(runner, started),
            began: Instant::now(),
            found: Mutex::default(),
            bell: Notify::new(),
        }
    }

    /// Waits for the survey, and begins beside it what can begin.
    pub(crate) async fn beside<T>(&self, survey: impl Future<Output = T>) -> (T, EarlyAttempts) {
        let mut survey = pin!(survey);
        let mut begun = EarlyAttempts::default();
        tokio::select! {
            biased;
            surveyed = &mut survey => return (surveyed, begun),
            () = sleep(EARLY_START_DELAY) => {}
        }
        let mut may_begin = None;
        let mut shutdown = pin!(shutdown::stop(self.runner.stop.clone(), self.deadline).fuse());
        let mut lost = pin!(self.run_context.ownership.lost().fuse());
        loop {
            if may_begin.is_none() && !self.found().ready.is_empty() {
                may_begin = Some(self.may_begin().await);
            }
            while may_begin == Some(true)
                && begun.lanes.len() < self.runner.workers
                && let Some(work) = self.next()
            {
                begun.works.push((work, Instant::now()));
                let run_context = Arc::clone(&self.run_context);
                begun
                    .lanes
                    .spawn(async move { attempt(&run_context, work).await });
            }
            tokio::select! {
                biased;
                surveyed = &mut survey => return (surveyed, begun),
                _ = &mut shutdown => {
                    self.run_context.stop.stop();
                    may_begin = Some(false);
                }
                () = &mut lost => {
                    // What runs is somebody else's now, and the run says so when it begins.
                    begun.lanes.abort_all();
                    may_begin = Some(false);
                }
                Some(ended) = begun.lanes.join_next() => {
                    let Some(attempted) = unless_cancelled(ended) else { continue };
                    if self.runner.fail_fast && matches!(attempted.end, AttemptEnd::Failed(_)) {
                        may_begin = Some(false);
                    }
                    begun.end(attempted, self.runner.memory_budget);
                }
                () = self.bell.notified() => {}
            }
        }
    }

    /// What any task of the graph lacks may be an error before anything runs.
    async fn may_begin(&self) -> bool {
        let specs = self.graph.nodes().map(|node| node.task.spec());
        self.runner.check(specs).is_ok() && self.runner.workspace.prepare().await.is_ok()
    }

    fn next(&self) -> Option<AttemptJob> {
        let mut found = self.found();
        loop {
            let (.., Reverse(node)) = found.ready.pop()?;
            if self.can_begin(self.graph.node(node).task.spec()) {
                return Some(AttemptJob {
                    node,
                    need: Status::Missing,
                    number: 1,
                });
            }
        }
    }

    /// Whether it uses nothing that is scarce, and there is the time for it.
    fn can_begin(&self, spec: &TaskSpec) -> bool {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let left = self.deadline.map(left);
        let fits = |expected| left.is_none_or(|left| expected <= left);
        let is_over = self.runner.stop.is_stopping() || left.is_some_and(|left| left.is_zero());
        let is_plain = spec.uses.is_empty() && !spec.external;
        is_plain && !is_over && self.known.expected(spec).is_none_or(fits)
    }

    fn found(&self) -> MutexGuard<'_, ForeignStatus> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for EarlyStarter<'_> {
    fn level(&self, asked: &[NodeId], needs: &[Status]) {
        let mut found = self.found();
        found.levels += 1;
        // It costs a look at each requirement, and most surveys end soon.
        let above = mem::take(&mut found.open);
        let above = above
            .into_iter()
            .filter(|_| self.began.elapsed() >= EARLY_START_DELAY);
        let is_complete = |node: NodeId| {
            let mut complete = true;
            let each = |below: NodeId| complete &= needs[below.index()].is_complete();
            self.graph.node(node).for_each_requirement(each);
            complete
        };
        let mut ready: Vec<NodeId> = above.filter(|node| is_complete(*node)).collect();
        for &node in asked {
            let task = self.graph.node(node);
            if needs[node.index()] != Status::Missing || !self.can_begin(task.task.spec()) {
                continue;
            }
            if task.requires.is_empty() {
                ready.push(node);
            } else {
                found.open.push(node);
            }
        }
        let levels = found.levels;
        let is_shared = matches!(self.run_context.ownership, Leases::PerTask(_));
        found.ready.extend(ready.into_iter().map(|node| {
            let priority = self.graph.node(node).task.spec().priority;
            let chance = if is_shared { fastrand::u32(..) } else { 0 };
            (priority, levels, chance, Reverse(node))
        }));
        self.bell.notify_one();
    }
}

/// The attempt, unless it was cut off. A panic goes on.
pub(crate) fn unless_cancelled(ended: Result<AttemptResult, JoinError>) -> Option<AttemptResult> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(attempted) => Some(attempted),
        Err(Ok(payload)) => resume_unwind(payload),
        Err(Err(_)) => None,
    }
}

impl EarlyAttempts {
    /// Keeps no more outputs in memory than the run is to.
    fn end(&mut self, mut attempted: AttemptResult, budget: usize) {
        if let AttemptEnd::Published(published) = &mut attempted.end {
            self.bytes = self.bytes.saturating_add(published.bytes);
            if self.bytes > budget as u64 {
                published.output = None;
            }
        }
        self.ended.push(attempted);
    }
}
