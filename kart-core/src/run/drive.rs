//! The state of a run: gives out what the schedule says, and tells the schedule what became of it.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::asks::Asks;
use super::attempt::{Attempted, End, Shop, Work};
use super::cause::redacted;
use super::dependents::required;
use super::elsewhere::Elsewhere;
use super::halt;
use super::inbox::{Aside, Step};
use super::ledger::{FailedAttempt, Ledger};
use super::ownership::Ownership;
use super::publish::Published;
use super::runner::Runner;
use super::schedule::{Next, Schedule};
use super::unavailable::Unavailable;
use crate::error::{self, BoxError, Error};
use crate::model::{AnyTask, NodeId, TaskSpec};
use crate::plan::{Graph, Need};
use crate::report::{Report, RunError, StopReason};

/// How many outputs may be on their way to the store while further bodies run.
const PUBLISHING: usize = 64;
/// No pause before a retry is longer than this.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// A run under way.
pub(super) struct Drive {
    pub(super) runner: Arc<Runner>,
    pub(super) graph: Arc<Graph>,
    pub(super) needs: Arc<RwLock<Vec<Need>>>,
    pub(super) ledger: Ledger,
    pub(super) schedule: Schedule,
    pub(super) shop: Arc<Shop>,
    pub(super) aside: Aside,
    /// How many attempts are under way.
    attempts: usize,
    pub(super) asks: Asks,
    pub(super) ownership: Ownership,
    pub(super) elsewhere: Elsewhere,
    /// The numbers of the next attempts of tasks that are ready again; all others are 1.
    pub(super) numbers: HashMap<NodeId, u32>,
    /// The attempts that are under way: their numbers, and when they began.
    begun: HashMap<NodeId, (u32, Instant)>,
    /// The last attempts of the tasks that pause before the next.
    resting: BTreeMap<NodeId, FailedAttempt>,
    /// Whether the roots were ordered by another run, which sees to their retries.
    is_ordered: bool,
    pub(super) is_stopped: bool,
    pub(super) deadline: Option<Instant>,
}

impl Drive {
    pub(super) fn new(
        runner: Arc<Runner>,
        shop: Arc<Shop>,
        needs: Vec<Need>,
        ledger: Ledger,
        started: Instant,
    ) -> Self {
        let lot = matches!(shop.ownership, Ownership::Each(_)).then(|| fastrand::u32(..));
        let schedule = Schedule::new(&shop.graph, &needs, runner.workers, &runner.limits, lot);
        shop.handover.plan(schedule.consumers());
        Drive {
            ledger,
            graph: Arc::clone(&shop.graph),
            needs: Arc::new(RwLock::new(needs)),
            schedule,
            aside: Aside::new(Arc::clone(&shop.inbox)),
            attempts: 0,
            asks: Asks::default(),
            ownership: shop.ownership.clone(),
            shop,
            elsewhere: Elsewhere::default(),
            numbers: HashMap::new(),
            begun: HashMap::new(),
            resting: BTreeMap::new(),
            is_ordered: false,
            is_stopped: false,
            deadline: halt::deadline(&runner, started),
            runner,
        }
    }

    /// Another run has ordered one attempt of a root, by its number.
    pub(super) fn order(&mut self, root: NodeId, number: u32) {
        self.is_ordered = true;
        self.numbers.insert(root, number);
    }

    /// Takes over what began before the run did.
    pub(super) fn adopt(&mut self, works: Vec<(Work, Instant)>) {
        for (Work { node, number, .. }, since) in works {
            if !self.need(node).runs() {
                self.learn(&[(node, Need::Missing)]);
            }
            self.schedule.take(node);
            self.begin(node, number, since);
        }
    }

    fn begin(&mut self, node: NodeId, number: u32, since: Instant) {
        if !matches!(self.ownership, Ownership::Each(_)) {
            self.ledger.started(node, number);
        }
        self.attempts += 1;
        self.begun.insert(node, (number, since));
    }

    /// Takes in what has happened.
    ///
    /// # Errors
    ///
    /// The payload of a step that panicked.
    pub(super) fn catch_up(&mut self) -> Result<(), Box<dyn Any + Send>> {
        let inbox = Arc::clone(&self.shop.inbox);
        while let Some(step) = inbox.next() {
            self.take(step)?;
        }
        Ok(())
    }

    /// The next attempt, if one can start now.
    pub(super) fn next_work(&mut self) -> Option<Work> {
        while self.has_room() {
            match self.schedule.next()? {
                Next::Start(node) if self.ledger.holds_back(node, self.deadline) => {
                    self.schedule.hold_back(node);
                }
                Next::Start(node) => {
                    let number = self.numbers.remove(&node).unwrap_or(1);
                    self.begin(node, number, Instant::now());
                    let need = self.need(node);
                    return Some(Work { node, need, number });
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
    pub(super) fn has_ready(&self) -> bool {
        self.has_room() && self.schedule.has_ready()
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.attempts == 0 && self.resting.is_empty() && !self.aside.is_looking()
    }

    /// The end of the run: whatever is under way is cut off.
    pub(super) async fn finish(mut self) -> Result<Report, RunError> {
        for node in self.schedule.under_way() {
            let (number, since) = self
                .begun
                .get(&node)
                .copied()
                .unwrap_or((1, Instant::now()));
            self.ledger.interrupted(node, number, since.elapsed());
        }
        drop(self.aside);
        self.ledger.finish(self.is_stopped).await
    }

    pub(super) fn need(&self, node: NodeId) -> Need {
        let needs = self.needs.read().unwrap_or_else(PoisonError::into_inner);
        needs.get(node.index()).copied().unwrap_or(Need::Unasked)
    }

    /// Why the run is to stop, unless it has been told already.
    pub(super) fn must_stop(&self) -> Option<StopReason> {
        if self.is_stopped {
            return None;
        }
        if self.runner.stop.is_stopping() {
            return Some(StopReason::Asked);
        }
        (self.deadline? <= Instant::now()).then_some(StopReason::Deadline)
    }

    /// Nothing new starts from now on, and bodies are told.
    pub(super) fn stop(&mut self, reason: StopReason) {
        self.is_stopped = true;
        self.schedule.close();
        self.aside.stop_rests();
        self.aside.stop_looks();
        self.shop.stop.stop();
        self.ledger.stopping(reason, self.attempts);
        for failed in std::mem::take(&mut self.resting).into_values() {
            self.schedule.interrupt(failed.node);
            self.interrupted(failed.node, failed.number, failed.elapsed);
        }
        self.end_vain_waits(None);
    }

    fn take(&mut self, step: Step) -> Result<(), Box<dyn Any + Send>> {
        match step {
            Step::Ended(node) => self.schedule.body_ended(node),
            Step::Began(node, number) => self.ledger.started(node, number),
            Step::Progress(node, now) if self.schedule.is_under_way(node) => {
                self.ledger.progress(node, &now);
            }
            Step::Asked(ask) => self.asked(ask),
            Step::Withdrawn { by, ask } => self.withdrawn(by, ask),
            Step::Parked(node) => self.parked(node),
            Step::Surveyed(surveyed) => self.surveyed(surveyed),
            Step::Told(root, beside) => self.told(root, beside),
            Step::Looked(looks) => self.looked(looks),
            // The pauses may have been ended meanwhile.
            Step::Rested(node, number) if self.resting.remove(&node).is_some() => {
                self.numbers.insert(node, number);
                self.schedule.retry(node);
            }
            // It has ended since another process told of it, or since it was told to pause.
            Step::Progress(..) | Step::Rested(..) => {}
            Step::Panicked(payload) => return Err(payload),
        }
        Ok(())
    }

    pub(super) fn attempted(&mut self, attempted: Attempted) {
        self.attempts -= 1;
        let Attempted {
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
            End::Published(published) => {
                self.published(node, number, elapsed, &published);
                return;
            }
            End::Made => {
                self.made_elsewhere(node);
                return;
            }
            End::Elsewhere(owner) => {
                self.set_aside(node, number, Some(&owner));
                return;
            }
            End::Lost => {
                self.set_aside(node, number, None);
                return;
            }
            End::Failed(error) => error,
        };
        if error::is_interrupted(error.as_ref()) {
            self.schedule.interrupt(node);
            self.interrupted(node, number, elapsed);
            return;
        }
        if let Some(unavailable) = Unavailable::cause_of(&error)
            && self.has_failed(unavailable.key)
        {
            self.blocked(node, &unavailable);
            return;
        }
        let task = AnyTask::new(Arc::clone(&self.graph.node(node).task));
        let is_permanent = is_permanent(&error);
        let failed = FailedAttempt {
            node,
            number,
            elapsed,
            error: redacted(&task, error, is_permanent),
        };
        let spec = self.graph.node(node).task.spec();
        let is_ordered = self.is_ordered && self.graph.roots.contains(&node);
        let may_retry = number <= spec.retries && !is_ordered && !is_permanent;
        if may_retry && !self.schedule.is_closed() {
            let pause = pause(spec, number);
            self.ledger.retrying(&failed, pause);
            self.aside.rest(node, pause, number + 1);
            self.resting.insert(node, failed);
            return;
        }
        let failure = self.failed(failed);
        self.fail_fast(&failure);
    }

    /// Nothing starts any more after a failure, if the run is to be like that.
    pub(super) fn fail_fast(&mut self, failure: &Unavailable) {
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
        self.ledger.published(node, number, elapsed, published);
        let handover = &self.shop.handover;
        if let Some(output) = &published.output {
            let bytes = usize::try_from(published.bytes).unwrap_or(usize::MAX);
            handover.keep(node, output, bytes);
        }
        self.schedule.complete(node);
        self.release_requirements(node);
        self.settle(node, || None);
    }

    /// `node` takes no more of what it requires.
    pub(super) fn release_requirements(&self, node: NodeId) {
        for id in required(&self.graph, node) {
            self.shop.handover.release(id);
        }
    }

    fn interrupted(&mut self, node: NodeId, number: u32, elapsed: Duration) {
        self.ledger.interrupted(node, number, elapsed);
        self.settle(node, || Some(error::interrupted().into()));
    }

    fn failed(&mut self, failed: FailedAttempt) -> Unavailable {
        let node = failed.node;
        let key = self.graph.node(node).key;
        let failure = self.ledger.failed(failed);
        let unavailable = Unavailable { key, failure };
        self.fail(node, &unavailable);
        unavailable
    }

    /// `node` cannot have an output, because a task that its body asked for, or that it requires,
    /// has failed.
    pub(super) fn blocked(&mut self, node: NodeId, by: &Unavailable) {
        self.ledger.blocked(node, by.key);
        self.fail(node, by);
    }

    /// There will be no output of `node`: what requires it is blocked, and who asked for it is told.
    pub(super) fn fail(&mut self, node: NodeId, unavailable: &Unavailable) {
        self.release_requirements(node);
        let blocked = self.schedule.fail(node);
        for &blocked in &blocked {
            self.ledger.blocked(blocked, unavailable.key);
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
