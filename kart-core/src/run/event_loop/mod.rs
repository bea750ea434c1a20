//! The event loop: handles messages and spawns attempt workers.
//!
//! An *attempt worker* is a tokio task. When an attempt finishes, its worker reports the result and takes the next one
//! itself, so small tasks wake no other thread. The loop does the rest: deadline, stop, other processes, backoff. No lock
//! is held across an await.

mod attempts;
mod background;
mod foreign;
pub(crate) mod opening;
mod remote_subtasks;
pub(crate) mod state;
mod subtasks;
mod survey;
mod wait_cycles;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use tokio::task::{JoinSet, coop};

use self::state::{Finished, RunState};
use super::attempt::attempt;
use super::message::{AttemptJob, AttemptResult, Message};
use super::remote::progress;
use super::run_context::{EndOnDrop, RunContext};
use super::shutdown::{self, Closing, Shutdown};
use crate::report::{RunError, StopReason};

/// The state of a run; `None` after its end.
struct SharedRunState(Mutex<Option<RunState>>);

/// What the loop does next.
enum LoopAction {
    /// Spawn an attempt worker for each.
    Spawn(Vec<AttemptJob>),
    /// Stop the run.
    Stop(StopReason),
    /// The run cannot start.
    Refuse(RunError),
    /// The run's own code panicked.
    Panic(Box<dyn Any + Send>),
    Done,
}

impl SharedRunState {
    /// Returns `None` when the run is over.
    fn with<T>(&self, act: impl FnOnce(&mut RunState) -> T) -> Option<T> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.as_mut().map(act)
    }

    fn close(&self) -> Option<RunState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Handles all messages, and returns the attempts that can start.
    fn step(&self) -> LoopAction {
        let step = |state: &mut RunState| {
            if let Err(payload) = state.drain_mailbox() {
                return LoopAction::Panic(payload);
            }
            if let Some(error) = state.take_refusal() {
                return LoopAction::Refuse(error);
            }
            // The deadline may have passed before its timer fires.
            if let Some(reason) = state.must_stop() {
                return LoopAction::Stop(reason);
            }
            let jobs: Vec<AttemptJob> = std::iter::from_fn(|| state.next_job()).collect();
            if jobs.is_empty() && state.is_idle() {
                return LoopAction::Done;
            }
            LoopAction::Spawn(jobs)
        };
        let stepped = catch_unwind(AssertUnwindSafe(|| self.with(step)));
        match stepped {
            Ok(action) => action.unwrap_or(LoopAction::Done),
            Err(payload) => LoopAction::Panic(payload),
        }
    }

    /// Takes the result of an attempt, and returns the next one.
    fn complete_and_take_next(
        &self,
        run: &RunContext,
        result: AttemptResult,
    ) -> Option<AttemptJob> {
        let complete = |state: &mut RunState| {
            // Handle all messages before anything starts: one of them may make a task ready that ranks higher
            // than those in the queue.
            if let Err(payload) = state.drain_mailbox() {
                run.send(Message::Panicked(payload));
                return None;
            }
            state.on_attempt_finished(result);
            if state.must_stop().is_some() {
                run.mailbox.wake();
                return None;
            }
            let next = state.next_job();
            if next.is_none() || state.has_ready() {
                run.mailbox.wake();
            }
            next
        };
        let completed = catch_unwind(AssertUnwindSafe(|| self.with(complete).flatten()));
        completed.unwrap_or_else(|payload| {
            run.send(Message::Panicked(payload));
            None
        })
    }
}

/// Makes attempts one after the other, as long as there are any.
async fn attempt_worker(shared: Arc<SharedRunState>, run: Arc<RunContext>, first: AttemptJob) {
    let mut next = Some(first);
    while let Some(job) = next {
        let result = attempt(&run, job).await;
        next = shared.complete_and_take_next(&run, result);
        // Yield now and then, even if no attempt ever waits.
        coop::consume_budget().await;
    }
}

/// Runs until all tasks have ended that can, or until the grace period after a stop is over.
///
/// # Errors
///
/// The run could not start.
pub(crate) async fn run(state: RunState, closing: &Closing) -> Result<Finished, RunError> {
    let run = Arc::clone(state.context());
    let settings = Arc::clone(state.settings());
    // However this future ends, attempts may do nothing afterwards.
    let over = EndOnDrop(Arc::clone(&run));
    let mut shutdown = shutdown::requested(settings.stop.clone(), state.deadline()).boxed();
    let mut lost = pin!(run.leases.lost());
    let mut listening = JoinSet::new();
    if settings.executor.is_some() && settings.on_event.is_some() {
        let (workspace, graph) = (run.workspace.clone(), Arc::clone(&run.graph));
        listening.spawn(progress::poll(workspace, graph, Arc::clone(&run.mailbox)));
    }
    let shared = Arc::new(SharedRunState(Mutex::new(Some(state))));
    let mut workers = JoinSet::new();
    loop {
        let stopping = |reason| {
            shared.with(|state| state.stop(reason));
            closing.grace().boxed()
        };
        match shared.step() {
            LoopAction::Spawn(jobs) => {
                for job in jobs {
                    workers.spawn(attempt_worker(Arc::clone(&shared), Arc::clone(&run), job));
                }
            }
            LoopAction::Stop(reason) => {
                shutdown = stopping(reason);
                continue;
            }
            LoopAction::Refuse(error) => return Err(error),
            LoopAction::Panic(payload) => resume_unwind(payload),
            LoopAction::Done => break,
        }
        while workers.try_join_next().is_some() {}
        tokio::select! {
            biased;
            event = &mut shutdown => match event {
                Shutdown::Requested(reason) => shutdown = stopping(reason),
                Shutdown::GraceExpired => {
                    closing.begin();
                    break;
                }
            },
            () = &mut lost => {
                // Another process may run these tasks now.
                drop(stopping(StopReason::Lost));
                closing.begin();
                break;
            }
            () = run.mailbox.notified() => {}
        }
    }
    let state = shared.close();
    // Drop what still runs: it commits nothing any more. Then wait for commits past their point of no return.
    drop((workers, listening, over));
    closing.within(run.guard.closed_and_idle()).await;
    match state {
        Some(state) => Ok(state.finish()),
        None => Err(RunError::Runtime("the run was closed twice".into())),
    }
}
