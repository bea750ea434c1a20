//! The state of a run: gives out what the schedule says, and tells the schedule what became of it.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{self, BoxError, Error};
use crate::model::{NodeId, TaskSpec};
use crate::plan::{Graph, Status};
use crate::report::{Report, RunError, StopReason};
use crate::run::attempt::dependency_failed::DependencyFailed;
use crate::run::attempt::publish::Published;
use crate::run::attempt::{AttemptEnd, AttemptJob, AttemptResult, RunContext};
use crate::run::coordination::Leases;
use crate::run::event_loop::foreign::ForeignTasks;
use crate::run::event_loop::subtask_waits::SubtaskWaits;
use crate::run::mailbox::{BackgroundTasks, Message};
use crate::run::record::tracker::{FailedAttempt, RunTracker};
use crate::run::runner::Runner;
use crate::run::scheduler::dependents::required;
use crate::run::scheduler::{Next, Scheduler};
use crate::run::shutdown;

/// How many outputs may be on their way to the store while further bodies run.
const PUBLISHING: usize = 64;
/// No pause before a retry is longer than this.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// A run under way.
pub(crate) struct RunState {
    pub(crate) runner: Arc<Runner>,
    pub(crate) graph: Arc<Graph>,
    pub(crate) needs: Arc<RwLock<Vec<Status>>>,
    pub(crate) tracker: RunTracker,
    pub(crate) schedule: Scheduler,
    pub(crate) run_context: Arc<RunContext>,
    pub(crate) aside: BackgroundTasks,
    /// How many attempts are under way.
    attempts: usize,
    pub(crate) asks: SubtaskWaits,
    pub(crate) ownership: Leases,
    pub(crate) elsewhere: ForeignTasks,
    /// The numbers of the next attempts of tasks that are ready again; all others are 1.
    pub(crate) numbers: HashMap<NodeId, u32>,
    /// The attempts that are under way: their numbers, and when they began.
    begun: HashMap<NodeId, (u32, Instant)>,
    /// The last attempts of the tasks that pause before the next.
    resting: BTreeMap<NodeId, FailedAttempt>,
    /// Whether the roots were ordered by another run, which sees to their retries.
    is_ordered: bool,
    pub(crate) is_stopped: bool,
    pub(crate) deadline: Option<Instant>,
}

impl RunState {
    pub(crate) fn new(
        runner: Arc<Runner>,
        run_context: Arc<RunContext>,
        needs: Vec<Status>,
        tracker: RunTracker,
        started: Instant,
    ) -> Self {
        let tie_breaker =
            matches!(run_context.ownership, Leases::PerTask(_)).then(|| fastrand::u32(..));
        let schedule = Scheduler::new(
            &run_context.graph,
            &needs,
            runner.workers,
            &runner.limits,
            tie_breaker,
        );
        run_context.outputs.plan(schedule.consumers());
        RunState {
            tracker,
            graph: Arc::clone(&run_context.graph),
            needs: Arc::new(RwLock::new(needs)),
            schedule,
            aside: BackgroundTasks::new(Arc::clone(&run_context.mailbox)),
            attempts: 0,
            asks: SubtaskWaits::default(),
            ownership: run_context.ownership.clone(),
            run_context,
            elsewhere: ForeignTasks::default(),
            numbers: HashMap::new(),
            begun: HashMap::new(),
            resting: BTreeMap::new(),
            is_ordered: false,
            is_stopped: false,
            deadline: shutdown::deadline(&runner, started),
            runner,
        }
    }

    /// Another run has ordered one attempt of a root, by its number.
    pub(crate) fn order(&mut self, root: NodeId, number: u32) {
        self.is_ordered = true;
        self.numbers.insert(root, number);
    }

    /// Takes over what began before the run did.
    pub(crate) fn adopt(&mut self, works: Vec<(AttemptJob, Instant)>) {
        for (AttemptJob { node, number, .. }, since) in works {
            if !self.need(node).runs() {
                self.learn(&[(node, Status::Missing)]);
            }
            self.schedule.take(node);
            self.begin(node, number, since);
        }
    }

    fn begin(&mut self, node: NodeId, number: u32, since: Instant) {
        if !matches!(self.ownership, Leases::PerTask(_)) {
            self.tracker.started(node, number);
        }
        self.attempts += 1;
        self.begun.insert(node, (number, since));
    }

    /// Takes in what has happened.
    ///
    /// # Errors
    ///
    /// The payload of a step that panicked.
    pub(crate) fn catch_up(&mut self) -> Result<(), Box<dyn Any + Send>> {
        let mailbox = Arc::clone(&self.run_context.mailbox);
        while let Some(step) = mailbox.next() {
            self.take(step)?;
        }
        Ok(())
    }

    /// The next attempt, if one can start now.
    pub(crate) fn next_work(&mut self) -> Option<AttemptJob> {
        while self.has_room() {
            match self.schedule.next()? {
                Next::Start(node) if self.tracker.holds_back(node, self.deadline) => {
                    self.schedule.hold_back(node);
                }
                Next::Start(node) => {
                    let number = self.numbers.remove(&node).unwrap_or(1);
                    self.begin(node, number, Instant::now());
                    let need = self.need(node);
                    return Some(AttemptJob { node, need, number });
                }
                Next::Resume(node) => self.asks.answer(node),
            }
        }
        None
    }

    fn has_room(&self) -> bool {
        self.attempts.saturating_sub(self.schedule.suspended()) < self.runner.workers + PUBLISHING
    }

    /// Whether one more attempt could start now.
    pub(crate) fn has_ready(&self) -> bool {
        self.has_room() && self.schedule.has_ready()
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.attempts == 0 && self.resting.is_empty() && !self.aside.is_looking()
    }

    /// The end of the run: whatever is under way is cut off.
    pub(crate) async fn finish(mut self) -> Result<Report, RunError> {
        for node in self.schedule.under_way() {
            let (number, since) = self
                .begun
                .get(&node)
                .copied()
                .unwrap_or((1, Instant::now()));
            self.tracker.interrupted(node, number, since.elapsed());
        }
        drop(self.aside);
        self.tracker.finish(self.is_stopped).await
    }

    pub(crate) fn need(&self, node: NodeId) -> Status {
        let needs = self.needs.read().unwrap_or_else(PoisonError::into_inner);
        needs
            .get(node.index())
            .copied()
            .unwrap_or(Status::NotNeeded)
    }

    /// Why the run is to stop, unless it has been told already.
    pub(crate) fn must_stop(&self) -> Option<StopReason> {
        if self.is_stopped {
            return None;
        }
        if self.runner.stop.is_stopping() {
            return Some(StopReason::Asked);
        }
        (self.deadline? <= Instant::now()).then_some(StopReason::Deadline)
    }

    /// Nothing new starts from now on, and bodies are told.
    pub(crate) fn stop(&mut self, reason: StopReason) {
        self.is_stopped = true;
        self.schedule.close();
        self.aside.stop_rests();
        self.aside.stop_looks();
        self.run_context.stop.stop();
        self.tracker.stopping(reason, self.attempts);
        for failed in std::mem::take(&mut self.resting).into_values() {
            self.schedule.interrupt(failed.node);
            self.interrupted(failed.node, failed.number, failed.elapsed);
        }
        self.end_vain_waits(None);
    }

    fn take(&mut self, step: Message) -> Result<(), Box<dyn Any + Send>> {
        match step {
            Message::BodyFinished(node) => self.schedule.body_ended(node),
            Message::AttemptStarted(node, number) => self.tracker.started(node, number),
            Message::Progress(node, now) if self.schedule.is_under_way(node) => {
                self.tracker.progress(node, &now);
            }
            Message::SubtaskRequested(ask) => self.asked(ask),
            Message::SubtaskCancelled { by, ask } => self.withdrawn(by, ask),
            Message::BodyBlocked(node) => self.parked(node),
            Message::StatusKnown(surveyed) => self.surveyed(surveyed),
            Message::RemoteSubtasks(root, beside) => self.told(root, beside),
            Message::ClaimsPolled(looks) => self.looked(looks),
            // The pauses may have been ended meanwhile.
            Message::BackoffElapsed(node, number) if self.resting.remove(&node).is_some() => {
                self.numbers.insert(node, number);
                self.schedule.retry(node);
            }
            // It has ended since another process told of it, or since it was told to pause.
            Message::Progress(..) | Message::BackoffElapsed(..) => {}
            Message::Panicked(payload) => return Err(payload),
        }
        Ok(())
    }

    pub(crate) fn attempted(&mut self, attempted: AttemptResult) {
        self.attempts -= 1;
        let AttemptResult {
            node,
            number,
            elapsed,
            end,
        } = attempted;
        self.begun.remove(&node);
        // Its end may have been told already.
        self.schedule.body_ended(node);
        self.asks.forget(node);
        let error = match end {
            AttemptEnd::Published(published) => {
                self.published(node, number, elapsed, &published);
                return;
            }
            AttemptEnd::AlreadyComplete => {
                self.made_elsewhere(node);
                return;
            }
            AttemptEnd::ClaimedByOther(owner) => {
                self.set_aside(node, number, Some(&owner));
                return;
            }
            AttemptEnd::LeaseLost => {
                self.set_aside(node, number, None);
                return;
            }
            AttemptEnd::Failed(error) => error,
        };
        if error::is_interrupted(error.as_ref()) {
            self.schedule.interrupt(node);
            self.interrupted(node, number, elapsed);
            return;
        }
        if let Some(unavailable) = DependencyFailed::cause_of(&error)
            && self.has_failed(unavailable.key)
        {
            self.blocked(node, &unavailable);
            return;
        }
        let is_permanent = is_permanent(&error);
        let failed = FailedAttempt {
            node,
            number,
            elapsed,
            error,
        };
        let spec = self.graph.node(node).task.spec();
        let is_ordered = self.is_ordered && self.graph.roots.contains(&node);
        let may_retry = number <= spec.retries && !is_ordered && !is_permanent;
        if may_retry && !self.schedule.is_closed() {
            let pause = pause(spec, number);
            self.tracker.retrying(&failed, pause);
            self.aside.rest(node, pause, number + 1);
            self.resting.insert(node, failed);
            return;
        }
        let failure = self.failed(failed);
        self.fail_fast(&failure);
    }

    /// Nothing starts any more after a failure, if the run is to be like that.
    pub(crate) fn fail_fast(&mut self, failure: &DependencyFailed) {
        if self.runner.fail_fast && !self.schedule.is_closed() {
            self.schedule.close();
            self.aside.stop_rests();
            for failed in std::mem::take(&mut self.resting).into_values() {
                self.failed(failed);
            }
            self.end_vain_waits(Some(failure));
        }
    }

    fn published(&mut self, node: NodeId, number: u32, elapsed: Duration, published: &Published) {
        self.tracker.published(node, number, elapsed, published);
        let outputs = &self.run_context.outputs;
        if let Some(output) = &published.output {
            let bytes = usize::try_from(published.bytes).unwrap_or(usize::MAX);
            outputs.keep(node, output, bytes);
        }
        self.schedule.complete(node);
        self.release_requirements(node);
        self.settle(node, || None);
    }

    /// `node` takes no more of what it requires.
    pub(crate) fn release_requirements(&self, node: NodeId) {
        for id in required(&self.graph, node) {
            self.run_context.outputs.release(id);
        }
    }

    fn interrupted(&mut self, node: NodeId, number: u32, elapsed: Duration) {
        self.tracker.interrupted(node, number, elapsed);
        self.settle(node, || Some(error::interrupted().into()));
    }

    fn failed(&mut self, failed: FailedAttempt) -> DependencyFailed {
        let node = failed.node;
        let key = self.graph.node(node).key;
        let failure = self.tracker.failed(failed);
        let unavailable = DependencyFailed { key, failure };
        self.fail(node, &unavailable);
        unavailable
    }

    /// `node` cannot have an output, because a task that its body asked for, or that it requires,
    /// has failed.
    pub(crate) fn blocked(&mut self, node: NodeId, by: &DependencyFailed) {
        self.tracker.blocked(node, by.key);
        self.fail(node, by);
    }

    /// There will be no output of `node`: what requires it is blocked, and who asked for it is told.
    pub(crate) fn fail(&mut self, node: NodeId, unavailable: &DependencyFailed) {
        self.release_requirements(node);
        let blocked = self.schedule.fail(node);
        for &blocked in &blocked {
            self.tracker.blocked(blocked, unavailable.key);
            self.release_requirements(blocked);
        }
        for node in blocked.into_iter().chain([node]) {
            self.settle_unavailable(node, unavailable);
        }
    }
}

/// Whether a retry would be in vain: the body said so, or a stored object would be met again.
fn is_permanent(error: &BoxError) -> bool {
    error::is_permanent(error.as_ref()) || error.downcast_ref::<Error>().is_some_and(is_decode)
}

fn is_decode(error: &Error) -> bool {
    matches!(error, Error::Decode { .. })
}

/// A pause between nothing and the doubled backoff ("full jitter", as in the AWS Architecture
/// Blog's "Exponential Backoff and Jitter").
fn pause(spec: &TaskSpec, attempt: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
    let longest = spec.backoff.saturating_mul(doubled).min(LONGEST_PAUSE);
    longest.mul_f64(fastrand::f64())
}
