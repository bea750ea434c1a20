//! The state of a run: takes messages and attempt results, and returns the attempts that can start.
//!
//! [`RunState::handle_message`] handles every message; [`RunState::settle`] applies what follows from changed states.
//! Each other file of this room handles messages of one kind.

use std::any::Any;
use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::background::BackgroundTasks;
use super::opening::Opening;
use crate::log::Known;
use crate::model::NodeId;
use crate::plan::{Graph, GraphExtender};
use crate::report::{Interruption, Outcome, Report, RunError, StopReason};
use crate::run::errors::dependency_failed::DependencyFailed;
use crate::run::message::{AttemptJob, Message};
use crate::run::record::log_sink::LogSink;
use crate::run::record::tracker::RunTracker;
use crate::run::run_context::RunContext;
use crate::run::scheduler::{Next, Scheduler};
use crate::run::settings::Settings;
use crate::run::shutdown;
use crate::run::table::{State, TaskTable};

/// How many outputs may be in publishing while further bodies run.
const PUBLISHING: usize = 64;

/// A record that waits until the plan was emitted.
type Record = Box<dyn FnOnce(&mut RunTracker) + Send>;

/// A run in progress.
pub(crate) struct RunState {
    pub(super) settings: Arc<Settings>,
    pub(super) run: Arc<RunContext>,
    pub(super) graph: Arc<Graph>,
    pub(super) table: TaskTable,
    pub(super) scheduler: Scheduler,
    pub(super) tracker: RunTracker,
    pub(super) background: BackgroundTasks,
    pub(super) opening: Opening,
    pub(super) extender: Option<GraphExtender>,
    /// Complete tasks whose outputs other code made.
    pub(super) changed: HashSet<NodeId>,
    records: Vec<Record>,
    /// The number of attempts in progress.
    pub(super) attempts: usize,
    pub(super) has_run: bool,
    /// Whether another run dispatched the roots; it handles their retries and inputs.
    pub(super) is_dispatched: bool,
    pub(super) stopped: Option<StopReason>,
    /// The failure after which nothing starts any more.
    pub(super) failed_fast: Option<DependencyFailed>,
    /// Why the run cannot start.
    pub(super) refused: Option<RunError>,
    pub(super) deadline: Option<Instant>,
    /// How many polls of foreign tasks in a row have found nothing new.
    pub(super) idle_polls: u32,
    pub(super) looks_for_cycles: bool,
}

impl RunState {
    pub(crate) fn new(
        settings: &Arc<Settings>,
        run: &Arc<RunContext>,
        log_sink: LogSink,
        opening: Opening,
        started: Instant,
    ) -> Self {
        let graph = Arc::clone(&run.graph);
        let tie_breaker = run.leases.are_per_task().then(|| fastrand::u32(..));
        RunState {
            table: TaskTable::new(&graph),
            scheduler: Scheduler::new(settings.workers, &settings.limits, tie_breaker),
            tracker: RunTracker::new(settings, &graph, log_sink, started),
            background: BackgroundTasks::new(&run.mailbox),
            opening,
            extender: None,
            changed: HashSet::new(),
            records: Vec::new(),
            attempts: 0,
            has_run: false,
            is_dispatched: false,
            stopped: None,
            failed_fast: None,
            refused: None,
            deadline: shutdown::deadline(settings, started),
            idle_polls: 0,
            looks_for_cycles: false,
            settings: Arc::clone(settings),
            run: Arc::clone(run),
            graph,
        }
    }

    pub(crate) fn context(&self) -> &Arc<RunContext> {
        &self.run
    }

    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Handles all messages in the mailbox.
    ///
    /// # Errors
    ///
    /// The payload of a panic in the run's own code.
    pub(crate) fn drain_mailbox(&mut self) -> Result<(), Box<dyn Any + Send>> {
        let mailbox = Arc::clone(&self.run.mailbox);
        while let Some(message) = mailbox.next() {
            self.handle_message(message)?;
            self.settle();
        }
        self.look_up();
        Ok(())
    }

    fn handle_message(&mut self, message: Message) -> Result<(), Box<dyn Any + Send>> {
        match message {
            Message::StatusKnown(lookup) => self.on_status_known(lookup),
            Message::EarlyStartDue => self.on_early_start(),
            Message::SurveyNewsDue(pause) => self.on_survey_news(pause),
            Message::Prepared(prepared) => self.on_prepared(prepared),
            Message::AttemptStarted(node, number) => self.on_attempt_started(node, number),
            Message::BodyFinished(node) => self.scheduler.body_ended(&mut self.table, node),
            Message::BodyBlocked(node) => self.on_body_blocked(node),
            Message::Progress(node, now) => {
                // A remote attempt may have ended since its worker reported this.
                let is_under_way = self.table.state(node).is_under_way();
                if is_under_way && now.resumes_stale_state {
                    self.record(move |tracker| tracker.emit_stale_state(node));
                }
                if is_under_way && now.is_reported() {
                    self.record(move |tracker| tracker.emit_progress(node, &now));
                }
            }
            Message::StaleState(node) => {
                self.record(move |tracker| tracker.emit_stale_state(node));
            }
            Message::SubtaskRequested(request) => self.on_subtask_requested(request),
            Message::SubtaskCancelled { by, id } => self.on_subtask_cancelled(by, id),
            Message::Replaces(node, provenance) => {
                self.record(move |tracker| tracker.replaces(node, provenance));
            }
            Message::OutputVanished(node, status) => self.on_output_vanished(node, status),
            Message::RemoteSubtasks(root, report) => self.on_remote_subtasks(root, report),
            Message::ClaimsPolled(poll) => self.on_claims_polled(poll),
            Message::WaitCycles(found) => self.on_wait_cycles(found),
            Message::BackoffElapsed(node) => self.on_backoff_elapsed(node),
            Message::Panicked(payload) => return Err(payload),
        }
        Ok(())
    }

    /// Applies what follows from changed states, until nothing does.
    pub(super) fn settle(&mut self) {
        while let Some(effects) = self.table.take_effects() {
            for (_, required) in effects.consumers {
                self.run.outputs.add_consumers(&required);
            }
            for node in effects.ready {
                self.scheduler.push(&self.table, node);
            }
            for (node, by) in effects.blocked {
                self.on_blocked(node, by);
            }
            for (waiter, circle) in effects.cycles {
                self.refuse_circle(waiter, &circle);
            }
            for (target, waiter) in effects.answers {
                self.answer(target, waiter);
            }
        }
    }

    /// Runs `record` now, or once the plan was emitted.
    pub(super) fn record(&mut self, record: impl FnOnce(&mut RunTracker) + Send + 'static) {
        if self.opening.is_planned {
            record(&mut self.tracker);
        } else {
            self.records.push(Box::new(record));
        }
    }

    /// Runs the records that waited for the plan.
    pub(super) fn flush_records(&mut self) {
        for record in mem::take(&mut self.records) {
            record(&mut self.tracker);
        }
    }

    /// Takes the next attempt, if one can start now.
    pub(crate) fn next_job(&mut self) -> Option<AttemptJob> {
        while self.has_room() {
            match self.scheduler.next(&mut self.table)? {
                Next::Start(node) if self.defers(node) => {
                    self.scheduler.put_back(&self.table, node);
                    self.table.set(node, State::Unreachable);
                    self.settle();
                }
                Next::Start(node) => return Some(self.begin(node)),
                Next::Resume(node) => self.table.waits.answer(node),
            }
        }
        None
    }

    fn begin(&mut self, node: NodeId) -> AttemptJob {
        let attempts = self.table.attempts_mut(node);
        attempts.since = Some(Instant::now());
        attempts.failed = None;
        let (number, lease) = (attempts.number, attempts.lease.take());
        if !self.run.leases.are_per_task() {
            self.record(move |tracker| tracker.emit_started(node, number));
        }
        self.attempts += 1;
        let mark = self.table.mark_of(node);
        let (reruns, wanted_by) = mark.map_or_else(Default::default, |mark| {
            (Arc::clone(&mark.reruns), Arc::clone(&mark.wanted_by))
        });
        AttemptJob {
            node,
            status: self.table.status(node),
            making: self.table.making(node),
            reruns,
            wanted_by,
            number,
            lease,
        }
    }

    /// Returns whether to defer a task, because its past durations exceed the time left. While nothing has run it starts
    /// all the same, so that every run makes progress.
    fn defers(&mut self, node: NodeId) -> bool {
        let (Some(deadline), Some(whole)) = (self.deadline, self.settings.deadline) else {
            return false;
        };
        let Some(expected) = self.tracker.expected(node) else {
            return false;
        };
        if expected > whole {
            self.record(move |tracker| tracker.emit_too_long(node, expected, whole));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let defers = expected > left && self.has_run;
        if defers {
            self.record(move |tracker| tracker.record_deferred(node, expected, left));
        }
        defers
    }

    fn has_room(&self) -> bool {
        self.attempts.saturating_sub(self.scheduler.suspended())
            < self.settings.workers + PUBLISHING
    }

    /// Returns whether one more attempt could start now.
    pub(crate) fn has_ready(&self) -> bool {
        self.has_room() && self.scheduler.has_ready()
    }

    /// Returns whether nothing is in progress and nothing will start by itself.
    pub(crate) fn is_idle(&self) -> bool {
        self.attempts == 0
            && self.opening.is_settled()
            && self.table.is_surveyed()
            && !self.background.is_polling()
            && (self.table.is_closed() || !self.table.awaits_attempts())
    }

    /// Takes the reason why the run cannot start.
    pub(crate) fn take_refusal(&mut self) -> Option<RunError> {
        self.refused.take()
    }

    /// Returns why the run has to stop, unless it is stopping already.
    pub(crate) fn must_stop(&self) -> Option<StopReason> {
        if self.stopped.is_some() {
            return None;
        }
        if self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            return Some(StopReason::Deadline);
        }
        self.settings
            .stop
            .is_stopping()
            .then_some(StopReason::Asked)
    }

    /// Stops the run: nothing starts any more, and bodies see it.
    pub(crate) fn stop(&mut self, reason: StopReason) {
        self.stopped = Some(reason);
        self.run.stop.stop();
        let running = self.attempts;
        self.record(move |tracker| tracker.emit_stopping(reason, running));
        self.close();
    }

    /// Starts nothing any more, and ends backoffs and every wait for what will not come.
    pub(super) fn close(&mut self) {
        self.scheduler.close();
        self.background.stop_polling();
        self.end_backoffs();
        self.table.close();
        self.watch_foreign_waits();
        self.settle();
        for by in self.table.waits.answered() {
            self.resume(by);
        }
    }

    /// Ends the run, and interrupts what is still in progress.
    pub(crate) fn finish(mut self) -> Finished {
        for node in self.table.all(|state| state == State::Checking) {
            self.table.set_outcome(node, Outcome::NotRun);
        }
        for node in self.table.all(State::is_under_way) {
            let attempts = self.table.attempts(node);
            let (number, since) = attempts.map_or((1, None), |known| (known.number, known.since));
            let elapsed = since.map_or(Duration::ZERO, |since| since.elapsed());
            self.interrupt(node, number, elapsed, Interruption::Stopped);
        }
        if !self.opening.is_planned {
            self.plan_as_far_as_known();
        }
        let log = self.tracker.end();
        Finished {
            outcomes: self.table.outcomes(),
            tracker: self.tracker,
            background: self.background,
            log,
            is_stopped: self.stopped.is_some(),
        }
    }
}

/// A run whose tasks have all ended.
pub(crate) struct Finished {
    tracker: RunTracker,
    outcomes: Vec<Outcome>,
    background: BackgroundTasks,
    log: LogSink,
    is_stopped: bool,
}

impl Finished {
    /// Writes the rest: records for other processes, and the end of the run log.
    pub(crate) async fn write(&mut self) {
        let background = mem::replace(&mut self.background, BackgroundTasks::new(&Arc::default()));
        background.finish().await;
        let log = mem::replace(&mut self.log, LogSink::silent(Known::default()));
        let counts = crate::report::Counts::of(&self.outcomes);
        if let Some(error) = log.end(counts).await {
            self.tracker.emit_log_failed(&error);
        }
    }

    /// Returns whether every task has its output.
    pub(crate) fn is_complete(&self) -> bool {
        let counts = crate::report::Counts::of(&self.outcomes);
        counts.failed + counts.blocked + counts.interrupted + counts.left == 0
    }

    pub(crate) fn into_report(self) -> Result<Report, RunError> {
        self.tracker.into_report(self.outcomes, self.is_stopped)
    }
}
